/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* course_rings - how a history of a cluster ends: all nodes in one ring. */
#include "ring/plan.h"
#include "src/base/assert.h"
#include "src/base/mem.h"
#include "tests/world/rings.h"
#include "vnode/mutants.h"

const int course_has_rings = 1;
const char course_name[] = "cluster";

const struct course_mutant course_mutants[] = {
#define COURSE_MUTANT(x) {#x, VNODE_##x},
    CLUSTER_MUTANTS(COURSE_MUTANT)
#undef COURSE_MUTANT
	{NULL, 0},
};

void
course_draw(struct world *w)
{
	w->rings = mem_zalloc(sizeof(*w->rings));
	ASSERT(w->rings);
	if (!w->o.n_nodes)
		w->n_nodes = (uint32_t)world_between(w, 3, WORLD_NODES);
	w->n_groups = RINGS_Q;
	w->deletes = 0;
	w->n_logs = RINGS_Q + 1;
}

static int
is_converged(void *arg)
{
	return operator_is_done(arg);
}

static struct node *
anybody(struct world *w, uint32_t group)
{
	struct node *n = &w->nodes[world_below(w, w->n_nodes)];

	(void)group;
	return n;
}

static void
verify_all(struct world *w)
{
	for (uint32_t i = 0; i < w->n_nodes; i++)
		for (uint32_t g = 0; g < w->n_groups; g++)
			world_verify_group(w, g, &w->nodes[i]);
	world_check_patches(w);
}

static void
check_balance(struct world *w)
{
	const struct ring *r = w->rings->newest;
	struct ring_count counts[WORLD_NODES];

	ring_counts(r, counts);
	for (uint16_t i = 0; i < r->n_members; i++)
		if (counts[i].owned < RINGS_Q / r->n_members ||
		    counts[i].owned >
			(RINGS_Q + r->n_members - 1) / r->n_members)
			world_fail(w, "%s owns %u of %u slots",
			    r->members[i].name, counts[i].owned, RINGS_Q);
}

void
course_conclude(struct world *w)
{
	chaos_end(w);
	world_run_until(w, world_never, w, SETTLE_US);
	world_must(w, world_all_up, "not all nodes came back");
	w->settled = 1;
	clients_stop(w);
	world_must(w, world_none_waiting, "a request was not answered");
	world_must(w, is_converged, "not all nodes are in one ring");
	world_must(w, policies_are_done, "policies are not in force");
	check_balance(w);
	verify_all(w);
	/* Nobody has looked at what only followers have: it may be found later. */
	world_must(w, flips_are_mended, "a damaged chunk was not repaired");
	world_write_all(w, anybody);
	verify_all(w);
	followers_check(w, anybody);
	w->closing = 1;
	for (uint32_t i = 0; i < w->n_nodes; i++)
		node_stop(&w->nodes[i]);
	world_must(w, world_all_stopped, "a node did not stop");
	for (uint32_t i = 0; i < w->n_nodes; i++)
		node_start(&w->nodes[i]);
	world_must(w, world_all_up, "not all nodes came back after a stop");
	world_must(w, is_converged, "the ring did not come back");
	verify_all(w);
	followers_stop(w);
	for (uint32_t i = 0; i < w->n_nodes; i++)
		node_stop(&w->nodes[i]);
	world_must(w, world_all_stopped, "a node did not stop again");
	followers_end(w);
}
