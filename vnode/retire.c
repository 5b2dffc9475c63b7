/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * retire - the end of a replica that the group has removed.
 *
 *	removed (a committed configuration without it) -> DROPPED record durable
 *	     -> nothing flushes its files any more -> gone
 *	     -> the mark is durable -> the journal may forget the record
 *
 * Crash argument.  The record comes first: a start that finds the directory
 * still there drops it, and one that finds only marks of it in the journal
 * knows that nothing is missing (store_replay.c).  Before its files go a mark
 * takes their place (store_load.c), so that no fill that comes late makes it
 * again, when the journal has forgotten it too; which it may only then.  A
 * replica of this group that is made here later has a higher generation.
 *
 * One that was away when it was removed is not told by the leader, which knows it
 * no more.  A voter learns it when it wants to be elected; any, by asking those
 * that should have the group.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/fill_impl.h"
#include "vnode/mutants.h"
#include "vnode/removal.h"

#define SILENT_US 3000000
#define ASK_US    2000000

enum { RETIRE_NO, RETIRE_REMOVED, RETIRE_RECORDING, RETIRE_RECORDED };

void
retire_removed(struct vnode *v)
{
	if (v->group.retiring == RETIRE_NO)
		v->group.retiring = RETIRE_REMOVED;
}

int
retire_is_under_way(const struct vnode *v)
{
	return v->group.retiring >= RETIRE_RECORDING;
}

static void
record(struct store_worker *w, struct vnode *v)
{
	struct journal_append *a = mem_zalloc(sizeof(*a));

	if (!a)
		return; /* at the next tick */
	store_report(w->store, 0,
	    "group %u: this replica was removed from the group; its files go",
	    v->group.id);
	v->group.retiring = RETIRE_RECORDING;
	replica_abandon(w, v);
	replica_record(w, v, a, JOURNAL_DROPPED, 0, 0);
}

void
retire_recorded(
    struct store_worker *w, struct vnode *v, struct journal_append *a)
{
	if (v) {
		store_step(w->store, STEP_RETIRED);
		v->group.retiring = RETIRE_RECORDED;
		v->group.dropped_at = a->lsn;
	}
	mem_free(a);
}

static void
finish(struct store_worker *w, struct vnode *v)
{
	uint64_t generation = v->group.generation;
	struct fill *fill;

	atomic_fetch_add(&w->store->moves[v->group.id], 1);
	if (removal_start(w, v->dir, v->group.dropped_at))
		return; /* at the next tick */
	if (v->group.fill && v->group.fill->generation == generation)
		fill_drop(v->group.fill, "the replica was removed");
	fill = v->group.fill;
	if (w->store->staged[v->group.id].generation <= generation)
		fill_staged_drop(w, v->group.id);
	for (uint32_t i = 0; i < v->n_by_id; i++)
		if (!list_empty(&v->by_id[i]->dirty))
			dirty_remove(&w->dirty, v->by_id[i]);
	replica_close(w, v);
	store_drop_vnode(w->store, v->group.id);
	v->group.fill = fill;
	v->group.removed = generation;
}

lsn_t
retire_floor(const struct vnode *v, lsn_t floor)
{
	return v->group.retiring == RETIRE_RECORDED &&
		       v->group.dropped_at <= floor
		   ? v->group.dropped_at - 1
		   : floor;
}

/* --- one that may have been removed without hearing of it ------------------ */

static uint64_t
since(const struct store_worker *w, struct mono then)
{
	const struct env_clock *c = &w->store->env->clock;

	return mono_diff_us(then, c->mono(c->ctx));
}

int
retire_hears_nobody(const struct store_worker *w, const struct vnode *v)
{
	return raft_role(v->group.raft) != RAFT_LEADER &&
	       since(w, v->group.heard_at) >= SILENT_US;
}

/* It knows by itself: it was stopped between the entry that removed it and the
 * record of that. */
static int
knows(const struct vnode *v)
{
	const struct raft *r = v->group.raft;

	return !raft_damaged(r) && raft_members_settled(r) &&
	       raft_commit(r) >= v->group.generation &&
	       !raft_member(r, v->group.generation);
}

/* The ring wants this replica elsewhere; a learner is no candidate that would be
 * told, and those it knows may have gone themselves. */
static void
ask(struct store_worker *w, struct vnode *v)
{
	struct group *g = &v->group;
	const struct env_clock *c = &w->store->env->clock;
	const struct placement *p = w->store->places[g->id].wanted;
	struct wire_message out = {
	    .type = WIRE_ASK,
	    .group = (uint16_t)g->id,
	    .from = g->generation,
	    .term = raft_term(g->raft),
	};

	if (!p || since(w, g->asked_at) < ASK_US || !retire_hears_nobody(w, v))
		return;
	g->asked_at = c->mono(c->ctx);
	for (uint32_t i = 0; i < p->n; i++)
		if (memcmp(p->at[i].node, w->store->config.node_id, 16) == 0)
			return;
	for (uint32_t i = 0; i < p->n; i++)
		outbox_add_bytes(
		    &w->outbox, p->at[i].node, &out, SLICE(NULL, 0), 0);
}

void
retire_tick(struct store_worker *w, struct vnode *v)
{
	struct group *g = &v->group;

	if (g->retiring == RETIRE_NO && knows(v))
		retire_removed(v);
	if (g->retiring == RETIRE_NO && !VNODE_MUTANT(REMOVED_NEVER_ASKS))
		ask(w, v);
	if (g->retiring == RETIRE_REMOVED &&
	    raft_role(g->raft) != RAFT_LEADER && !fill_replaces(v))
		record(w, v);
	if (g->retiring == RETIRE_RECORDED && !w->flush && !w->order &&
	    g->n_in_journal == 0)
		finish(w, v);
}
