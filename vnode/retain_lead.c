/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * retain_lead - what the leader of a group puts into its log for retention.
 *
 * Policies.  The worker has the newest table of the cluster that this node has
 * heard of.  What counts of it in the group is compared with what is in force
 * there, once for each table and term, and proposed if it differs and is not
 * older.  Nothing else of the group's own is in flight then, so what is compared
 * is what will be in force.
 *
 * Time.  An idle group writes nothing: a tick is proposed when an event's time
 * has come by the wall clock and not by that of the group, and after that one a
 * second as long as there is more to go.
 */
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/mutants.h"
#include "vnode/policy.h"
#include "vnode/replica.h"

#define TICK_MS 800 /* and a beat: within a second */

/* Whether V is of users, not the root. */
static int
is_users(const struct store *s, const struct vnode *v)
{
	return !s->config.changed || v->group.id != s->config.watched;
}

/* --- the policies of the cluster, from worker to worker -------------------- */

struct policies_call {
	struct msg msg;
	struct store *store;
	uint32_t worker;
	struct policies *policies; /* one reference */
};

uint64_t
store_policies_in_force(const struct store *s)
{
	uint64_t version = UINT64_MAX;

	for (uint32_t i = 0; i < s->n_workers; i++) {
		uint64_t at = atomic_load(&s->workers[i].policies_reached);

		version = at < version ? at : version;
	}
	return version;
}

static int
is_unseen(const struct store_worker *w, const struct vnode *v)
{
	const struct retain *r = &v->retain;

	return r->lead.seen != w->policies_count ||
	       r->lead.term != raft_term(v->group.raft);
}

/* Whether all groups that are led here go by the policies of W. */
void
retain_look(struct store_worker *w)
{
	const struct store *s = w->store;

	if (!w->policies)
		return;
	for (uint32_t g = w->id; g < s->n_vnodes; g += s->n_workers) {
		const struct vnode *v = &s->vnodes[g];

		if (v->group.raft && !v->group.failed && is_users(s, v) &&
		    raft_role(v->group.raft) == RAFT_LEADER && is_unseen(w, v))
			return;
	}
	atomic_store(&w->policies_reached, policies_version(w->policies));
}

static void
take_policies(struct msg *m)
{
	struct policies_call *c = CONTAINER_OF(m, struct policies_call, msg);
	struct store *s = c->store;
	struct store_worker *w = &s->workers[c->worker];

	policies_unref(w->policies);
	w->policies = policies_ref(c->policies);
	w->policies_count++;
	for (uint32_t g = w->id; g < s->n_vnodes; g += s->n_workers)
		retain_lead(w, &s->vnodes[g]);
	retain_look(w);
	if (++c->worker < s->n_workers) {
		store_call(s, c->worker, &c->msg, take_policies);
		return;
	}
	policies_unref(c->policies);
	mem_free(c);
}

int
store_set_policies(struct store *s, struct policies *t)
{
	struct policies_call *c = mem_alloc(sizeof(*c));

	if (!c)
		return -ERR_NOMEM;
	*c = (struct policies_call){.store = s, .policies = policies_ref(t)};
	store_call(s, 0, &c->msg, take_policies);
	return 0;
}

/* --- proposing ------------------------------------------------------------ */

/* An entry of this leader's own is not applied yet. */
static int
is_under_way(const struct vnode *v)
{
	const struct retain *r = &v->retain;

	return r->lead.ordered > v->group.applied_index &&
	       r->lead.ordered_term == raft_term(v->group.raft);
}

static int
may_propose(const struct store_worker *w, const struct vnode *v)
{
	const struct store *s = w->store;
	const struct group *g = &v->group;

	if (!is_users(s, v))
		return 0;
	if (!replica_is_ready(v) || g->open || w->stop || is_under_way(v))
		return 0;
	return !atomic_load(&s->stopping) && !atomic_load(&s->dead) &&
	       !atomic_load(&s->disk_full) && journal_has_room(s->journal);
}

static void
propose(struct store_worker *w, struct vnode *v, struct slice policies)
{
	const struct env_clock *c = &w->store->env->clock;

	group_lead(&v->group);
	if (group_propose_order(v, policies, c->wall(c->ctx)))
		return; /* at the next tick */
	v->retain.lead.ordered = raft_last(v->group.raft) + 1;
	v->retain.lead.ordered_term = raft_term(v->group.raft);
	list_add_tail(&w->open, &v->group.turn);
	replica_propose(w, v);
	if (raft_last(v->group.raft) < v->retain.lead.ordered)
		v->retain.lead.ordered = 0; /* it was taken back */
}

static int
differs(const struct vnode *v, const struct policies *t)
{
	const struct policies *now = v->retain.policies;

	return !now || (policies_version(t) >= policies_version(now) &&
			   !policies_equal(t, now));
}

/* Nobody has changed a policy, and yet this leader proposes another table: its
 * node, or that of the one before, is configured differently.  Said once for all
 * groups of a table. */
static void
warn_of_defaults(
    struct store_worker *w, const struct vnode *v, const struct policies *t)
{
	const struct policies *now = v->retain.policies;

	if (!now || policies_version(t) != policies_version(now) ||
	    policy_is_same(policies_defaults(t), policies_defaults(now)) ||
	    w->defaults_said == w->policies_count)
		return;
	w->defaults_said = w->policies_count;
	store_report(w->store, 1,
	    "retention.* of this node is not what the node that led group %u "
	    "before it went by, and counts there from now on: set it to the "
	    "same on all nodes",
	    v->group.id);
}

/* Slots of the ring: the groups but the one that is watched. */
static uint32_t
n_slots(const struct store *s)
{
	return s->config.changed ? s->config.watched : s->config.n_groups;
}

static void
propose_policies(struct store_worker *w, struct vnode *v)
{
	struct retain *r = &v->retain;
	struct policies *t;
	struct buf encoded;

	if (policies_of_group(&t, w->policies, v->group.id, n_slots(w->store)))
		return; /* at the next tick */
	if (!differs(v, t)) {
		r->lead.seen = w->policies_count;
		r->lead.term = raft_term(v->group.raft);
		policies_unref(t);
		retain_look(w);
		return;
	}
	warn_of_defaults(w, v, t);
	buf_init(&encoded, POLICIES_BYTES_MAX);
	if (policies_encode(t, &encoded) == 0)
		propose(w, v, buf_slice(&encoded));
	buf_deinit(&encoded);
	policies_unref(t);
}

/* Whether something of V is to go that its clock does not know yet. */
static int
is_tick_due(const struct store_worker *w, const struct vnode *v)
{
	const struct retain *r = &v->retain;
	const struct env_clock *c = &w->store->env->clock;
	uint64_t now;

	if (!r->n_heap)
		return 0;
	now = c->wall(c->ctx).ms;
	return now >= v->group.clock_ms + TICK_MS &&
	       (r->n_expiring || r->heap[0]->due <= now);
}

void
retain_lead(struct store_worker *w, struct vnode *v)
{
	const struct retain *r = &v->retain;
	int unseen = w->policies && v->group.raft && is_unseen(w, v);

	if (!unseen && !r->n_heap)
		return;
	if (!may_propose(w, v))
		return;
	if (unseen)
		propose_policies(w, v);
	else if (is_tick_due(w, v))
		propose(w, v, SLICE(NULL, 0));
}

int
retain_holds_up(struct store_worker *w, struct vnode *v)
{
	if (!w->policies || !is_users(w->store, v) || !is_unseen(w, v))
		return 0;
	if (v->group.open)
		replica_propose(w, v); /* what came before */
	retain_lead(w, v);
	return is_unseen(w, v) && is_under_way(v);
}
