/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * placement - the rules.
 *
 * A voter that should be a learner is removed like one that is not wanted, and
 * added again: a replica's vote is never taken from it while it lives.
 */
#include "vnode/placement.h"

#include <string.h>

#include "vnode/mutants.h"

static const struct placement_replica *
wanted(const struct placement *p, const uint8_t node[16])
{
	for (uint32_t i = 0; i < p->n; i++)
		if (memcmp(p->at[i].node, node, 16) == 0)
			return &p->at[i];
	return NULL;
}

static const struct raft_member *
on_node(const struct raft_members *m, const uint8_t node[16])
{
	for (uint32_t i = 0; i < m->n; i++)
		if (memcmp(m->at[i].node, node, 16) == 0)
			return &m->at[i];
	return NULL;
}

/* M is where and what it should be. */
static int
is_wanted(const struct placement *p, const struct raft_member *m)
{
	const struct placement_replica *w = wanted(p, m->node);

	return w && (w->voter || !m->voter);
}

static int
add(const struct placement *p, const struct raft_members *m,
    struct placement_step *out)
{
	for (uint32_t i = 0; i < p->n; i++) {
		if (on_node(m, p->at[i].node))
			continue;
		out->move = PLACEMENT_ADD;
		memcpy(out->node, p->at[i].node, 16);
		return 1;
	}
	return 0;
}

/* Votes for those that lack them, once all of them have caught up. */
static int
promote(const struct placement *p, const struct raft *r,
    const struct raft_members *m, struct placement_step *out)
{
	raft_id first = 0;

	for (uint32_t i = 0; i < p->n; i++) {
		const struct raft_member *at = on_node(m, p->at[i].node);

		if (!p->at[i].voter || at->voter)
			continue;
		if (!raft_caught_up(r, at->id)) {
			out->move = PLACEMENT_WAIT;
			return 1;
		}
		if (!first)
			first = at->id;
	}
	out->move = PLACEMENT_PROMOTE;
	out->id = first;
	return first != 0;
}

static int
remove_one(const struct placement *p, const struct raft_members *m,
    raft_id self, struct placement_step *out)
{
	for (uint32_t i = 0; i < m->n; i++) {
		if (m->at[i].id == self || is_wanted(p, &m->at[i]))
			continue;
		out->move = PLACEMENT_REMOVE;
		out->id = m->at[i].id;
		return 1;
	}
	return 0;
}

/* Who should lead instead of SELF, if there is one that can. */
static raft_id
heir(const struct placement *p, const struct raft *r,
    const struct raft_members *m, raft_id self)
{
	const struct raft_member *me = raft_member(r, self);
	const struct raft_member *best = on_node(m, p->preferred);

	if (best && best->id == self)
		return 0;
	if (best && best->voter && raft_caught_up(r, best->id))
		return best->id;
	for (uint32_t i = 0; me && !is_wanted(p, me) && i < m->n; i++)
		if (m->at[i].id != self && m->at[i].voter &&
		    raft_caught_up(r, m->at[i].id))
			return m->at[i].id;
	return 0;
}

struct placement_step
placement_next(const struct placement *p, const struct raft *r, raft_id self)
{
	struct placement_step out = {.move = PLACEMENT_WAIT};
	const struct raft_members *m = raft_members(r);
	const struct raft_member *me = raft_member(r, self);
	int stays = me && is_wanted(p, me);

	if (!raft_members_settled(r) || !raft_ready(r))
		return out;
	/* One that should only listen is on a wanted node: it goes before it
	 * can be added there. */
	if (VNODE_MUTANT(REMOVED_BEFORE_PROMOTED) &&
	    remove_one(p, m, self, &out))
		return out;
	if (add(p, m, &out) || promote(p, r, m, &out) ||
	    remove_one(p, m, self, &out))
		return out;
	out.id = heir(p, r, m, self);
	out.placed = stays;
	if (out.id)
		out.move = PLACEMENT_TRANSFER;
	else
		out.move = stays ? PLACEMENT_REST : PLACEMENT_WAIT;
	return out;
}
