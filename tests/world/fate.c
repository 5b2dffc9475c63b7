/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* fate - nodes that are killed at named steps (src/base/steps.h). */
#include "tests/world/world.h"

void
node_draw_fate(struct world *w)
{
	w->fate.state = w->o.seed ^ UINT64_C(0xfa7efa7e);
	w->fatal_step = (enum step)chance_below(&w->fate, STEP_COUNT);
	w->spared = chance_one_in(&w->fate, 2)
			? 0
			: (uint32_t)chance_below(&w->fate, 6);
	w->deaths = (uint32_t)chance_below(&w->fate, 4); /* 0: no such fate */
}

/* In the middle of what N does: it dies when that returns, with all it has said
 * until then. */
void
node_steps(void *arg, enum step step)
{
	struct node *n = arg;
	struct world *w = n->world;

	w->counts.reached[step]++;
	if (w->settled || w->deaths == 0 || step != w->fatal_step || n->doomed)
		return;
	if (w->spared) {
		w->spared--;
		return;
	}
	w->deaths--;
	w->spared = (uint32_t)chance_below(&w->fate, 30);
	n->doomed = 1;
}

void
node_meet_fate(struct node *n)
{
	struct world *w = n->world;

	world_trace(w, "node %u dies at step %d", n->slot, (int)w->fatal_step);
	w->counts.killed_at[w->fatal_step]++;
	node_kill(n);
	node_restart_in(n, chance_below(&w->fate, 3000000));
}
