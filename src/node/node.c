/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * node - start, routing of messages, ordered stop.
 *
 * Start: lock the data directory, read who we are, recover the store, listen,
 * run. Stop: no new connections; when the last answer is out (or after 10 s)
 * the store writes its last checkpoint; then the loops end.
 */
#include "src/node/node_impl.h"

#include <signal.h>
#include <unistd.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/base/tree.h"

#define STOP_WAIT_US 10000000ull
#define STOP_POLL_US 20000

void
node_url(const char *scheme, const char *ip, uint16_t port, char *out, size_t n)
{
	int v6 = strchr(ip, ':') != NULL;

	snprintf(out, n, "%s://%s%s%s:%u", scheme, v6 ? "[" : "", ip,
	    v6 ? "]" : "", port);
}

/* --- messages ------------------------------------------------------------- */

void
node_dispatch(void *arg, uint32_t worker, struct msg *m)
{
	struct node *n = arg;

	if (m->kind == MSG_CALL || m->answer)
		m->fn(m);
	else
		core_handle(n->core, worker, m);
}

void
node_turn(void *arg, uint32_t worker)
{
	struct node *n = arg;

	core_turn(n->core, worker);
}

/* --- stop ----------------------------------------------------------------- */

static void
store_stopped(void *arg)
{
	struct node *n = arg;

	os_stop(n->os);
}

/* On each worker: until its connections are gone, or time is up. */
static void
on_stop_tick(void *arg)
{
	struct http_server **slot = arg;
	struct http_server *s = *slot;
	struct node *n = http_server_arg(s);
	struct mono now = n->env->clock.mono(n->env->clock.ctx);
	uint32_t i = (uint32_t)(slot - n->servers);

	if (http_server_connections(s) &&
	    mono_diff_us(n->stop_since, now) < STOP_WAIT_US)
		return;
	n->env->timers.stop(n->env->timers.ctx, n->stop_timers[i]);
	n->stop_timers[i] = NULL;
	if (atomic_fetch_add(&n->idle_workers, 1) + 1 == (int)n->n_workers)
		core_stop(n->core, store_stopped, n);
}

struct stop_call {
	struct msg msg;
	struct node *node;
	uint32_t worker;
};

static void
stop_worker(struct msg *m)
{
	struct stop_call *c = CONTAINER_OF(m, struct stop_call, msg);
	struct node *n = c->node;
	uint32_t i = c->worker;

	mem_free(c);
	http_server_stop(n->servers[i]);
	n->stop_timers[i] = n->env->timers.start(
	    n->env->timers.ctx, i, STOP_POLL_US, on_stop_tick, &n->servers[i]);
	if (!n->stop_timers[i])
		os_stop(n->os);
}

void
node_stop(struct node *n)
{
	if (atomic_exchange(&n->stopping, 1))
		return;
	n->stop_since = n->env->clock.mono(n->env->clock.ctx);
	log_write(n->log, LOG_INFO, "stopping");
	control_stop(n->control, n->move == MOVE_OUT);
	for (uint32_t i = 0; i < n->n_workers; i++) {
		struct stop_call *c = mem_zalloc(sizeof(*c));

		if (!c) {
			os_stop(n->os);
			return;
		}
		c->node = n;
		c->worker = i;
		c->msg = (struct msg){.kind = MSG_CALL, .fn = stop_worker};
		n->env->post.to_worker(n->env->post.ctx, i, &c->msg);
	}
}

void
node_signal(void *arg, int signo)
{
	struct node *n = arg;

	if (signo != SIGHUP) {
		n->ends = 1; /* be it on its way to another cluster */
		node_stop(n);
	} else if (!atomic_load(&n->stopping)) {
		reload_start(n->reload);
	}
}

enum log_level
node_log_level(const struct conf *c)
{
	static const enum log_level levels[] = {
	    LOG_INFO, LOG_DEBUG, LOG_WARN, LOG_ERROR};

	return levels[conf_num(c, CONF_log_level)];
}

/* What the file says counts when it says something new: until then what an
 * operator has set since. */
static void
take_transfer_limit(struct node *n, const struct conf *c)
{
	uint32_t limit = (uint32_t)conf_num(c, CONF_transfer_limit);

	if (limit != n->transfer_limit)
		store_set_fill_limit(core_store(n->core), limit);
	n->transfer_limit = limit;
}

void
node_set_limits(struct node *n, uint32_t worker, const struct conf *c)
{
	http_server_set_limits(n->servers[worker],
	    conf_num(c, CONF_limits_user_rps),
	    conf_num(c, CONF_limits_anonymous_rps));
}

/* The keys that can be reloaded and have an effect yet. */
void
node_apply_conf(void *arg, uint32_t worker, const struct conf *c)
{
	struct node *n = arg;
	uint64_t timeout = conf_num(c, CONF_request_timeout);

	if (worker == 0) {
		log_set_level(n->log, node_log_level(c));
		take_transfer_limit(n, c);
		store_set_fill_rate(
		    core_store(n->core), conf_num(c, CONF_handoff_rate));
	}
	http_server_set_timeout(n->servers[worker], timeout);
	node_set_limits(n, worker, c);
	store_set_timeout(core_store(n->core), worker, timeout);
	router_set_timeout(core_router(n->core), worker, timeout);
}

/* 0 is auto: all cores but one, which the journal's thread and the kernel's
 * side of the network need (two workers on two cores append a fifth less). */
static uint32_t
count_workers(const struct conf *c)
{
	uint64_t n = conf_num(c, CONF_workers);
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	if (n == 0)
		n = cores > 1 ? (uint64_t)cores - 1 : 1;
	return n < 64 ? (uint32_t)n : 64;
}

static void
say_what_is_served(const struct node *n)
{
	uint16_t plain = http_server_port(n->servers[0]);
	uint16_t tls = http_server_tls_port(n->servers[0]);
	char urls[2][128] = {"", ""};

	if (plain)
		node_url("http", conf_str(n->conf, CONF_http_ip), plain,
		    urls[0], sizeof(urls[0]));
	if (tls)
		node_url("https", conf_str(n->conf, CONF_https_ip), tls,
		    urls[1], sizeof(urls[1]));
	log_write(n->log, LOG_INFO, "iorio %s serves %s%s%s as %s, %u workers",
	    IORIO_VERSION, plain || tls ? urls[0] : "nothing",
	    plain && tls ? " " : "", urls[1], conf_str(n->conf, CONF_nodename),
	    n->n_workers);
}

/* One life of the node, in one cluster; *AGAIN: it goes on in another. */
static int
live(const struct node_options *o, int *again, char *why)
{
	struct node *n = mem_zalloc(sizeof(*n));
	char data[4096];
	int r;

	why[0] = '\0';
	if (!n)
		return -ERR_NOMEM;
	n->conf = o->conf;
	n->n_workers = count_workers(o->conf);
	n->servers = mem_calloc(n->n_workers, sizeof(*n->servers));
	n->stop_timers = mem_calloc(n->n_workers, sizeof(*n->stop_timers));
	r = n->servers && n->stop_timers ? log_open(&n->log, &o->log)
					 : -ERR_NOMEM;
	if (r) {
		snprintf(why, NODE_WHY_BYTES, "paths.log: %s", err_text(r));
		mem_free(n->servers);
		mem_free(n->stop_timers);
		mem_free(n);
		return r;
	}
	tree_path(
	    o->root, conf_str(o->conf, CONF_paths_data), data, sizeof(data));
	r = node_open(n, o, data, why);
	if (r == 0) {
		atomic_store(&n->up, 1);
		say_what_is_served(n);
		node_auth_warn(n);
		if (o->up && !*again)
			o->up(o->arg);
		os_join(n->os);
		if (atomic_load(&n->failed)) {
			memcpy(why, n->fatal, NODE_WHY_BYTES);
			r = -ERR_IO;
		} else {
			log_write(n->log, LOG_INFO, "stopped");
			r = node_carry_out_move(n, why);
		}
	}
	*again = r == 0 && !n->ends &&
		 (n->move == MOVE_JOIN || n->move == MOVE_BACK);
	node_close(n);
	return r;
}

int
node_run(const struct node_options *o, char why[NODE_WHY_BYTES])
{
	int again = 0, r;

	do
		r = live(o, &again, why);
	while (again);
	return r;
}
