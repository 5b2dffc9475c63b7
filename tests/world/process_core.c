/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * process_core - a whole node but for sockets and HTTP: store, router, ring,
 * joins.  Each begins as a cluster of its own; clients ask that of node 0.
 */
#include "ring/ring_file.h"
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/node/core.h"
#include "src/node/home.h"
#include "tests/world/arena.h"
#include "tests/world/rings.h"

static void
on_published(void *arg, struct ring *ring)
{
	struct node *n = arg;
	unsigned before = arena_enter(0);

	rings_saw(n, ring);
	arena_enter(before);
}

/* As node_left, node_cluster.c. */
static void
on_left(void *arg, enum ring_state was)
{
	struct node *n = arg;

	if (was == RING_JOINING && n->identity.joined) {
		n->move = MOVE_BACK;
	} else if (was == RING_LEAVING || was == RING_EXITING) {
		n->move = MOVE_OUT;
	} else {
		world_trace(n->world, "node %u was removed", n->slot);
		n->removed = 1;
	}
}

static int
tell(void *arg, const char *name, const struct iovec *iov, int n)
{
	struct node *from = arg;
	char other[RINGS_NAME_BYTES];

	for (uint32_t i = 0; i < from->world->n_nodes; i++) {
		rings_name(i, other);
		if (i != from->slot && strcmp(name, other) == 0)
			return net_tell(from, i, iov, n);
	}
	return 0;
}

static int
tell_back(void *arg, const uint8_t node[16], const struct iovec *iov, int n)
{
	struct node *from = arg;
	struct world *w = from->world;

	for (uint32_t i = 0; i < w->n_nodes; i++)
		if (i != from->slot && memcmp(w->nodes[i].id, node, 16) == 0)
			return net_tell(from, i, iov, n);
	return 0;
}

static int
publish_policies(void *arg, uint32_t worker, struct policies *table)
{
	struct node *n = arg;

	return worker ? 0 : store_set_policies(n->store, table);
}

/* --- a life ----------------------------------------------------------------
 */

static int
open_core(struct node *n, struct ring *ring, char *why, size_t why_bytes)
{
	struct core_config c = {
	    .env = simenv_env(n->sim),
	    .identity = &n->identity,
	    .nodename = n->name,
	    .store = n->world->store,
	    .tell = tell,
	    .tell_back = tell_back,
	    .roots = {.policies_publish = publish_policies},
	    .published = on_published,
	    .left = on_left,
	    .arg = n,
	};

	c.store.seed = world_below(n->world, UINT64_MAX);
	c.store.report = process_report;
	c.store.step = node_steps;
	c.store.fatal = process_fatal;
	c.store.arg = n;
	return core_open(&n->core, &c, ring, why, why_bytes);
}

int
process_open(struct node *n, char *why, size_t why_bytes)
{
	struct world *w = n->world;
	const struct env *env = simenv_env(n->sim);
	char what[RING_WHY_BYTES] = "";
	struct ring *ring;
	int r;

	rings_name(n->slot, n->name);
	r = identity_open(env, n->name, RINGS_Q, &n->identity, why, why_bytes);
	if (r)
		return r;
	memcpy(n->id, n->identity.node_id, 16);
	if (n->slot == 0 && !w->rings->begun) {
		w->rings->begun = 1;
		memcpy(w->cluster, n->identity.cluster_id, 16);
	}
	r = ring_file_open(env, &n->identity, n->name, 3, &ring, what);
	if (what[0])
		process_report(n, r != 0, what);
	if (r)
		return r;
	r = open_core(n, ring, why, why_bytes);
	ring_unref(ring);
	if (r)
		return r;
	n->store = core_store(n->core);
	return 0;
}

int
process_start(struct node *n)
{
	return core_start(n->core);
}

void
process_handle(struct node *n, uint32_t worker, struct msg *m)
{
	core_handle(n->core, worker, m);
}

void
process_turn(struct node *n, uint32_t worker)
{
	core_turn(n->core, worker);
}

void
process_stop(struct node *n, void (*done)(void *arg), void *arg)
{
	core_stop(n->core, done, arg);
}

void
process_close(struct node *n)
{
	n->core = core_close(n->core);
	n->store = NULL;
}

int
process_move(struct node *n)
{
	const struct env *env = simenv_env(n->sim);

	switch (n->move) {
	case MOVE_JOIN:
		return home_join(env, n->name, &n->identity, n->to);
	case MOVE_BACK:
		return home_go_back(env, n->name, &n->identity);
	case MOVE_OUT:
		return home_leave(env, n->name, &n->identity);
	default:
		ASSERT_UNREACHED();
	}
}

/* --- who asks whom -----------------------------------------------------------
 */

static void
begin(struct msg *m)
{
	struct process_call *call = CONTAINER_OF(m, struct process_call, msg);
	struct vnode_route route = core_route(call->node->core);

	route.send(route.ctx, call->group, call->question);
}

void
process_send(
    struct node *n, uint32_t group, struct msg *m, struct process_call *call)
{
	const struct env *env = simenv_env(n->sim);

	*call = (struct process_call){
	    .msg = {.kind = MSG_CALL, .fn = begin},
	    .node = n,
	    .group = group,
	    .question = m,
	};
	env->post.to_worker(env->post.ctx, m->from, &call->msg);
}

/* FROM is in the address book of N: node_published, node_cluster.c. */
static int
is_peer(const struct node *n, const uint8_t from[16])
{
	const struct cluster *c = core_cluster(n->core);
	const struct ring_member *gone[CLUSTER_DEPARTED_MAX];
	uint32_t k = cluster_departed(c, gone);

	for (uint32_t i = 0; i < k; i++)
		if (memcmp(gone[i]->id, from, 16) == 0)
			return 1;
	return ring_find(cluster_ring(c), from) != RING_NOBODY;
}

int
process_hears(
    const struct node *n, const uint8_t from[16], const uint8_t cluster[16])
{
	return n->core && !n->removed &&
	       memcmp(n->identity.cluster_id, cluster, 16) == 0 &&
	       is_peer(n, from);
}

const char *
process_dir(const struct node *n)
{
	return n->identity.dir;
}

const uint8_t *
process_cluster(const struct node *n)
{
	return n->identity.cluster_id;
}

int
process_belongs(const struct node *n)
{
	return !n->removed && !n->exited && !n->move &&
	       memcmp(n->identity.cluster_id, n->world->cluster, 16) == 0;
}

void
process_spoiled(struct node *n)
{
	rings_lose_disk(n);
}

int
process_serves(const struct node *n)
{
	return n->state != NODE_DOWN && !n->stopped && !n->removed &&
	       !n->move && n->core &&
	       memcmp(n->identity.cluster_id, n->world->cluster, 16) == 0;
}
