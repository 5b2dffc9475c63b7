/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* machine - what befalls the machine of a node, and that it is well again. */
#include "tests/world/world.h"

void
node_let_go(struct node *n)
{
	for (int i = 0; i < LANE_COUNT; i++)
		simenv_hold_lane(n->sim, (enum env_lane)i, 0);
	for (uint32_t i = 0; i < n->n_workers; i++)
		simenv_hold_worker(n->sim, i, 0);
}

void
node_pause(struct node *n, int pause)
{
	if (n->state == NODE_DOWN || n->paused == pause)
		return;
	world_trace(
	    n->world, "node %u %s", n->slot, pause ? "is paused" : "goes on");
	n->paused = pause;
	simenv_pause(n->sim, pause);
	if (!pause)
		simenv_advance_to(n->sim, (struct mono){n->world->now_us});
}

void
node_starve(struct node *n, uint32_t one_in)
{
	world_trace(
	    n->world, "node %u: one in %u allocations fails", n->slot, one_in);
	n->starving = one_in;
}

void
node_arm(struct node *n, enum memdisk_fault fault, uint64_t n_calls)
{
	n->fault = fault;
	n->fault_in = world_between(n->world, 1, n_calls);
}

void
node_set_room(struct node *n, uint64_t bytes)
{
	const struct env_disk *d = memdisk_disk(n->disk);
	uint64_t capacity = DISK_BYTES, room;

	memdisk_set_capacity(n->disk, capacity);
	if (bytes == UINT64_MAX || d->free_bytes(d->ctx, &room)) {
		n->full = 0;
		return;
	}
	if (bytes < room)
		capacity -= room - bytes;
	world_trace(n->world, "node %u has room for %llu bytes", n->slot,
	    (unsigned long long)bytes);
	memdisk_set_capacity(n->disk, capacity);
	n->full = 1;
}

/* Who is off the others leads nothing. */
static void
set_clock_right(struct node *n)
{
	n->skew_ms = 0;
	if (n->state != NODE_DOWN)
		simenv_set_wall(n->sim,
		    (struct wall){WORLD_WALL_MS + n->world->now_us / 1000});
}

void
node_heal(struct node *n)
{
	set_clock_right(n);
	n->fault_in = 0;
	n->starving = 0;
	node_set_room(n, UINT64_MAX);
	node_pause(n, 0);
	/* Groups that ran out of memory serve again only after a start. */
	if (n->starved)
		node_kill(n);
	if (n->state == NODE_DOWN)
		node_restart_in(n, 0);
	else
		node_let_go(n);
}
