/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* server - the HTTP edge of one worker. */
#include "http/server.h"

#include "http/http_impl.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define TICK_US 250000

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

static void
on_tick(void *arg)
{
	struct http_server *s = arg;
	struct mono now = server_now(s);

	LIST_FOREACH_SAFE (node, tmp, &s->conns)
		conn_tick(LIST_ENTRY(node, struct conn, link), now);
}

int
http_server_new(
    struct http_server **out, const struct http_config *config, uint32_t worker)
{
	struct http_server *s = mem_zalloc(sizeof(*s));
	const struct env_timers *t = &config->env->timers;
	int r;

	if (!s)
		return -ERR_NOMEM;
	s->config = *config;
	s->worker = worker;
	list_init(&s->conns);
	s->hash = ring_hash_new();
	s->json = json_checker_new();
	r = s->hash && s->json ? 0 : -ERR_NOMEM;
	if (r == 0)
		r = tcp_listen(config->os, worker, config->ip, config->port,
		    &s->listener, conn_accept, s);
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
	return tcp_listener_port(s->listener);
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
	on_tick(s);
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
		conn_close(LIST_ENTRY(node, struct conn, link));
	tcp_listener_close(s->listener);
	s->config.env->timers.stop(s->config.env->timers.ctx, s->tick);
	ring_hash_free(s->hash);
	json_checker_free(s->json);
	return mem_free(s);
}
