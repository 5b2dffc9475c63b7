/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* policies - who sets them, and what must be the same on all replicas. */
#include "tests/world/policies.h"

#include "src/base/err.h"
#include "tests/world/world.h"
#include "vnode/store_impl.h"

#define LOOK_US 60000
/* So many may follow yet: each of them may have to forget an age. */
#define TABLES_MAX (KEEP_TABLES - POLICY_NAMES - 1)

/* --- setting them ----------------------------------------------------------- */

void
policies_name(const struct world *w, uint32_t name, struct slice *bucket,
    struct slice *stream)
{
	const struct model_stream *s = w->model.streams;

	*bucket = *stream = SLICE(NULL, 0);
	if (name < MODEL_BUCKETS) {
		/* The first of its streams, if it has any, is so numbered. */
		*bucket = SLICE_STR(s[name % w->model.n_plain].bucket);
		return;
	}
	*bucket = SLICE_STR(s[name - MODEL_BUCKETS].bucket);
	*stream = SLICE_STR(s[name - MODEL_BUCKETS].name);
}

static struct policy
draw(struct world *w)
{
	struct policy p = {{0}};

	if (world_one_in(w, 2))
		p.max[POLICY_EVENTS] = world_between(w, 1, 60);
	if (world_one_in(w, 2))
		p.max[POLICY_BYTES] =
		    world_between(w, 1, world_one_in(w, 2) ? 4000 : 60000);
	if (world_one_in(w, 2))
		p.max[POLICY_AGE] = world_between(w, 1, 20000);
	if (world_one_in(w, 6))
		p = (struct policy){{0}};
	return p;
}

static uint32_t
n_names(const struct world *w)
{
	return MODEL_BUCKETS + w->model.n_streams;
}

static void
tell_oracle(struct world *w)
{
	const struct policy *all = w->policies.of;
	struct policy of[MODEL_STREAMS] = {{{0}}};

	for (uint32_t s = 0; s < w->model.n_streams; s++) {
		const struct policy *own = &all[MODEL_BUCKETS + s];
		const struct policy *bucket =
		    &all[s % w->model.n_plain % MODEL_BUCKETS];

		for (int i = 0; i < POLICY_N_LIMITS; i++)
			of[s].max[i] =
			    own->max[i] ? own->max[i] : bucket->max[i];
	}
	keep_begin(&w->keep, of);
}

static void
begin(struct world *w, uint32_t name, struct policy p)
{
	struct world_policies *ps = &w->policies;
	struct slice bucket, stream;

	policies_name(w, name, &bucket, &stream);
	world_trace(w,
	    "policy %llu: %.*s/%.*s: %llu events, %llu bytes, %llu ms",
	    (unsigned long long)ps->version + 1, (int)bucket.n,
	    (const char *)bucket.p, (int)stream.n, (const char *)stream.p,
	    (unsigned long long)p.max[POLICY_EVENTS],
	    (unsigned long long)p.max[POLICY_BYTES],
	    (unsigned long long)p.max[POLICY_AGE]);
	ps->of[name] = p;
	ps->at = name;
	ps->version++;
	ps->under_way = 1;
	tell_oracle(w);
}

/* One that time would go on with; n_names: there is none. */
static uint32_t
next_age(const struct world *w)
{
	uint32_t i = 0;

	while (i < n_names(w) && !w->policies.of[i].max[POLICY_AGE])
		i++;
	return i;
}

static void
change_mind(struct world *w)
{
	uint32_t name;

	if (!w->policies.calm) {
		/* Buckets without streams have no name. */
		name = (uint32_t)world_below(w, n_names(w));
		if (name < MODEL_BUCKETS && name >= w->model.n_plain)
			return;
		if (w->keep.n < TABLES_MAX && world_one_in(w, 8))
			begin(w, name, draw(w));
		return;
	}
	name = next_age(w);
	if (name < n_names(w)) {
		struct policy p = w->policies.of[name];

		p.max[POLICY_AGE] = 0;
		begin(w, name, p);
	}
}

static void
look(struct world *w, struct happening *ev)
{
	struct world_policies *ps = &w->policies;

	if (ps->under_way && policies_push(w)) {
		world_trace(w, "policy %llu is in force",
		    (unsigned long long)ps->version);
		ps->under_way = 0;
		keep_done(&w->keep, &w->model);
	} else if (!ps->under_way) {
		change_mind(w);
	}
	if (!w->closing)
		world_schedule(w, world_between(w, LOOK_US / 4, LOOK_US), *ev);
}

void
policies_begin(struct world *w)
{
	keep_init(&w->keep);
	w->policies.on = !w->deletes && !w->flips.on && !world_one_in(w, 4);
	if (w->policies.on)
		world_schedule(w, LOOK_US, (struct happening){.run = look});
}

void
policies_calm(struct world *w)
{
	w->policies.calm = 1;
}

int
policies_are_done(void *world)
{
	const struct world *w = world;

	return !w->policies.on ||
	       (!w->policies.under_way && next_age(w) == n_names(w));
}

static int
is_in_log(struct world *w, uint32_t group)
{
	struct node *n = groups_leader(w, group);
	const struct store_worker *worker;
	const struct retain *r;
	struct store_group g;

	if (!n)
		return 0;
	store_group(n->store, group, &g);
	r = &n->store->vnodes[group].retain;
	worker = store_worker_of(n->store, group);
	if (!g.ready || !worker->policies ||
	    (!w->rings &&
		policies_version(worker->policies) != w->policies.version))
		return 0; /* with rings its own node has said so */
	return r->lead.term == g.term && r->lead.seen == worker->policies_count;
}

int
policies_are_in_logs(struct world *w)
{
	uint32_t g = 0;

	while (g < w->n_groups && is_in_log(w, g))
		g++;
	return g == w->n_groups;
}

/* --- replicas ---------------------------------------------------------------- */

static int
is_here(const struct node *n)
{
	return n->state != NODE_DOWN && n->store && process_serves(n);
}

void
policies_watch(const struct node *n)
{
	struct world *w = n->world;

	if (!w->policies.on || !is_here(n))
		return;
	for (uint32_t g = 0; g < w->n_groups; g++) {
		uint64_t ms = n->store->vnodes[g].group.clock_ms;

		if (w->model.clock_ms[g] < ms)
			w->model.clock_ms[g] = ms;
	}
}

/* Of GROUP, with its log applied to the end of an entry; or NULL. */
static const struct vnode *
replica_at(const struct node *n, uint32_t group)
{
	const struct vnode *v;

	if (!is_here(n))
		return NULL;
	v = &n->store->vnodes[group];
	return v->group.raft && !v->group.failed && !v->group.half_applied
		   ? v
		   : NULL;
}

static void
check_pair(struct world *w, const struct vnode *a, const struct vnode *b)
{
	for (uint32_t i = 0; i < a->n_by_id; i++) {
		const struct stream *s = a->by_id[i];
		const struct stream *t = vnode_by_id(b, s->id);
		struct limits l = kept_limits(s, a->group.clock_ms), k;

		if (s->last == 0)
			continue; /* only proposed */
		if (!t)
			world_fail(w, "replicas of group %u have other streams",
			    a->group.id);
		k = kept_limits(t, b->group.clock_ms);
		if (l.seq != k.seq || l.before != k.before || l.t != k.t)
			world_fail(w,
			    "replicas of group %u hide different events of "
			    "%.*s: below %llu, %llu bytes, %llu ms; %llu, "
			    "%llu, %llu",
			    a->group.id, (int)s->name_n, s->name,
			    (unsigned long long)l.seq,
			    (unsigned long long)l.before,
			    (unsigned long long)l.t, (unsigned long long)k.seq,
			    (unsigned long long)k.before,
			    (unsigned long long)k.t);
	}
}

void
policies_check(struct world *w, uint32_t group)
{
	for (uint32_t i = 0; w->policies.on && i < w->n_nodes; i++) {
		const struct vnode *a = replica_at(&w->nodes[i], group);

		for (uint32_t k = i + 1; a && k < w->n_nodes; k++) {
			const struct vnode *b = replica_at(&w->nodes[k], group);

			if (b &&
			    a->group.applied_index == b->group.applied_index)
				check_pair(w, a, b);
		}
	}
}
