/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * bucket - lanes of bucket-wide subscriptions, and the feeds they share.
 *
 *	asked where the log ends -> live -> hungry -> own merge ... -> live
 *
 * Invariants:
 *  1. A lane is exactly one of: asking, hungry, busy (its own merge), live, or
 *     to be tried again.
 *  2. What comes up to `at` was sent, or came before the subscription; nothing
 *     that comes after it was.
 */
#include "http/bucket.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define WAIT_MS   10000
#define OWN_MAX   2 /* merges of a listener at a time */
#define ASKED_MAX 8

struct bucket_feed {
	struct http_server *server;
	struct listen_names *names;
	uint32_t group;
	struct list lanes;
	struct list paused; /* of the server: asks again at the next tick */
	struct position at;
	struct merge *merge;
};

/* Where a group's log ends; it outlives the lane. */
struct bucket_where {
	struct vnode_news news;
	struct lane *lane; /* NULL: gone */
	struct listen_names *names;
};

struct feed_key {
	const struct listen_names *names;
	uint32_t group;
};

/* --- lanes ---------------------------------------------------------------- */

static void
catch_up(struct lane *x)
{
	struct listener *l = x->bucket->listener;

	list_del(&x->live);
	x->feed = NULL;
	list_del(&x->hungry);
	/* One that has a merge already comes first. */
	list_add_tail(
	    x->own ? l->hungry_lanes.next : &l->hungry_lanes, &x->hungry);
	conn_kick(l->rq->conn);
}

static void
try_later(struct lane *x)
{
	list_del(&x->hungry);
	list_add_tail(
	    &x->bucket->listener->server->listen->retry_lanes, &x->hungry);
}

static void
close_own(struct lane *x)
{
	if (!x->own)
		return;
	x->own = merge_close(x->own);
	x->bucket->listener->n_own--;
}

/* The first item of B that X has not had. */
static uint32_t
first_item(const struct lane *x, const struct batch *b)
{
	uint32_t i = 0;

	while (i < b->n && !position_before(x->at, b->items[i].of))
		i++;
	return i;
}

/* 1: X has all of B; 0: it has no room, or B is not what comes next. */
static int
offer(struct lane *x, const struct batch *b)
{
	struct listener *l = x->bucket->listener;
	uint32_t i = first_item(x, b), n;

	if (position_before(x->at, b->from) || l->ended)
		return 0;
	if (i < b->n) {
		if (l->n_unknown || !l->transport->has_room(l))
			return 0;
		n = l->transport->batch(x, b, i);
		conn_kick(l->rq->conn);
		if (n < b->n - i) {
			if (n)
				lane_had(x, b->items[i + n - 1].at);
			return 0;
		}
	}
	lane_had(x, b->to);
	return 1;
}

/* --- feeds ---------------------------------------------------------------- */

static int
feed_is(const void *entry, const void *key)
{
	const struct bucket_feed *f = entry;
	const struct feed_key *k = key;

	return f->group == k->group &&
	       slice_equal(f->names->bucket, k->names->bucket);
}

static uint64_t
feed_hash(const struct listen_names *names, uint32_t group)
{
	return names->hash + group * 0x9e3779b97f4a7c15u;
}

static void
feed_free(struct bucket_feed *f)
{
	struct feed_key key = {f->names, f->group};

	table_remove(&f->server->listen->bucket_feeds,
	    feed_hash(f->names, f->group), &key);
	merge_close(f->merge);
	list_del(&f->paused);
	listen_names_unref(f->names);
	mem_free(f);
}

static void
feed_ready(void *arg, const struct batch *b, int r)
{
	struct bucket_feed *f = arg;

	LIST_FOREACH_SAFE (node, tmp, &f->lanes) {
		struct lane *x = LIST_ENTRY(node, struct lane, live);

		if (r == -ERR_CORRUPT || (r == 0 && !offer(x, b)))
			catch_up(x);
	}
	if (r == 0)
		f->at = b->to;
	if (list_empty(&f->lanes))
		feed_free(f);
	else if (r)
		list_add_tail(&f->server->listen->paused_buckets, &f->paused);
	else
		merge_next(f->merge, WAIT_MS);
}

static struct bucket_feed *
feed_new(struct lane *x)
{
	struct listener *l = x->bucket->listener;
	struct bucket_feed *f = mem_zalloc(sizeof(*f));

	if (!f)
		return NULL;
	f->server = l->server;
	f->group = x->group;
	f->at = x->at;
	list_init(&f->lanes);
	list_init(&f->paused);
	f->names = listen_names_ref(x->bucket->names);
	f->merge =
	    merge_new(f->server, f->names, f->group, f->at, feed_ready, f);
	if (!f->merge || table_insert(&f->server->listen->bucket_feeds,
			     feed_hash(f->names, f->group), f)) {
		merge_close(f->merge);
		listen_names_unref(f->names);
		return mem_free(f);
	}
	merge_next(f->merge, WAIT_MS);
	return f;
}

/* X has all that there was. */
static void
join(struct lane *x)
{
	struct listen_server *ls = x->bucket->listener->server->listen;
	struct feed_key key = {x->bucket->names, x->group};
	struct bucket_feed *f = table_find(
	    &ls->bucket_feeds, feed_hash(key.names, key.group), &key);

	if (f && position_before(x->at, f->at)) {
		catch_up(x);
		return;
	}
	if (!f)
		f = feed_new(x);
	if (!f) {
		try_later(x);
		return;
	}
	x->feed = f;
	list_add_tail(&f->lanes, &x->live);
}

/* --- catching up ---------------------------------------------------------- */

static void
own_ready(void *arg, const struct batch *b, int r)
{
	struct lane *x = arg;
	struct listener *l = x->bucket->listener;

	x->busy = 0;
	conn_kick(l->rq->conn);
	if (r) {
		close_own(x);
		if (r == -ERR_CORRUPT || r == -ERR_LIMIT)
			listener_fail(l, r, NULL);
		try_later(x);
	} else if (!offer(x, b)) {
		close_own(x);
		catch_up(x);
	} else if (b->n) {
		catch_up(x);
	} else {
		close_own(x);
		join(x);
	}
}

static void
run_own(struct lane *x)
{
	struct listener *l = x->bucket->listener;

	list_del(&x->hungry);
	if (!x->own) {
		x->own = merge_new(
		    l->server, x->bucket->names, x->group, x->at, own_ready, x);
		if (!x->own) {
			try_later(x);
			return;
		}
		l->n_own++;
	}
	x->busy = 1;
	merge_next(x->own, 0);
}

/* --- where the log ends --------------------------------------------------- */

static void
told_where(struct msg *m)
{
	struct bucket_where *w = CONTAINER_OF(
	    CONTAINER_OF(m, struct vnode_news, msg), struct bucket_where, news);
	struct lane *x = w->lane;

	if (x) {
		struct listener *l = x->bucket->listener;

		x->asking = NULL;
		l->n_reading--;
		conn_kick(l->rq->conn);
		if (w->news.r) {
			try_later(x);
		} else {
			x->at = (struct position){
			    w->news.index, w->news.t_ms, UINT32_MAX};
			x->known = 1;
			l->n_unknown--;
			join(x);
		}
	}
	vnode_news_deinit(&w->news);
	listen_names_unref(w->names);
	mem_free(w);
}

static void
ask_where(struct lane *x)
{
	struct listener *l = x->bucket->listener;
	const struct vnode_route *route = &l->server->config.route;
	struct bucket_where *w = mem_alloc(sizeof(*w));

	list_del(&x->hungry);
	if (!w) {
		try_later(x);
		return;
	}
	*w = (struct bucket_where){
	    .lane = x,
	    .names = listen_names_ref(x->bucket->names),
	    .news =
		{
		    .msg = {.kind = MSG_NEWS,
			.from = l->server->worker,
			.fn = told_where},
		    .group = x->group,
		    .bucket = x->bucket->names->bucket,
		    .now = 1,
		},
	};
	x->asking = w;
	l->n_reading++;
	route->send(route->ctx, x->group, &w->news.msg);
}

void
bucket_pump(struct listener *l)
{
	LIST_FOREACH_SAFE (node, tmp, &l->hungry_lanes) {
		struct lane *x = LIST_ENTRY(node, struct lane, hungry);

		if (!x->known) {
			if (l->n_reading < ASKED_MAX)
				ask_where(x);
		} else if (l->n_unknown == 0 &&
			   (x->own || l->n_own < OWN_MAX) &&
			   l->transport->has_room(l)) {
			run_own(x);
		} else if (l->n_unknown == 0) {
			break;
		}
	}
}

/* --- subscriptions -------------------------------------------------------- */

struct bucket_sub *
bucket_add(struct listener *l, struct slice bucket)
{
	uint32_t n = l->server->config.route.n_groups;
	struct bucket_sub *b = mem_zalloc(sizeof(*b) + n * sizeof(*b->lanes));

	if (!b)
		return NULL;
	b->names = listen_names_new(l->server, bucket, SLICE_LIT(""));
	if (!b->names)
		return mem_free(b);
	b->listener = l;
	b->n_lanes = n;
	for (uint32_t i = 0; i < n; i++) {
		struct lane *x = &b->lanes[i];

		x->bucket = b;
		x->group = (uint16_t)i;
		list_init(&x->live);
		list_init(&x->hungry);
		list_add_tail(&l->hungry_lanes, &x->hungry);
	}
	l->n_unknown += n;
	l->n_buckets++;
	list_add_tail(&l->buckets, &b->link);
	return b;
}

struct bucket_sub *
bucket_find(struct listener *l, struct slice bucket)
{
	LIST_FOREACH (node, &l->buckets) {
		struct bucket_sub *b =
		    LIST_ENTRY(node, struct bucket_sub, link);

		if (slice_equal(b->names->bucket, bucket))
			return b;
	}
	return NULL;
}

void
bucket_remove(struct bucket_sub *b)
{
	struct listener *l = b->listener;

	for (uint32_t i = 0; i < b->n_lanes; i++) {
		struct lane *x = &b->lanes[i];

		list_del(&x->live);
		list_del(&x->hungry);
		if (x->asking) {
			x->asking->lane = NULL;
			l->n_reading--;
		}
		close_own(x);
		l->n_unknown -= !x->known;
	}
	list_del(&b->link);
	l->n_buckets--;
	listen_names_unref(b->names);
	mem_free(b);
}

/* --- the server's --------------------------------------------------------- */

void
bucket_retry_all(struct http_server *s)
{
	struct list lanes, paused, *node;

	list_init(&lanes);
	list_splice_tail(&lanes, &s->listen->retry_lanes);
	while ((node = list_first(&lanes)))
		catch_up(LIST_ENTRY(node, struct lane, hungry));
	list_init(&paused);
	list_splice_tail(&paused, &s->listen->paused_buckets);
	while ((node = list_take_first(&paused))) {
		struct bucket_feed *f =
		    LIST_ENTRY(node, struct bucket_feed, paused);

		if (list_empty(&f->lanes))
			feed_free(f);
		else
			merge_next(f->merge, WAIT_MS);
	}
}

void
bucket_table_init(struct listen_server *ls, uint64_t seed)
{
	table_init(&ls->bucket_feeds, seed, feed_is);
	list_init(&ls->retry_lanes);
	list_init(&ls->paused_buckets);
}

void
bucket_free_all(struct listen_server *ls)
{
	struct list *node;

	while ((node = list_first(&ls->paused_buckets)))
		feed_free(LIST_ENTRY(node, struct bucket_feed, paused));
	if (ls->bucket_feeds.n == 0)
		table_deinit(&ls->bucket_feeds);
}
