/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * chaos - what goes wrong.
 *
 * Each seed has some kinds of misfortune and not others, and each of those more
 * or less often ("swarm testing", Groce et al. 2012): a world with everything
 * at once hardly gets anywhere.
 */
#include "src/base/assert.h"
#include "tests/world/world.h"

static struct node *
victim(struct world *w)
{
	return &w->nodes[world_below(w, w->n_nodes)];
}

static void
back_soon(struct node *n)
{
	struct world *w = n->world;

	if (n->state == NODE_DOWN)
		node_restart_in(
		    n, world_below(w, world_one_in(w, 4) ? 5000000 : 200000));
}

/* --- things that end by themselves ------------------------------------------
 */

static int
is_over(const struct world *w, const struct happening *ev)
{
	const struct node *n = &w->nodes[ev->slot];

	return n->state == NODE_DOWN || n->life != ev->life;
}

static void
go_on(struct world *w, struct happening *ev)
{
	if (!is_over(w, ev))
		node_pause(&w->nodes[ev->slot], 0);
}

static void
free_lane(struct world *w, struct happening *ev)
{
	if (!is_over(w, ev))
		simenv_hold_lane(
		    w->nodes[ev->slot].sim, (enum env_lane)ev->detail, 0);
}

static void
free_worker(struct world *w, struct happening *ev)
{
	if (!is_over(w, ev))
		simenv_hold_worker(
		    w->nodes[ev->slot].sim, (uint32_t)ev->detail, 0);
}

/* The machine's, so it outlives the process. */
static void
make_room(struct world *w, struct happening *ev)
{
	node_set_room(&w->nodes[ev->slot], UINT64_MAX);
}

static void
later(struct node *n, uint64_t max_us,
    void (*run)(struct world *w, struct happening *ev), uint64_t detail)
{
	world_schedule(n->world, world_between(n->world, 1000, max_us),
	    (struct happening){.run = run,
		.slot = n->slot,
		.life = n->life,
		.detail = detail});
}

/* --- kinds ------------------------------------------------------------------
 */

static void
arm(struct node *n, enum memdisk_fault fault)
{
	n->fault = fault;
	n->fault_in = world_between(n->world, 1, 60);
}

static void
hold_lane(struct node *n)
{
	enum env_lane lane = (enum env_lane)world_below(n->world, LANE_COUNT);

	world_trace(n->world, "node %u: lane %d hangs", n->slot, (int)lane);
	simenv_hold_lane(n->sim, lane, 1);
	later(n, 2000000, free_lane, lane);
}

static void
hold_worker(struct node *n)
{
	uint32_t worker = (uint32_t)world_below(n->world, n->n_workers);

	world_trace(n->world, "node %u: worker %u hangs", n->slot, worker);
	simenv_hold_worker(n->sim, worker, 1);
	later(n, 1000000, free_worker, worker);
}

static void
jump(struct node *n)
{
	struct world *w = n->world;
	const struct env *env = simenv_env(n->sim);
	uint64_t now = env->clock.wall(env->clock.ctx).ms;
	uint64_t by = world_below(w, world_one_in(w, 2) ? 600000 : 5000);
	uint64_t to = world_one_in(w, 2) ? now + by : now - by;

	world_trace(w, "node %u: the wall clock jumps from %llu to %llu",
	    n->slot, (unsigned long long)now, (unsigned long long)to);
	n->skew_ms += (int64_t)(to - now);
	simenv_set_wall(n->sim, (struct wall){to});
}

static void
strike_process(struct node *n, enum misfortune what)
{
	struct world *w = n->world;

	switch (what) {
	case CHAOS_KILL:
		node_kill(n);
		back_soon(n);
		return;
	case CHAOS_STOP:
		node_stop(n);
		return;
	case CHAOS_PAUSE:
		node_pause(n, 1);
		later(n, 4000000, go_on, 0);
		return;
	case CHAOS_SLOW_LANE:
		hold_lane(n);
		return;
	case CHAOS_SLOW_WORKER:
		hold_worker(n);
		return;
	case CHAOS_WALL_JUMP:
		jump(n);
		return;
	case CHAOS_DISK_CRASH:
		arm(n, (enum memdisk_fault)world_between(
			   w, MEMDISK_CRASH_BEFORE, MEMDISK_CRASH_SHORT));
		return;
	case CHAOS_DISK_ERROR:
		arm(n, MEMDISK_EIO);
		return;
	default:
		ASSERT_UNREACHED();
	}
}

static void
strike(struct node *n, enum misfortune what)
{
	struct world *w = n->world;

	if (what == CHAOS_POWER_CUT) {
		int was_down = n->state == NODE_DOWN;

		node_power_cut(n, (enum memdisk_outcome)world_below(w, 3));
		if (!was_down)
			back_soon(n);
	} else if (what == CHAOS_DISK_FULL) {
		node_set_room(n, world_below(w, 200000));
		later(n, 5000000, make_room, 0);
	} else if (n->state != NODE_DOWN) {
		strike_process(n, what);
	}
}

void
chaos_begin(struct world *w)
{
	static const uint32_t often[CHAOS_COUNT] = {
	    [CHAOS_KILL] = 50,
	    [CHAOS_POWER_CUT] = 50,
	    [CHAOS_DISK_CRASH] = 50,
	    [CHAOS_DISK_ERROR] = 100,
	    [CHAOS_DISK_FULL] = 200,
	    [CHAOS_STOP] = 200,
	    [CHAOS_PAUSE] = 200,
	    [CHAOS_SLOW_LANE] = 50,
	    [CHAOS_SLOW_WORKER] = 50,
	    [CHAOS_WALL_JUMP] = 100,
	};

	for (int i = 0; i < CHAOS_COUNT; i++)
		if (often[i] && world_one_in(w, 2))
			w->misfortune[i] =
			    (uint32_t)(often[i] * world_between(w, 1, 8));
}

void
chaos_tick(struct world *w)
{
	for (int i = 0; i < CHAOS_COUNT; i++)
		if (world_one_in(w, w->misfortune[i]))
			strike(victim(w), (enum misfortune)i);
}

void
chaos_end(struct world *w)
{
	world_trace(w, "calm");
	for (int i = 0; i < CHAOS_COUNT; i++)
		w->misfortune[i] = 0;
	for (uint32_t i = 0; i < w->n_nodes; i++)
		node_heal(&w->nodes[i]);
}
