/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * leader - replication ([paper] 5.3, 5.4.2; pipelining [thesis] 10.2.1).
 *
 * A peer is probed until it is known where its log agrees; then entries stream
 * to it, a window of them without an answer.  What gets lost shows at the next
 * message, be it a heartbeat: its `index` is not there, the answer says where to
 * go on.  So nothing is sent again before an answer has come: a peer that is
 * down costs heartbeats.
 */
#include "src/base/assert.h"
#include "src/consensus/raft_impl.h"

/* --- sending -------------------------------------------------------------- */

static int
window_is_full(const struct raft *r, const struct peer *p)
{
	return p->state == PEER_STREAM && p->next > p->match + 1 &&
	       (p->next - p->match > r->config.window_entries ||
		   p->sent_bytes >= r->config.window_bytes);
}

/* Whatever P has forgotten that it promised, nobody can build on it: all others
 * that are whole have confirmed this leader since, there is one of them in every
 * majority, and the term has committed something.  Not while members change: one
 * whose removal is not committed is asked no more, but may lead by a vote of P. */
static int
may_heal(const struct raft *r, const struct peer *p)
{
	uint32_t damaged = 0;

	if (MUTANT(r, HEALED_BY_ANY_LEADER))
		return 1;
	if (r->members_index > r->commit)
		return 0;
	for (uint32_t i = 0; i < r->n_peers; i++) {
		const struct peer *other = &r->peers[i];

		if (!other->voter || other->id == r->config.self)
			continue;
		damaged += other->uncounted != 0;
		if (!other->uncounted && other->round < p->heal_round)
			return 0;
	}
	if (damaged >= members_majority(r))
		return 0;
	return log_term(r, r->commit) == r->term;
}

static struct raft_msg *
append_msg(struct raft *r, struct peer *p, struct raft_effects *fx)
{
	struct raft_msg *m = new_msg(r, fx, RAFT_APPEND, p->id);

	if (!m)
		return NULL;
	m->index = p->next - 1;
	m->log_term = log_term(r, p->next - 1);
	m->commit = r->commit;
	m->round = r->round;
	m->heal = p->uncounted && may_heal(r, p) ? p->uncounted : 0;
	return m;
}

/* How many entries the next message takes; BYTES of them. */
static uint32_t
choose(const struct raft *r, const struct peer *p, uint64_t *bytes)
{
	uint32_t n = 0;

	*bytes = 0;
	for (uint64_t i = p->next; i <= r->log.last; i++, n++) {
		uint64_t more = log_at(r, i)->bytes;

		if (n == r->config.msg_entries ||
		    (n && *bytes + more > r->config.msg_bytes))
			break;
		*bytes += more;
	}
	return n;
}

static void
send_one(struct raft *r, struct peer *p, struct raft_effects *fx)
{
	uint64_t bytes;
	uint32_t n = choose(r, p, &bytes);
	struct raft_msg *m = append_msg(r, p, fx);

	if (!m)
		return;
	m->n = n;
	if (p->state == PEER_PROBE) {
		p->probing = 1;
		return;
	}
	p->next += n;
	p->sent_bytes += bytes;
}

void
send_entries(struct raft *r, struct peer *p, struct raft_effects *fx)
{
	while (!r->failed && p->id != r->config.self) {
		if (p->state == PEER_NEW || p->state == PEER_FILL ||
		    (p->state == PEER_PROBE && p->probing))
			return;
		if (p->next <= r->log.base) {
			begin_fill(r, p, fx);
			return;
		}
		if (p->next > r->log.last && p->state == PEER_STREAM)
			return;
		if (window_is_full(r, p))
			return;
		send_one(r, p, fx);
	}
}

/* Without entries, so that it goes out whatever the window says. */
static void
send_heartbeat(struct raft *r, struct peer *p, struct raft_effects *fx)
{
	uint64_t next = p->next;

	if (p->id == r->config.self || p->state == PEER_NEW)
		return;
	if (p->next <= r->log.base)
		p->next = r->log.base + 1;
	append_msg(r, p, fx);
	p->next = next;
}

/* The same moments for all groups of a node, so that their heartbeats share
 * frames. */
static uint64_t
next_beat(const struct raft *r)
{
	uint64_t every = r->config.heartbeat_us;

	/* A tick that comes a little early is the one. */
	return (r->now_us / every + 1) * every - every / 4;
}

void
send_heartbeats(struct raft *r, struct raft_effects *fx)
{
	for (uint32_t i = 0; i < r->n_peers; i++)
		send_heartbeat(r, &r->peers[i], fx);
	r->beat_at_us = next_beat(r);
}

/* --- committing ----------------------------------------------------------- */

static uint64_t
match_of(const struct raft *r, const struct peer *p)
{
	if (p->id != r->config.self)
		return p->uncounted ? 0 : p->match;
	return MUTANT(r, LEADER_COUNTS_UNSYNCED) ? r->log.last : r->stable;
}

/* The highest index that a majority of the voters has. */
static uint64_t
majority_match(const struct raft *r)
{
	uint64_t sorted[RAFT_MEMBERS_MAX];
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->n_peers; i++) {
		uint64_t match = match_of(r, &r->peers[i]);
		uint32_t at = n;

		if (!r->peers[i].voter && !MUTANT(r, LEARNER_COUNTED))
			continue;
		for (; at > 0 && sorted[at - 1] < match; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = match;
		n++;
	}
	if (n < members_majority(r))
		return 0;
	return sorted[members_majority(r) - 1];
}

void
leader_commit(struct raft *r, struct raft_effects *fx)
{
	uint64_t to;

	if (r->role != RAFT_LEADER)
		return;
	to = majority_match(r);
	if (to > r->log.last || to <= r->commit ||
	    (log_term(r, to) != r->term && !MUTANT(r, COMMIT_OLD_TERMS)))
		return;
	r->commit = to;
	create_learners(r, fx);
	reads_begin(r, fx);
	members_committed(r, fx);
	apply(r, fx);
}

/* --- being leader --------------------------------------------------------- */

void
leader_append(struct raft *r, const struct raft_entry *e, uint32_t n,
    struct raft_effects *fx)
{
	uint64_t first = r->log.last + 1;
	uint32_t i = 0;

	for (; i < n; i++) {
		struct raft_entry copy = e[i];

		copy.term = r->term;
		copy.position = 0;
		if (log_append(r, &copy))
			break;
	}
	if (i < n || members_refresh(r)) {
		for (; i < n; i++)
			log_drop(r, &e[i]);
		fail(r, fx, "out of memory");
		return;
	}
	persist_entries(r, fx, first, r->log.last);
	for (i = 0; i < r->n_peers; i++)
		send_entries(r, &r->peers[i], fx);
}

void
become_leader(struct raft *r, struct raft_effects *fx)
{
	static const struct raft_entry noop = {.kind = RAFT_NOOP};

	r->role = RAFT_LEADER;
	r->leader = r->config.self;
	r->transfer_to = 0;
	r->answer_to = 0;
	r->round++;
	r->n_reads = 0;
	r->quorum_at_us = r->now_us + r->config.election_us;
	if (peers_refresh(r)) {
		fail(r, fx, "out of memory");
		return;
	}
	emit_role(r, fx);
	r->term_first = r->log.last + 1;
	r->beat_at_us = next_beat(r);
	leader_append(r, &noop, 1, fx);
	leader_commit(r, fx);
}

/* [thesis] 6.2: a leader that no majority hears steps down. */
static void
check_quorum(struct raft *r, struct raft_effects *fx)
{
	uint32_t n = 0;

	if (r->now_us < r->quorum_at_us)
		return;
	r->quorum_at_us = r->now_us + r->config.election_us;
	for (uint32_t i = 0; i < r->n_peers; i++) {
		const struct peer *p = &r->peers[i];

		if (p->voter &&
		    (p->id == r->config.self ||
			r->now_us - p->heard_us < r->config.election_us))
			n++;
	}
	if (n < members_majority(r))
		become_follower(r, r->term, 0, fx);
}

void
leader_tick(struct raft *r, struct raft_effects *fx)
{
	check_quorum(r, fx);
	if (r->role != RAFT_LEADER)
		return;
	transfer_tick(r, fx);
	if (r->now_us < r->beat_at_us)
		return;
	ask_for_fills(r, fx);
	send_heartbeats(r, fx);
}

int
raft_propose(struct raft *r, const struct raft_entry *e, uint32_t n,
    uint64_t *first, struct raft_effects *fx)
{
	ASSERT(n > 0);
	if (r->failed || r->role != RAFT_LEADER || r->transfer_to)
		return -ERR_NOTLEADER;
	*first = r->log.last + 1;
	leader_append(r, e, n, fx);
	leader_commit(r, fx);
	return 0; /* with a group that failed it is a matter of the effects */
}

/* --- answers -------------------------------------------------------------- */

void
back_to_probe(struct peer *p, uint64_t next)
{
	p->state = PEER_PROBE;
	p->probing = 0;
	p->next = next > p->match ? next : p->match + 1;
	p->sent_bytes = 0;
}

/* [paper] 5.3, end: skip whole terms that cannot agree. */
static void
on_reject(struct raft *r, struct peer *p, const struct raft_msg *m,
    struct raft_effects *fx)
{
	uint64_t agree = log_find_term(r, m->index, m->log_term);
	/* The base may be of a later term: then the logs part behind it. */
	uint64_t next =
	    log_term(r, agree) <= m->log_term ? agree + 1 : r->log.base;

	if (MUTANT(r, REJECTS_COUNT_AS_ACKS) && m->index > p->match &&
	    m->index <= r->log.last)
		p->match = m->index;
	if (m->index < r->log.base)
		next = m->index + 1; /* behind the log: to be filled */
	if (p->state == PEER_FILL || m->index < p->match ||
	    MUTANT(r, REJECTS_IGNORED))
		return; /* late */
	back_to_probe(p, next);
	send_entries(r, p, fx);
}

static void
on_progress(struct raft *r, struct peer *p, uint64_t match)
{
	for (uint64_t i = p->match + 1; i <= match && i < p->next; i++)
		if (i > r->log.base && p->state == PEER_STREAM)
			p->sent_bytes -= log_at(r, i)->bytes;
	if (match > p->match)
		p->match = match;
	if (p->next <= p->match)
		p->next = p->match + 1;
	if (p->state == PEER_PROBE ||
	    (p->state == PEER_FILL && p->match >= r->log.base)) {
		p->state = PEER_STREAM;
		p->probing = 0;
		p->next = p->match + 1;
		p->sent_bytes = 0;
	}
}

/* A damaged replica has lost what it had: it is sent everything again, and
 * counts for nothing until it is whole.  0: it was sent before that, and may
 * come as late as it likes. */
static int
on_uncounted(struct raft *r, struct peer *p, const struct raft_msg *m)
{
	if (!m->uncounted) {
		if (m->round < p->heal_round && !MUTANT(r, OLD_ACKS_OF_DAMAGED))
			return 0;
		p->uncounted = 0;
		return 1;
	}
	if (p->uncounted != m->uncounted) {
		p->match = 0;
		p->heal_round = ++r->round;
		if (p->state != PEER_FILL)
			back_to_probe(p, m->index + 1);
	}
	p->uncounted = m->uncounted;
	return 1;
}

void
on_append_answer(
    struct raft *r, const struct raft_msg *m, struct raft_effects *fx)
{
	struct peer *p = find_peer(r, m->from);

	if (r->role != RAFT_LEADER || !p ||
	    (m->term != r->term && !MUTANT(r, OLD_ACKS_COUNT)))
		return;
	p->heard_us = r->now_us;
	p->answered = 1;
	if (!on_uncounted(r, p, m))
		return;
	if (m->reject) {
		on_reject(r, p, m, fx);
		return;
	}
	if (m->round > p->round && m->round <= r->round &&
	    (!m->uncounted || MUTANT(r, DAMAGED_CONFIRMS)))
		p->round = m->round;
	if (m->index > r->log.last) {
		fail(r, fx, "a follower has more than its leader");
		return;
	}
	on_progress(r, p, m->index);
	leader_commit(r, fx);
	reads_confirm(r, fx);
	transfer_try(r, fx);
	if (r->role == RAFT_LEADER)
		send_entries(r, p, fx);
}
