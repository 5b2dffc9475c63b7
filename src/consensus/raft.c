/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* raft - a group: its life, its effects, its terms. */
#include "src/consensus/raft.h"

#include "src/base/assert.h"
#include "src/base/mem.h"
#include "src/consensus/raft_impl.h"

/* --- effects -------------------------------------------------------------- */

void
raft_effects_deinit(struct raft_effects *fx)
{
	fx->items = mem_free(fx->items);
	fx->n = fx->cap = 0;
}

/* NULL: memory is gone, and the group has failed.  It says no more then but
 * what was lost: what was to be durable before may not have been asked for. */
struct raft_effect *
emit(struct raft *r, struct raft_effects *fx, enum raft_effect_type type)
{
	struct raft_effect *e;

	if (r->failed && type != RAFT_FAILED && type != RAFT_READ_LOST &&
	    !MUTANT(r, SPEAKS_AFTER_FAILURE))
		return NULL;
	if (fx->n == fx->cap) {
		uint32_t cap = fx->cap ? fx->cap * 2 : 32;
		void *p = mem_realloc(fx->items, cap * sizeof(*fx->items));

		if (!p) {
			r->failed = 1;
			return NULL;
		}
		fx->items = p;
		fx->cap = cap;
	}
	e = &fx->items[fx->n++];
	*e = (struct raft_effect){.type = type};
	return e;
}

void
fail(struct raft *r, struct raft_effects *fx, const char *why)
{
	struct raft_effect *e;

	if (r->failed)
		return;
	r->failed = 1;
	reads_lose(r, fx);
	e = emit(r, fx, RAFT_FAILED);
	if (e)
		e->why = why;
}

struct raft_msg *
new_msg(struct raft *r, struct raft_effects *fx, enum raft_msg_type type,
    raft_id to)
{
	struct raft_effect *e = emit(r, fx, RAFT_SEND);

	if (!e)
		return NULL;
	e->msg = (struct raft_msg){
	    .type = type, .from = r->config.self, .to = to, .term = r->term};
	return &e->msg;
}

void
emit_role(struct raft *r, struct raft_effects *fx)
{
	struct raft_effect *e = emit(r, fx, RAFT_ROLE);

	if (!e)
		return;
	e->term = r->term;
	e->peer = r->leader;
}

/* --- persistence ---------------------------------------------------------- */

void
persist_hard(struct raft *r, struct raft_effects *fx)
{
	struct raft_effect *e = emit(r, fx, RAFT_PERSIST_HARD);

	if (!e)
		return;
	r->hard_seq = ++r->seq;
	e->seq = r->seq;
	e->term = r->term;
	e->vote = r->vote;
	if (MUTANT(r, VOTE_NOT_PERSISTED))
		e->vote = 0;
	if (MUTANT(r, TERM_NOT_PERSISTED))
		e->term = e->vote ? 1 : 0;
}

static int
add_op(struct raft *r, uint64_t seq, uint64_t last)
{
	if (r->n_ops == r->cap_ops) {
		uint32_t cap = r->cap_ops ? r->cap_ops * 2 : 2;
		void *p = mem_realloc(r->ops, cap * sizeof(*r->ops));

		if (!p)
			return -ERR_NOMEM;
		r->ops = p;
		r->cap_ops = cap;
	}
	r->ops[r->n_ops++] = (struct persist_op){.seq = seq, .last = last};
	return 0;
}

void
persist_entries(
    struct raft *r, struct raft_effects *fx, uint64_t first, uint64_t last)
{
	struct raft_effect *e = emit(r, fx, RAFT_PERSIST_ENTRIES);

	if (!e)
		return;
	if (add_op(r, r->seq + 1, last)) {
		fx->n--;
		fail(r, fx, "out of memory");
		return;
	}
	e->seq = ++r->seq;
	e->first = first;
	e->last = last;
}

int
hard_is_durable(const struct raft *r)
{
	return r->persisted >= r->hard_seq;
}

void
raft_persisted(struct raft *r, uint64_t seq, struct raft_effects *fx)
{
	uint32_t n = 0;

	if (r->failed || seq <= r->persisted)
		return;
	if (MUTANT(r, PERSISTED_MEANS_ALL))
		seq = r->seq;
	ASSERT(seq <= r->seq);
	r->persisted = seq;
	for (; n < r->n_ops && r->ops[n].seq <= seq; n++)
		if (r->ops[n].last > r->stable)
			r->stable = r->ops[n].last;
	r->n_ops -= n;
	if (r->n_ops && n)
		memmove(r->ops, r->ops + n, r->n_ops * sizeof(*r->ops));
	election_persisted(r, fx);
	if (r->role == RAFT_LEADER)
		leader_commit(r, fx);
	else if (r->ack_waits || n)
		send_ack(r, fx);
	apply(r, fx);
	transfer_try(r, fx);
}

void
apply(struct raft *r, struct raft_effects *fx)
{
	uint64_t to = r->commit < r->stable ? r->commit : r->stable;
	struct raft_effect *e;

	if (MUTANT(r, APPLY_BEYOND_DURABLE))
		to = r->commit;
	if (to <= r->applied)
		return;
	e = emit(r, fx, RAFT_APPLY);
	if (!e)
		return;
	e->first = r->applied + 1;
	e->last = r->applied = to;
}

/* --- terms ---------------------------------------------------------------- */

/* xorshift64* */
static uint64_t
next_random(struct raft *r)
{
	r->rng ^= r->rng >> 12;
	r->rng ^= r->rng << 25;
	r->rng ^= r->rng >> 27;
	return r->rng * 0x2545f4914f6cdd1du;
}

void
restart_election_timer(struct raft *r)
{
	uint64_t jitter = r->config.jitter_us;

	r->election_at_us = r->now_us + r->config.election_us +
			    r->rank * r->config.rank_us +
			    (jitter ? next_random(r) % jitter : 0);
}

void
become_follower(
    struct raft *r, uint64_t term, raft_id leader, struct raft_effects *fx)
{
	int was_leader = r->role == RAFT_LEADER;
	int change =
	    r->role != RAFT_FOLLOWER || r->term != term || r->leader != leader;

	r->role = RAFT_FOLLOWER;
	r->leader = leader;
	r->transfer_to = 0;
	peers_forget(r);
	r->ack_waits = 0;
	if (term != r->term) {
		r->term = term;
		r->vote = 0;
		r->answer_to = 0;
		persist_hard(r, fx);
	}
	if (was_leader) {
		reads_lose(r, fx);
		restart_election_timer(r);
	}
	if (change)
		emit_role(r, fx);
}

/* --- messages ------------------------------------------------------------- */

/* What arithmetic can bear; no group lives so long. */
#define TERM_MAX (UINT64_MAX / 4)

/* A vote that would only disturb a group whose leader is well. */
static int
disturbs(const struct raft *r, const struct raft_msg *m)
{
	if (m->type != RAFT_VOTE || m->transfer || m->term <= r->term)
		return 0;
	if (r->role == RAFT_LEADER)
		return 1; /* check-quorum ends it when it is cut off */
	return r->leader && r->now_us - r->heard_us < r->config.election_us;
}

/* [paper] 5.1: a newer term is taken over, but not from a pre-vote. */
static void
follow_term(struct raft *r, const struct raft_msg *m, struct raft_effects *fx)
{
	if (m->term <= r->term || m->type == RAFT_PREVOTE)
		return;
	if (m->type == RAFT_PREVOTE_ANSWER && !m->reject)
		return;
	become_follower(r, m->term, 0, fx);
}

static void
drop_all(struct raft *r, const struct raft_msg *m)
{
	for (uint32_t i = 0; i < m->n; i++)
		log_drop(r, &m->entries[i]);
}

static int
is_sane(const struct raft *r, const struct raft_msg *m)
{
	uint64_t term = m->log_term;

	if (m->to != r->config.self || m->from == 0 ||
	    m->from == r->config.self || (m->n && m->type != RAFT_APPEND))
		return 0;
	if (m->term > TERM_MAX || (m->type == RAFT_APPEND && term > m->term))
		return 0;
	for (uint32_t i = 0; i < m->n; i++) {
		const struct raft_entry *e = &m->entries[i];

		if (e->term < term || e->term > m->term ||
		    e->kind < RAFT_DATA || e->kind > RAFT_MEMBERS ||
		    (e->kind == RAFT_MEMBERS && !members_are_sane(e->members)))
			return 0;
		term = e->term;
	}
	return m->index + m->n >= m->index;
}

void
raft_receive(struct raft *r, const struct raft_msg *m, struct raft_effects *fx)
{
	if (r->failed || !is_sane(r, m) || disturbs(r, m)) {
		drop_all(r, m);
		return;
	}
	follow_term(r, m, fx);
	switch (m->type) {
	case RAFT_PREVOTE:
		on_prevote(r, m, fx);
		break;
	case RAFT_VOTE:
		on_vote(r, m, fx);
		break;
	case RAFT_PREVOTE_ANSWER:
	case RAFT_VOTE_ANSWER:
		on_vote_answer(r, m, fx);
		break;
	case RAFT_APPEND:
		on_append(r, m, fx);
		break;
	case RAFT_APPEND_ANSWER:
		on_append_answer(r, m, fx);
		break;
	case RAFT_TIMEOUT_NOW:
		if (m->term == r->term && r->leader == m->from)
			campaign(r, 1, fx);
		break;
	case RAFT_MSG_TYPES:
		break;
	}
}

void
raft_tick(struct raft *r, uint64_t now_us, struct raft_effects *fx)
{
	if (r->failed)
		return;
	if (r->now_us == 0) { /* the first */
		r->now_us = now_us;
		restart_election_timer(r);
	}
	if (now_us > r->now_us)
		r->now_us = now_us;
	if (r->role == RAFT_LEADER)
		leader_tick(r, fx);
	else
		election_tick(r, fx);
}

/* --- life ----------------------------------------------------------------- */

/* A log has no entries of a term that this replica has not seen.  It has not
 * voted in it either: that would be in the hard state. */
static void
raise_term(struct raft *r, uint64_t term)
{
	if (term <= r->term)
		return;
	r->term = term;
	r->vote = 0;
}

struct raft *
raft_new(const struct raft_config *config, const struct raft_state *state)
{
	struct raft *r = mem_zalloc(sizeof(*r));

	ASSERT(config->self && config->msg_entries && config->window_entries);
	ASSERT(state->members.n <= RAFT_MEMBERS_MAX);
	if (!r)
		return NULL;
	r->config = *config;
	r->rng = config->seed * 2 + 1;
	r->run = next_random(r) | 1;
	r->term = state->term;
	r->vote = state->vote;
	r->damaged = state->damaged;
	r->log.base = r->log.last = state->base_index;
	r->log.base_term = state->base_term;
	r->log.base_members = members_copy(&state->members);
	if (!r->log.base_members)
		return mem_free(r);
	raise_term(r, state->base_term);
	r->stable = r->verified = state->base_index;
	r->commit = r->applied = state->applied > state->base_index
				     ? state->applied
				     : state->base_index;
	r->members_stale = 1;
	members_refresh(r);
	return r;
}

/* The journal may begin with, or have in between, what was replaced by entries
 * up to the base: it shows by a term that nothing behind the base can have, or
 * by a predecessor that was skipped. */
static int
is_outdated(const struct raft *r, const struct raft_entry *e, uint64_t index)
{
	return index <= r->log.base || e->term < r->log.base_term ||
	       (r->outdated && index > r->log.last + 1);
}

int
raft_restore(struct raft *r, const struct raft_entry *e, uint64_t index)
{
	uint64_t base = r->log.base;
	int bad = 0;

	if (index <= r->log.last && !MUTANT(r, RESTORE_KEEPS_REPLACED))
		log_truncate(r, index > base ? index : base + 1);
	if (is_outdated(r, e, index)) {
		r->outdated = index > base;
		log_drop(r, e);
	} else if (index > r->log.last + 1 ||
		   e->term < log_term(r, index - 1)) {
		bad = -ERR_CORRUPT;
	} else {
		r->outdated = 0;
		bad = log_append(r, e);
	}
	raise_term(r, log_term(r, r->log.last));
	r->stable = r->log.last;
	members_refresh(r);
	return bad;
}

struct raft *
raft_free(struct raft *r)
{
	if (!r)
		return NULL;
	log_deinit(r);
	peers_forget(r);
	mem_free(r->ops);
	mem_free(r->reads);
	return mem_free(r);
}

void
raft_compact(struct raft *r, uint64_t index)
{
	if (r->failed || index > r->applied || index <= r->log.base)
		return;
	log_compact(r, index);
	if (r->verified < index) /* committed: every leader has it */
		r->verified = index;
}

void
raft_set_rank(struct raft *r, uint32_t rank)
{
	r->rank = rank;
}

/* --- looking -------------------------------------------------------------- */

enum raft_role
raft_role(const struct raft *r)
{
	return r->role;
}

uint64_t
raft_term(const struct raft *r)
{
	return r->term;
}

raft_id
raft_vote(const struct raft *r)
{
	return r->vote;
}

raft_id
raft_leader(const struct raft *r)
{
	return r->leader;
}

uint64_t
raft_last(const struct raft *r)
{
	return r->log.last;
}

uint64_t
raft_commit(const struct raft *r)
{
	return r->commit;
}

uint64_t
raft_base(const struct raft *r)
{
	return r->log.base;
}

uint64_t
raft_stable(const struct raft *r)
{
	return r->stable;
}

int
raft_damaged(const struct raft *r)
{
	return r->damaged;
}

int
raft_failed(const struct raft *r)
{
	return r->failed;
}

int
raft_ready(const struct raft *r)
{
	return !r->failed && r->role == RAFT_LEADER &&
	       r->applied >= r->term_first;
}

int
raft_hands_over(const struct raft *r)
{
	return r->role == RAFT_LEADER && r->transfer_to != 0;
}

const struct raft_members *
raft_members(const struct raft *r)
{
	return r->members;
}

const struct raft_entry *
raft_entry_at(const struct raft *r, uint64_t index)
{
	return log_at(r, index);
}

uint64_t
raft_term_at(const struct raft *r, uint64_t index)
{
	return log_term(r, index);
}

uint64_t
raft_match(const struct raft *r, raft_id peer)
{
	for (uint32_t i = 0; i < r->n_peers; i++)
		if (r->peers[i].id == peer)
			return r->peers[i].match;
	return 0;
}
