/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fills - replicas that get their data as files: those that are behind the log,
 * and those that are to be created ([paper] section 7; cluster.md 7.2).
 */
#include "src/consensus/raft_impl.h"

/* --- at the leader -------------------------------------------------------- */

void
begin_fill(struct raft *r, struct peer *p, struct raft_effects *fx)
{
	struct raft_effect *e = emit(r, fx, RAFT_FILL);

	if (!e)
		return;
	e->peer = p->id;
	p->state = PEER_FILL;
}

/* One that an earlier leader added may be there already. */
void
create_learners(struct raft *r, struct raft_effects *fx)
{
	for (uint32_t i = 0; i < r->n_peers; i++) {
		struct peer *p = &r->peers[i];

		if (p->state != PEER_NEW ||
		    (p->id > r->commit && !MUTANT(r, CREATED_BEFORE_COMMIT)))
			continue;
		p->heard_us = r->now_us;
		p->state = PEER_PROBE;
		if (p->id >= r->term_first)
			begin_fill(r, p, fx);
		else
			send_entries(r, p, fx);
	}
}

void
ask_for_fills(struct raft *r, struct raft_effects *fx)
{
	for (uint32_t i = 0; i < r->n_peers; i++) {
		struct peer *p = &r->peers[i];

		if (!p->voter && !p->answered && p->state == PEER_PROBE &&
		    r->now_us - p->heard_us >= r->config.election_us)
			begin_fill(r, p, fx);
	}
}

void
raft_fill_ended(struct raft *r, raft_id peer, struct raft_effects *fx)
{
	struct peer *p = find_peer(r, peer);

	if (r->failed || r->role != RAFT_LEADER || !p || p->state != PEER_FILL)
		return;
	p->heard_us = r->now_us;
	back_to_probe(p, r->log.last + 1);
	send_entries(r, p, fx);
}

int
raft_fill_needed(struct raft *r, raft_id peer, struct raft_effects *fx)
{
	struct peer *p = find_peer(r, peer);

	if (r->failed || r->role != RAFT_LEADER)
		return -ERR_NOTLEADER;
	if (!p || p->id == r->config.self ||
	    (p->voter && p->state != PEER_FILL && !p->uncounted))
		return -ERR_INVAL;
	if (p->state == PEER_NEW)
		return -ERR_BUSY;
	if (p->state == PEER_FILL)
		return 0;
	if (!p->voter) {
		p->match = 0;
		p->answered = 0;
	}
	begin_fill(r, p, fx);
	return 0;
}

/* --- at the replica ------------------------------------------------------- */

int
raft_wants_fill(const struct raft *r, const struct raft_fill *fill)
{
	return !r->failed && r->role != RAFT_LEADER && fill->index > r->commit;
}

/* [paper] figure 13: what follows an equal entry stays; it may have been
 * acknowledged.  Unless that entry is not durable: then nothing behind it is, and
 * what the disk has there may be something else. */
int
raft_keeps_tail(const struct raft *r, const struct raft_fill *fill)
{
	return log_term(r, fill->index) == fill->term &&
	       (r->stable >= fill->index ||
		   MUTANT(r, FILL_KEEPS_UNSYNCED_TAIL)) &&
	       !MUTANT(r, FILL_DROPS_TAIL);
}

static int
adopt(struct raft *r, const struct raft_fill *fill)
{
	const struct raft_members *copy;

	if (raft_keeps_tail(r, fill)) {
		r->commit = r->applied = fill->index;
		log_compact(r, fill->index);
		return 0;
	}
	copy = members_copy(
	    MUTANT(r, FILL_FORGETS_MEMBERS) ? r->members : &fill->members);
	if (!copy)
		return -ERR_NOMEM;
	log_reset(r, fill->index, fill->term, copy);
	for (uint32_t i = 0; i < r->n_ops; i++)
		r->ops[i].last = 0;
	r->commit = r->applied = r->stable = r->verified = fill->index;
	return 0;
}

void
raft_filled(
    struct raft *r, const struct raft_fill *fill, struct raft_effects *fx)
{
	if (r->failed ||
	    (fill->index <= r->commit && !MUTANT(r, FILL_GOES_BACK)))
		return;
	if (MUTANT(r, FILL_KEEPS_OLD_LOG) && fill->index < r->log.last) {
		r->commit = r->applied = fill->index;
		return;
	}
	/* A leader of an older term must not be told of it. */
	if (fill->leader_term > r->term && !MUTANT(r, FILL_KEEPS_TERM))
		become_follower(r, fill->leader_term, 0, fx);
	if (r->role != RAFT_FOLLOWER) /* votes were for another log */
		become_follower(r, r->term, 0, fx);
	if (adopt(r, fill) || members_refresh(r)) {
		fail(r, fx, "out of memory");
		return;
	}
	if (r->verified < fill->index)
		r->verified = fill->index;
	send_ack(r, fx);
}
