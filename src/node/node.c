/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * node - start, routing of messages, ordered stop.
 *
 * Start: lock the data directory, read who we are, recover the store, listen,
 * run. Stop: no new connections; when the last answer is out (or after 10 s)
 * the store writes its last checkpoint; then the loops end.
 */
#include "src/node/node.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "admin/control.h"
#include "http/server.h"
#include "ring/ring_file.h"
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/node/admin_host.h"
#include "src/node/core.h"
#include "src/node/home.h"
#include "src/node/limits.h"
#include "src/node/reload.h"
#include "src/node/token.h"
#include "src/os/net.h"
#include "src/os/os.h"
#include "vnode/journal.h"

#define STOP_WAIT_US 10000000ull
#define STOP_POLL_US 20000

/* Where a node goes on that stops for it. */
enum node_move {
	MOVE_NOWHERE, /* it ends */
	MOVE_JOIN,    /* in the cluster that let it in */
	MOVE_BACK,    /* in the cluster of its own that it came from */
	MOVE_OUT,     /* it has left the cluster, and ends */
};

struct node {
	const struct conf *conf;
	struct log *log;
	struct os *os;
	const struct env *env;
	struct identity identity;
	struct ring *ring; /* what the disk had at the start */
	struct core *core;
	uint32_t n_workers;
	struct limits limits;
	struct http_server **servers;
	atomic_ullong inflight_bytes;
	atomic_uint n_connections;
	atomic_int up, failed, idle_workers;
	int stopping;
	struct mono stop_since;
	struct env_timer **stop_timers;
	struct reload *reload;
	struct node_admin *admin;
	struct control *control;
	char token[TOKEN_TEXT_BYTES];     /* the administrator's */
	char (*tokens)[TOKEN_TEXT_BYTES]; /* ... as each worker has it */
	char fatal[NODE_WHY_BYTES];
	enum node_move move;
	struct ring *to;    /* MOVE_JOIN */
	atomic_int removed; /* by force: it serves nothing any more */
};

void
node_path(const char *root, const char *path, char *out, size_t n)
{
	if (path[0] == '/')
		snprintf(out, n, "%s", path);
	else
		snprintf(out, n, "%s/%s", root,
		    strncmp(path, "./", 2) == 0 ? path + 2 : path);
}

/* --- messages ------------------------------------------------------------- */

static void
dispatch(void *arg, uint32_t worker, struct msg *m)
{
	struct node *n = arg;

	if (m->kind == MSG_CALL || m->answer)
		m->fn(m);
	else
		core_handle(n->core, worker, m);
}

static void
turn(void *arg, uint32_t worker)
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

static void
stop(struct node *n)
{
	if (n->stopping)
		return;
	n->stopping = 1;
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

/* --- another cluster ------------------------------------------------------ */

static void
move(struct node *n, enum node_move where, struct ring *to)
{
	if (n->stopping)
		return;
	n->move = where;
	n->to = to ? ring_ref(to) : NULL;
	stop(n);
}

static void
on_joined(void *arg, struct ring *ring)
{
	struct node *n = arg;

	log_write(n->log, LOG_INFO,
	    "let into a cluster of %u members: going on there",
	    ring->n_members - 1u);
	move(n, MOVE_JOIN, ring);
}

static void
on_left(void *arg, enum ring_state was)
{
	struct node *n = arg;

	if (was == RING_JOINING && n->identity.joined) {
		log_write(n->log, LOG_INFO,
		    "no longer asked to join: going back to the cluster of "
		    "its own");
		move(n, MOVE_BACK, NULL);
	} else if (was == RING_LEAVING || was == RING_EXITING) {
		log_write(n->log, LOG_INFO, "left the cluster");
		move(n, MOVE_OUT, NULL);
	} else {
		atomic_store(&n->removed, 1);
		os_net_set_peers(n->os, NULL, 0);
		log_write(n->log, LOG_ERROR,
		    "this node was removed from the cluster by force: it keeps "
		    "its data and serves nothing; to use it again, stop it, "
		    "move its data directory away, start it and join it");
	}
}

struct token_call {
	struct msg msg;
	struct node *node;
	uint32_t worker;
	char token[TOKEN_TEXT_BYTES];
};

static void
take_token(struct msg *m)
{
	struct token_call *call = CONTAINER_OF(m, struct token_call, msg);

	memcpy(call->node->tokens[call->worker], call->token, TOKEN_TEXT_BYTES);
	mem_free(call);
}

/* The token of the cluster counts, here and for the next start. */
static void
on_token(void *arg, struct slice token)
{
	struct node *n = arg;
	const struct env_post *post = &n->env->post;

	if (token.n != TOKEN_TEXT_BYTES - 1 ||
	    memcmp(token.p, n->token, token.n) == 0)
		return;
	memcpy(n->token, token.p, token.n);
	log_write(n->log, LOG_INFO,
	    "the administrator's token is that of the cluster now");
	if (token_save(n->env, n->token))
		log_write(n->log, LOG_ERROR, "admin.token cannot be written");
	for (uint32_t i = 0; i < n->n_workers; i++) {
		struct token_call *call = mem_zalloc(sizeof(*call));

		if (!call)
			continue; /* keeps the one of this node */
		*call = (struct token_call){.node = n, .worker = i};
		call->msg = (struct msg){.kind = MSG_CALL, .fn = take_token};
		memcpy(call->token, n->token, TOKEN_TEXT_BYTES);
		post->to_worker(post->ctx, i, &call->msg);
	}
}

/* Peers, and who has just left and must hear of it. */
static void
on_published(void *arg, struct ring *ring)
{
	struct node *n = arg;
	const struct ring_member *gone[CLUSTER_DEPARTED_MAX];
	uint32_t n_gone = cluster_departed(core_cluster(n->core), gone);
	uint32_t n_peers = 0;
	struct os_net_peer *peers =
	    mem_calloc(ring->n_members + n_gone + 1, sizeof(*peers));
	int r = peers ? 0 : -ERR_NOMEM;

	for (uint32_t i = 0; peers && i < ring->n_members + n_gone; i++) {
		const struct ring_member *m = i < ring->n_members
						  ? &ring->members[i]
						  : gone[i - ring->n_members];
		struct os_net_peer *p = &peers[n_peers];

		if (memcmp(m->id, n->identity.node_id, 16) == 0)
			continue;
		memcpy(p->id, m->id, 16);
		memcpy(p->name, m->name, sizeof(p->name));
		memcpy(p->address, m->address, sizeof(p->address));
		n_peers++;
	}
	if (r == 0)
		r = os_net_set_peers(n->os, peers, n_peers);
	if (r)
		log_write(
		    n->log, LOG_ERROR, "the other members: %s", err_text(r));
	mem_free(peers);
}

static int
tell(void *arg, const char *name, const struct iovec *iov, int iov_n)
{
	struct node *n = arg;

	return os_net_tell(n->os, name, iov, iov_n);
}

static int
tell_back(void *arg, const uint8_t node[16], const struct iovec *iov, int iov_n)
{
	struct node *n = arg;

	return os_net_tell_back(n->os, node, iov, iov_n);
}

/* What the node does next; its parts have ended, and the disk is still there. */
static int
carry_out_move(struct node *n, char *why)
{
	const char *name = conf_str(n->conf, CONF_nodename);
	int r = 0;

	switch (n->move) {
	case MOVE_JOIN:
		r = home_join(n->env, name, &n->identity, n->to);
		break;
	case MOVE_BACK:
		r = home_go_back(n->env, name, &n->identity);
		break;
	case MOVE_OUT:
		r = home_leave(n->env, name, &n->identity);
		break;
	case MOVE_NOWHERE:
		break;
	}
	if (r)
		snprintf(why, NODE_WHY_BYTES,
		    "the data directory of another cluster: %s", err_text(r));
	return r;
}

static void
on_signal(void *arg, int signo)
{
	struct node *n = arg;

	if (signo != SIGHUP)
		stop(n);
	else if (!n->stopping)
		reload_start(n->reload);
}

enum log_level
node_log_level(const struct conf *c)
{
	static const enum log_level levels[] = {
	    LOG_INFO, LOG_DEBUG, LOG_WARN, LOG_ERROR};

	return levels[conf_num(c, CONF_log_level)];
}

/* The keys that can be reloaded and have an effect yet. */
static void
apply_conf(void *arg, uint32_t worker, const struct conf *c)
{
	struct node *n = arg;
	uint64_t timeout = conf_num(c, CONF_request_timeout);

	if (worker == 0)
		log_set_level(n->log, node_log_level(c));
	http_server_set_timeout(n->servers[worker], timeout);
	store_set_timeout(core_store(n->core), worker, timeout);
	router_set_timeout(core_router(n->core), worker, timeout);
}

static int
open_reload(struct node *n, const struct node_options *o)
{
	struct reload_config rc = {
	    .env = n->env,
	    .log = n->log,
	    .conf = o->conf,
	    .load = o->load,
	    .load_arg = o->load_arg,
	    .apply = apply_conf,
	    .arg = n,
	};

	n->reload = reload_new(&rc);
	return n->reload ? 0 : -ERR_NOMEM;
}

/* --- what the store and the edge say -------------------------------------- */

static void
on_report(void *arg, int is_error, const char *what)
{
	struct node *n = arg;

	log_write(n->log, is_error ? LOG_ERROR : LOG_INFO, "%s", what);
}

static void
on_fatal(void *arg, const char *what)
{
	struct node *n = arg;

	log_write(n->log, LOG_ERROR, "%s", what);
	snprintf(n->fatal, sizeof(n->fatal), "%s", what);
	atomic_store(&n->failed, 1);
	os_stop(n->os);
}

/* On the thread of the transport. */
static void
on_twin(void *arg)
{
	on_fatal(arg,
	    "another node runs with the id of this one: a data directory was "
	    "copied; keep one of the two");
}

static int
is_ready(void *arg, struct buf *lines)
{
	struct node *n = arg;
	struct store_stats st;
	int up =
	    atomic_load(&n->up) && !n->stopping && !atomic_load(&n->removed);

	store_stats(core_store(n->core), &st);
	buf_printf(lines,
	    "[+]ring loaded\n[%s]vnodes open\n[%s]disk writable\n"
	    "[%s]not stopping\n",
	    atomic_load(&n->up) ? "+" : "-", st.writable ? "+" : "-",
	    n->stopping ? "-" : "+");
	buf_printf(lines, "free bytes %llu\n%s",
	    (unsigned long long)st.free_bytes,
	    up && st.writable ? "ok" : "not ready");
	return up && st.writable;
}

static void
on_access(void *arg, const struct http_access *a)
{
	struct node *n = arg;

	if (log_wants(n->log, LOG_DEBUG))
		log_write(n->log, LOG_DEBUG,
		    "%s %.*s %.*s %d %llu B %llu us %s", a->peer,
		    (int)a->method.n, (const char *)a->method.p,
		    (int)a->target.n, (const char *)a->target.p, a->status,
		    (unsigned long long)a->bytes,
		    (unsigned long long)a->took_us, a->request_id);
}

/* --- start ---------------------------------------------------------------- */

static int
open_os(struct node *n, const char *data, char *why)
{
	struct os_config oc = {
	    .n_workers = n->n_workers,
	    .data_root = data,
	    .dispatch = dispatch,
	    .turn = turn,
	    .signal = on_signal,
	    .arg = n,
	};
	int r = os_open(&n->os, &oc);

	if (r) {
		snprintf(why, NODE_WHY_BYTES, "paths.data: %s: %s", data,
		    err_text(r));
		return r;
	}
	n->env = os_env(n->os);
	r = os_lock(n->os);
	if (r)
		snprintf(why, NODE_WHY_BYTES, "paths.data: %s: %s", data,
		    err_text(r));
	return r;
}

static int
open_ring(struct node *n, char *why)
{
	char what[RING_WHY_BYTES];
	int r = ring_file_open(n->env, &n->identity,
	    conf_str(n->conf, CONF_nodename),
	    (uint16_t)conf_num(n->conf, CONF_request_n), &n->ring, what);

	if (r == 0 && what[0])
		log_write(n->log, LOG_WARN, "%s", what);
	else if (r)
		snprintf(
		    why, NODE_WHY_BYTES, "%s", what[0] ? what : err_text(r));
	return r;
}

static int
open_core(struct node *n, char *why)
{
	const struct conf *c = n->conf;
	struct core_config cc = {
	    .env = n->env,
	    .log = n->log,
	    .identity = &n->identity,
	    .nodename = conf_str(c, CONF_nodename),
	    .store =
		{
		    .segment_bytes = conf_num(c, CONF_journal_segment),
		    .journal_max_bytes = conf_num(c, CONF_journal_max),
		    .sync = (int)conf_num(c, CONF_durability_sync),
		    .disk_reserve_bytes = conf_num(c, CONF_disk_reserve),
		    .request_timeout_us = conf_num(c, CONF_request_timeout),
		    .files_max = n->limits.files_max,
		    .report = on_report,
		    .fatal = on_fatal,
		    .arg = n,
		},
	    .tell = tell,
	    .tell_back = tell_back,
	    .token = n->token,
	    .token_seen = on_token,
	    .published = on_published,
	    .left = on_left,
	    .arg = n,
	};

	n->env->rng.bytes(
	    n->env->rng.ctx, &cc.store.seed, sizeof(cc.store.seed));
	return core_open(&n->core, &cc, n->ring, why, NODE_WHY_BYTES);
}

static int
is_loopback(const char *ip)
{
	return strncmp(ip, "127.", 4) == 0 || strcmp(ip, "::1") == 0;
}

/* Names of the nodes of this machine: release.md section 3. */
static void
runtime_dir(const struct node *n, char *out, size_t bytes)
{
	const char *given = conf_str(n->conf, CONF_cluster_runtime_dir);
	const char *base = getenv("XDG_RUNTIME_DIR");

	if (given[0]) {
		snprintf(out, bytes, "%s", given);
		return;
	}
	if (!base || base[0] != '/')
		base = getenv("TMPDIR");
	if (!base || base[0] != '/')
		base = "/tmp";
	snprintf(out, bytes, "%s/iorio-%u", base, (unsigned)getuid());
}

static int
open_net(struct node *n, char *why)
{
	const struct conf *c = n->conf;
	char dir[4096];
	struct os_net_config nc = {
	    .name = conf_str(c, CONF_nodename),
	    .ip = conf_str(c, CONF_cluster_ip),
	    .port = (uint16_t)conf_num(c, CONF_cluster_port),
	    .cookie = conf_str(c, CONF_cluster_cookie),
	    .runtime_dir = dir,
	    .report = on_report,
	    .twin = on_twin,
	    .arg = n,
	};

	if (!is_loopback(nc.ip) && strcmp(nc.cookie, "iorio") == 0) {
		snprintf(why, NODE_WHY_BYTES,
		    "cluster.ip: %s is not a loopback address: set "
		    "cluster.cookie to a secret of your own, the same on all "
		    "nodes",
		    nc.ip);
		return -ERR_INVAL;
	}
	runtime_dir(n, dir, sizeof(dir));
	memcpy(nc.cluster_id, n->identity.cluster_id, 16);
	memcpy(nc.node_id, n->identity.node_id, 16);
	memcpy(nc.boot, n->identity.boot, 16);
	return os_net_open(n->os, &nc, why, NODE_WHY_BYTES);
}

static int
listen_all(struct node *n, char *why)
{
	const struct conf *c = n->conf;
	struct http_config hc = {
	    .env = n->env,
	    .os = n->os,
	    .route = core_route(n->core),
	    .ip = conf_str(c, CONF_http_ip),
	    .port = (uint16_t)conf_num(c, CONF_http_port),
	    .max_body = conf_num(c, CONF_http_max_body),
	    .max_inflight = conf_num(c, CONF_http_max_inflight),
	    .max_connections = n->limits.connections_max,
	    .max_batch = (uint32_t)conf_num(c, CONF_http_max_batch),
	    .request_timeout_us = conf_num(c, CONF_request_timeout),
	    .ready = is_ready,
	    .access = on_access,
	    .arg = n,
	    .inflight_bytes = &n->inflight_bytes,
	    .n_connections = &n->n_connections,
	    .removed = &n->removed,
	};

	for (uint32_t i = 0; i < n->n_workers; i++) {
		int r;

		memcpy(n->tokens[i], n->token, TOKEN_TEXT_BYTES);
		hc.token = n->tokens[i];
		r = http_server_new(&n->servers[i], &hc, i);

		if (r) {
			snprintf(why, NODE_WHY_BYTES, "http.port: %s:%u: %s",
			    hc.ip, hc.port, err_text(r));
			return r;
		}
	}
	return 0;
}

static int
open_control(struct node *n, char *why)
{
	struct node_admin_config ac = {
	    .env = n->env,
	    .log = n->log,
	    .reload = n->reload,
	    .core = n->core,
	    .joined = on_joined,
	    .arg = n,
	    .self = conf_str(n->conf, CONF_nodename),
	    .transfer_limit = (uint32_t)conf_num(n->conf, CONF_transfer_limit),
	};
	int r;

	n->admin = node_admin_new(&ac);
	if (!n->admin)
		return -ERR_NOMEM;
	r = control_open(&n->control, n->os, node_admin_host(n->admin));
	if (r)
		snprintf(why, NODE_WHY_BYTES, "control.sock in paths.data: %s",
		    err_text(r));
	return r;
}

static int
share_descriptors(struct node *n, char *why)
{
	uint32_t want = (uint32_t)conf_num(n->conf, CONF_http_max_connections);
	uint64_t needed = 0;
	int r = limits_share(&n->limits, n->n_workers, want, &needed);

	if (r)
		snprintf(why, NODE_WHY_BYTES,
		    "the limit of open files is %llu: at least %llu are "
		    "needed (ulimit -n)",
		    (unsigned long long)n->limits.descriptors,
		    (unsigned long long)needed);
	else if (n->limits.connections_max < want)
		log_write(n->log, LOG_WARN,
		    "http.max_connections: %u instead of %u, because the "
		    "limit of open files is %llu",
		    n->limits.connections_max, want,
		    (unsigned long long)n->limits.descriptors);
	return r;
}

static int
start(struct node *n, const struct node_options *o, const char *data, char *why)
{
	const char *ip = conf_str(n->conf, CONF_http_ip);
	char where[CONF_WHERE_BYTES];
	int r;

	if (!is_loopback(ip)) {
		conf_where(n->conf, CONF_http_ip, where);
		snprintf(why, NODE_WHY_BYTES,
		    "%s %s is not a loopback address: this version has one "
		    "administrator token and serves 127.0.0.1 only",
		    where, ip);
		return -ERR_INVAL;
	}
	r = share_descriptors(n, why);
	if (r == 0)
		r = open_os(n, data, why);
	if (r == 0)
		r = open_reload(n, o);
	if (r == 0)
		r = identity_open(n->env, conf_str(n->conf, CONF_nodename),
		    (uint32_t)conf_num(n->conf, CONF_ring_size), &n->identity,
		    why, NODE_WHY_BYTES);
	if (r == 0)
		r = open_ring(n, why);
	if (r == 0)
		r = token_load(n->env, n->token, data, why, NODE_WHY_BYTES);
	if (r == 0)
		r = open_net(n, why);
	if (r == 0)
		r = open_core(n, why);
	if (r == 0)
		r = listen_all(n, why);
	if (r == 0)
		r = open_control(n, why);
	if (r == 0)
		r = core_start(n->core);
	if (r == 0)
		r = os_start(n->os);
	if (r && !why[0])
		snprintf(why, NODE_WHY_BYTES, "%s", err_text(r));
	return r;
}

static void
close_all(struct node *n)
{
	for (uint32_t i = 0; n->servers && i < n->n_workers; i++)
		http_server_free(n->servers[i]);
	control_close(n->control);
	node_admin_free(n->admin);
	core_close(n->core);
	reload_free(n->reload);
	os_close(n->os);
	ring_unref(n->ring);
	ring_unref(n->to);
	mem_free(n->servers);
	mem_free(n->tokens);
	mem_free(n->stop_timers);
	log_close(n->log);
	mem_free(n);
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
	n->tokens = mem_calloc(n->n_workers, sizeof(*n->tokens));
	n->stop_timers = mem_calloc(n->n_workers, sizeof(*n->stop_timers));
	r = n->servers && n->tokens && n->stop_timers
		? log_open(&n->log, &o->log)
		: -ERR_NOMEM;
	if (r) {
		snprintf(why, NODE_WHY_BYTES, "paths.log: %s", err_text(r));
		mem_free(n->servers);
		mem_free(n->tokens);
		mem_free(n->stop_timers);
		mem_free(n);
		return r;
	}
	node_path(
	    o->root, conf_str(o->conf, CONF_paths_data), data, sizeof(data));
	r = start(n, o, data, why);
	if (r == 0) {
		atomic_store(&n->up, 1);
		log_write(n->log, LOG_INFO,
		    "iorio %s serves http://%s:%u as %s, %u workers",
		    IORIO_VERSION, conf_str(o->conf, CONF_http_ip),
		    http_server_port(n->servers[0]),
		    conf_str(o->conf, CONF_nodename), n->n_workers);
		if (o->up && !*again)
			o->up(o->arg);
		os_join(n->os);
		if (atomic_load(&n->failed)) {
			memcpy(why, n->fatal, NODE_WHY_BYTES);
			r = -ERR_IO;
		} else {
			log_write(n->log, LOG_INFO, "stopped");
			r = carry_out_move(n, why);
		}
	}
	*again = r == 0 && (n->move == MOVE_JOIN || n->move == MOVE_BACK);
	close_all(n);
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
