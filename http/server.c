/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* server - the HTTP edge of one worker. */
#include "http/server.h"

#include "http/listen.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define TICK_US     250000
#define WORKERS_MAX 64

struct mono
server_now(const struct http_server *s)
{
	return s->config.env->clock.mono(s->config.env->clock.ctx);
}

const char *
server_date(struct http_server *s)
{
	struct wall now = s->config.env->clock.wall(s->config.env->clock.ctx);

	if (now.ms / 1000 != s->date_s) {
		s->date_s = now.ms / 1000;
		time_http(now, s->date);
	}
	return s->date;
}

struct block *
server_block(struct http_server *s)
{
	return s->n_spare ? s->spare[--s->n_spare] : block_new(IN_BYTES);
}

void
server_give_block(struct http_server *s, struct block *b)
{
	if (!b || atomic_load(&b->refs) != 1 || b->cap != IN_BYTES ||
	    s->n_spare == SPARE_BLOCKS) {
		block_unref(b);
		return;
	}
	b->n = 0;
	s->spare[s->n_spare++] = b;
}

int
server_charge(struct http_server *s, uint64_t n)
{
	uint64_t all = atomic_fetch_add(s->config.inflight_bytes, n) + n;

	return all <= s->config.max_inflight;
}

void
server_uncharge(struct http_server *s, uint64_t n)
{
	atomic_fetch_sub(s->config.inflight_bytes, n);
}

/* --- turns and deadlines -------------------------------------------------- */

static void
on_flush(struct msg *m)
{
	struct http_server *s = CONTAINER_OF(m, struct http_server, flush);
	struct list *node;

	s->flush_posted = 0;
	while ((node = list_take_first(&s->dirty)))
		conn_run(LIST_ENTRY(node, struct conn, dirty));
}

static void
expire_requests(struct http_server *s, struct mono now)
{
	struct list *node;

	while ((node = list_first(&s->asked))) {
		struct request *rq = LIST_ENTRY(node, struct request, asked);

		if (rq->deadline.us > now.us)
			break;
		list_del(node);
		request_timed_out(rq);
	}
}

/* Those that wait on are put behind, so only what was there is looked at. */
static void
expire_conns(struct list *waits, struct mono now)
{
	struct list *node;

	while ((node = list_first(waits))) {
		struct conn *c = LIST_ENTRY(node, struct conn, waiting);

		if (c->deadline.us > now.us)
			break;
		conn_expired(c);
	}
}

static void
on_tick(void *arg)
{
	struct http_server *s = arg;
	struct mono now = server_now(s);

	expire_requests(s, now);
	listen_server_tick(s, now);
	for (int kind = WAIT_NONE + 1; kind < WAIT_COUNT; kind++)
		expire_conns(&s->waits[kind], now);
}

/* --- life ----------------------------------------------------------------- */

static int
open_listeners(struct http_server *s)
{
	const struct http_config *c = &s->config;
	int r = 0;

	if (c->ip)
		r = tcp_listen(c->os, s->worker, c->ip, c->port, &s->listener,
		    conn_accept, s);
	if (r == 0 && c->tls_ip)
		r = tcp_listen(c->os, s->worker, c->tls_ip, c->tls_port,
		    &s->tls_listener, conn_accept, s);
	if (s->tls_listener)
		tcp_listener_set_tls(s->tls_listener, c->tls);
	return r;
}

int
http_server_new(
    struct http_server **out, const struct http_config *config, uint32_t worker)
{
	struct http_server *s = mem_zalloc(sizeof(*s));
	const struct env_timers *t = &config->env->timers;
	uint64_t seed;
	int r;

	if (!s)
		return -ERR_NOMEM;
	s->config = *config;
	s->worker = worker;
	list_init(&s->conns);
	list_init(&s->asked);
	list_init(&s->dirty);
	list_init(&s->patching);
	for (int kind = 0; kind < WAIT_COUNT; kind++)
		list_init(&s->waits[kind]);
	s->flush = (struct msg){.kind = MSG_CALL, .fn = on_flush};
	config->env->rng.bytes(config->env->rng.ctx, &seed, sizeof(seed));
	s->listen = listen_server_new(seed);
	s->hash = ring_hash_new();
	s->json = json_checker_new();
	s->metrics = metrics_shard(config->metrics, worker);
	s->counts = counts_new(route_pattern);
	s->tokens = token_cache_new();
	r = s->listen && s->hash && s->json && s->counts && s->tokens
		? 0
		: -ERR_NOMEM;
	if (r == 0)
		r = open_listeners(s);
	if (r == 0) {
		s->tick = t->start(t->ctx, worker, TICK_US, on_tick, s);
		r = s->tick ? 0 : -ERR_NOMEM;
	}
	if (r) {
		http_server_free(s);
		return r;
	}
	*out = s;
	return 0;
}

uint16_t
http_server_port(const struct http_server *s)
{
	return s->listener ? tcp_listener_port(s->listener) : 0;
}

uint16_t
http_server_tls_port(const struct http_server *s)
{
	return s->tls_listener ? tcp_listener_port(s->tls_listener) : 0;
}

void
http_server_set_tls(struct http_server *s, struct tls_context *context)
{
	if (s->tls_listener)
		tcp_listener_set_tls(s->tls_listener, context);
}

void *
http_server_arg(const struct http_server *s)
{
	return s->config.arg;
}

void
http_server_stop(struct http_server *s)
{
	s->stopping = 1;
	s->listener = tcp_listener_close(s->listener);
	s->tls_listener = tcp_listener_close(s->tls_listener);
	LIST_FOREACH_SAFE (node, tmp, &s->conns)
		conn_stop(LIST_ENTRY(node, struct conn, link));
}

int
http_server_set_auth(struct http_server *s, struct auth_view *view)
{
	struct auth_view *old = s->auth;

	s->auth = auth_view_ref(view);
	auth_view_unref(old);
	listen_server_check(s);
	if (!old)
		LIST_FOREACH (node, &s->conns)
			conn_goes_on_with_users(
			    LIST_ENTRY(node, struct conn, link));
	return !old;
}

void
http_server_set_policies(struct http_server *s, struct policies *table)
{
	struct policies *old = s->policies;

	s->policies = policies_ref(table);
	policies_unref(old);
}

static void
expose_listeners(
    struct http_server *const *servers, uint32_t n, struct expose *e)
{
	static const char *const labels[HTTP_LISTEN_KINDS] = {
	    "transport=\"comet\"", "transport=\"sse\"",
	    "transport=\"websocket\""};

	expose_family(
	    e, EXPOSE_GAUGE, "iorio_listeners", "Requests that listen now.");
	for (int kind = 0; kind < HTTP_LISTEN_KINDS; kind++) {
		uint64_t sum = 0;

		for (uint32_t i = 0; i < n; i++)
			sum += atomic_load(&servers[i]->n_listeners[kind]);
		expose_value(e, labels[kind], sum);
	}
}

void
http_server_expose(
    struct http_server *const *servers, uint32_t n, struct expose *e)
{
	struct counts *all[WORKERS_MAX];

	for (uint32_t i = 0; i < n; i++)
		all[i] = servers[i]->counts;
	counts_expose(all, n, e);
	expose_listeners(servers, n, e);
}

void
http_server_set_timeout(struct http_server *s, uint64_t us)
{
	s->config.request_timeout_us = us;
}

void
http_server_set_limits(
    struct http_server *s, uint64_t user_rps, uint64_t anonymous_rps)
{
	s->user_rps = user_rps;
	s->anonymous_rps = anonymous_rps;
}

uint32_t
http_server_connections(const struct http_server *s)
{
	return s->n_conns;
}

struct http_server *
http_server_free(struct http_server *s)
{
	if (!s)
		return NULL;
	LIST_FOREACH_SAFE (node, tmp, &s->conns)
		conn_free(LIST_ENTRY(node, struct conn, link));
	listen_server_free(s->listen);
	tcp_listener_close(s->listener);
	tcp_listener_close(s->tls_listener);
	s->config.env->timers.stop(s->config.env->timers.ctx, s->tick);
	while (s->n_spare)
		block_unref(s->spare[--s->n_spare]);
	ring_hash_free(s->hash);
	json_checker_free(s->json);
	counts_free(s->counts);
	token_cache_free(s->tokens);
	auth_view_unref(s->auth);
	policies_unref(s->policies);
	return mem_free(s);
}
