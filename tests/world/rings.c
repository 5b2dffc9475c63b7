/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * rings - the operator of a cluster: who joins, leaves, is lost.
 *
 * Nodes that are alone are joined, what is staged is planned and committed, and
 * now and then somebody is to leave, is removed by force, or loses its disk.
 * What a majority of a group's disks does not survive is not done: while a copy
 * is lost for good, nothing else goes.
 */
#include "ring/plan.h"
#include "tests/world/rings.h"

#define LOOK_US 400000

static int
is_nobody(const uint8_t id[16])
{
	static const uint8_t zeros[16];

	return memcmp(id, zeros, 16) == 0;
}

/* --- what there is to do ------------------------------------------------------
 */

static struct node *
some_member(struct world *w)
{
	uint64_t at = world_below(w, w->n_nodes);

	for (uint32_t i = 0; i < w->n_nodes; i++) {
		struct node *n = &w->nodes[(at + i) % w->n_nodes];

		if (n->state == NODE_UP && process_serves(n))
			return n;
	}
	return NULL;
}

/* With an empty disk. */
static void
begin_again(struct node *n)
{
	node_kill(n);
	node_replace_disk(n);
	node_restart_in(n, 1000);
}

/* All others have left its cluster before they could tell it that it is not to
 * be there. */
static int
is_left_alone(const struct node *n)
{
	const struct world *w = n->world;

	for (uint32_t i = 0; i < w->n_nodes; i++)
		if (i != n->slot && memcmp(w->nodes[i].identity.cluster_id,
					n->identity.cluster_id, 16) == 0)
			return 0;
	return 1;
}

/* Those that are alone; or with others, by an operator's mistake. */
static void
join_some(struct world *w, struct node *contact)
{
	for (uint32_t i = 0; i < w->n_nodes; i++) {
		struct node *n = &w->nodes[i];

		if (n->state != NODE_UP || n->move || n->stopped || !n->core ||
		    memcmp(n->identity.cluster_id, w->cluster, 16) == 0 ||
		    rings_are_busy(w->rings, n))
			continue;
		if (!w->rings->calm && !world_one_in(w, 3))
			continue;
		if (cluster_ring(core_cluster(n->core))->n_members == 1)
			rings_ask_to_join(n, contact);
		else if (is_left_alone(n))
			begin_again(n);
		else
			rings_ask(n, RING_OP_CLEAR, NULL);
	}
}

/* Who was removed by force is used again with an empty disk. */
static void
reset_removed(struct world *w)
{
	for (uint32_t i = 0; i < w->n_nodes; i++) {
		struct node *n = &w->nodes[i];

		if (n->state != NODE_UP || !n->removed ||
		    (!w->rings->calm && !world_one_in(w, 4)))
			continue;
		/* The one that was asked to remove itself knows it first. */
		if (ring_find(w->rings->newest, n->id) != RING_NOBODY)
			continue;
		begin_again(n);
	}
}

/* Nothing on its disk counts less than it should: a replica that ran out of
 * memory may have given up its log, as long as the others had it. */
static int
copies_are_sound(struct world *w)
{
	for (uint32_t i = 0; i < w->n_nodes; i++) {
		const struct node *n = &w->nodes[i];

		if (n->state != NODE_UP || n->starved)
			return 0;
		for (uint32_t g = 0; process_serves(n) && g < w->n_logs; g++) {
			struct store_group sg;

			store_group(n->store, g, &sg);
			if (sg.damaged)
				return 0;
		}
	}
	return 1;
}

/* As far as anybody can know nothing is under way, and all copies are there. */
static int
is_at_rest(struct world *w)
{
	const struct rings *rs = w->rings;
	const struct ring *r = rs->newest;

	if (w->now_us < rs->doubt_us || rings_are_busy(rs, NULL) ||
	    r->n_staged || ring_pending(r))
		return 0;
	for (uint16_t i = 0; i < r->n_members; i++)
		if (r->members[i].state != RING_VALID)
			return 0;
	return rings_are_placed(w) &&
	       (is_nobody(rs->lost) || ring_find(r, rs->lost) == RING_NOBODY);
}

static struct node *
node_of_member(struct world *w, uint16_t member)
{
	for (uint32_t i = 0; i < w->n_nodes; i++)
		if (memcmp(w->nodes[i].id, w->rings->newest->members[member].id,
			16) == 0)
			return &w->nodes[i];
	return NULL;
}

void
rings_lose_disk(struct node *n)
{
	memcpy(n->world->rings->lost, n->id, 16);
	if (n->state != NODE_DOWN)
		node_kill(n);
	node_replace_disk(n);
	node_restart_in(n, world_below(n->world, 1000000));
}

/* It may find at its next start that it cannot do without what has turned: then
 * its disk is replaced. */
static void
spoil_disk(struct node *n)
{
	if (n->state != NODE_DOWN)
		node_kill(n);
	flips_spoil(n);
	node_restart_in(n, world_below(n->world, 1000000));
}

/* Where bits turn on one disk, all groups keep three voters. */
static int
may_shrink(struct world *w)
{
	return !w->flips.on ||
	       (is_at_rest(w) && ring_claimants(w->rings->newest) > 3);
}

/* NAME is to leave; some of what it has may arrive long after the rest. */
static void
leave(struct node *n, const char *name)
{
	struct world *w = n->world;

	rings_ask(n, RING_OP_LEAVE, name);
	if (world_one_in(w, 2))
		net_slow_fills(w, (uint32_t)world_below(w, w->n_nodes),
		    world_between(w, 2000000, 10000000));
}

/* One that the ring has goes, if that can be survived. */
static void
carry_out_wish(struct world *w, struct node *n)
{
	struct rings *rs = w->rings;
	const struct ring *r = rs->newest;
	uint16_t member = (uint16_t)world_below(w, r->n_members);
	const char *name = r->members[member].name;
	struct node *victim = node_of_member(w, member);
	int rest = is_at_rest(w) && copies_are_sound(w) && r->n_members >= 3 &&
		   !w->flips.on;

	if (w->losing)
		return;
	switch (rs->wish) {
	case RING_WISH_LEAVE:
		if (ring_claimants(r) >= 2 && may_shrink(w))
			leave(n, name);
		break;
	case RING_WISH_DOWN:
		if (victim && victim->state == NODE_DOWN && may_shrink(w))
			rings_ask(n, RING_OP_DOWN, name);
		break;
	case RING_WISH_REMOVE:
	case RING_WISH_LOSE:
		if (!rest || !victim)
			return; /* later */
		w->losing = 1;
		if (rs->wish == RING_WISH_LOSE && world_one_in(w, 2))
			spoil_disk(victim);
		else if (rs->wish == RING_WISH_LOSE)
			rings_lose_disk(victim);
		else
			rings_ask(n, RING_OP_REMOVE, name);
		break;
	default:
		break;
	}
	rs->wish = RING_WISH_NOTHING;
}

static void
act(struct world *w)
{
	struct rings *rs = w->rings;
	struct node *n = some_member(w);

	reset_removed(w);
	if (w->losing && is_at_rest(w) && copies_are_sound(w)) {
		w->losing = 0;
		memset(rs->lost, 0, 16);
	}
	if (!n || rings_are_busy(rs, n))
		return;
	join_some(w, n);
	if (rings_are_busy(rs, NULL) && (!w->hasty || w->losing))
		return;
	if (!rs->newest->n_staged)
		carry_out_wish(w, n);
	else if (!rs->calm && world_one_in(w, 16))
		rings_ask(n, RING_OP_CLEAR, NULL);
	else if (!rs->newest->has_plan || rs->replan || world_one_in(w, 10))
		rings_ask(n, RING_OP_PLAN, NULL);
	else
		rings_ask(n, RING_OP_COMMIT, NULL);
	rs->replan = 0;
}

static void
look(struct world *w, struct happening *ev)
{
	if (!w->closing && w->rings->newest)
		act(w);
	world_schedule(w, world_between(w, LOOK_US / 8, LOOK_US), *ev);
}

/* --- from outside ---------------------------------------------------------- */

void
operator_start(struct world *w)
{
	world_schedule(w, LOOK_US, (struct happening){.run = look});
}

void
operator_change_mind(struct world *w)
{
	if (w->rings->calm)
		return;
	w->rings->wish =
	    (enum ring_wish)world_between(w, RING_WISH_LEAVE, RING_WISH_DOWN);
}

void
operator_transfer(struct world *w, uint32_t group, uint32_t to)
{
	(void)w;
	(void)group;
	(void)to;
}

void
operator_calm(struct world *w)
{
	w->rings->calm = 1;
	w->rings->wish = RING_WISH_NOTHING;
}

/* All nodes are members, know so, and have what they should and nothing else. */
int
operator_is_done(struct world *w)
{
	const struct ring *r = w->rings->newest;

	if (r->n_members != w->n_nodes || !is_at_rest(w))
		return 0;
	for (uint32_t i = 0; i < w->n_nodes; i++) {
		struct node *n = &w->nodes[i];

		if (n->state != NODE_UP || !process_serves(n) ||
		    cluster_ring(core_cluster(n->core))->epoch != r->epoch ||
		    ring_find(r, n->id) == RING_NOBODY)
			return 0;
		for (uint16_t g = 0; g < r->q; g++) {
			struct store_group at, has;

			store_group(groups_leader(w, g)->store, g, &at);
			store_group(n->store, g, &has);
			if (has.here != (groups_standing(&at, n->id) > 0))
				return 0;
		}
	}
	for (uint32_t g = 0; g < w->n_logs; g++)
		if (!groups_are_equal(w, g))
			return 0;
	return 1;
}
