/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * server - the HTTP edge of one worker.
 *
 * Owns:    its listener and connections.
 * Thread:  its worker, but for http_server_new before the workers run.
 */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include <stdatomic.h>
#include <stdint.h>

#include "http/jwt.h"
#include "ring/auth_view.h"
#include "src/base/env.h"
#include "src/base/expose.h"
#include "src/os/os.h"
#include "vnode/policy.h"
#include "vnode/vnode_msg.h"

struct http_server; /* opaque */
struct cors;
struct ratelimit;
struct tls_context;
struct logins;
struct pages;

/* One line for every answered request.  TARGET has no token in it. */
struct http_access {
	const char *peer;
	struct slice method, target;
	int status;
	uint64_t bytes, took_us;
	const char *request_id;
};

enum http_view_kind {
	HTTP_VIEW_CLUSTER,     /* one JSON object */
	HTTP_VIEW_STATS,       /* one JSON object */
	HTTP_VIEW_METRICS,     /* for Prometheus */
	HTTP_VIEW_OPENMETRICS, /* the same, by a newer rule */
	HTTP_VIEW_HEALTH,      /* lines; is_ready */
};

/* What the node shows of itself. */
struct http_view {
	/* The host posts it back to worker msg.from, msg.answer set. */
	struct msg msg;
	enum http_view_kind kind;
	int r; /* 0 or -ERR_* */
	int is_ready;
	struct buf out;
};

struct http_config {
	const struct env *env;
	struct os *os;
	struct vnode_route route;
	const char *ip; /* NULL: no plain HTTP */
	uint16_t port;
	const char *tls_ip; /* NULL: no HTTPS */
	uint16_t tls_port;
	struct tls_context *tls; /* of HTTPS; borrowed by http_server_new */
	/* Takes Q until it is posted back. */
	void (*ask)(void *arg, enum root_which which, struct root_request *q);
	struct logins *logins; /* of all workers */
	enum jwt_algorithm algorithm;
	uint64_t session_us; /* a token lives */
	uint8_t cluster_id[16];
	uint64_t max_body, max_inflight;
	uint32_t max_connections, max_batch;
	uint64_t request_timeout_us;
	uint64_t listen_comet_timeout_us, listen_max_queue;
	uint32_t listen_max_subscriptions;
	struct metrics *metrics; /* a shard for each worker; or NULL */
	int metrics_public;      /* /metrics needs no permission */
	const struct cors *cors; /* NULL: pages of other origins may nothing */
	struct ratelimit *ratelimit; /* of all workers */
	const struct pages *pages;   /* the web console; NULL: none */
	/* Whether requests other than appends can be served. */
	int (*ready)(void *arg);
	/* Takes V until it is posted back. */
	void (*view)(void *arg, struct http_view *v);
	void (*access)(void *arg, const struct http_access *a);
	void *arg;
	/* shared by the servers of all workers */
	atomic_ullong *inflight_bytes;
	atomic_uint *n_connections;
	/* Set: the node is in no cluster any more, and all is answered 503. */
	const atomic_int *removed;
};

int http_server_new(struct http_server **out, const struct http_config *config,
    uint32_t worker);
/* 0: it has no such listener. */
uint16_t http_server_port(const struct http_server *s);
uint16_t http_server_tls_port(const struct http_server *s);
/* The certificate of connections that come from now on. */
void http_server_set_tls(struct http_server *s, struct tls_context *context);
/* config.arg */
void *http_server_arg(const struct http_server *s);
/* No new connections; idle ones are closed, busy ones after their answer. */
void http_server_stop(struct http_server *s);
/* What the N servers, one for each worker, have counted; any thread. */
void http_server_expose(
    struct http_server *const *servers, uint32_t n, struct expose *e);
/* Who may do what from now on; a reference is taken.  Until the first of them
 * nothing is served that anybody might not be allowed to.  1: it is the first. */
int http_server_set_auth(struct http_server *s, struct auth_view *view);
/* How long events are kept, as /policies shows it; a reference is taken. */
void http_server_set_policies(struct http_server *s, struct policies *table);
/* request_timeout_us of what is asked from now on. */
void http_server_set_timeout(struct http_server *s, uint64_t us);
/* Requests a second of a user, and of an address; 0: no limit. */
void http_server_set_limits(
    struct http_server *s, uint64_t user_rps, uint64_t anonymous_rps);
/* Connections still there: 0 once all answers are out. */
uint32_t http_server_connections(const struct http_server *s);
/* Closes what is left.  Takes NULL, returns NULL. */
struct http_server *http_server_free(struct http_server *s);

#endif
