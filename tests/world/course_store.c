/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* course_store - how a history of stores ends: all groups on all nodes. */
#include "src/base/err.h"
#include "tests/world/world.h"
#include "vnode/mutants.h"

const int course_has_rings = 0;
const char course_name[] = "node";

const struct course_mutant course_mutants[] = {
#define COURSE_MUTANT(x) {#x, VNODE_##x},
    VNODE_MUTANTS(COURSE_MUTANT) RETAIN_MUTANTS(COURSE_MUTANT)
#undef COURSE_MUTANT
	{NULL, 0},
};

void
course_draw(struct world *w)
{
	(void)w;
}

void
rings_free(struct world *w)
{
	(void)w;
}

static int
settled_groups(void *arg)
{
	return operator_is_done(arg);
}

/* The leader of GROUP is to be node SLOT. */
struct wish {
	struct world *world;
	uint32_t group, slot;
	uint64_t ask_us;
};

static int
leads(void *arg)
{
	struct wish *wish = arg;
	struct node *n = groups_leader(wish->world, wish->group);

	if (n && n->slot == wish->slot)
		return 1;
	if (wish->world->now_us >= wish->ask_us) {
		operator_transfer(wish->world, wish->group, wish->slot);
		wish->ask_us = wish->world->now_us + TICK_US;
	}
	return 0;
}

/* Who finds a chunk damaged lets another lead, until it is mended. */
#define SHOWS 20

static void
show(struct world *w, uint32_t group, uint32_t slot)
{
	int r = 0;

	for (int i = 0; i < SHOWS; i++) {
		struct wish wish = {w, group, slot, 0};

		if (!world_run_until(w, leads, &wish, CALM_US)) {
			groups_describe(w);
			world_fail(w, "node %u does not get to lead group %u",
			    slot, group);
		}
		r = world_read_group(w, group, &w->nodes[slot]);
		if (r == 0)
			return;
	}
	world_fail(
	    w, "node %u cannot read group %u: %s", slot, group, err_text(r));
}

/* Each node leads each group once and shows what it has. */
static void
verify_all(struct world *w)
{
	for (uint32_t i = 0; i < w->n_nodes; i++)
		for (uint32_t g = 0; g < w->n_groups; g++)
			show(w, g, i);
	world_check_patches(w);
}

/* Faults are over: whatever was promised holds, and everything works again,
 * also from what is on the disks alone. */
void
course_conclude(struct world *w)
{
	chaos_end(w);
	world_run_until(w, world_never, w, SETTLE_US);
	world_must(w, world_all_up, "not all nodes came back");
	w->settled = 1;
	clients_stop(w);
	world_must(w, world_none_waiting, "a request was not answered");
	world_must(w, settled_groups, "not all groups are on all nodes");
	world_must(w, policies_are_done, "policies are not in force");
	verify_all(w);
	world_must(w, flips_are_mended, "a damaged chunk was not repaired");
	flips_end(w);
	world_write_all(w, groups_leader);
	world_must(w, settled_groups, "replicas differ");
	verify_all(w);
	followers_check(w, groups_leader);
	w->closing = 1;
	for (int round = 0; round < 2; round++) {
		if (round == 1)
			followers_stop(w);
		for (uint32_t i = 0; i < w->n_nodes; i++)
			node_stop(&w->nodes[i]);
		world_must(w, world_all_stopped, "a node did not stop");
		if (round == 1)
			break;
		for (uint32_t i = 0; i < w->n_nodes; i++)
			node_start(&w->nodes[i]);
		world_must(
		    w, world_all_up, "not all nodes came back after a stop");
		world_must(w, settled_groups, "groups did not come back");
		verify_all(w);
	}
	followers_end(w);
}
