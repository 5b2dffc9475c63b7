/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * route - the table of routes, and what every request goes through: target,
 * method, token, names, permission.
 */
#include "http/api_auth.h"
#include "http/listen.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/base/name.h"

static const struct route routes[] = {
    {"GET", "ping", PERM_NONE, 1, NULL, api_ping},
    {"GET", "livez", PERM_NONE, 0, NULL, api_live},
    {"GET", "readyz", PERM_NONE, 0, NULL, api_ready},
    {"GET", "healthz", PERM_NONE, 0, NULL, api_ready},
    {"GET", "metrics", PERM_METRICS, 0, NULL, api_metrics},
    {"GET", "stats", PERM_ADMINUSERS, 1, NULL, api_stats},
    {"GET", "openapi.json", PERM_NONE, 1, NULL, api_openapi},
    {"GET", "ui", PERM_NONE, 0, NULL, api_page_first},
    {"GET", "ui/:f", PERM_NONE, 0, NULL, api_page},
    {"GET", "cluster", PERM_ADMINUSERS, 1, NULL, api_cluster},
    {"GET", "listen", PERM_ANYBODY, 0, NULL, api_listen},
    {"GET", "sessions", PERM_ANYBODY, 1, NULL, api_session_get},
    {"POST", "sessions", PERM_ANYBODY, 1, api_object_check, api_session_post},
    {"DELETE", "sessions", PERM_ANYBODY, 1, NULL, api_session_delete},
    {"GET", "users", PERM_ADMINUSERS, 1, NULL, api_users_list},
    {"POST", "users", PERM_ADMINUSERS, 1, api_object_check, api_users_post},
    {"PUT", "users", PERM_ANYBODY, 1, api_object_check, api_users_put},
    {"GET", "users/:u", PERM_ADMINUSERS, 1, NULL, api_user_get},
    {"PUT", "users/:u", PERM_ADMINUSERS, 1, api_object_check, api_user_put},
    {"DELETE", "users/:u", PERM_ADMINUSERS, 1, NULL, api_user_delete},
    {"DELETE", "users/:u/sessions", PERM_ADMINUSERS, 1, NULL,
	api_user_sessions_delete},
    {"GET", "groups", PERM_ADMINUSERS, 1, NULL, api_groups_list},
    {"POST", "groups", PERM_ADMINUSERS, 1, api_object_check, api_groups_post},
    {"GET", "groups/:g", PERM_ADMINUSERS, 1, NULL, api_group_get},
    {"PUT", "groups/:g", PERM_ADMINUSERS, 1, api_object_check, api_group_put},
    {"DELETE", "groups/:g", PERM_ADMINUSERS, 1, NULL, api_group_delete},
    {"GET", "access/:B", PERM_GRANT, 1, NULL, api_access_get},
    {"POST", "access/:B", PERM_GRANT, 1, api_object_check, api_access_post},
    {"GET", "access/:B/:s", PERM_GRANT, 1, NULL, api_access_get},
    {"POST", "access/:B/:s", PERM_GRANT, 1, api_object_check, api_access_post},
    {"GET", "policies/:b", PERM_GRANT_OR_GET, 1, NULL, api_policy_get},
    {"PUT", "policies/:b", PERM_GRANT, 1, api_object_check, api_policy_put},
    {"DELETE", "policies/:b", PERM_GRANT, 1, NULL, api_policy_delete},
    {"GET", "policies/:b/:s", PERM_GRANT_OR_GET, 1, NULL, api_policy_get},
    {"PUT", "policies/:b/:s", PERM_GRANT, 1, api_object_check, api_policy_put},
    {"DELETE", "policies/:b/:s", PERM_GRANT, 1, NULL, api_policy_delete},
    {"GET", "buckets", PERM_LIST_ALL, 1, NULL, api_buckets},
    {"GET", "streams/:b", PERM_LIST, 1, NULL, api_streams},
    {"GET", "streams/:b/:s", PERM_GET, 0, NULL, api_read},
    {"POST", "streams/:b/:s", PERM_PUT, 1, api_append_check, api_append},
    {"PUT", "streams/:b/:s", PERM_PUT, 1, api_append_put, api_append},
    {"PATCH", "streams/:b/:s", PERM_PUT, 1, api_patch_check, api_patch},
    {"DELETE", "streams/:b/:s", PERM_DELETE, 0, NULL, api_delete},
    {"DELETE", "buckets/:b", PERM_DELETE, 0, NULL, api_delete_bucket},
    {"GET", "streams/:b/:s/:n", PERM_GET, 0, NULL, api_read_raw},
};

/* The store answers in request.timeout; this is for when it does not. */
#define ANSWER_GRACE_US 500000

#define N_ROUTES (sizeof(routes) / sizeof(*routes))

const char *
route_pattern(uint32_t i)
{
	return i < N_ROUTES ? routes[i].pattern : NULL;
}

struct slice
request_header(const struct request *rq, const char *name)
{
	const struct conn *c = rq->conn;

	if (!rq->base || c->head.status)
		return SLICE(NULL, 0);
	return parser_header_find(&c->head, rq->base, name);
}

uint32_t
request_header_count(const struct request *rq, const char *name)
{
	const struct conn *c = rq->conn;

	if (!rq->base || c->head.status)
		return 0;
	return parser_header_count(&c->head, rq->base, name);
}

int
request_param(struct request *rq, const char *name, struct slice *out)
{
	if (uri_param(&rq->uri, name, rq->store, out) != 0)
		return 0;
	rq->store += out->n;
	return 1;
}

/* Whether WORD, up to its '/' or its end, is S: most are told apart by their
 * first byte. */
static int
is_word(const char *word, struct slice s)
{
	size_t n = 0;

	while (n < s.n && word[n] && word[n] != '/' && word[n] == (char)s.p[n])
		n++;
	return n == s.n && (word[n] == '/' || !word[n]);
}

static int
matches(const struct route *r, const struct uri *u)
{
	const char *p = r->pattern;
	uint32_t i = 0;

	for (; *p; i++) {
		if (i == u->n_segments ||
		    (*p != ':' && !is_word(p, u->segments[i])))
			return 0;
		p += strcspn(p, "/");
		p += *p == '/';
	}
	return i == u->n_segments;
}

static const struct route *
find_route(const struct uri *u, struct slice method)
{
	for (size_t i = 0; i < N_ROUTES; i++)
		if (slice_equal(method, SLICE_STR(routes[i].method)) &&
		    matches(&routes[i], u))
			return &routes[i];
	return NULL;
}

static int
known_method(struct slice m)
{
	static const char *const known[] = {"GET", "HEAD", "POST", "PUT",
	    "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (slice_equal(m, SLICE_STR(known[i])))
			return 1;
	return 0;
}

enum request_class
request_class(struct slice method, struct slice target)
{
	static const char prefix[] = "/streams/";
	size_t n = sizeof(prefix) - 1;

	if (uri_begins_with(target, "listen"))
		return CLASS_ALONE; /* it may last */
	if (slice_equal(method, SLICE_LIT("GET")) ||
	    slice_equal(method, SLICE_LIT("HEAD")))
		return CLASS_SAFE;
	if (slice_equal(method, SLICE_LIT("POST")) && target.n > n &&
	    memcmp(target.p, prefix, n) == 0)
		return CLASS_APPEND;
	return CLASS_ALONE;
}

/* "Allow: GET, HEAD, ..." of the routes that match; empty: there is none. */
static void
allow_line(const struct uri *u, char out[128])
{
	size_t n = 0;

	out[0] = '\0';
	for (size_t i = 0; i < N_ROUTES; i++) {
		const char *m = routes[i].method;

		if (!matches(&routes[i], u))
			continue;
		n += (size_t)snprintf(out + n, 128 - n, "%s%s%s",
		    n ? ", " : "Allow: ", m,
		    strcmp(m, "GET") == 0 && routes[i].handler != api_listen
			? ", HEAD"
			: "");
	}
	if (n)
		snprintf(out + n, 128 - n, ", OPTIONS\r\n");
}

/* --- routing -------------------------------------------------------------- */

/* Whether the route's pattern has NAME at segment I. */
static int
is_called(const struct route *r, uint32_t i, const char *name)
{
	const char *p = r->pattern;

	for (; i && p; i--) {
		p = strchr(p, '/');
		p = p ? p + 1 : NULL;
	}
	return p && strncmp(p, name, strlen(name)) == 0 &&
	       (p[strlen(name)] == '/' || p[strlen(name)] == '\0');
}

/* NAME_OK, or what is wrong with the bucket or the stream. */
static int
take_names(struct request *rq)
{
	struct uri *u = &rq->uri;
	const struct route *r = rq->route;
	int all = is_called(r, 1, ":B"), c;

	if (!all && !is_called(r, 1, ":b"))
		return NAME_OK;
	rq->bucket = u->segments[1];
	c = name_check(rq->bucket);
	if (c && !(all && u->n_segments == 2 &&
		     slice_equal(rq->bucket, SLICE_LIT(AUTH_EVERYTHING))))
		return c;
	if (!is_called(r, 2, ":s"))
		return NAME_OK;
	rq->stream = u->segments[2];
	c = name_check(rq->stream);
	if (c)
		return c;
	rq->group = ring_hash_group(rq->server->hash, rq->bucket, rq->stream,
	    rq->server->config.route.n_groups);
	return NAME_OK;
}

/* The decoded path goes first, decoded parameters behind it. */
static int
parse_target(struct request *rq)
{
	if (rq->target.p[0] == '*')
		return 0;
	if (uri_parse(&rq->uri, rq->target, rq->store))
		return -ERR_INVAL;
	rq->store += rq->uri.path.n;
	return uri_query_check(rq->uri.query);
}

static void
check(struct request *rq)
{
	const struct route *r = rq->route;
	int c;

	if (!request_identify(rq))
		return;
	c = take_names(rq);
	if (c)
		respond_error(rq, 400, "illegal-name", NULL, NULL,
		    "the bucket or the stream: %s", name_text(c));
	else if (!request_allow(rq))
		return;
	else if (r->json && !rq->problem &&
		 accept_q(rq->accept, "application/json") == 0)
		respond_error(rq, 406, "not-acceptable", NULL, NULL,
		    "the answer is application/json");
	else if (r->check)
		r->check(rq);
}

static void
options(struct request *rq, const char *allow)
{
	char extra[256];

	snprintf(extra, sizeof(extra), "%s%s",
	    allow[0]
		? allow
		: "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n",
	    strstr(allow, "PATCH") ? API_PATCH_ACCEPT : "");
	respond(rq, 200, NULL, extra, SLICE(NULL, 0));
}

/* What becomes of a request that no route takes. */
static void
without_route(struct request *rq, struct slice method)
{
	int everything = rq->target.p[0] == '*';
	int asks_for_options = slice_equal(method, SLICE_LIT("OPTIONS"));
	char allow[128];

	if (!known_method(method)) {
		respond_error(
		    rq, 501, "bad-request", NULL, NULL, "unknown method");
		return;
	}
	if (asks_for_options && cors_preflight(rq))
		return;
	allow_line(&rq->uri, allow);
	if (!everything && (rq->uri.empty_segment || !allow[0]))
		respond_error(rq, 404, "not-found", NULL, NULL,
		    "there is nothing at this path");
	else if (asks_for_options)
		options(rq, allow);
	else
		respond_error(rq, 405, "method-not-allowed", allow, NULL,
		    "this method is not for this path");
}

void
request_route(struct request *rq)
{
	struct slice method = rq->method;

	rq->is_head = slice_equal(method, SLICE_LIT("HEAD"));
	if (rq->is_head)
		method = SLICE_LIT("GET");
	if (atomic_load(rq->server->config.removed)) {
		respond_unavailable(
		    rq, "this node was removed from its cluster");
		return;
	}
	if (parse_target(rq)) {
		respond_error(
		    rq, 400, "bad-request", NULL, NULL, "bad percent escape");
		return;
	}
	if (!rq->uri.empty_segment)
		rq->route = find_route(&rq->uri, method);
	if (rq->route)
		check(rq);
	else
		without_route(rq, method);
}

/* --- the store ------------------------------------------------------------ */

void
request_watch(struct request *rq)
{
	request_watch_for(rq, rq->server->config.request_timeout_us);
}

void
request_watch_for(struct request *rq, uint64_t us)
{
	struct http_server *s = rq->server;
	struct list *at;

	list_del(&rq->asked);
	rq->deadline = mono_add_us(server_now(s), us + ANSWER_GRACE_US);
	/* Behind the last one, but after the timeout was made shorter. */
	for (at = s->asked.prev; at != &s->asked; at = at->prev)
		if (LIST_ENTRY(at, struct request, asked)->deadline.us <=
		    rq->deadline.us)
			break;
	list_add_tail(at->next, &rq->asked);
}

void
request_send(struct request *rq, struct msg *m, void (*fn)(struct msg *))
{
	const struct vnode_route *r = &rq->server->config.route;

	m->from = rq->server->worker;
	m->answer = 0;
	m->fn = fn;
	rq->in_store = 1;
	request_watch(rq);
	r->send(r->ctx, rq->group, m);
}

int
request_back(struct request *rq)
{
	rq->in_store = 0;
	list_del(&rq->asked);
	if (rq->conn && !rq->done && !rq->conn->broken)
		return 1;
	if (!rq->conn)
		request_free(rq);
	return 0;
}

static void
count(const struct request *rq, uint64_t took_us)
{
	struct metrics_shard *m = rq->server->metrics;
	uint32_t i = rq->route ? (uint32_t)(rq->route - routes) : N_ROUTES;

	counts_add(rq->server->counts, i, rq->method, rq->status);
	if (!rq->listener) /* lasts as long as it likes */
		metrics_observe(m, METRICS_REQUEST_SECONDS, took_us);
	metrics_add(m, METRICS_SENT_BYTES, rq->bytes_out);
	metrics_add(m, METRICS_RECEIVED_BYTES, rq->body.n);
	if (rq->n_appended) {
		metrics_observe(m, METRICS_APPEND_SECONDS, took_us);
		metrics_add(m, METRICS_APPEND_EVENTS, rq->n_appended);
		metrics_add(m, METRICS_APPEND_BYTES, rq->appended_bytes);
	}
	if (rq->n_read && !rq->is_head) {
		metrics_observe(m, METRICS_READ_SECONDS, took_us);
		metrics_add(m, METRICS_READ_EVENTS, rq->n_read);
		metrics_add(m, METRICS_READ_BYTES, rq->bytes_out);
	}
}

void
request_log(struct request *rq)
{
	const struct http_config *c = &rq->server->config;
	struct http_access a = {
	    .peer = tcp_peer(rq->conn->tcp),
	    .method = rq->method.n ? rq->method : SLICE_LIT("-"),
	    .target = rq->uri.path.n ? rq->uri.path : SLICE_LIT("-"),
	    .status = rq->status,
	    .bytes = rq->bytes_out,
	    .took_us = mono_diff_us(rq->started, server_now(rq->server)),
	    .request_id = rq->id,
	};

	if (!rq->status)
		return;
	count(rq, a.took_us);
	if (c->access)
		c->access(c->arg, &a);
}

void
request_free(struct request *rq)
{
	list_del(&rq->asked);
	if (rq->list)
		api_list_free(rq);
	if (rq->patch)
		api_patch_leave(rq);
	rq->listener = listener_free(rq->listener);
	if (rq->drop)
		api_delete_free(rq);
	if (rq->in_store)
		return; /* freed when the store's answer is back */
	server_uncharge(rq->server, rq->charged);
	vnode_page_deinit(&rq->read.page);
	buf_deinit(&rq->view.out);
	mem_free(rq->events);
	if (rq->patch)
		api_patch_free(rq);
	api_auth_free(rq->asking);
	api_policy_free(rq->policy);
	out_deinit(&rq->items);
	out_deinit(&rq->out);
	block_unref(rq->in);
	block_unref(rq->body_block);
	mem_free(rq);
}

void
request_timed_out(struct request *rq)
{
	if (rq->list)
		api_list_timed_out(rq);
	else if (rq->streaming)
		respond_abort(rq); /* an unfinished body must do */
	else if (rq->proposed)
		respond_error(rq, 504, "unknown-outcome", NULL, NULL,
		    "whether it was done is not known");
	else
		respond_unavailable(rq, "no answer came in time");
}
