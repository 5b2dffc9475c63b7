/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * catchup - subscriptions that catch up, and those that are live.
 *
 *	hungry -> reading -> hungry ... -> live -> hungry ...
 *
 * Invariants:
 *  1. Events before `next` of `incarnation` were sent or were not wanted; none
 *     from `next` on was.
 *  2. What is read for a subscription that is gone is dropped.
 */
#include "http/bucket.h"
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define READS_MAX   8 /* of a listener at a time */
#define PAGE_BYTES  (256u << 10)
#define PAGE_EVENTS 1000

/* A page for a subscription; it outlives it. */
struct catchup {
	struct vnode_read read;
	struct http_server *server;
	struct sub *sub; /* NULL: gone */
	struct listen_names *names;
};

void
catchup_forget(struct sub *s)
{
	s->reading->sub = NULL;
	s->listener->n_reading--;
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

/* How many events of P from s->next on were sent. */
static uint32_t
take(struct sub *s, const struct listen_page *p)
{
	struct listener *l = s->listener;
	uint32_t n = l->transport->page(s, p);

	metrics_add(l->server->metrics, METRICS_LISTEN_EVENTS, n);
	return n;
}

void
sub_offer(struct sub *s, const struct listen_page *p)
{
	struct listener *l = s->listener;

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
	take(s, p);
	if (s->next <= p->page->last)
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

	while (s->next <= page->last && !l->out.error && take(s, &p))
		;
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
		listener_fail(s->listener, r->r, r);
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
