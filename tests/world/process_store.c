/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* process_store - a store alone; the operator of the world places groups. */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "tests/world/world.h"
#include "vnode/store_impl.h"

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

const char *
process_dir(const struct node *n)
{
	return n->world->store.dir;
}

const uint8_t *
process_cluster(const struct node *n)
{
	return n->world->store.cluster_id;
}

int
process_belongs(const struct node *n)
{
	(void)n;
	return 1;
}

void
process_spoiled(struct node *n)
{
	(void)n;
	ASSERT_UNREACHED(); /* it is not done to stores */
}

int
process_serves(const struct node *n)
{
	return n->state != NODE_DOWN && !n->stopped;
}

/* --- policies: nodes are told of them, sooner or later ----------------------- */

static int
make_table(const struct world *w, struct policies **out)
{
	static const struct policy none;
	struct policy_row rows[POLICY_NAMES];
	uint32_t n = 0;

	for (uint32_t i = 0; i < POLICY_NAMES; i++) {
		if (policy_is_empty(&w->policies.of[i]))
			continue;
		policies_name(w, i, &rows[n].bucket, &rows[n].stream);
		rows[n++].policy = w->policies.of[i];
	}
	return policies_new(out, w->policies.version, &none, rows, n);
}

int
process_hear_policies(struct node *n)
{
	struct policies *table;
	int r = make_table(n->world, &table);

	if (r == 0) {
		r = store_set_policies(n->store, table);
		policies_unref(table);
	}
	ASSERT(r == 0 || r == -ERR_NOMEM);
	return r;
}

int
policies_push(struct world *w)
{
	int all = 1;

	for (uint32_t i = 0; i < w->n_nodes; i++) {
		struct node *n = &w->nodes[i];

		if (n->state != NODE_UP || n->stopped || n->paused ||
		    n->told_policies == w->policies.version)
			continue;
		all = 0;
		if (world_one_in(w, 3))
			node_hear_policies(n);
	}
	return all && policies_are_in_logs(w);
}
