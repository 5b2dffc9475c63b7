/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * follower - entries from a leader ([paper] figure 2, AppendEntries).
 *
 * An append is answered when what it rests on is durable: the entries, and the
 * term in which they came.  One answer may stand for many appends: it says how
 * far this log is durable and equal to the leader's.
 */
#include "src/consensus/raft_impl.h"

static uint64_t
uncounted(const struct raft *r)
{
	return r->damaged && !MUTANT(r, DAMAGED_ACKS) ? r->run : 0;
}

static void
reject(struct raft *r, const struct raft_msg *m, struct raft_effects *fx)
{
	struct raft_msg *a = new_msg(r, fx, RAFT_APPEND_ANSWER, m->from);
	uint64_t hint = log_find_term(r, m->index, m->log_term);

	if (!a)
		return;
	a->reject = 1;
	a->uncounted = uncounted(r);
	a->index = hint;
	a->log_term = log_term(r, hint);
	a->round = m->round;
}

void
send_ack(struct raft *r, struct raft_effects *fx)
{
	uint64_t index = r->verified < r->stable ? r->verified : r->stable;
	struct raft_msg *a;

	if (MUTANT(r, ACK_BEFORE_SYNC))
		index = r->verified;
	if (!r->leader)
		return;
	if (!hard_is_durable(r)) {
		r->ack_waits = 1;
		return;
	}
	a = new_msg(r, fx, RAFT_APPEND_ANSWER, r->leader);
	if (!a)
		return;
	a->index = index;
	a->round = r->ack_round;
	a->uncounted = uncounted(r);
	r->ack_waits = index < r->verified;
}

/*
 * A damaged replica is whole again when it has what its leader had committed,
 * and that includes something of the leader's own term (cluster.md 6.3).
 *
 * It may have lost a vote as well, so this is a leader that all other voters
 * have confirmed since it told of the damage: none of them can win an election,
 * in this term or in another, with a vote that was given before.  In this term
 * it keeps to this leader.  `heal` says both of the leader, to this run of the
 * replica: between two damages it may have voted.
 */
static void
try_heal(struct raft *r, const struct raft_msg *m, struct raft_effects *fx)
{
	uint64_t have = r->verified < r->stable ? r->verified : r->stable;

	if (!r->damaged || m->heal != r->run ||
	    (m->commit > have && !MUTANT(r, HEALED_TOO_EARLY)))
		return;
	if (r->vote == 0) {
		r->vote = m->from;
		persist_hard(r, fx);
	}
	if (!hard_is_durable(r))
		return; /* the next message will do */
	r->damaged = 0;
	emit(r, fx, RAFT_HEALED);
}

/* What of M is not in the log yet; truncates where it contradicts.  The number
 * of entries taken, from which on they are new; -1: failed. */
static int64_t
skip_known(struct raft *r, const struct raft_msg *m, struct raft_effects *fx)
{
	uint32_t i = 0;

	for (; i < m->n; i++) {
		uint64_t at = m->index + 1 + i;

		if (at <= r->log.base)
			continue;
		if (at > r->log.last)
			break;
		if (log_term(r, at) == m->entries[i].term &&
		    !(MUTANT(r, DUPLICATE_TRUNCATES) && i == 0 &&
			at > r->commit))
			continue;
		if (MUTANT(r, NO_TRUNCATION))
			continue;
		if (at <= r->commit) {
			fail(r, fx, "a leader contradicts what is committed");
			return -1;
		}
		log_truncate(r, at);
		if (r->stable > at - 1 && !MUTANT(r, DURABLE_NOT_LOWERED))
			r->stable = at - 1;
		for (uint32_t k = 0; k < r->n_ops; k++)
			if (r->ops[k].last > at - 1 &&
			    !MUTANT(r, DURABLE_NOT_LOWERED))
				r->ops[k].last = at - 1;
		break;
	}
	return i;
}

static void
drop_entries(
    struct raft *r, const struct raft_msg *m, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++)
		log_drop(r, &m->entries[i]);
}

static void
take(struct raft *r, const struct raft_msg *m, struct raft_effects *fx)
{
	int64_t known = skip_known(r, m, fx);
	uint64_t first = r->log.last + 1;
	uint32_t i = known < 0 ? 0 : (uint32_t)known;

	drop_entries(r, m, 0, i);
	if (known < 0) {
		drop_entries(r, m, 0, m->n);
		return;
	}
	for (; i < m->n; i++) {
		struct raft_entry e = m->entries[i];

		e.position = 0; /* here, not where it comes from */
		if (log_append(r, &e))
			break;
	}
	members_refresh(r); /* also when it ends here: some are gone */
	if (i < m->n) {
		drop_entries(r, m, i, m->n);
		fail(r, fx, "out of memory");
		return;
	}
	if (r->log.last >= first)
		persist_entries(r, fx, first, r->log.last);
}

static void
follow_commit(struct raft *r, const struct raft_msg *m, struct raft_effects *fx)
{
	uint64_t bound =
	    MUTANT(r, COMMIT_UNVERIFIED) ? r->log.last : m->index + m->n;
	uint64_t commit = m->commit < bound ? m->commit : bound;

	if (commit > r->commit && commit <= r->log.last) {
		r->commit = commit;
		members_committed(r, fx);
	}
	apply(r, fx);
}

/* M's term is ours, and its sender the leader. */
static void
append(struct raft *r, const struct raft_msg *m, struct raft_effects *fx)
{
	if (m->index > r->log.last ||
	    (m->index >= r->log.base && log_term(r, m->index) != m->log_term &&
		!MUTANT(r, NO_PREVIOUS_CHECK)) ||
	    m->index + m->n < r->log.base) {
		drop_entries(r, m, 0, m->n);
		if (m->index < r->log.base) {
			send_ack(r, fx);
		} else {
			reject(r, m, fx);
		}
		return;
	}
	take(r, m, fx);
	if (r->failed)
		return;
	if (m->index + m->n > r->verified)
		r->verified = m->index + m->n;
	follow_commit(r, m, fx);
	try_heal(r, m, fx);
	send_ack(r, fx);
}

/* A leader of an older term learns that there is a newer one; a late message of
 * today's leader does no harm. */
static void
tell_term(struct raft *r, raft_id to, struct raft_effects *fx)
{
	struct raft_msg *a = new_msg(r, fx, RAFT_VOTE_ANSWER, to);

	if (a)
		a->reject = 1;
}

void
on_append(struct raft *r, const struct raft_msg *m, struct raft_effects *fx)
{
	if (m->term < r->term && !MUTANT(r, OLD_LEADER_OBEYED)) {
		drop_entries(r, m, 0, m->n);
		tell_term(r, m->from, fx);
		return;
	}
	if (r->role == RAFT_LEADER) {
		drop_entries(r, m, 0, m->n);
		if (m->term == r->term)
			fail(r, fx, "two leaders in a term");
		return;
	}
	if (r->role != RAFT_FOLLOWER || r->leader != m->from) {
		become_follower(r, r->term, m->from, fx);
		r->verified = r->commit;
	}
	r->heard_us = r->now_us;
	r->ack_round = m->round;
	restart_election_timer(r);
	append(r, m, fx);
}
