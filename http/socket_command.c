/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * socket_command - what a peer asks for over its socket (http-api.md section 6).
 *
 *	{"cmd":"subscribe","bucket":B,"stream":S[,"from":N],"id":I}
 *	{"cmd":"unsubscribe","bucket":B,"stream":S,"id":I}
 *	{"cmd":"put","bucket":B,"stream":S,"data":JSON,"id":I}
 *	{"cmd":"cursor","id":I}  {"cmd":"ping","id":I}
 *
 * Each is answered once, in any order; a failure never ends the connection.
 */
#include "http/bucket.h"
#include "http/jtext.h"
#include "http/jvalue.h"
#include "http/socket.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/base/name.h"
#include "src/base/utf8.h"

#define VALUES_MAX (1u << 20)
#define WORK_MAX   (1u << 24)
#define ID_MAX     1024 /* bytes of what is echoed */

/* A command as far as it is understood. */
struct command {
	struct listener *l;
	struct slice id; /* as text */
	struct buf bucket, stream;
	int has_bucket, has_stream;
	struct jvalue *from, *data;
};

/* An append that a peer waits for; it outlives the peer. */
struct socket_put {
	struct vnode_put put;
	struct vnode_put_event event;
	struct list link;
	struct http_server *server;
	struct listener *l; /* NULL: gone */
	uint64_t charged;
	struct slice id;
	uint8_t bytes[];
};

/* --- answers -------------------------------------------------------------- */

static void
begin(struct buf *b, int ok, struct slice id)
{
	buf_init(b, 2 * CURSOR_TEXT_MAX);
	buf_printf(b, "{\"ok\":%s,\"id\":", ok ? "true" : "false");
	buf_add_slice(b, id);
}

static void
finish(struct listener *l, struct buf *b)
{
	buf_add_byte(b, '}');
	if (buf_error(b))
		l->out.error = -ERR_NOMEM;
	else
		socket_text(l, buf_slice(b));
	buf_deinit(b);
}

static void
refuse(struct listener *l, struct slice id, const char *reason)
{
	struct buf b;

	begin(&b, 0, id);
	buf_printf(&b, ",\"reason\":\"%s\"", reason);
	finish(l, &b);
}

static void
accepted(const struct command *c, const char *type)
{
	struct buf b;

	begin(&b, 1, c->id);
	buf_printf(&b, ",\"type\":\"%s\"", type);
	finish(c->l, &b);
}

/* --- what a command says -------------------------------------------------- */

static struct jvalue *
member(struct jpool *p, struct jvalue *object, const char *name)
{
	return jvalue_find(p, object, SLICE_STR(name), NULL);
}

/* V as UTF-8; a lone surrogate is none, so no name has one. */
static int
take_string(const struct jvalue *v, struct buf *out)
{
	uint8_t bytes[UTF8_MAX];
	struct slice in;

	if (!v || v->type != JVALUE_STRING)
		return 0;
	in = jvalue_text(v);
	while (in.n)
		buf_add(out, bytes, utf8_encode(jtext_next(&in), bytes));
	return 1;
}

/* The text of a scalar, with its quotes. */
static struct slice
take_id(const struct jvalue *v)
{
	struct slice s;

	if (!v || jvalue_is_container(v) || v->n > ID_MAX)
		return SLICE_LIT("0");
	s = jvalue_text(v);
	return v->type == JVALUE_STRING ? SLICE(s.p - 1, s.n + 2) : s;
}

static int
is_bucket_wide(const struct command *c)
{
	return slice_equal(buf_slice(&c->stream), SLICE_LIT("*"));
}

/* What is wrong with the names, or NULL. */
static const char *
check_names(const struct command *c)
{
	if (!c->has_bucket && !c->has_stream)
		return "missing bucket and stream";
	if (!c->has_bucket)
		return "missing bucket";
	if (!c->has_stream)
		return "missing stream";
	if (name_check(buf_slice(&c->bucket)) ||
	    (!is_bucket_wide(c) && name_check(buf_slice(&c->stream))))
		return "illegal name";
	return NULL;
}

/* --- commands ------------------------------------------------------------- */

static int
take_from(const struct jvalue *v, uint64_t *out)
{
	struct slice s;

	*out = 0;
	if (!v)
		return 0;
	s = jvalue_text(v);
	if (v->type != JVALUE_NUMBER || s.n > 19)
		return -ERR_INVAL;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return -ERR_INVAL;
		*out = *out * 10 + (uint64_t)(s.p[i] - '0');
	}
	if (*out == 0)
		*out = 1;
	return 0;
}

static const char *
subscribe_bucket(const struct command *c)
{
	struct listener *l = c->l;

	if (bucket_find(l, buf_slice(&c->bucket)))
		return "already subscribed";
	if (!listener_may_add(l, 0, 1))
		return "too many subscriptions";
	return bucket_add(l, buf_slice(&c->bucket)) ? NULL : "out of memory";
}

static const char *
unsubscribe_bucket(const struct command *c)
{
	struct bucket_sub *b = bucket_find(c->l, buf_slice(&c->bucket));

	if (!b)
		return "not subscribed";
	bucket_remove(b);
	return NULL;
}

static const char *
subscribe(const struct command *c)
{
	struct listener *l = c->l;
	struct listen_names *names;
	struct sub *s;
	uint64_t next;

	/* No stream is called `*`: then it is the bucket that counts. */
	if (!request_may_still(
		l->rq, AUTH_GET, buf_slice(&c->bucket), buf_slice(&c->stream)))
		return "unauthorized";
	if (is_bucket_wide(c))
		return subscribe_bucket(c);
	if (listener_find(l, buf_slice(&c->bucket), buf_slice(&c->stream)))
		return "already subscribed";
	if (take_from(c->from, &next))
		return "invalid from";
	if (!listener_may_add(l, 1, 0))
		return "too many subscriptions";
	names = listen_names_new(
	    l->server, buf_slice(&c->bucket), buf_slice(&c->stream));
	s = names ? listener_add(l, names, 0, next) : NULL;
	listen_names_unref(names);
	return s ? NULL : "out of memory";
}

static const char *
unsubscribe(const struct command *c)
{
	struct sub *s =
	    listener_find(c->l, buf_slice(&c->bucket), buf_slice(&c->stream));

	if (is_bucket_wide(c))
		return unsubscribe_bucket(c);
	if (!s)
		return "not subscribed";
	listener_remove(s);
	return NULL;
}

static void
say_cursor(const struct command *c)
{
	struct buf b;

	begin(&b, 1, c->id);
	buf_add_str(&b, ",\"type\":\"cursor\",\"cursor\":\"");
	listener_cursor(c->l, &b);
	buf_add_byte(&b, '"');
	finish(c->l, &b);
}

/* --- put ------------------------------------------------------------------ */

static const char *
reason_of(int r)
{
	switch (r) {
	case -ERR_UNKNOWN:
		return "unknown-outcome";
	case -ERR_LIMIT:
		return "too-large";
	default:
		return "unavailable";
	}
}

static void
put_done(struct msg *m)
{
	struct vnode_put *put = CONTAINER_OF(m, struct vnode_put, msg);
	struct socket_put *p = CONTAINER_OF(put, struct socket_put, put);
	struct listener *l = p->l;
	struct buf b;

	if (l) {
		list_del(&p->link);
		l->socket->n_puts--;
		if (put->r) {
			refuse(l, p->id, reason_of(put->r));
		} else {
			begin(&b, 1, p->id);
			buf_printf(&b,
			    ",\"type\":\"put\",\"meta\":{\"id\":%llu,"
			    "\"t\":%llu}",
			    (unsigned long long)put->first,
			    (unsigned long long)put->t_ms);
			finish(l, &b);
		}
		conn_kick(l->rq->conn); /* it may be read from again */
	}
	server_uncharge(p->server, p->charged);
	mem_free(p);
}

void
socket_forget_puts(struct socket *s)
{
	struct list *node;

	while ((node = list_take_first(&s->puts)))
		LIST_ENTRY(node, struct socket_put, link)->l = NULL;
	s->n_puts = 0;
}

/* A put of DATA with its own copy of everything, charged like a body; or why
 * not. */
static const char *
new_put(const struct command *c, struct slice data, struct socket_put **out)
{
	struct http_server *server = c->l->server;
	struct slice bucket = buf_slice(&c->bucket);
	struct slice stream = buf_slice(&c->stream);
	uint64_t n = sizeof(**out) + bucket.n + stream.n + data.n + c->id.n;
	struct socket_put *p = NULL;
	int room = server_charge(server, n);
	uint8_t *at;

	if (room)
		p = mem_alloc(n);
	if (!p) {
		server_uncharge(server, n);
		return room ? "out of memory" : "unavailable";
	}
	at = p->bytes;
	*p = (struct socket_put){.server = server, .l = c->l, .charged = n};
	p->id = slice_put(&at, c->id);
	p->event = (struct vnode_put_event){
	    .flags = EVENT_JSON, .data = slice_put(&at, data)};
	p->put = (struct vnode_put){
	    .msg = {.kind = MSG_PUT, .from = server->worker, .fn = put_done},
	    .group = ring_hash_group(
		server->hash, bucket, stream, server->config.route.n_groups),
	    .bucket = slice_put(&at, bucket),
	    .stream = slice_put(&at, stream),
	    .n_events = 1,
	    .events = &p->event,
	};
	*out = p;
	return NULL;
}

static const char *
put(const struct command *c)
{
	const struct vnode_route *route = &c->l->server->config.route;
	struct socket_put *p;
	const char *why;
	struct buf text;

	if (is_bucket_wide(c))
		return "illegal name";
	if (!c->data)
		return "missing data";
	if (!request_may_still(c->l->rq, AUTH_PUT, buf_slice(&c->bucket),
		buf_slice(&c->stream)))
		return "unauthorized";
	buf_init(&text, c->l->server->config.max_body + 64);
	jvalue_write(c->data, &text);
	why = buf_error(&text) ? "out of memory"
			       : new_put(c, buf_slice(&text), &p);
	buf_deinit(&text);
	if (why)
		return why;
	list_add_tail(&c->l->socket->puts, &p->link);
	c->l->socket->n_puts++;
	route->send(route->ctx, p->put.group, &p->put.msg);
	return NULL;
}

/* --- which ---------------------------------------------------------------- */

static int
is(const struct buf *b, const char *name)
{
	return slice_equal(buf_slice(b), SLICE_STR(name));
}

static void
with_names(struct command *c, const struct buf *cmd)
{
	const char *why = check_names(c);

	if (!why && !is(cmd, "unsubscribe") && request_limit_more(c->l->rq))
		why = "rate-limited";
	if (!why && is(cmd, "subscribe"))
		why = subscribe(c);
	else if (!why && is(cmd, "unsubscribe"))
		why = unsubscribe(c);
	else if (!why) /* answered once it is stored */
		why = put(c);
	if (why)
		refuse(c->l, c->id, why);
	else if (!is(cmd, "put"))
		accepted(c, (const char *)cmd->p);
}

static void
run(struct command *c, struct jpool *pool, struct jvalue *top)
{
	struct buf cmd;

	buf_init(&cmd, 64);
	take_string(member(pool, top, "cmd"), &cmd);
	c->id = take_id(member(pool, top, "id"));
	c->has_bucket = take_string(member(pool, top, "bucket"), &c->bucket);
	c->has_stream = take_string(member(pool, top, "stream"), &c->stream);
	c->from = member(pool, top, "from");
	c->data = member(pool, top, "data");
	if (is(&cmd, "ping")) {
		accepted(c, "ping");
	} else if (is(&cmd, "cursor")) {
		say_cursor(c);
	} else if (is(&cmd, "subscribe") || is(&cmd, "unsubscribe") ||
		   is(&cmd, "put")) {
		buf_add_byte(&cmd, '\0');
		cmd.n--;
		with_names(c, &cmd);
	} else {
		refuse(c->l, c->id, "unknown command");
	}
	buf_deinit(&cmd);
}

void
socket_command(struct listener *l, struct slice text)
{
	struct command c = {.l = l, .id = SLICE_LIT("0")};
	struct jvalue top = {0};
	struct jpool pool;

	jpool_init(&pool, VALUES_MAX, WORK_MAX);
	buf_init(&c.bucket, 1024);
	buf_init(&c.stream, 1024);
	if (json_check(l->server->json, text, JSON_MAX_DEPTH, NULL) ||
	    jvalue_parse(&pool, text, &top) || top.type != JVALUE_OBJECT)
		refuse(l, c.id, "invalid json");
	else
		run(&c, &pool, &top);
	buf_deinit(&c.bucket);
	buf_deinit(&c.stream);
	jpool_deinit(&pool);
}
