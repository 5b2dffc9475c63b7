/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * api_listen - GET /listen (http-api.md section 6): what is asked for, by which
 * transport, and from where on.
 */
#include "http/bucket.h"
#include "http/listen_params.h"
#include "http/param.h"
#include "http/socket.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define WAIT_MAX_S 3600

/* What a listener says about where it stood. */
struct resume {
	int has_cursor;
	struct cursor cursor;
	int has_id; /* of the one stream it listens to */
	uint64_t incarnation, seq;
};

/* --- s= ------------------------------------------------------------------- */

static int
add_bucket(struct listener *l, struct slice bucket)
{
	if (bucket_find(l, bucket))
		return 0;
	if (!listener_may_add(l, 0, 1))
		return -ERR_LIMIT;
	return bucket_add(l, bucket) ? 0 : -ERR_NOMEM;
}

static int
add_wanted(struct listener *l, const struct listen_wanted *w)
{
	struct sub *s = listener_find(l, w->bucket, w->stream);
	struct listen_names *names;

	if (w->all)
		return add_bucket(l, w->bucket);

	if (s) { /* named twice: what both of them want */
		if (w->next && (s->next == 0 || w->next < s->next))
			s->next = w->next;
		return 0;
	}
	if (!listener_may_add(l, 1, 0))
		return -ERR_LIMIT;
	names = listen_names_new(l->server, w->bucket, w->stream);
	s = names ? listener_add(l, names, 0, w->next) : NULL;
	listen_names_unref(names);
	return s ? 0 : -ERR_NOMEM;
}

static int
refuse_stream(struct request *rq, struct slice value)
{
	struct buf b;

	buf_init(&b, 128u << 10);
	buf_add_str(&b, ",\"field\":\"s\",\"value\":");
	buf_add_json_string(&b, value);
	buf_add_byte(&b, '\0');
	respond_error(rq, 401, "no-perm", "WWW-Authenticate: jwt\r\n",
	    buf_error(&b) ? NULL : (char *)b.p,
	    "there is no permission to get from this stream");
	buf_deinit(&b);
	return -ERR_PERM;
}

/* One `s`; else it has been answered. */
static int
add_one(struct request *rq, struct listener *l, struct slice value)
{
	struct listen_wanted w;
	int r = listen_take_wanted(value, &w);

	if (r)
		respond_bad_param(rq, "s", value,
		    "s is bucket:stream, bucket:stream:seqnum or bucket:*");
	else if (!request_may(rq, AUTH_GET, w.bucket, w.stream))
		r = refuse_stream(rq, value);
	else
		r = add_wanted(l, &w);
	if (r == -ERR_LIMIT)
		respond_bad_param(rq, "s", value, "too many subscriptions");
	else if (r == -ERR_NOMEM)
		respond_store_error(rq, r);
	return r;
}

static int
add_all(struct request *rq, struct listener *l)
{
	struct slice query = rq->uri.query, name, value;
	uint8_t *store = mem_alloc(query.n + 1);
	int r = 0;

	if (!store) {
		respond_store_error(rq, -ERR_NOMEM);
		return -ERR_NOMEM;
	}
	while (r == 0 && uri_query_next(&query, store, &name, &value) == 1)
		if (slice_equal(name, SLICE_LIT("s")))
			r = add_one(rq, l, value);
	mem_free(store);
	if (r || l->n_subs || l->n_buckets || l->kind == LISTEN_SOCKET)
		return r;
	respond_bad_param(rq, "s", SLICE(NULL, 0), "nothing to listen to");
	return -ERR_INVAL;
}

/* --- where it stood ------------------------------------------------------- */

static int
find_resume(struct request *rq, const struct listener *l, struct resume *out)
{
	struct slice text = request_header(rq, "last-event-id");
	int r;

	if (l->kind != LISTEN_SSE)
		text = SLICE(NULL, 0);
	if (text.n && l->n_subs == 1 && l->n_buckets == 0 &&
	    listen_take_id(text, &out->incarnation, &out->seq) == 0) {
		out->has_id = 1;
		return 0;
	}
	if (text.n == 0 && !request_param(rq, "cursor", &text))
		return 0;
	r = cursor_decode(&out->cursor, rq->server->config.cluster_id, text);
	if (r == 0) {
		out->has_cursor = 1;
		return 0;
	}
	if (r == -ERR_NOMEM)
		respond_store_error(rq, r);
	else
		respond_error(rq, 400, "bad-cursor", NULL, NULL,
		    "this is no cursor of this cluster");
	return r;
}

static void
apply_to_bucket(struct bucket_sub *b, const struct cursor *c)
{
	for (uint32_t i = 0; i < b->n_lanes; i++) {
		struct lane *x = &b->lanes[i];
		const struct cursor_group *at =
		    cursor_find_group(c, b->names->bucket, i);

		if (!at)
			continue;
		x->at = (struct position){at->index, at->t_ms, at->ordinal};
		x->known = 1;
	}
}

static void
apply_resume(struct listener *l, const struct resume *r)
{
	LIST_FOREACH (node, &l->subs) {
		struct sub *s = LIST_ENTRY(node, struct sub, link);
		const struct cursor_stream *at =
		    r->has_cursor ? cursor_find(&r->cursor, s->names->bucket,
					s->names->stream)
				  : NULL;

		if (r->has_id) {
			s->incarnation = r->incarnation;
			s->next = r->seq + 1;
		} else if (at && (at->next >= s->next || at->incarnation)) {
			s->incarnation = at->incarnation;
			s->next = at->next > s->next ? at->next : s->next;
		}
	}
	LIST_FOREACH (node, &l->buckets)
		apply_to_bucket(
		    LIST_ENTRY(node, struct bucket_sub, link), &r->cursor);
	listener_count_unknown(l);
}

/* --- transports ----------------------------------------------------------- */

static uint64_t
wait_us(struct request *rq)
{
	struct slice text;
	int64_t s;

	if (!request_param(rq, "wait", &text) || param_int(text, &s) || s < 0)
		return rq->server->config.listen_comet_timeout_us;
	return (uint64_t)(s < WAIT_MAX_S ? s : WAIT_MAX_S) * 1000000u;
}

/* What the head says is not needed any more: a listener holds no input. */
static void
let_go_of_head(struct request *rq, struct listener *l)
{
	struct slice origin = rq->origin;

	if (origin.n)
		l->origin = mem_alloc(origin.n);
	if (l->origin)
		memcpy(l->origin, origin.p, origin.n);
	rq->origin = SLICE(l->origin, l->origin ? origin.n : 0);
	rq->base = NULL;
	rq->method = SLICE_LIT("GET");
	rq->uri.path = SLICE_LIT("/listen");
	rq->uri.query = SLICE(NULL, 0);
	rq->uri.n_segments = 0;
	rq->target = rq->accept = SLICE(NULL, 0);
	rq->in = block_unref(rq->in);
}

static int
is_upgrade(struct request *rq)
{
	static const char name[] = "websocket";
	struct slice v = request_header(rq, "upgrade");

	if (v.n != sizeof(name) - 1)
		return 0;
	for (size_t i = 0; i < v.n; i++)
		if ((v.p[i] | 0x20) != (uint8_t)name[i])
			return 0;
	return 1;
}

static enum listen_kind
kind_of(struct request *rq)
{
	if (is_upgrade(rq))
		return LISTEN_SOCKET;
	return accept_q_by_name(rq->accept, "text/event-stream") > 0
		   ? LISTEN_SSE
		   : LISTEN_COMET;
}

/* An EventSource gives up for good on anything but 200, and comes again when that
 * ends. */
int
api_listen_later(struct request *rq)
{
	if (rq->route->handler != api_listen || rq->is_head ||
	    kind_of(rq) != LISTEN_SSE)
		return 0;
	respond(rq, 200, "text/event-stream",
	    "Cache-Control: no-cache, no-transform\r\n",
	    SLICE_LIT("retry: 2000\n\n"));
	return 1;
}

/* Whether RQ can be served at all; else it has been answered. */
static int
check(struct request *rq, enum listen_kind kind, char *accept)
{
	if (rq->is_head) {
		respond_error(rq, 405, "method-not-allowed",
		    "Allow: GET, OPTIONS\r\n", NULL, "only GET can listen");
		return -ERR_INVAL;
	}
	if (kind == LISTEN_COMET && !rq->problem &&
	    accept_q(rq->accept, "application/json") == 0) {
		respond_error(rq, 406, "not-acceptable", NULL, NULL,
		    "there is application/json and text/event-stream");
		return -ERR_INVAL;
	}
	return kind == LISTEN_SOCKET ? socket_handshake(rq, accept) : 0;
}

/* A listener with what RQ asks for, or NULL: it has been answered. */
static struct listener *
make(struct request *rq, enum listen_kind kind)
{
	static const struct listen_transport *const transports[] = {
	    [LISTEN_COMET] = &listen_comet,
	    [LISTEN_SSE] = &listen_sse,
	    [LISTEN_SOCKET] = &listen_socket,
	};
	struct listener *l = listener_new(rq, kind, transports[kind]);
	struct resume resume = {0};

	if (!l || (kind == LISTEN_SOCKET && socket_init(l))) {
		respond_store_error(rq, -ERR_NOMEM);
		return listener_free(l);
	}
	if (add_all(rq, l) || find_resume(rq, l, &resume))
		return listener_free(l);
	apply_resume(l, &resume);
	cursor_deinit(&resume.cursor);
	return l;
}

void
api_listen(struct request *rq)
{
	char accept[WEBSOCKET_ACCEPT_BYTES];
	enum listen_kind kind = kind_of(rq);
	struct listener *l;

	if (check(rq, kind, accept))
		return;
	l = make(rq, kind);
	if (!l)
		return;
	rq->listener = l;
	if (kind == LISTEN_SOCKET)
		socket_start(l, accept);
	else if (kind == LISTEN_SSE)
		sse_start(l);
	else
		comet_start(l, wait_us(rq));
	let_go_of_head(rq, l);
}
