/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * listener - subscriptions that catch up, and those that are live.
 *
 *	hungry -> reading -> hungry ... -> live -> hungry ...
 *
 * Invariants:
 *  1. A subscription is exactly one of: hungry, reading, live (feed), or to be
 *     tried again.
 *  2. Events before `next` of `incarnation` were sent or were not wanted; none
 *     from `next` on was.
 *  3. What is read for a subscription that is gone is dropped.
 */
#include "http/bucket.h"
#include "http/socket.h"
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/hash.h"
#include "src/base/mem.h"

#define READS_MAX       8 /* of a listener at a time */
#define PAGE_BYTES      (256u << 10)
#define PAGE_EVENTS     1000
#define TICKS_PER_CHECK 4 /* of the server, until tokens are looked at */

/* A page for a subscription; it outlives it. */
struct catchup {
	struct vnode_read read;
	struct http_server *server;
	struct sub *sub; /* NULL: gone */
	struct listen_names *names;
};

/* --- names ---------------------------------------------------------------- */

struct listen_names *
listen_names_new(
    struct http_server *s, struct slice bucket, struct slice stream)
{
	struct listen_names *n;
	struct buf meta;
	uint8_t *at;

	buf_init(&meta, 8192);
	buf_add_str(&meta, ",\"bucket\":");
	buf_add_json_string(&meta, bucket);
	buf_add_str(&meta, ",\"stream\":");
	buf_add_json_string(&meta, stream);
	n = buf_error(&meta)
		? NULL
		: mem_alloc(sizeof(*n) + bucket.n + stream.n + meta.n);
	if (!n) {
		buf_deinit(&meta);
		return NULL;
	}
	at = (uint8_t *)(n + 1);
	*n = (struct listen_names){
	    .refs = 1,
	    .group = ring_hash_group(
		s->hash, bucket, stream, s->config.route.n_groups),
	    .bucket = SLICE(at, bucket.n),
	    .stream = SLICE(at + bucket.n, stream.n),
	    .meta = SLICE(at + bucket.n + stream.n, meta.n),
	    .cursor = cursor_names(bucket, stream),
	    .hash = hash64(stream.p, stream.n,
		hash64(bucket.p, bucket.n, s->listen->feeds.seed)),
	};
	memcpy(at, bucket.p, bucket.n);
	memcpy(at + bucket.n, stream.p, stream.n);
	memcpy(at + bucket.n + stream.n, meta.p, meta.n);
	buf_deinit(&meta);
	return n;
}

struct listen_names *
listen_names_ref(struct listen_names *n)
{
	n->refs++;
	return n;
}

struct listen_names *
listen_names_unref(struct listen_names *n)
{
	if (n && --n->refs == 0)
		mem_free(n);
	return NULL;
}

/* --- life ----------------------------------------------------------------- */

struct listener *
listener_new(
    struct request *rq, enum listen_kind kind, const struct listen_transport *t)
{
	struct listener *l = mem_zalloc(sizeof(*l));

	if (!l)
		return NULL;
	l->rq = rq;
	l->server = rq->server;
	l->kind = kind;
	l->transport = t;
	_Static_assert(LISTEN_KINDS == HTTP_LISTEN_KINDS, "one counter each");
	atomic_fetch_add(&l->server->n_listeners[kind], 1);
	list_init(&l->subs);
	list_init(&l->hungry);
	list_init(&l->buckets);
	list_init(&l->hungry_lanes);
	list_init(&l->timed);
	return l;
}

struct listener *
listener_free(struct listener *l)
{
	struct list *node;

	if (!l)
		return NULL;
	while ((node = list_first(&l->subs)))
		listener_remove(LIST_ENTRY(node, struct sub, link));
	while ((node = list_first(&l->buckets)))
		bucket_remove(LIST_ENTRY(node, struct bucket_sub, link));
	socket_free(l);
	atomic_fetch_sub(&l->server->n_listeners[l->kind], 1);
	list_del(&l->timed);
	out_deinit(&l->out);
	mem_free(l->origin);
	return mem_free(l);
}

struct sub *
listener_add(struct listener *l, struct listen_names *names,
    uint64_t incarnation, uint64_t next)
{
	struct sub *s = mem_alloc(sizeof(*s));

	if (!s)
		return NULL;
	*s = (struct sub){
	    .listener = l,
	    .names = listen_names_ref(names),
	    .incarnation = incarnation,
	    .next = next,
	};
	list_init(&s->live);
	list_init(&s->hungry);
	list_add_tail(&l->subs, &s->link);
	list_add_tail(&l->hungry, &s->hungry);
	l->n_subs++;
	l->n_unknown += next == 0;
	return s;
}

struct sub *
listener_find(struct listener *l, struct slice bucket, struct slice stream)
{
	LIST_FOREACH (node, &l->subs) {
		struct sub *s = LIST_ENTRY(node, struct sub, link);

		if (slice_equal(s->names->stream, stream) &&
		    slice_equal(s->names->bucket, bucket))
			return s;
	}
	return NULL;
}

void
listener_remove(struct sub *s)
{
	if (s->feed)
		feed_leave(s);
	if (s->reading) {
		s->reading->sub = NULL;
		s->listener->n_reading--;
	}
	list_del(&s->hungry);
	list_del(&s->link);
	s->listener->n_subs--;
	s->listener->n_unknown -= s->next == 0;
	listen_names_unref(s->names);
	mem_free(s);
}

uint64_t
listener_queued(const struct listener *l)
{
	return l->rq->conn->out.bytes + l->out.bytes;
}

int
listener_is_live(const struct listener *l)
{
	return l->n_reading == 0 && l->n_own == 0 && list_empty(&l->hungry) &&
	       list_empty(&l->hungry_lanes);
}

static void
add_lanes(const struct listener *l, struct cursor *c)
{
	LIST_FOREACH (node, &l->buckets) {
		const struct bucket_sub *b =
		    LIST_ENTRY(node, struct bucket_sub, link);

		for (uint32_t i = 0; i < b->n_lanes; i++) {
			const struct lane *x = &b->lanes[i];

			if (x->known)
				c->groups[c->n_groups++] =
				    (struct cursor_group){
					.names = b->names->cursor,
					.group = x->group,
					.ordinal = x->at.ordinal,
					.index = x->at.index,
					.t_ms = x->at.t_ms,
				    };
		}
	}
}

void
listener_cursor(const struct listener *l, struct buf *text)
{
	uint32_t n = l->n_buckets * l->server->config.route.n_groups;
	struct cursor c = {
	    .streams = mem_calloc(l->n_subs + 1u, sizeof(*c.streams)),
	    .groups = mem_calloc(n + 1u, sizeof(*c.groups)),
	};

	LIST_FOREACH (node, &l->subs) {
		const struct sub *s = LIST_ENTRY(node, struct sub, link);

		if (c.streams && s->next)
			c.streams[c.n_streams++] = (struct cursor_stream){
			    s->names->cursor, s->incarnation, s->next};
	}
	if (c.streams && c.groups) {
		add_lanes(l, &c);
		cursor_encode(text, l->server->config.cluster_id, &c);
	} else {
		text->error = -ERR_NOMEM;
	}
	cursor_deinit(&c);
}

void
listener_set_due(struct listener *l, struct mono due)
{
	struct list *all = &l->server->listen->timed[l->kind];
	struct list *at;

	list_del(&l->timed);
	l->due = due;
	for (at = all->prev; at != all; at = at->prev)
		if (LIST_ENTRY(at, struct listener, timed)->due.us <= due.us)
			break;
	list_add_tail(at->next, &l->timed);
}

/* --- what was read -------------------------------------------------------- */

/* It is tried again at the server's next tick. */
static void
try_later(struct sub *s)
{
	list_del(&s->hungry);
	list_add_tail(&s->listener->server->listen->retry, &s->hungry);
}

void
sub_catch_up(struct sub *s)
{
	struct listener *l = s->listener;

	if (s->feed)
		feed_leave(s);
	list_del(&s->hungry);
	list_add_tail(&l->hungry, &s->hungry);
	conn_kick(l->rq->conn); /* pumps, once there is room */
}

static void
say(struct sub *s, const char *notice, uint64_t first)
{
	struct buf b;

	buf_init(&b, 16384);
	buf_printf(&b, "{\"notice\":\"%s\"", notice);
	buf_add_slice(&b, s->names->meta);
	if (first)
		buf_printf(&b, ",\"first\":%llu", (unsigned long long)first);
	buf_add_byte(&b, '}');
	if (buf_error(&b))
		s->listener->out.error = -ERR_NOMEM;
	else
		s->listener->transport->notice(s, buf_slice(&b));
	buf_deinit(&b);
	conn_kick(s->listener->rq->conn);
}

/* The stream has been deleted since S knew it, and is ID now, or nothing. */
static void
deleted(struct sub *s, uint64_t id)
{
	say(s, "deleted", 0);
	s->incarnation = id;
	s->next = 1;
}

void
sub_offer(struct sub *s, const struct listen_page *p)
{
	struct listener *l = s->listener;
	uint64_t next;

	if (s->incarnation == 0)
		s->incarnation = p->incarnation;
	if (s->incarnation != p->incarnation || s->next < p->page->first ||
	    l->ended) {
		sub_catch_up(s);
		return;
	}
	if (s->next > p->page->last)
		return;
	if (l->n_unknown || !l->transport->has_room(l)) {
		sub_catch_up(s);
		return;
	}
	next = l->transport->page(s, p, s->next);
	ASSERT(next >= s->next);
	metrics_add(l->server->metrics, METRICS_LISTEN_EVENTS, next - s->next);
	s->next = next;
	if (next <= p->page->last)
		sub_catch_up(s);
	conn_kick(l->rq->conn);
}

/* A page of its own. */
static void
use_page(struct sub *s, struct vnode_page *page)
{
	struct listener *l = s->listener;
	struct listen_page p = {
	    .names = s->names, .incarnation = s->incarnation, .page = page};

	while (s->next <= page->last && !l->out.error) {
		uint64_t next = l->transport->page(s, &p, s->next);

		if (next == s->next)
			break;
		metrics_add(
		    l->server->metrics, METRICS_LISTEN_EVENTS, next - s->next);
		s->next = next;
	}
	conn_kick(l->rq->conn);
}

/* R has nothing more for S, or S learns from it where it is. */
static void
move_on(struct sub *s, struct vnode_read *r)
{
	uint64_t first;

	if (s->next == 0) {
		s->incarnation = r->incarnation;
		s->next = r->newest + 1;
		s->listener->n_unknown--;
	}
	if (s->incarnation && s->incarnation != r->incarnation) {
		deleted(s, r->incarnation);
		sub_catch_up(s);
		return;
	}
	s->incarnation = r->incarnation;
	first = r->kept_first ? r->kept_first : r->newest + 1;
	if (s->next < first && r->newest) {
		say(s, "gap", first);
		s->next = first;
	}
	if (r->page.n_parts && r->page.first <= s->next)
		use_page(s, &r->page);
	if (s->next <= r->newest) {
		sub_catch_up(s);
		return;
	}
	switch (feed_join(s->listener->server, s, r->newest)) {
	case 0:
		return;
	case 1:
		sub_catch_up(s);
		return;
	default:
		try_later(s);
	}
}

static void
caught_up(struct msg *m)
{
	struct catchup *c = CONTAINER_OF(
	    CONTAINER_OF(m, struct vnode_read, msg), struct catchup, read);
	struct sub *s = c->sub;
	struct vnode_read *r = &c->read;

	if (s) {
		s->reading = NULL;
		s->listener->n_reading--;
		conn_kick(s->listener->rq->conn);
	}
	if (s && r->r == -ERR_CORRUPT)
		s->listener->transport->fail(s->listener, r->r);
	else if (s && r->r)
		try_later(s);
	else if (s)
		move_on(s, r);
	vnode_page_deinit(&r->page);
	listen_names_unref(c->names);
	mem_free(c);
}

/* --- reading -------------------------------------------------------------- */

static int
read_next(struct sub *s)
{
	struct listener *l = s->listener;
	struct http_server *server = l->server;
	const struct vnode_route *route = &server->config.route;
	uint64_t bytes = server->config.listen_max_queue / 2;
	struct catchup *c = mem_alloc(sizeof(*c));

	if (!c)
		return -ERR_NOMEM;
	if (l->n_subs > 1)
		bytes /= READS_MAX;
	*c = (struct catchup){
	    .server = server,
	    .sub = s,
	    .names = listen_names_ref(s->names),
	    .read =
		{
		    .msg = {.kind = MSG_READ,
			.from = server->worker,
			.fn = caught_up},
		    .group = s->names->group,
		    .bucket = s->names->bucket,
		    .stream = s->names->stream,
		    .op = VNODE_READ_PAGE,
		    .from = s->next,
		    .to = UINT64_MAX,
		    .limit = s->next ? PAGE_EVENTS : 0,
		    .max_bytes =
			bytes < PAGE_BYTES ? (uint32_t)bytes : PAGE_BYTES,
		},
	};
	s->reading = c;
	l->n_reading++;
	route->send(route->ctx, c->read.group, &c->read.msg);
	return 0;
}

/* What it has suffices for now: a socket that takes nothing reads nothing. */
static int
is_behind(const struct listener *l)
{
	return l->kind != LISTEN_COMET &&
	       listener_queued(l) >= l->server->config.listen_max_queue / 2;
}

/* The next that may be read for. */
static struct sub *
next_hungry(const struct listener *l)
{
	LIST_FOREACH (node, &l->hungry) {
		struct sub *s = LIST_ENTRY(node, struct sub, hungry);

		if (s->next == 0 || l->n_unknown == 0)
			return s;
	}
	return NULL;
}

void
listener_pump(struct listener *l)
{
	struct sub *s;

	if (l->ended || is_behind(l) || !l->transport->has_room(l))
		return;
	while (l->n_reading < READS_MAX && (s = next_hungry(l))) {
		list_del(&s->hungry);
		if (read_next(s))
			try_later(s);
	}
	if (!list_empty(&l->hungry_lanes))
		bucket_pump(l);
}

void
listener_count_unknown(struct listener *l)
{
	l->n_unknown = 0;
	LIST_FOREACH (node, &l->subs)
		l->n_unknown += LIST_ENTRY(node, struct sub, link)->next == 0;
	LIST_FOREACH (node, &l->buckets) {
		struct bucket_sub *b =
		    LIST_ENTRY(node, struct bucket_sub, link);

		for (uint32_t i = 0; i < b->n_lanes; i++)
			l->n_unknown += !b->lanes[i].known;
	}
}

void
listener_flush(struct request *rq)
{
	struct listener *l = rq->listener;

	if (l->out.error) {
		conn_reset(rq->conn);
		return;
	}
	listener_pump(l);
	l->transport->flush(l);
}

void
listener_stop(struct request *rq)
{
	rq->listener->transport->stop(rq->listener);
}

/* --- the server's --------------------------------------------------------- */

struct listen_server *
listen_server_new(uint64_t seed)
{
	struct listen_server *ls = mem_zalloc(sizeof(*ls));

	if (!ls)
		return NULL;
	feed_table_init(ls, seed);
	bucket_table_init(ls, seed);
	list_init(&ls->retry);
	list_init(&ls->paused_feeds);
	for (int i = 0; i < LISTEN_KINDS; i++)
		list_init(&ls->timed[i]);
	return ls;
}

struct listen_server *
listen_server_free(struct listen_server *ls)
{
	if (!ls)
		return NULL;
	feed_free_all(ls);
	bucket_free_all(ls);
	return mem_free(ls);
}

/* Whether L may still get all that it is subscribed to. */
static int
may_listen(const struct listener *l)
{
	LIST_FOREACH (node, &l->subs) {
		const struct sub *s = LIST_ENTRY(node, struct sub, link);

		if (!request_may_still(
			l->rq, AUTH_GET, s->names->bucket, s->names->stream))
			return 0;
	}
	LIST_FOREACH (node, &l->buckets) {
		const struct bucket_sub *b =
		    LIST_ENTRY(node, struct bucket_sub, link);

		if (!request_may_still(
			l->rq, AUTH_GET, b->names->bucket, SLICE(NULL, 0)))
			return 0;
	}
	return request_is_valid(l->rq);
}

static void
check_all(struct http_server *s, int (*good)(const struct listener *l))
{
	for (int i = 0; i < LISTEN_KINDS; i++)
		LIST_FOREACH_SAFE (node, tmp, &s->listen->timed[i]) {
			struct listener *l =
			    LIST_ENTRY(node, struct listener, timed);

			if (!l->ended && !good(l))
				l->transport->expire(l);
		}
}

void
listen_server_check(struct http_server *s)
{
	check_all(s, may_listen);
}

static int
has_time(const struct listener *l)
{
	return request_is_valid(l->rq);
}

void
listen_server_tick(struct http_server *s, struct mono now)
{
	struct listen_server *ls = s->listen;
	struct list retry, *node;

	if (++ls->n_ticks % TICKS_PER_CHECK == 0)
		check_all(s, has_time);
	list_init(&retry);
	list_splice_tail(&retry, &ls->retry);
	while ((node = list_first(&retry)))
		sub_catch_up(LIST_ENTRY(node, struct sub, hungry));
	feed_retry_all(s);
	bucket_retry_all(s);
	for (int i = 0; i < LISTEN_KINDS; i++) {
		while ((node = list_first(&ls->timed[i]))) {
			struct listener *l =
			    LIST_ENTRY(node, struct listener, timed);

			if (l->due.us > now.us)
				break;
			list_del(node);
			l->transport->tick(l, now);
		}
	}
}
