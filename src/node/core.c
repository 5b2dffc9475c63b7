/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* core - the parts put together, which message goes where, and their end. */
#include "src/node/core.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/node/membership.h"
#include "vnode/mutants.h"

struct core_worker {
	struct core *core;
	uint32_t id;
	struct msg stop;
};

struct core {
	struct core_config config;
	const struct env *env;
	struct peers *peers;
	struct router *router;
	struct store *store;
	struct roots *roots;
	struct cluster *cluster;
	struct hold *hold;
	struct join *join;
	struct membership *membership;
	struct fill_limit *fill_limit;
	struct core_worker *workers;
	struct env_timer *beat;
	uint32_t q;
	atomic_uint n_stopped;
	void (*stopped)(void *arg);
	void *stopped_arg;
};

/* --- messages ------------------------------------------------------------- */

struct hand_over {
	struct msg msg;
	struct core *core;
	struct net_frame *frame;
};

/* On worker 0: of a stranger, or about the ring. */
static void
take_frame(struct msg *m)
{
	struct hand_over *h = CONTAINER_OF(m, struct hand_over, msg);
	struct core *c = h->core;
	struct net_frame *f = h->frame;

	mem_free(h);
	if (f->stranger && membership_is_frame(f->bytes))
		membership_frame(c->membership, f);
	else if (f->stranger)
		join_frame(c->join, f);
	else if (fill_limit_is_frame(f->bytes))
		fill_limit_frame(c->fill_limit, f);
	else if (!cluster_frame(c->cluster, f))
		net_frame_free(f);
}

static void
to_worker_0(struct core *c, struct net_frame *f)
{
	const struct env_post *post = &c->env->post;
	struct hand_over *h = mem_alloc(sizeof(*h));

	if (!h) {
		net_frame_free(f); /* lost, as frames may be */
		return;
	}
	*h = (struct hand_over){.core = c, .frame = f};
	h->msg = (struct msg){.kind = MSG_CALL, .fn = take_frame};
	post->to_worker(post->ctx, 0, &h->msg);
}

static void
handle_frame(struct core *c, uint32_t worker, struct net_frame *f)
{
	const struct env_clock *clock = &c->env->clock;
	struct call_in call;

	if (!f->stranger)
		peers_heard(c->peers, f->from, clock->mono(clock->ctx));
	if (f->stranger || cluster_is_frame(f->bytes) ||
	    fill_limit_is_frame(f->bytes))
		to_worker_0(c, f);
	else if (call_open(f->bytes, &call) == 0)
		router_frame(c->router, worker, f, &call);
	else
		store_handle(c->store, worker, &f->msg);
}

void
core_handle(struct core *c, uint32_t worker, struct msg *m)
{
	if (m->kind == MSG_FRAME)
		handle_frame(c, worker, CONTAINER_OF(m, struct net_frame, msg));
	else
		store_handle(c->store, worker, m);
}

void
core_turn(struct core *c, uint32_t worker)
{
	store_turn(c->store, worker);
}

/* --- time ----------------------------------------------------------------- */

static void
on_beat(void *arg)
{
	struct core *c = arg;

	cluster_tick(c->cluster);
	join_tick(c->join);
	membership_tick(c->membership);
	fill_limit_tick(c->fill_limit);
	roots_tick(c->roots);
}

/* --- start ---------------------------------------------------------------- */

static int
open_store(struct core *c, const struct ring *ring, char *why, size_t n)
{
	const struct identity *id = c->config.identity;
	struct store_config sc = c->config.store;

	sc.env = c->env;
	sc.dir = id->dir;
	sc.n_groups = ring->q + 1u; /* and the root */
	sc.found = !id->joined || VNODE_MUTANT(JOINED_NODE_FOUNDS);
	sc.changed = cluster_changed;
	sc.told = cluster_told_by;
	sc.above_arg = c->cluster;
	sc.watched = ring->q;
	memcpy(sc.cluster_id, id->cluster_id, 16);
	memcpy(sc.node_id, id->node_id, 16);
	return store_open(&c->store, &sc, why, n);
}

static struct roots *
make_roots(struct core *c, const struct ring *ring)
{
	struct root_value_config root = {
	    .env = c->env,
	    .log = c->config.log,
	    .identity = c->config.identity,
	    .router = c->router,
	    .group = ring->q,
	    .timeout_us = c->config.store.request_timeout_us,
	};

	return roots_new(&c->config.roots, &root, &c->store, c->config.arg);
}

static int
make_parts(struct core *c, struct ring *ring)
{
	const struct core_config *config = &c->config;
	struct router_config rc = {
	    .env = c->env,
	    .n_groups = ring->q + 1u,
	    .timeout_us = config->store.request_timeout_us,
	};
	struct cluster_config cc = {
	    .env = c->env,
	    .log = config->log,
	    .identity = config->identity,
	    .timeout_us = config->store.request_timeout_us,
	    .looked = roots_looked,
	    .heard = roots_heard,
	    .published = config->published,
	    .left = config->left,
	    .arg = config->arg,
	};
	struct hold_config hc = {.env = c->env, .store = &c->store};
	struct join_config jc = {
	    .env = c->env,
	    .log = config->log,
	    .identity = config->identity,
	    .nodename = config->nodename,
	    .tell = config->tell,
	    .tell_back = config->tell_back,
	    .arg = config->arg,
	};
	struct membership_config mc = {
	    .env = c->env,
	    .identity = config->identity,
	    .tell_back = config->tell_back,
	    .arg = config->arg,
	};
	struct fill_limit_config lc = {
	    .env = c->env,
	    .log = config->log,
	    .identity = config->identity,
	    .store = &c->store,
	};

	c->q = ring->q;
	c->peers = peers_new(
	    config->identity->node_id, c->env->clock.mono(c->env->clock.ctx));
	rc.peers = cc.peers = c->peers;
	memcpy(rc.self, config->identity->node_id, 16);
	c->router = c->peers ? router_new(&rc) : NULL;
	cc.router = c->router;
	cc.store = &c->store;
	c->roots = c->router ? make_roots(c, ring) : NULL;
	cc.root_arg = c->roots;
	c->cluster = c->roots ? cluster_new(&cc, ring) : NULL;
	if (c->cluster)
		roots_start(c->roots, c->cluster);
	hc.router = c->router;
	c->hold = c->cluster ? hold_new(&hc) : NULL;
	jc.cluster = c->cluster;
	jc.hold = c->hold;
	mc.cluster = c->cluster;
	c->join = c->hold ? join_new(&jc) : NULL;
	c->membership = c->join ? membership_new(&mc) : NULL;
	lc.cluster = c->cluster;
	c->fill_limit = c->membership ? fill_limit_new(&lc) : NULL;
	return c->fill_limit ? 0 : -ERR_NOMEM;
}

int
core_open(struct core **out, const struct core_config *config,
    struct ring *ring, char *why, size_t why_bytes)
{
	struct core *c = mem_zalloc(sizeof(*c));
	uint32_t n = config->env->post.n_workers;
	int r;

	if (!c)
		return -ERR_NOMEM;
	c->config = *config;
	c->env = config->env;
	c->workers = mem_calloc(n, sizeof(*c->workers));
	r = c->workers ? make_parts(c, ring) : -ERR_NOMEM;
	if (r == 0)
		r = open_store(c, ring, why, why_bytes);
	if (r) {
		core_close(c);
		return r;
	}
	for (uint32_t i = 0; i < n; i++)
		c->workers[i] = (struct core_worker){.core = c, .id = i};
	*out = c;
	return 0;
}

int
core_start(struct core *c)
{
	const struct env_timers *t = &c->env->timers;
	int r = store_start(c->store);

	if (r == 0)
		r = cluster_start(c->cluster);
	if (r)
		return r;
	c->beat = t->start(t->ctx, 0, CLUSTER_BEAT_US, on_beat, c);
	return c->beat ? 0 : -ERR_NOMEM;
}

struct core *
core_close(struct core *c)
{
	if (!c)
		return NULL;
	fill_limit_free(c->fill_limit);
	membership_free(c->membership);
	join_free(c->join);
	hold_free(c->hold);
	store_close(c->store);
	cluster_free(c->cluster);
	roots_free(c->roots);
	router_free(c->router);
	peers_free(c->peers);
	mem_free(c->workers);
	return mem_free(c);
}

/* --- stop ----------------------------------------------------------------- */

static void
stop_worker(struct msg *m)
{
	struct core_worker *w = CONTAINER_OF(m, struct core_worker, stop);
	struct core *c = w->core;
	const struct env_timers *t = &c->env->timers;

	if (w->id == 0) {
		join_stop(c->join);
		fill_limit_stop(c->fill_limit);
		roots_stop(c->roots);
		cluster_stop(c->cluster);
		t->stop(t->ctx, c->beat);
		c->beat = NULL;
	}
	router_stop(c->router, w->id);
	if (atomic_fetch_add(&c->n_stopped, 1) + 1 == c->env->post.n_workers)
		store_stop(c->store, c->stopped, c->stopped_arg);
}

void
core_stop(struct core *c, void (*done)(void *arg), void *arg)
{
	const struct env_post *post = &c->env->post;

	c->stopped = done;
	c->stopped_arg = arg;
	for (uint32_t i = 0; i < post->n_workers; i++) {
		struct msg *m = &c->workers[i].stop;

		*m = (struct msg){.kind = MSG_CALL, .fn = stop_worker};
		post->to_worker(post->ctx, i, m);
	}
}

/* --- looking -------------------------------------------------------------- */

struct vnode_route
core_route(struct core *c)
{
	return (struct vnode_route){router_send, c->router, c->q};
}

struct router *
core_router(const struct core *c)
{
	return c->router;
}

struct store *
core_store(const struct core *c)
{
	return c->store;
}

struct cluster *
core_cluster(const struct core *c)
{
	return c->cluster;
}

struct fill_limit *
core_fill_limit(const struct core *c)
{
	return c->fill_limit;
}

struct roots *
core_roots(const struct core *c)
{
	return c->roots;
}

struct join *
core_join(const struct core *c)
{
	return c->join;
}
