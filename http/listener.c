/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * listener - one request that listens: its names, subscriptions and cursor.
 *
 * A subscription is exactly one of: hungry, reading, live (feed), or to be tried
 * again; what becomes of it: catchup.c.
 */
#include "http/bucket.h"
#include "http/socket.h"
#include "src/base/err.h"
#include "src/base/hash.h"
#include "src/base/mem.h"

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

int
listener_may_add(const struct listener *l, uint32_t n_subs, uint32_t n_buckets)
{
	const struct http_config *c = &l->server->config;

	n_subs += l->n_subs;
	n_buckets += l->n_buckets;
	return n_subs <= c->listen_max_subscriptions &&
	       cursor_fits(n_subs, n_buckets, c->route.n_groups);
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
	if (s->reading)
		catchup_forget(s);
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

void
listener_fail(struct listener *l, int r, const struct vnode_read *read)
{
	if (l->ended)
		return;
	if (read) {
		l->rq->read.damaged_first = read->damaged_first;
		l->rq->read.damaged_last = read->damaged_last;
	}
	l->transport->fail(l, r);
}
