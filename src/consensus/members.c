/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * members - who belongs to the group, one change at a time ([thesis] 4.1, with
 * the correction of 2015: none before the leader's term has committed
 * something), and the hand-over of leadership ([thesis] 3.10).
 */
#include "src/consensus/raft_impl.h"

#define CAUGHT_UP 64 /* entries behind that a promotion may find */

uint32_t
members_majority(const struct raft *r)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->members.n; i++)
		n += r->members.at[i].voter || MUTANT(r, LEARNER_COUNTED);
	if (MUTANT(r, HALF_IS_A_MAJORITY))
		return (n + 1) / 2;
	return n / 2 + 1;
}

static const struct raft_member *
find(const struct raft_members *m, raft_id id)
{
	for (uint32_t i = 0; i < m->n; i++)
		if (m->at[i].id == id)
			return &m->at[i];
	return NULL;
}

int
members_has_voter(const struct raft_members *m, raft_id id)
{
	const struct raft_member *member = find(m, id);

	return member && member->voter;
}

/* The newest entry with members up to INDEX; base: none above it. */
static uint64_t
find_members(const struct raft *r, uint64_t index)
{
	while (index > r->log.base && log_at(r, index)->kind != RAFT_MEMBERS)
		index--;
	return index;
}

const struct raft_members *
raft_members_at(const struct raft *r, uint64_t index)
{
	uint64_t i = find_members(r, index);

	return i > r->log.base ? log_at(r, i)->members : &r->log.base_members;
}

void
members_refresh(struct raft *r)
{
	const struct raft_member *self;
	uint64_t i;

	if (!r->members_stale)
		return;
	i = find_members(r, r->log.last);
	r->members_stale = 0;
	if (MUTANT(r, MEMBERS_NOT_REVERTED) && i < r->members_index)
		return;
	r->members_index = i;
	r->members =
	    i > r->log.base ? *log_at(r, i)->members : r->log.base_members;
	self = find(&r->members, r->config.self);
	r->member = self != NULL;
	r->voter = self && self->voter;
	if (r->role == RAFT_LEADER)
		peers_refresh(r);
}

/* --- a leader's peers ----------------------------------------------------- */

struct peer *
find_peer(struct raft *r, raft_id id)
{
	for (uint32_t i = 0; i < r->n_peers; i++)
		if (r->peers[i].id == id)
			return &r->peers[i];
	return NULL;
}

void
peers_refresh(struct raft *r)
{
	struct peer old[RAFT_MEMBERS_MAX];
	uint32_t n_old = r->n_peers;

	memcpy(old, r->peers, n_old * sizeof(*old));
	r->n_peers = 0;
	for (uint32_t i = 0; i < r->members.n; i++) {
		struct peer *p = &r->peers[r->n_peers++];

		*p = (struct peer){.id = r->members.at[i].id,
		    .next = r->log.last + 1,
		    .heard_us = r->now_us};
		for (uint32_t k = 0; k < n_old; k++)
			if (old[k].id == p->id)
				*p = old[k];
		p->voter = r->members.at[i].voter;
	}
}

/* --- changes -------------------------------------------------------------- */

static int
may_change(const struct raft *r)
{
	if (r->members_index > r->commit && !MUTANT(r, TWO_CHANGES_AT_ONCE))
		return 0;
	return log_term(r, r->commit) == r->term ||
	       MUTANT(r, CHANGE_BEFORE_COMMIT_OF_TERM);
}

static int
has_caught_up(struct raft *r, raft_id id)
{
	const struct peer *p = find_peer(r, id);

	if (MUTANT(r, PROMOTED_AT_ONCE))
		return 1;
	return p && p->state == PEER_STREAM && !p->uncounted &&
	       p->match + CAUGHT_UP > r->log.last && p->match >= r->term_first;
}

/* 0, -ERR_BUSY, -ERR_INVAL. */
static int
alter(
    struct raft *r, enum raft_change change, raft_id id, struct raft_members *m)
{
	struct raft_member *member =
	    (struct raft_member *)(uintptr_t)find(m, id);

	switch (change) {
	case RAFT_ADD_LEARNER:
		if (member || m->n == RAFT_MEMBERS_MAX || id == 0)
			return -ERR_INVAL;
		m->at[m->n++] = (struct raft_member){id, 0};
		return 0;
	case RAFT_PROMOTE:
		if (!member || member->voter)
			return -ERR_INVAL;
		if (!has_caught_up(r, id))
			return -ERR_BUSY;
		member->voter = 1;
		return 0;
	case RAFT_REMOVE:
		if (!member || (member->voter && members_majority(r) == 1 &&
				   id == r->config.self))
			return -ERR_INVAL;
		*member = m->at[--m->n];
		return 0;
	}
	return -ERR_INVAL;
}

int
raft_change(struct raft *r, enum raft_change change, raft_id id,
    struct raft_effects *fx)
{
	struct raft_members m = r->members;
	struct raft_entry e = {.kind = RAFT_MEMBERS, .members = &m};
	int bad;

	if (r->failed || r->role != RAFT_LEADER || r->transfer_to)
		return -ERR_NOTLEADER;
	if (!may_change(r))
		return -ERR_BUSY;
	bad = alter(r, change, id, &m);
	if (bad)
		return bad;
	leader_append(r, &e, 1, fx);
	leader_commit(r, fx);
	return 0;
}

/* [thesis] 4.2.2: a leader that is removed leads until that is committed. */
void
members_committed(struct raft *r, struct raft_effects *fx)
{
	if (r->role != RAFT_LEADER || r->voter ||
	    r->members_index > r->commit || MUTANT(r, REMOVED_LEADER_STAYS))
		return;
	apply(r, fx);
	send_heartbeats(r, fx); /* so that others hear of the commit */
	become_follower(r, r->term, 0, fx);
}

/* --- hand-over ------------------------------------------------------------ */

int
raft_transfer(struct raft *r, raft_id to, struct raft_effects *fx)
{
	if (r->failed || r->role != RAFT_LEADER || r->transfer_to)
		return -ERR_NOTLEADER;
	if (to == r->config.self || !members_has_voter(&r->members, to))
		return -ERR_INVAL;
	r->transfer_to = to;
	r->transfer_until_us = r->now_us + r->config.election_us;
	transfer_try(r, fx);
	return 0;
}

void
transfer_try(struct raft *r, struct raft_effects *fx)
{
	const struct peer *p;

	if (r->role != RAFT_LEADER || !r->transfer_to)
		return;
	p = find_peer(r, r->transfer_to);
	if (p && p->match == r->log.last && !p->uncounted)
		new_msg(r, fx, RAFT_TIMEOUT_NOW, p->id);
}

void
transfer_tick(struct raft *r, struct raft_effects *fx)
{
	if (!r->transfer_to)
		return;
	if (r->now_us >= r->transfer_until_us)
		r->transfer_to = 0; /* it does not want: go on */
	else
		transfer_try(r, fx);
}
