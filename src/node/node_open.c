/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * node_open - the parts of a node, made in order: lock the data directory, read
 * who we are, recover the store, listen.
 */
#include "src/node/node_impl.h"

#include <limits.h>
#include <string.h>

#include "http/pages.h"
#include "http/ratelimit.h"
#include "ring/ring_file.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/base/tree.h"
#include "src/node/step_stop.h"
#include "src/os/net.h"
#include "vnode/journal.h"

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
	if (!atomic_exchange(&n->failed, 1)) /* the first says why */
		snprintf(n->fatal, sizeof(n->fatal), "%s", what);
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
	    .dispatch = node_dispatch,
	    .turn = node_turn,
	    .signal = node_signal,
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
open_reload(struct node *n, const struct node_options *o)
{
	struct reload_config rc = {
	    .env = n->env,
	    .log = n->log,
	    .conf = o->conf,
	    .load = node_load_again,
	    .load_arg = n,
	    .loaded = node_loaded,
	    .apply = node_apply_conf,
	    .arg = n,
	};

	n->reload = reload_new(&rc);
	return n->reload ? 0 : -ERR_NOMEM;
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
		    .grace_us = conf_num(c, CONF_handoff_grace),
		    .disk_reserve_bytes = conf_num(c, CONF_disk_reserve),
		    .channel_items = conf_num(c, CONF_channel_max_items),
		    .channel_bytes = conf_num(c, CONF_channel_max_items_size),
		    .request_timeout_us = conf_num(c, CONF_request_timeout),
		    .files_max = n->limits.files_max,
		    .metrics = n->metrics,
		    .key_window_ms =
			conf_num(c, CONF_idempotency_window) / 1000,
		    .keys_max = (uint32_t)conf_num(c, CONF_idempotency_max),
		    .retention_interval_us =
			conf_num(c, CONF_retention_interval),
		    .report = on_report,
		    .step = step_stop_wanted(),
		    .fatal = on_fatal,
		    .arg = n,
		},
	    .tell = node_tell,
	    .tell_back = node_tell_back,
	    .roots =
		{
		    .auth_rules = node_auth_rules(c),
		    .auth_publish = node_auth_publish,
		    .auth_first = node_auth_first,
		    .policy_defaults = node_policy_defaults(c),
		    .policies_publish = node_policies_publish,
		},
	    .published = node_published,
	    .left = node_left,
	    .arg = n,
	};
	int r;

	n->env->rng.bytes(
	    n->env->rng.ctx, &cc.store.seed, sizeof(cc.store.seed));
	r = core_open(&n->core, &cc, n->ring, why, NODE_WHY_BYTES);
	if (r == 0) {
		n->transfer_limit = (uint32_t)conf_num(c, CONF_transfer_limit);
		store_set_fill_limit(core_store(n->core), n->transfer_limit);
		store_set_fill_rate(
		    core_store(n->core), conf_num(c, CONF_handoff_rate));
	}
	return r;
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

/* Peers learn the port from us; the host is that of our name. */
static void
check_handoff(const struct node *n, const struct os_net_config *nc)
{
	uint16_t port = os_net_line_port(n->os);

	if (nc->line_port && port != nc->line_port)
		log_write(n->log, LOG_WARN,
		    "handoff.port %u is in use: this node takes %u until it "
		    "stops",
		    nc->line_port, port);
	if (!node_is_loopback(nc->ip) && node_is_loopback(nc->line_ip))
		log_write(n->log, LOG_WARN,
		    "handoff.ip %s is a loopback address, cluster.ip is not: "
		    "other machines can not fill replicas from here",
		    nc->line_ip);
}

static int
open_net(struct node *n, char *why)
{
	const struct conf *c = n->conf;
	char dir[4096], where[CONF_WHERE_BYTES];
	int r;
	struct os_net_config nc = {
	    .name = conf_str(c, CONF_nodename),
	    .ip = conf_str(c, CONF_cluster_ip),
	    .port = (uint16_t)conf_num(c, CONF_cluster_port),
	    .line_ip = conf_str(c, CONF_handoff_ip),
	    .line_port = (uint16_t)conf_num(c, CONF_handoff_port),
	    .cookie = conf_str(c, CONF_cluster_cookie),
	    .runtime_dir = dir,
	    .report = on_report,
	    .twin = on_twin,
	    .arg = n,
	};

	runtime_dir(n, dir, sizeof(dir));
	memcpy(nc.cluster_id, n->identity.cluster_id, 16);
	memcpy(nc.node_id, n->identity.node_id, 16);
	memcpy(nc.boot, n->identity.boot, 16);
	conf_where(c, CONF_handoff_port, where);
	nc.any_line_port = strcmp(where, "handoff.port:") == 0; /* not set */
	r = os_net_open(n->os, &nc, why, NODE_WHY_BYTES);
	if (r == 0)
		check_handoff(n, &nc);
	return r;
}

static int
open_cors(struct node *n, char *why)
{
	const struct conf *c = n->conf;
	int r;

	if (!conf_num(c, CONF_http_cors_enabled))
		return 0;
	r = cors_new(&n->cors, conf_str(c, CONF_http_cors_origins),
	    conf_str(c, CONF_http_cors_headers),
	    conf_num(c, CONF_http_cors_maxage) / 1000000);
	if (r)
		snprintf(why, NODE_WHY_BYTES,
		    "http.cors.origins, http.cors.headers: %s", err_text(r));
	return r;
}

static int
open_ratelimit(struct node *n)
{
	uint64_t seed;

	n->env->rng.bytes(n->env->rng.ctx, &seed, sizeof(seed));
	n->ratelimit = ratelimit_new(seed);
	return n->ratelimit ? 0 : -ERR_NOMEM;
}

/* S was not made: which of its ports was it? */
static void
say_port(const struct http_config *hc, int r, char *why)
{
	const char *plain = hc->ip ? hc->ip : "-";

	if (hc->ip && hc->tls_ip)
		snprintf(why, NODE_WHY_BYTES,
		    "http.port: %s:%u, or https.port: %s:%u: %s", plain,
		    hc->port, hc->tls_ip, hc->tls_port, err_text(r));
	else if (hc->tls_ip)
		snprintf(why, NODE_WHY_BYTES, "https.port: %s:%u: %s",
		    hc->tls_ip, hc->tls_port, err_text(r));
	else
		snprintf(why, NODE_WHY_BYTES, "http.port: %s:%u: %s", plain,
		    hc->port, err_text(r));
}

static int
open_pages(struct node *n, char *why)
{
	char dir[PATH_MAX];
	int r;

	tree_path(n->root, "share/iorio/ui", dir, sizeof(dir));
	r = pages_load(&n->pages, dir);
	if (r)
		snprintf(why, NODE_WHY_BYTES, "%.900s: %s", dir, err_text(r));
	return r;
}

static int
open_logins(struct node *n)
{
	n->logins = logins_new(n->env, os_work, n->os);
	return n->logins ? 0 : -ERR_NOMEM;
}

static int
listen_all(struct node *n, char *why)
{
	const struct conf *c = n->conf;
	struct http_config hc = {
	    .env = n->env,
	    .os = n->os,
	    .route = core_route(n->core),
	    .ip = conf_num(c, CONF_http_enabled) ? conf_str(c, CONF_http_ip)
						 : NULL,
	    .port = (uint16_t)conf_num(c, CONF_http_port),
	    .tls_ip = n->tls ? conf_str(c, CONF_https_ip) : NULL,
	    .tls_port = (uint16_t)conf_num(c, CONF_https_port),
	    .tls = n->tls,
	    .max_body = conf_num(c, CONF_http_max_body),
	    .max_inflight = conf_num(c, CONF_http_max_inflight),
	    .max_connections = n->limits.connections_max,
	    .max_batch = (uint32_t)conf_num(c, CONF_http_max_batch),
	    .request_timeout_us = conf_num(c, CONF_request_timeout),
	    .listen_comet_timeout_us = conf_num(c, CONF_listen_comet_timeout),
	    .listen_max_queue = conf_num(c, CONF_listen_max_queue),
	    .listen_max_subscriptions =
		(uint32_t)conf_num(c, CONF_listen_max_subscriptions),
	    .metrics = n->metrics,
	    .metrics_public = (int)conf_num(c, CONF_metrics_public),
	    .cors = n->cors,
	    .ratelimit = n->ratelimit,
	    .pages = n->pages,
	    .ask = node_ask_root,
	    .logins = n->logins,
	    .algorithm = (enum jwt_algorithm)conf_num(c, CONF_auth_algorithm),
	    .session_us = conf_num(c, CONF_auth_session_duration),
	    .ready = node_is_ready,
	    .view = node_view,
	    .access = on_access,
	    .arg = n,
	    .inflight_bytes = &n->inflight_bytes,
	    .n_connections = &n->n_connections,
	    .removed = &n->removed,
	};

	memcpy(hc.cluster_id, n->identity.cluster_id, 16);
	for (uint32_t i = 0; i < n->n_workers; i++) {
		int r;

		r = http_server_new(&n->servers[i], &hc, i);

		if (r) {
			say_port(&hc, r, why);
			return r;
		}
		node_set_limits(n, i, c);
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
	    .logins = n->logins,
	    .joined = node_joined,
	    .expose = node_expose,
	    .arg = n,
	    .self = conf_str(n->conf, CONF_nodename),
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

int
node_open(
    struct node *n, const struct node_options *o, const char *data, char *why)
{
	int r = node_auth_check(n, why);

	n->root = o->root;
	n->load = o->load;
	n->load_arg = o->load_arg;
	if (r == 0)
		r = share_descriptors(n, why);
	n->metrics = r ? NULL : metrics_new(n->n_workers + 1);
	if (r == 0 && !n->metrics)
		r = -ERR_NOMEM;
	if (r == 0)
		r = open_os(n, data, why);
	if (r == 0)
		n->started = n->env->clock.wall(n->env->clock.ctx);
	if (r == 0)
		r = open_reload(n, o);
	if (r == 0)
		r = identity_open(n->env, conf_str(n->conf, CONF_nodename),
		    (uint32_t)conf_num(n->conf, CONF_ring_size), &n->identity,
		    why, NODE_WHY_BYTES);
	if (r == 0)
		r = open_ring(n, why);
	if (r == 0)
		r = open_net(n, why);
	if (r == 0)
		r = open_core(n, why);
	if (r == 0)
		r = open_cors(n, why);
	if (r == 0)
		r = open_ratelimit(n);
	if (r == 0)
		r = node_open_tls(n, why);
	if (r == 0)
		r = open_pages(n, why);
	if (r == 0)
		r = open_logins(n);
	if (r == 0)
		r = listen_all(n, why);
	if (r == 0)
		r = open_control(n, why);
	if (r == 0)
		r = node_open_report(n, why);
	if (r == 0)
		r = core_start(n->core);
	if (r == 0)
		r = os_start(n->os);
	if (r && !why[0])
		snprintf(why, NODE_WHY_BYTES, "%s", err_text(r));
	return r;
}

void
node_close(struct node *n)
{
	node_close_report(n);
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
	logins_free(n->logins);
	pages_free(n->pages);
	node_auth_close(n);
	mem_free(n->stop_timers);
	metrics_free(n->metrics);
	cors_free(n->cors);
	node_close_tls(n);
	ratelimit_free(n->ratelimit);
	log_close(n->log);
	mem_free(n);
}
