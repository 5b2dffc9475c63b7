/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * router - who is asked, and what becomes of the answer.
 *
 * The path of a request: router_send -> forward (here: to the worker of the
 * group; elsewhere: router_remote.c) -> settle -> the asker, or again.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/node/router_impl.h"

#define TICK_US 50000 /* while something is out, or waits */
#define AT_ONCE 2     /* redirects before a request waits for the next tick */

uint64_t
router_now(const struct router *r)
{
	const struct env_clock *c = &r->env->clock;

	return c->mono(c->ctx).us;
}

static int
is_nobody(const uint8_t node[16])
{
	static const uint8_t zeros[16];

	return memcmp(node, zeros, 16) == 0;
}

/* --- who is asked --------------------------------------------------------- */

struct candidates {
	uint32_t n;
	const uint8_t *at[2 * RING_COPIES_MAX + RING_MEMBERS_MAX];
};

static void
add_candidate(struct candidates *c, const uint8_t node[16])
{
	for (uint32_t i = 0; i < c->n; i++)
		if (memcmp(c->at[i], node, 16) == 0)
			return;
	c->at[c->n++] = node;
}

static void
add_owners(struct candidates *c, const struct ring *ring,
    const uint16_t *owners, uint32_t group)
{
	uint16_t places[RING_COPIES_MAX];
	uint32_t n = ring_replicas(ring, owners, (uint16_t)group, places);

	for (uint32_t i = 0; i < n; i++)
		add_candidate(c, ring->members[places[i]].id);
}

/* This node first where it may have a replica: it knows who leads. */
static void
find_candidates(
    const struct router_worker *w, uint32_t group, struct candidates *c)
{
	const struct router *r = w->router;
	const struct ring *ring = w->ring;
	struct candidates all = {0};

	if (group >= ring->q) { /* the root: everybody has it */
		add_candidate(c, r->self);
		for (uint16_t i = 0; i < ring->n_members; i++)
			add_candidate(c, ring->members[i].id);
		return;
	}
	add_owners(&all, ring, ring->owners, group);
	add_owners(&all, ring, ring->next_owners, group);
	for (uint32_t i = 0; i < all.n; i++)
		if (memcmp(all.at[i], r->self, 16) == 0)
			add_candidate(c, r->self);
	for (uint32_t i = 0; i < all.n; i++)
		add_candidate(c, all.at[i]);
}

static int
is_any(const struct msg *m)
{
	return (m->kind == MSG_READ &&
		   CONTAINER_OF(m, struct vnode_read, msg)->any) ||
	       (m->kind == MSG_LIST &&
		   CONTAINER_OF(m, struct vnode_list, msg)->any);
}

static int
is_self(const struct router *r, const uint8_t node[16])
{
	return memcmp(node, r->self, 16) == 0;
}

/* Nobody who has the group is heard; somebody else may hear him. */
static const uint8_t *
choose_between(struct router_worker *w, struct msg *m)
{
	const struct router *r = w->router;
	const struct ring *ring = w->ring;

	m->relay = !m->served;
	for (uint16_t i = 0; m->relay && i < ring->n_members; i++) {
		const uint8_t *node =
		    ring->members[(m->tries + i) % ring->n_members].id;

		if (!is_self(r, node) && peers_is_up(r->peers, node))
			return node;
	}
	return NULL;
}

/*
 * The node to ask now, or NULL: none can be asked.  When this node does not hear
 * who leads, another one may: it passes the question on, which none does with
 * what was passed on to it.
 */
static const uint8_t *
choose(struct router_worker *w, struct msg *m)
{
	const struct router *r = w->router;
	uint32_t group = request_group(m);
	struct candidates c = {0};

	m->relay = 0;
	if (!is_any(m) && !is_nobody(w->leaders[group])) {
		if (peers_is_up(r->peers, w->leaders[group]))
			return w->leaders[group];
		m->relay = !m->served;
	}
	find_candidates(w, group, &c);
	for (uint32_t i = 0; i < c.n; i++) {
		const uint8_t *node = c.at[(m->tries + i) % c.n];

		if (peers_is_up(r->peers, node) &&
		    !(m->relay && is_self(r, node)))
			return node;
	}
	return choose_between(w, m);
}

/* --- answers -------------------------------------------------------------- */

static int
is_write(const struct router *r, const struct msg *m)
{
	return request_is_write(m) && request_group(m) < r->n_groups - 1;
}

/* That the last try came to nothing says nothing of those before; that its key
 * or its condition forbids it does. */
static int
outcome(const struct msg *m, int r)
{
	return m->unsure && r && r != -ERR_CONFLICT && r != -ERR_MISMATCH
		   ? -ERR_UNKNOWN
		   : r;
}

static void
finish(struct msg *m, int r)
{
	*request_result(m) = outcome(m, r);
	m->answer = 1;
	m->fn = m->then;
	m->fn(m);
}

void
router_deliver(struct msg *m, int r)
{
	struct router *router = m->via;

	if (is_write(router, m))
		atomic_fetch_sub(&router->workers[m->from].n_writes, 1);
	finish(m, r);
}

static void forward(struct router_worker *w, struct msg *m);

static void tick(void *arg);

void
router_arm(struct router_worker *w)
{
	const struct env_timers *t = &w->router->env->timers;

	if (!w->tick)
		w->tick = t->start(t->ctx, w->id, TICK_US, tick, w);
}

void
router_later(struct router_worker *w, struct msg *m)
{
	router_arm(w);
	if (!w->tick) {
		router_deliver(m, -ERR_NOMEM);
		return;
	}
	m->next = NULL;
	*w->last_later = m;
	w->last_later = &m->next;
}

/* It was refused, so it was not proposed.  What was passed on goes back at once:
 * who passed it on tries again, and knows until when. */
static void
again(struct router_worker *w, struct msg *m)
{
	request_drop_answer(m);
	if (m->served)
		router_deliver(m, -ERR_NOTLEADER);
	else if (w->stopping || router_now(w->router) >= m->deadline_us)
		router_deliver(m, -ERR_UNAVAILABLE);
	else if (++m->tries <= AT_ONCE)
		forward(w, m);
	else
		router_later(w, m);
}

int
router_may_repeat(const struct msg *m)
{
	return !request_is_write(m) ||
	       (m->kind == MSG_PUT &&
		   CONTAINER_OF(m, const struct vnode_put, msg)->has_key);
}

void
router_settle(struct router_worker *w, struct msg *m, const uint8_t node[16])
{
	struct router *r = w->router;
	uint8_t *leader = w->leaders[request_group(m)];
	int result = *request_result(m);
	int here = memcmp(node, r->self, 16) == 0;

	if (result == -ERR_NOTLEADER) {
		memcpy(leader, request_leader(m), 16);
		if (memcmp(leader, node, 16) == 0)
			memset(leader, 0, 16);
		again(w, m);
	} else if (result == -ERR_UNKNOWN && router_may_repeat(m)) {
		memset(leader, 0, 16);
		m->unsure = 1;
		again(w, m);
	} else if (result == -ERR_STOPPING && !here) {
		memset(leader, 0, 16);
		again(w, m);
	} else {
		if (result == 0 && !is_any(m) && !m->relay)
			memcpy(leader, node, 16);
		else if (result == -ERR_UNAVAILABLE)
			memset(leader, 0, 16);
		router_deliver(m, result);
	}
}

static void
answered_here(struct msg *m)
{
	struct router_worker *w = &((struct router *)m->via)->workers[m->from];

	w->n_out--;
	router_settle(w, m, w->router->self);
}

/* --- requests ------------------------------------------------------------- */

static void
forward(struct router_worker *w, struct msg *m)
{
	struct router *r = w->router;
	const struct env_post *post = &r->env->post;
	const uint8_t *node = choose(w, m);
	uint32_t group = request_group(m);

	if (!node && m->served) {
		router_deliver(m, -ERR_NOTLEADER);
	} else if (!node) {
		router_later(w, m);
	} else if (memcmp(node, r->self, 16) == 0) {
		m->answer = 0;
		m->fn = answered_here;
		w->n_out++;
		post->to_worker(post->ctx, group % post->n_workers, m);
	} else if (router_call(w, m, node)) {
		m->tries += AT_ONCE; /* nothing was sent */
		router_later(w, m);
	}
}

static void
refused(struct msg *m)
{
	finish(m, -ERR_UNAVAILABLE);
}

/* Counted before it is looked at: who holds sees the one or is seen. */
static int
is_held(struct router_worker *w)
{
	atomic_fetch_add(&w->n_writes, 1);
	if (!atomic_load(&w->router->held))
		return 0;
	atomic_fetch_sub(&w->n_writes, 1);
	return 1;
}

/* What M waits for by itself is not the fault of who has it. */
static uint64_t
wait_us(const struct msg *m)
{
	if (m->kind == MSG_NEWS)
		return CONTAINER_OF(m, struct vnode_news, msg)->wait_ms *
		       1000ull;
	return m->kind == MSG_READ
		   ? CONTAINER_OF(m, struct vnode_read, msg)->wait_ms * 1000ull
		   : 0;
}

void
router_send(void *ctx, uint32_t group, struct msg *m)
{
	struct router *r = ctx;
	struct router_worker *w = &r->workers[m->from];
	const struct env_post *post = &r->env->post;

	if (m->kind == MSG_PING) { /* of this node, not of the group */
		post->to_worker(post->ctx, group % post->n_workers, m);
		return;
	}
	ASSERT(request_group(m) == group && group < r->n_groups);
	m->then = m->fn;
	m->via = r;
	m->tries = 0;
	m->deadline_us = router_now(r) + w->timeout_us + wait_us(m);
	if (!m->served)
		m->wait_until_us = m->deadline_us;
	m->unsure = 0;
	if (w->stopping || (is_write(r, m) && is_held(w))) {
		m->fn = refused;
		m->answer = 1;
		post->to_worker(post->ctx, m->from, m);
		return;
	}
	forward(w, m);
}

/* --- time ----------------------------------------------------------------- */

static struct msg *
take_later(struct router_worker *w)
{
	struct msg *m = w->later;

	w->later = NULL;
	w->last_later = &w->later;
	return m;
}

static void
disarm(struct router_worker *w)
{
	const struct env_timers *t = &w->router->env->timers;

	t->stop(t->ctx, w->tick);
	w->tick = NULL;
}

static void
tick(void *arg)
{
	struct router_worker *w = arg;
	struct router *r = w->router;
	struct msg *m, *next;

	router_calls_tick(w);
	for (m = take_later(w); m; m = next) {
		next = m->next;
		if (w->stopping || router_now(r) >= m->deadline_us)
			router_deliver(m, -ERR_UNAVAILABLE);
		else
			forward(w, m);
	}
	if (!w->later && list_empty(&w->calls))
		disarm(w);
}

/* --- life ----------------------------------------------------------------- */

struct router *
router_new(const struct router_config *config)
{
	struct router *r = mem_zalloc(sizeof(*r));
	uint32_t n = config->env->post.n_workers;

	if (!r)
		return NULL;
	r->env = config->env;
	r->peers = config->peers;
	r->n_groups = config->n_groups;
	memcpy(r->self, config->self, 16);
	r->workers = mem_calloc(n, sizeof(*r->workers));
	if (!r->workers)
		return router_free(r);
	for (uint32_t i = 0; i < n; i++) {
		struct router_worker *w = &r->workers[i];

		w->router = r;
		w->id = i;
		w->timeout_us = config->timeout_us;
		w->last_later = &w->later;
		list_init(&w->calls);
		config->env->rng.bytes(config->env->rng.ctx, &w->first_life,
		    sizeof(w->first_life));
		w->leaders = mem_zalloc(16 * (size_t)r->n_groups);
		if (!w->leaders)
			return router_free(r);
	}
	return r;
}

struct router *
router_free(struct router *r)
{
	if (!r)
		return NULL;
	for (uint32_t i = 0; r->workers && i < r->env->post.n_workers; i++) {
		struct router_worker *w = &r->workers[i];

		for (uint32_t k = 0; k < w->n_slots; k++)
			mem_free(w->slots[k]);
		mem_free(w->slots);
		mem_free(w->leaders);
		ring_unref(w->ring);
	}
	mem_free(r->workers);
	return mem_free(r);
}

void
router_hold(struct router *r, int on)
{
	atomic_store(&r->held, on);
}

uint32_t
router_writes(const struct router *r)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->env->post.n_workers; i++)
		n += atomic_load(&r->workers[i].n_writes);
	return n;
}

void
router_set_ring(struct router *r, uint32_t worker, struct ring *ring)
{
	struct router_worker *w = &r->workers[worker];
	struct ring *old = w->ring;

	for (uint32_t g = 0; g < r->n_groups; g++)
		if (ring_find(ring, w->leaders[g]) == RING_NOBODY)
			memset(w->leaders[g], 0, 16); /* it has left */
	w->ring = ring_ref(ring);
	ring_unref(old);
}

void
router_set_timeout(struct router *r, uint32_t worker, uint64_t us)
{
	r->workers[worker].timeout_us = us;
}

void
router_stop(struct router *r, uint32_t worker)
{
	struct router_worker *w = &r->workers[worker];

	w->stopping = 1;
	tick(w);
}
