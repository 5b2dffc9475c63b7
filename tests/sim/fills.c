/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* fills - data that go from one machine to another beside the log. */
#include <string.h>

#include "tests/sim/sim.h"

static uint64_t
duration(struct sim *s)
{
	if (s->o.hostile && !s->quiet && sim_chance(s, 50))
		return sim_below(s, 3000000); /* until it is of another life */
	return sim_below(s, sim_chance(s, 500) ? 3000 : s->straggling_us / 4);
}

void
fill_begin(struct sim *s, struct sim_node *leader, raft_id peer)
{
	const struct raft_member *m = raft_member(leader->raft, peer);
	struct sim_node *to = m ? node_named(s, m->node) : NULL;
	uint64_t index = leader->applied;
	struct sim_event *ev;

	sim_trace(s, "n%d fills n%d up to %d", (int)leader->id, (int)peer,
	    (int)index);
	if (!m)
		return;
	check_fill(s, leader, peer);
	ev = sim_schedule(
	    s, EV_FILL, to ? sim_slot(s, to) : 0, 500 + duration(s));
	memcpy(ev->name, m->node, sizeof(ev->name));
	ev->msg.to = peer;
	ev->from_slot = sim_slot(s, leader);
	ev->from_life = leader->life;
	ev->fill = (struct raft_fill){
	    .leader_term = raft_term(leader->raft),
	    .index = index,
	    .term = raft_term_at(leader->raft, index),
	    .members = *members_keep(s, raft_members_at(leader->raft, index)),
	};
}

/* The first fill makes the replica.  One of an older life is in its way no
 * more: it was removed, or it would not have been added again. */
static int
has_replica(struct sim *s, struct sim_node *n, raft_id id)
{
	if (n->id == id)
		return n->up;
	if (id <= n->newest && !HAS_MUTANT(s, OLD_GENERATION_ACCEPTED))
		return 0;
	node_remove(s, n);
	node_create(s, n, id);
	node_start(s, n);
	return n->up;
}

/* Whether it is wanted is asked when it begins; since then the replica may have
 * become leader. */
static int
is_wanted(struct sim *s, const struct sim_node *n, const struct raft_fill *fill)
{
	if (raft_wants_fill(n->raft, fill))
		return 1;
	return raft_role(n->raft) == RAFT_LEADER &&
	       fill->index > raft_commit(n->raft) && sim_chance(s, 500);
}

static void
adopt(struct sim *s, struct sim_node *n, const struct raft_fill *fill)
{
	struct raft_effects fx = {0};

	if (is_wanted(s, n, fill)) {
		disk_adopt(s, n, fill);
		n->applied = fill->index;
		s->n_fills++;
	} else if (fill->index > raft_commit(n->raft)) {
		return;
	}
	raft_filled(sim_core(s, n), fill, &fx);
	sim_done(s, n, &fx);
}

void
fill_arrives(struct sim *s, struct sim_event *ev)
{
	struct sim_node *to = &s->nodes[ev->slot];
	struct sim_node *from = &s->nodes[ev->from_slot];
	struct raft_effects fx = {0};

	if (memcmp(to->name, ev->name, sizeof(ev->name)) == 0 &&
	    (s->quiet || !sim_chance(s, 200)) && has_replica(s, to, ev->msg.to))
		adopt(s, to, &ev->fill);
	if (!from->up || from->life != ev->from_life)
		return;
	raft_fill_ended(sim_core(s, from), ev->msg.to, &fx);
	sim_done(s, from, &fx);
}

void
fill_unknown(struct sim *s, struct sim_event *ev)
{
	struct sim_node *n = &s->nodes[ev->slot];
	struct raft_effects fx = {0};

	raft_fill_needed(sim_core(s, n), ev->msg.from, &fx);
	sim_done(s, n, &fx);
}
