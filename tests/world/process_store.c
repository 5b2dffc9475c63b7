/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* process_store - a store alone; the operator of the world places groups. */
#include "tests/world/world.h"

int
process_open(struct node *n, char *why, size_t why_bytes)
{
	struct store_config c = n->world->store;

	c.env = simenv_env(n->sim);
	memcpy(c.node_id, n->id, 16);
	c.found = n->slot == 0;
	c.seed = world_below(n->world, UINT64_MAX);
	c.report = process_report;
	c.step = node_steps;
	c.fatal = process_fatal;
	c.arg = n;
	return store_open(&n->store, &c, why, why_bytes);
}

int
process_start(struct node *n)
{
	return store_start(n->store);
}

void
process_handle(struct node *n, uint32_t worker, struct msg *m)
{
	store_handle(n->store, worker, m);
}

void
process_turn(struct node *n, uint32_t worker)
{
	store_turn(n->store, worker);
}

void
process_stop(struct node *n, void (*done)(void *arg), void *arg)
{
	store_stop(n->store, done, arg);
}

void
process_close(struct node *n)
{
	n->store = store_close(n->store);
}

int
process_move(struct node *n)
{
	(void)n;
	return 0;
}

void
process_send(
    struct node *n, uint32_t group, struct msg *m, struct process_call *call)
{
	const struct env *env = simenv_env(n->sim);

	(void)call;
	env->post.to_worker(env->post.ctx, group % n->n_workers, m);
}

int
process_hears(
    const struct node *n, const uint8_t from[16], const uint8_t cluster[16])
{
	(void)n;
	(void)from;
	(void)cluster;
	return 1;
}

void
process_check(struct node *n)
{
	(void)n;
}

int
process_serves(const struct node *n)
{
	return n->state != NODE_DOWN && !n->stopped;
}
