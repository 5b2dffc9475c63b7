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

#define ARM_CALLS 60

/* Often one that leads something: that is where it hurts. */
static struct node *
victim(struct world *w)
{
	struct node *n = NULL;

	if (world_one_in(w, 2))
		n = groups_leader(w, (uint32_t)world_below(w, w->n_groups));
	return n ? n : &w->nodes[world_below(w, w->n_nodes)];
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

static void
feed(struct world *w, struct happening *ev)
{
	if (!is_over(w, ev))
		node_starve(&w->nodes[ev->slot], 0);
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

/* --- the net ----------------------------------------------------------------
 */

static void
reach_all(struct world *w, struct happening *ev)
{
	(void)ev;
	for (uint32_t a = 0; a < w->n_nodes; a++)
		for (uint32_t b = 0; b < w->n_nodes; b++)
			net_cut(w, a, b, 0);
}

static void
good_net(struct world *w, struct happening *ev)
{
	(void)ev;
	w->net.drop = w->net.twice = w->net.late = 0;
}

static void
fast_link(struct world *w, struct happening *ev)
{
	struct link *l = ev->arg;

	(void)w;
	l->us_per_kb = 0;
}

/* One way or both, to one node or all. */
static void
cut(struct node *n)
{
	struct world *w = n->world;
	uint32_t other = (uint32_t)world_below(w, w->n_nodes);
	int all = world_one_in(w, 2), ways = (int)world_between(w, 1, 3);

	for (uint32_t i = 0; i < w->n_nodes; i++) {
		if (i == n->slot || (!all && i != other))
			continue;
		if (ways & 1)
			net_cut(w, n->slot, i, 1);
		if (ways & 2)
			net_cut(w, i, n->slot, 1);
	}
}

static void
partition(struct world *w)
{
	uint32_t side = (uint32_t)world_between(w, 1, (1u << w->n_nodes) - 2);

	for (uint32_t a = 0; a < w->n_nodes; a++)
		for (uint32_t b = 0; b < w->n_nodes; b++)
			if ((side >> a & 1) != (side >> b & 1))
				net_cut(w, a, b, 1);
}

static void
spoil(struct world *w)
{
	world_trace(w, "the net is bad");
	w->net.drop = (uint32_t)world_between(w, 0, 2) *
		      (uint32_t)world_between(w, 3, 40);
	w->net.twice = (uint32_t)world_between(w, 0, 40);
	if (w->rings) /* a sealed frame is taken once: src/os/seal.c */
		w->net.twice = 0;
	w->net.late = (uint32_t)world_between(w, 0, 40);
}

static void
slow_down(struct node *n)
{
	struct world *w = n->world;
	uint32_t to = (uint32_t)world_below(w, w->n_nodes);
	struct link *l =
	    &w->net.links[n->slot][to][world_below(w, NET_CHANNEL_COUNT)];

	l->us_per_kb = (uint32_t)world_between(w, 100, 20000);
	world_schedule(w, world_below(w, 5000000),
	    (struct happening){.run = fast_link, .arg = l});
}

static void
strike_net(struct node *n, enum misfortune what)
{
	struct world *w = n->world;

	switch (what) {
	case CHAOS_CUT:
		cut(n);
		later(n, 6000000, reach_all, 0);
		return;
	case CHAOS_PARTITION:
		partition(w);
		later(n, 6000000, reach_all, 0);
		return;
	case CHAOS_BAD_NET:
		spoil(w);
		later(n, 6000000, good_net, 0);
		return;
	case CHAOS_SLOW_LINK:
		slow_down(n);
		return;
	case CHAOS_MEMBERS:
		operator_change_mind(w);
		return;
	case CHAOS_TRANSFER:
		operator_transfer(
		    w, (uint32_t)world_below(w, w->n_groups), n->slot);
		return;
	default:
		ASSERT_UNREACHED();
	}
}

/* --- kinds ------------------------------------------------------------------
 */

static enum memdisk_fault
draw_crash(struct world *w)
{
	return (enum memdisk_fault)world_between(
	    w, MEMDISK_CRASH_BEFORE, MEMDISK_CRASH_SHORT);
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
		node_arm(n, draw_crash(w), ARM_CALLS);
		return;
	case CHAOS_DISK_ERROR:
		node_arm(n, MEMDISK_EIO, ARM_CALLS);
		return;
	case CHAOS_DISK_NO_ROOM:
		node_arm(n, MEMDISK_ENOSPC, ARM_CALLS);
		return;
	case CHAOS_NO_MEMORY:
		if (w->losing)
			return;
		node_starve(n, (uint32_t)world_between(w, 2, 200));
		later(n, 1000000, feed, 0);
		return;
	default:
		ASSERT_UNREACHED();
	}
}

static void
strike(struct node *n, enum misfortune what)
{
	struct world *w = n->world;

	if (what == CHAOS_BIT_FLIP) {
		flips_strike(w);
	} else if (what >= CHAOS_CUT) {
		if (w->n_nodes > 1)
			strike_net(n, what);
	} else if (what == CHAOS_POWER_CUT) {
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
	    [CHAOS_DISK_NO_ROOM] = 200,
	    [CHAOS_NO_MEMORY] = 200,
	    [CHAOS_STOP] = 200,
	    [CHAOS_PAUSE] = 200,
	    [CHAOS_SLOW_LANE] = 50,
	    [CHAOS_SLOW_WORKER] = 50,
	    [CHAOS_WALL_JUMP] = 100,
	    [CHAOS_CUT] = 100,
	    [CHAOS_PARTITION] = 200,
	    [CHAOS_BAD_NET] = 200,
	    [CHAOS_SLOW_LINK] = 100,
	    [CHAOS_MEMBERS] = 50,
	    [CHAOS_TRANSFER] = 30,
	};

	for (int i = 0; i < CHAOS_COUNT; i++)
		if (often[i] && world_one_in(w, 2))
			w->misfortune[i] =
			    (uint32_t)(often[i] * world_between(w, 1, 8));
	flips_begin(w);
}

void
chaos_tick(struct world *w)
{
	for (int i = 0; i < CHAOS_COUNT; i++)
		if (world_one_in(w, w->misfortune[i]))
			strike(victim(w), (enum misfortune)i);
}

void
chaos_before_start(struct node *n)
{
	struct world *w = n->world;

	if (w->misfortune[CHAOS_DISK_CRASH] && world_one_in(w, 4))
		node_arm(n, draw_crash(w), ARM_CALLS);
	else if (w->misfortune[CHAOS_DISK_ERROR] && world_one_in(w, 8))
		node_arm(n, MEMDISK_EIO, ARM_CALLS);
}

void
chaos_end(struct world *w)
{
	world_trace(w, "calm");
	for (int i = 0; i < CHAOS_COUNT; i++)
		w->misfortune[i] = 0;
	net_heal(w);
	operator_calm(w);
	policies_calm(w);
	for (uint32_t i = 0; i < w->n_nodes; i++)
		node_heal(&w->nodes[i]);
}
