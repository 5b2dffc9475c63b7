/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * feed - what is new in a stream, for all listeners of this worker.
 *
 * A feed asks whoever leads the group for the events from `next` on, with a
 * request that waits until there are some (VNODE_READ_WAIT), and hands each page
 * to its subscriptions.  It knows where it stands by seqnum and incarnation, so
 * it may ask another node each time: a new leader, a group that has moved, an
 * answer that was lost all end in the same question asked again.
 *
 * Invariants:
 *  1. A feed with subscriptions is asking, or paused.
 *  2. One without goes when its answer is there.
 *  3. `next` is at most one more than the newest event that there was when one
 *     of its subscriptions looked.
 */
#include "http/listen.h"
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define WAIT_MS    10000
#define PAGE_BYTES (256u << 10)

struct feed {
	struct vnode_read read;
	struct http_server *server;
	struct listen_names *names;
	struct list subs;
	struct list paused; /* of the server: asks again at the next tick */
	uint64_t incarnation, next;
	int asking;
};

static int
feed_is(const void *entry, const void *key)
{
	const struct feed *f = entry;
	const struct listen_names *n = key;

	return slice_equal(f->names->stream, n->stream) &&
	       slice_equal(f->names->bucket, n->bucket);
}

static void
feed_free(struct feed *f)
{
	table_remove(&f->server->listen->feeds, f->names->hash, f->names);
	list_del(&f->paused);
	listen_names_unref(f->names);
	mem_free(f);
}

static void got(struct msg *m);

static void
ask(struct feed *f)
{
	const struct vnode_route *route = &f->server->config.route;

	f->read = (struct vnode_read){
	    .msg = {.kind = MSG_READ, .from = f->server->worker, .fn = got},
	    .group = f->names->group,
	    .bucket = f->names->bucket,
	    .stream = f->names->stream,
	    .op = VNODE_READ_WAIT,
	    .from = f->next,
	    .to = UINT64_MAX,
	    .limit = LISTEN_FRAME_EVENTS,
	    .max_bytes = PAGE_BYTES,
	    .known = f->incarnation,
	    .wait_ms = WAIT_MS,
	};
	f->asking = 1;
	route->send(route->ctx, f->read.group, &f->read.msg);
}

static void
hand_out(struct feed *f)
{
	struct listen_shared shared = {0};
	struct listen_page p = {
	    .names = f->names,
	    .incarnation = f->incarnation,
	    .page = &f->read.page,
	    .shared = &shared,
	};

	LIST_FOREACH_SAFE (node, tmp, &f->subs)
		sub_offer(LIST_ENTRY(node, struct sub, live), &p);
	listen_shared_deinit(&shared);
	f->next = f->read.page.last + 1;
}

/* They find out by themselves what has become of the stream. */
static void
send_away(struct feed *f)
{
	LIST_FOREACH_SAFE (node, tmp, &f->subs)
		sub_catch_up(LIST_ENTRY(node, struct sub, live));
}

/* Evicted meanwhile, deleted, or there is nothing new. */
static void
without_page(struct feed *f)
{
	const struct vnode_read *r = &f->read;

	if (f->incarnation && r->incarnation != f->incarnation) {
		send_away(f);
	} else if (r->newest >= f->next) {
		send_away(f);
	}
}

static void
got(struct msg *m)
{
	struct feed *f = CONTAINER_OF(
	    CONTAINER_OF(m, struct vnode_read, msg), struct feed, read);
	struct vnode_read *r = &f->read;

	f->asking = 0;
	if (r->r == -ERR_CORRUPT) {
		send_away(f);
	} else if (r->r) {
		list_add_tail(&f->server->listen->paused_feeds, &f->paused);
	} else if (r->page.n_parts) {
		if (!f->incarnation)
			f->incarnation = r->incarnation;
		hand_out(f);
	} else {
		without_page(f);
	}
	vnode_page_deinit(&r->page);
	if (list_empty(&f->subs))
		feed_free(f);
	else if (!r->r)
		ask(f);
}

void
feed_retry_all(struct http_server *s)
{
	struct list paused, *node;

	list_init(&paused);
	list_splice_tail(&paused, &s->listen->paused_feeds);
	while ((node = list_take_first(&paused))) {
		struct feed *f = LIST_ENTRY(node, struct feed, paused);

		if (list_empty(&f->subs))
			feed_free(f);
		else
			ask(f);
	}
}

/* --- subscriptions -------------------------------------------------------- */

static struct feed *
feed_new(struct http_server *server, struct sub *s, uint64_t newest)
{
	struct feed *f = mem_zalloc(sizeof(*f));

	if (!f)
		return NULL;
	f->server = server;
	f->incarnation = s->incarnation;
	f->next = newest + 1;
	list_init(&f->subs);
	list_init(&f->paused);
	f->names = listen_names_ref(s->names);
	if (table_insert(&server->listen->feeds, f->names->hash, f)) {
		listen_names_unref(f->names);
		return mem_free(f);
	}
	ask(f);
	return f;
}

int
feed_join(struct http_server *server, struct sub *s, uint64_t newest)
{
	struct feed *f =
	    table_find(&server->listen->feeds, s->names->hash, s->names);

	if (f && f->incarnation && f->incarnation != s->incarnation)
		return -ERR_BUSY; /* one of the two is about to learn more */
	if (f && f->next > s->next)
		return 1;
	if (!f)
		f = feed_new(server, s, newest);
	if (!f)
		return -ERR_NOMEM;
	s->feed = f;
	list_add_tail(&f->subs, &s->live);
	return 0;
}

void
feed_leave(struct sub *s)
{
	list_del(&s->live);
	s->feed = NULL;
}

void
feed_table_init(struct listen_server *ls, uint64_t seed)
{
	table_init(&ls->feeds, seed, feed_is);
}

void
feed_free_all(struct listen_server *ls)
{
	struct list *node;

	while ((node = list_take_first(&ls->paused_feeds)))
		feed_free(LIST_ENTRY(node, struct feed, paused));
	if (ls->feeds.n == 0)
		table_deinit(&ls->feeds);
}
