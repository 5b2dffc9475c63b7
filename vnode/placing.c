/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* placing - carries out what placement.h wants, in groups that are led here. */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/replica.h"

#define AGAIN_US     3000000 /* from one try to hand over to the next */
#define SAY_AGAIN_US 60000000

/* So that not all campaign at once; until the ring says who is preferred, the
 * oldest replica is the first. */
uint32_t
placing_rank(const struct store *s, const struct vnode *v)
{
	const struct placement *p = s->places[v->group.id].wanted;
	const struct raft_members *m = raft_members(v->group.raft);
	const struct raft_member *me =
	    raft_member(v->group.raft, v->group.generation);
	uint32_t rank = 0;

	for (uint32_t i = 0; p && me && i < p->n; i++)
		if (memcmp(p->at[i].node, me->node, 16) == 0)
			return i;
	for (uint32_t i = 0; i < m->n; i++)
		rank += m->at[i].voter && m->at[i].id < v->group.generation;
	return rank;
}

static void
hand_over(struct store_worker *w, struct vnode *v, raft_id to)
{
	const struct env_clock *c = &w->store->env->clock;
	struct mono now = c->mono(c->ctx);
	struct group *g = &v->group;

	if (g->moved_at.us && mono_diff_us(g->moved_at, now) < AGAIN_US)
		return;
	g->moved_at = now;
	raft_transfer(g->raft, to, &w->fx);
}

void
placing_let_another(struct store_worker *w, struct vnode *v)
{
	const struct raft *r = v->group.raft;
	const struct raft_members *m = raft_members(r);

	if (raft_role(r) != RAFT_LEADER)
		return;
	for (uint32_t i = 0; i < m->n; i++)
		if (m->at[i].voter && m->at[i].id != v->group.generation &&
		    raft_caught_up(r, m->at[i].id)) {
			hand_over(w, v, m->at[i].id);
			replica_effects(w, v);
			return;
		}
}

static void
say_clock_is_off(struct store_worker *w, int32_t off)
{
	const struct env_clock *c = &w->store->env->clock;
	struct mono now = c->mono(c->ctx);

	if (w->clock_said.us && mono_diff_us(w->clock_said, now) < SAY_AGAIN_US)
		return;
	w->clock_said = now;
	store_report(w->store, 1,
	    "the clock of this node is %d s off those of others: it leads no "
	    "group that another can lead until it is right",
	    (int)(off / 1000));
}

/* Leadership goes to who should have it, unless its clock is off; and away from
 * here, when this one's is. */
static void
mind_clocks(
    struct store_worker *w, const struct vnode *v, struct placement_step *step)
{
	const struct raft *r = v->group.raft;
	raft_id self = v->group.generation, heir;
	int32_t off = clocks_off(&w->clocks, r, self, self);

	if (step->move == PLACEMENT_TRANSFER &&
	    clocks_off(&w->clocks, r, self, step->id))
		step->move = PLACEMENT_REST;
	if (!off)
		return;
	say_clock_is_off(w, off);
	heir = clocks_heir(&w->clocks, r, self);
	if (heir &&
	    (step->move == PLACEMENT_REST || step->move == PLACEMENT_WAIT)) {
		step->move = PLACEMENT_TRANSFER;
		step->id = heir;
	}
}

void
placing_tick(struct store_worker *w, struct vnode *v)
{
	struct group *g = &v->group;
	struct place *place = &w->store->places[g->id];
	struct placement_step step = {.move = PLACEMENT_WAIT};
	int leads = raft_role(g->raft) == RAFT_LEADER;
	raft_id id;

	if (leads && place->wanted && !w->stop)
		step = placement_next(place->wanted, g->raft, g->generation);
	atomic_store_explicit(&place->leads, leads, memory_order_relaxed);
	atomic_store_explicit(&place->placed,
	    step.move == PLACEMENT_REST || step.placed ? place->wanted->epoch
						       : 0,
	    memory_order_relaxed);
	if (leads && !w->stop)
		mind_clocks(w, v, &step);
	if (step.move == PLACEMENT_REST || step.move == PLACEMENT_WAIT)
		return;
	replica_propose(w, v); /* the index of a change is the next */
	switch (step.move) {
	case PLACEMENT_ADD:
		store_step(w->store, STEP_LEARNER_ADDED);
		raft_add_learner(g->raft, step.node, &id, &w->fx);
		break;
	case PLACEMENT_PROMOTE:
		store_step(w->store, STEP_PROMOTED);
		raft_promote(g->raft, step.id, &w->fx);
		break;
	case PLACEMENT_REMOVE:
		store_step(w->store, STEP_REMOVED);
		raft_remove(g->raft, step.id, &w->fx);
		break;
	default:
		store_step(w->store, STEP_HANDED_OVER);
		hand_over(w, v, step.id);
	}
	replica_effects(w, v);
}

/* --- from the ring -------------------------------------------------------- */

struct place_call {
	struct msg msg;
	struct store *store;
	uint32_t group;
	struct placement *placement;
};

static void
take_placement(struct msg *m)
{
	struct place_call *c = CONTAINER_OF(m, struct place_call, msg);
	struct place *place = &c->store->places[c->group];

	mem_free(place->wanted);
	place->wanted = c->placement;
	c->store->vnodes[c->group].group.moved_at.us = 0;
	mem_free(c);
}

int
store_place(struct store *s, uint32_t group, struct placement *p)
{
	struct place_call *c = mem_alloc(sizeof(*c));

	ASSERT(group < s->config.n_groups && p->n > 0);
	if (!c)
		return -ERR_NOMEM;
	*c = (struct place_call){.store = s, .group = group, .placement = p};
	store_call(s, store_worker_of(s, group)->id, &c->msg, take_placement);
	return 0;
}

uint64_t
store_placed(const struct store *s, uint32_t group)
{
	return atomic_load_explicit(
	    &s->places[group].placed, memory_order_relaxed);
}

uint64_t
store_term(const struct store *s, uint32_t group)
{
	return atomic_load_explicit(
	    &s->places[group].term, memory_order_relaxed);
}

int
store_leads(const struct store *s, uint32_t group)
{
	return atomic_load_explicit(
	    &s->places[group].leads, memory_order_relaxed);
}
