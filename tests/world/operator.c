/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * operator - who has replicas of which group.
 *
 * Each group has a set of nodes that should have it, which changes now and
 * then.  Step by step, as a claimant would, the operator asks whoever leads for
 * the next change that brings the group there: add, promote, remove.  It looks
 * into the nodes, as no real one can, but only to know what to ask whom.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/world/arena.h"
#include "tests/world/world.h"

#define LOOK_US 150000

struct order {
	struct world *world;
	struct node *node;
	uint64_t life;
	struct vnode_change req;
};

static void
answered(struct msg *m)
{
	struct vnode_change *req = CONTAINER_OF(m, struct vnode_change, msg);
	struct order *o = CONTAINER_OF(req, struct order, req);
	unsigned before = arena_enter(0);

	if (o->life != o->node->life)
		world_fail(o->world, "a change is answered by another process");
	if (req->r == 0)
		o->world->counts.changes++;
	world_trace(o->world, "node %u: change %d of group %u: %s",
	    o->node->slot, (int)req->op, req->group, err_text(req->r));
	o->world->groups[req->group].order = NULL;
	mem_free(o);
	arena_enter(before);
}

static void
ask(struct node *n, uint32_t group, enum vnode_change_op op, uint32_t about)
{
	struct world *w = n->world;
	const struct env *env = simenv_env(n->sim);
	struct order *o;

	if (w->groups[group].order)
		return;
	world_trace(w, "group %u at node %u: change %d, node %u", group,
	    n->slot, (int)op, about);
	o = mem_zalloc(sizeof(*o));
	ASSERT(o);
	*o = (struct order){.world = w, .node = n, .life = n->life};
	o->req.msg = (struct msg){.kind = MSG_CHANGE, .fn = answered};
	o->req.group = group;
	o->req.op = op;
	memcpy(o->req.node, w->nodes[about].id, 16);
	w->groups[group].order = o;
	env->post.to_worker(env->post.ctx, group % n->n_workers, &o->req.msg);
}

void
operator_forget(struct node *n)
{
	struct world *w = n->world;

	for (uint32_t g = 0; g < w->n_groups; g++) {
		struct order *o = w->groups[g].order;

		if (o && o->node == n)
			w->groups[g].order = mem_free(o);
	}
}

/* The next step of GROUP, whose leader is N; 0 when it is where it should be. */
static int
next_step(struct node *n, uint32_t group, uint32_t target)
{
	struct world *w = n->world;
	struct store_group g;

	store_group(n->store, group, &g);
	for (uint32_t i = 0; i < w->n_nodes; i++) {
		int is = groups_standing(&g, w->nodes[i].id);

		if (!(target >> i & 1) || is == 2)
			continue;
		ask(n, group, is ? VNODE_PROMOTE : VNODE_ADD, i);
		return 1;
	}
	for (uint32_t i = 0; i < w->n_nodes; i++) {
		if (target >> i & 1 || !groups_standing(&g, w->nodes[i].id))
			continue;
		ask(n, group, VNODE_REMOVE, i);
		return 1;
	}
	return 0;
}

static void
look(struct world *w, struct happening *ev)
{
	uint32_t group = (uint32_t)world_below(w, w->n_groups);

	for (uint32_t i = 0; i < w->n_groups; i++) {
		uint32_t g = (group + i) % w->n_groups;
		struct node *n = groups_leader(w, g);

		if (n && next_step(n, g, w->groups[g].target) && !w->hasty)
			break;
	}
	world_schedule(w, world_between(w, LOOK_US / 4, LOOK_US), *ev);
}

void
operator_start(struct world *w)
{
	for (uint32_t g = 0; g < w->n_groups; g++)
		w->groups[g].target = (1u << w->n_nodes) - 1;
	if (w->n_nodes > 1)
		world_schedule(w, LOOK_US, (struct happening){.run = look});
}

void
operator_change_mind(struct world *w)
{
	uint32_t g = (uint32_t)world_below(w, w->n_groups);
	uint32_t all = (1u << w->n_nodes) - 1;
	uint32_t target = (uint32_t)world_between(w, 1, all);

	if (w->flips.on && __builtin_popcount(target) < 3)
		target = all;
	world_trace(w, "group %u is to be on nodes %x", g, target);
	w->groups[g].target = target;
}

void
operator_transfer(struct world *w, uint32_t group, uint32_t to)
{
	struct node *n = groups_leader(w, group);

	if (n && n->slot != to)
		ask(n, group, VNODE_TRANSFER, to);
}

void
operator_calm(struct world *w)
{
	for (uint32_t g = 0; g < w->n_groups; g++)
		w->groups[g].target = (1u << w->n_nodes) - 1;
}

int
operator_is_done(struct world *w)
{
	for (uint32_t i = 0; i < w->n_groups; i++) {
		struct node *n = groups_leader(w, i);
		struct store_group at;

		if (!n || !groups_are_equal(w, i))
			return 0;
		store_group(n->store, i, &at);
		for (uint32_t k = 0; k < w->n_nodes; k++) {
			if (w->nodes[k].state != NODE_UP ||
			    groups_standing(&at, w->nodes[k].id) != 2)
				return 0;
		}
		if (!at.ready || w->groups[i].order)
			return 0;
	}
	return 1;
}
