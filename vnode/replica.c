/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * replica - effects of the core.
 *
 * An entry: proposed (its body joins the log) -> PERSIST_ENTRIES (a record in
 * the chain of this turn) and SEND (a frame of this turn) -> durable here
 * (replica_recorded) -> committed -> APPLY -> answered.
 *
 * Invariant: a body that is not applied yet is in memory; an applied one is not,
 * and is read from the journal when a peer still needs it.
 */
#include "vnode/replica.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "vnode/fill.h"
#include "vnode/mutants.h"
#include "vnode/repair.h"

#define HEARTBEAT_US   100000
#define ELECTION_US    1000000
#define RANK_US        300000
#define JITTER_US      200000
#define WINDOW_ENTRIES 512
#define WINDOW_BYTES   (8u << 20)
#define MSG_ENTRIES    128
#define MSG_BYTES      (128u << 10)

int
replica_is_alone(const struct vnode *v)
{
	const struct raft_members *m = raft_members(v->group.raft);
	uint32_t others = 0;

	for (uint32_t i = 0; i < m->n; i++)
		others += m->at[i].id != v->group.generation;
	return others == 0;
}

int
replica_is_ready(const struct vnode *v)
{
	const struct group *g = &v->group;

	return g->raft && !g->failed &&
	       (raft_ready(g->raft) || (VNODE_MUTANT(LEADS_BEFORE_APPLIED) &&
					   raft_role(g->raft) == RAFT_LEADER));
}

/* --- bodies --------------------------------------------------------------- */

static void
answer_proposal(struct store_worker *w, struct body *b)
{
	struct msg *m, *next;

	for (m = proposal_take_requests(b); m; m = next) {
		next = m->next;
		store_answer(w->store, m);
	}
}

/* Answers the requests in B once their outcome is known, nobody else reads
 * their bytes, and the log, if it still needs them, has its own.  One reference
 * is the caller's: a second is the log's. */
static void
settle(struct store_worker *w, struct body *b)
{
	struct proposal *p = b->proposal;

	if (!p || b->readers || !proposal_is_settled(p))
		return;
	if (!proposal_is_applied(p) && b->refs > 1 && !b->block && body_own(b))
		return; /* no memory: at the next tick */
	answer_proposal(w, b);
}

void
replica_release(struct store_worker *w, struct body *b)
{
	if (b->refs == 1 && b->proposal && !proposal_is_settled(b->proposal))
		proposal_give_up(b);
	settle(w, b);
	body_unref(b);
}

static void
on_read(void *arg, struct body *b)
{
	replica_release(arg, b);
}

/* The log has let go of E. */
static void
on_drop(void *ctx, struct raft_entry *e)
{
	if (e->body)
		replica_release(ctx, e->body);
}

/* --- applying ------------------------------------------------------------- */

/* Bytes given up by their proposal may still be read by a frame of this turn.
 */
static int
gather(struct store_worker *w, struct body *b)
{
	if (!b->proposal || b->block || !proposal_is_settled(b->proposal))
		return 0;
	outbox_flush(&w->outbox);
	return b->proposal && !b->block ? body_own(b) : 0;
}

static int
is_in(const struct vnode *v, const struct raft_members *m)
{
	for (uint32_t i = 0; i < m->n; i++)
		if (m->at[i].id == v->group.generation)
			return 1;
	return 0;
}

uint32_t
replica_count(const struct vnode *v, uint64_t index)
{
	const struct raft *raft = v->group.raft;
	const struct raft_members *m = raft_members(raft);
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->n; i++)
		n += m->at[i].voter &&
		     (m->at[i].id == v->group.generation
			     ? raft_stable(raft)
			     : raft_match(raft, m->at[i].id)) >= index;
	return n;
}

static int
apply_one(struct store_worker *w, struct vnode *v, uint64_t index)
{
	struct raft *raft = v->group.raft;
	const struct raft_entry *e = raft_entry_at(raft, index);
	struct body *b = body_ref(e->body);
	int r = gather(w, b);

	if (r == 0)
		r = group_apply(v, &w->cache, &w->dirty, e->term, index, b);
	if (r == 0 && b->proposal)
		proposal_set_replicas(b, replica_count(v, index));
	/* Its generation is the index of the entry that added it. */
	if (r == 0 && e->kind == RAFT_MEMBERS && index > v->group.generation &&
	    !is_in(v, e->members))
		retire_removed(v);
	if (r == 0)
		raft_drop_body(raft, index); /* the journal has it */
	replica_release(w, b);
	return r;
}

static void
apply(struct store_worker *w, struct vnode *v, const struct raft_effect *fx)
{
	struct group *g = &v->group;

	while (g->applied_index < fx->last) {
		int r = apply_one(w, v, g->applied_index + 1);

		if (r) {
			g->failed = g->half_applied = 1;
			store_report(w->store, 1,
			    "group %u: entry %llu cannot be applied: %s; the "
			    "group is out of service on this node until it is "
			    "started again",
			    g->id, (unsigned long long)(g->applied_index + 1),
			    err_text(r));
			replica_abandon(w, v);
			return;
		}
	}
	request_applied(w, v);
	watch_wake(w, v);
	if (v->retain.lead.ordered == g->applied_index)
		retain_lead(w, v); /* that was its own */
	store_changed(w->store, g->id);
}

/* --- roles ---------------------------------------------------------------- */

/* What was proposed here may be settled already, or lose its last reader. */
static void
settle_all(struct store_worker *w, struct vnode *v)
{
	LIST_FOREACH_SAFE (link, tmp, &v->group.in_flight)
		replica_release(w, body_ref(proposal_body(link)));
}

static void
count_role(struct store_worker *w, const struct vnode *v, int leads)
{
	const struct raft *r = v->group.raft;
	const struct place *before = &w->store->places[v->group.id];
	uint64_t term = atomic_load(&before->term);

	if (leads && !atomic_load(&before->leads))
		metrics_add(w->metrics, METRICS_LEADERSHIPS, 1);
	if (term && raft_term(r) > term)
		metrics_add(w->metrics, METRICS_TERMS, raft_term(r) - term);
	if ((leads || raft_role(r) == RAFT_CANDIDATE) && raft_term(r) > term)
		metrics_add(w->metrics, METRICS_ELECTIONS, 1);
}

static void
role_changed(struct store_worker *w, struct vnode *v)
{
	struct group *g = &v->group;
	struct msg *m, *next;
	int leads = raft_role(g->raft) == RAFT_LEADER;

	count_role(w, v, leads);
	atomic_store(&w->store->places[g->id].term, raft_term(g->raft));
	atomic_store(&w->store->places[g->id].leads, leads);
	if (leads)
		return;
	fill_send_end_all(w, v);
	watch_refuse_all(w, v, -ERR_NOTLEADER);
	for (m = group_give_up(v); m; m = next) {
		next = m->next;
		request_take(w, v, m);
	}
	settle_all(w, v);
	request_deposed(w, v);
	repair_retry(w, v);
	request_retry(w, v);
}

void
replica_abandon(struct store_worker *w, struct vnode *v)
{
	struct msg *m, *next;

	if (v->group.raft) {
		raft_lose_reads(v->group.raft, &w->fx);
		replica_effects(w, v);
	}
	for (m = group_give_up(v); m; m = next) {
		next = m->next;
		request_refuse(w, v, m, -ERR_UNAVAILABLE);
	}
	settle_all(w, v);
	request_fail_all(w, v, -ERR_UNAVAILABLE);
}

/* --- effects -------------------------------------------------------------- */

static void
failed(struct store_worker *w, struct vnode *v, const char *why)
{
	v->group.failed = 1;
	store_report(w->store, 1,
	    "group %u: %s; the group is out of service on this node until it "
	    "is started again",
	    v->group.id, why);
	replica_abandon(w, v);
}

static void
carry_out(struct store_worker *w, struct vnode *v, const struct raft_effect *e)
{
	switch (e->type) {
	case RAFT_SEND:
		replica_send(w, v, &e->msg);
		break;
	case RAFT_PERSIST_HARD:
		replica_persist_hard(w, v, e->term, e->vote, e->seq);
		break;
	case RAFT_PERSIST_ENTRIES:
		replica_persist_entries(w, v, e);
		break;
	case RAFT_APPLY:
		apply(w, v, e);
		break;
	case RAFT_ROLE:
		role_changed(w, v);
		break;
	case RAFT_READ_READY:
		request_confirmed(w, v, e->ctx, e->last);
		break;
	case RAFT_READ_LOST:
		request_lost(w, v, e->ctx);
		break;
	case RAFT_FILL:
		fill_begin(w, v, e->peer);
		break;
	case RAFT_HEALED:
		v->manifest.fresh = 1; /* shall say so */
		replica_say_whether_damaged(w, v);
		store_report(
		    w->store, 0, "group %u is whole again", v->group.id);
		break;
	case RAFT_FAILED:
		failed(w, v, e->why);
		break;
	}
}

void
replica_effects(struct store_worker *w, struct vnode *v)
{
	if (w->effects_of) { /* the loop below will come to them */
		ASSERT(w->effects_of == v);
		return;
	}
	w->effects_of = v;
	for (uint32_t i = 0; i < w->fx.n; i++) {
		struct raft_effect e = w->fx.items[i];

		carry_out(w, v, &e);
	}
	w->fx.n = 0;
	w->effects_of = NULL;
	if (!v->group.failed && raft_failed(v->group.raft))
		failed(w, v, "out of memory");
	if (v->group.waiting)
		request_retry(w, v);
}

/* --- events --------------------------------------------------------------- */

/* The clock of a replica that serves goes on. */
static void
serving_tick(struct store_worker *w, struct vnode *v)
{
	const struct env_clock *c = &w->store->env->clock;

	if (fill_replaces(v) || retire_is_under_way(v)) {
		retire_tick(w, v);
		return;
	}
	raft_set_rank(v->group.raft, placing_rank(w->store, v));
	raft_tick(v->group.raft, c->mono(c->ctx).us, &w->fx);
	if (w->fx.n)
		replica_effects(w, v);
	if (v->group.fills)
		fill_send_tick(w, v);
	placing_tick(w, v);
	retire_tick(w, v);
	retain_lead(w, v);
}

void
replica_tick(struct store_worker *w, struct vnode *v)
{
	if (!v->group.failed)
		serving_tick(w, v);
	/* There was no memory to answer them. */
	if (!list_empty(&v->group.in_flight))
		settle_all(w, v);
}

void
replica_propose(struct store_worker *w, struct vnode *v)
{
	struct body *b = group_seal(v);
	struct raft_entry e = {.kind = RAFT_DATA};
	uint64_t index;
	int r;

	if (!b)
		return;
	list_del(&v->group.turn);
	e.bytes = b->bytes;
	e.body = b;
	r = raft_propose(v->group.raft, &e, 1, &index, &w->fx);
	if (r) { /* handing over, say: it was not proposed */
		group_take_back(v, b, r);
		replica_release(w, b);
	}
	replica_effects(w, v);
}

void
replica_hand_over(struct store_worker *w, struct vnode *v)
{
	struct group *g = &v->group;
	const struct raft_member *best = NULL;
	const struct raft_members *m;

	if (!g->raft || g->failed || raft_role(g->raft) != RAFT_LEADER)
		return;
	m = raft_members(g->raft);
	for (uint32_t i = 0; i < m->n; i++) {
		const struct raft_member *p = &m->at[i];

		if (p->voter && p->id != g->generation &&
		    (!best || raft_match(g->raft, p->id) >
				  raft_match(g->raft, best->id)))
			best = p;
	}
	if (best && raft_transfer(g->raft, best->id, &w->fx) == 0)
		replica_effects(w, v);
}

int
replica_open(struct store *s, struct vnode *v, const struct raft_state *state)
{
	struct raft_config c = {
	    .self = v->group.generation,
	    .heartbeat_us = HEARTBEAT_US,
	    .election_us = ELECTION_US,
	    .rank_us = RANK_US,
	    .jitter_us = JITTER_US,
	    .window_entries = WINDOW_ENTRIES,
	    .window_bytes = WINDOW_BYTES,
	    .msg_entries = MSG_ENTRIES,
	    .msg_bytes = MSG_BYTES,
	    .drop = on_drop,
	    .ctx = store_worker_of(s, v->group.id),
	};

	s->env->rng.bytes(s->env->rng.ctx, &c.seed, sizeof(c.seed));
	v->group.raft = raft_new(&c, state);
	return v->group.raft ? 0 : -ERR_NOMEM;
}

void
replica_close(struct store_worker *w, struct vnode *v)
{
	struct group *g = &v->group;

	g->failed = 1;
	atomic_store(&w->store->places[g->id].leads, 0);
	replica_abandon(w, v);
	replica_let_go(w, v);
	fill_send_end_all(w, v);
	repair_serve_end(w->store, v);
	if (g->raft) {
		list_del(&g->touched);
		g->raft = raft_free(g->raft);
	}
	g->n_in_journal = 0;
	g->persisted = g->led_term = 0;
	g->leader_id = 0;
	g->retiring = 0; /* this one, not the next */
}

void
replica_start(struct store_worker *w, struct vnode *v)
{
	if (raft_damaged(v->group.raft)) {
		replica_say_whether_damaged(w, v);
		v->manifest.fresh = 1; /* before the journal lets go of that */
	}
	replica_tick(w, v);
	raft_campaign(v->group.raft, &w->fx);
	replica_effects(w, v);
}

void
replica_worker_init(struct store_worker *w)
{
	list_init(&w->touched);
	w->last_chain = &w->chain;
	outbox_init(&w->outbox, w->store->env, w->id, on_read, w);
}
