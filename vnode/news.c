/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * news - what is new in a bucket, in one group: which streams have events that
 * come after a position in the group's log, and from where on.
 *
 * Who wants the events in the order of the log reads those streams and merges
 * them by (index, ordinal), which each event's record has.  The group's clock
 * never goes back from entry to entry, so an event that comes after one of time
 * t has a t that is not less: that finds the first of them where the tail does
 * not reach back so far.
 *
 * Format of a call (little endian; the head is in call.c):
 *
 *	request	u32 group, u8 flags (1: now), u8 bytes of bucket, u16 0,
 *		u64 index, u32 ordinal, u32 wait ms, u64 t; bucket
 *	answer	i32 result, [16] leader (call.c); u64 index, u64 t, u32 items;
 *		per item u8 bytes of name, u64 incarnation, last, from; names
 */
#include "vnode/news.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "vnode/replica.h"

#define REQUEST_BYTES 32
#define ANSWER_BYTES  20
#define ITEM_BYTES    25
#define NOW           1

/* --- codec ---------------------------------------------------------------- */

void
news_add_request(struct buf *b, const struct vnode_news *n)
{
	uint8_t fixed[REQUEST_BYTES], *p = fixed;

	p = le_put32(p, n->group);
	*p++ = n->now ? NOW : 0;
	*p++ = (uint8_t)n->bucket.n;
	p = le_put16(p, 0);
	p = le_put64(p, n->after_index);
	p = le_put32(p, n->after_ordinal);
	p = le_put32(p, n->wait_ms);
	le_put64(p, n->after_t);
	buf_add(b, fixed, sizeof(fixed));
	buf_add_slice(b, n->bucket);
}

int
news_take_request(struct slice in, struct msg **out)
{
	struct vnode_news *n;

	if (in.n < REQUEST_BYTES || in.p[5] == 0 || in.p[4] > NOW ||
	    le_get16(in.p + 6) || in.n != REQUEST_BYTES + (size_t)in.p[5] ||
	    le_get32(in.p + 20) > WATCH_WAIT_MAX_MS)
		return -ERR_CORRUPT;
	n = mem_alloc(sizeof(*n));
	if (!n)
		return -ERR_NOMEM;
	*n = (struct vnode_news){
	    .msg = {.kind = MSG_NEWS},
	    .group = le_get32(in.p),
	    .now = in.p[4] & NOW,
	    .bucket = SLICE(in.p + REQUEST_BYTES, in.p[5]),
	    .after_index = le_get64(in.p + 8),
	    .after_ordinal = le_get32(in.p + 16),
	    .wait_ms = le_get32(in.p + 20),
	    .after_t = le_get64(in.p + 24),
	};
	*out = &n->msg;
	return 0;
}

void
news_add_answer(struct buf *b, const struct vnode_news *n)
{
	uint8_t fixed[ITEM_BYTES];

	le_put64(fixed, n->index);
	le_put64(fixed + 8, n->t_ms);
	le_put32(fixed + 16, n->n_items);
	buf_add(b, fixed, ANSWER_BYTES);
	for (uint32_t i = 0; i < n->n_items; i++) {
		const struct vnode_news_item *it = &n->items[i];

		fixed[0] = (uint8_t)it->name.n;
		le_put64(fixed + 1, it->incarnation);
		le_put64(fixed + 9, it->last);
		le_put64(fixed + 17, it->from);
		buf_add(b, fixed, ITEM_BYTES);
	}
	for (uint32_t i = 0; i < n->n_items; i++)
		buf_add_slice(b, n->items[i].name);
}

static int
take_items(struct slice in, uint32_t n_items, struct vnode_news *n)
{
	struct slice names = SLICE(in.p + (size_t)n_items * ITEM_BYTES,
	    in.n - (size_t)n_items * ITEM_BYTES);
	struct vnode_news_item *items =
	    mem_calloc(n_items + 1u, sizeof(*items));
	uint8_t *own = mem_alloc(names.n + 1);
	size_t at = 0;
	int r = items && own ? 0 : -ERR_NOMEM;

	if (own && names.n)
		memcpy(own, names.p, names.n);
	for (uint32_t i = 0; r == 0 && i < n_items; i++) {
		const uint8_t *p = in.p + (size_t)i * ITEM_BYTES;

		items[i] = (struct vnode_news_item){
		    .name = SLICE(own + at, p[0]),
		    .incarnation = le_get64(p + 1),
		    .last = le_get64(p + 9),
		    .from = le_get64(p + 17),
		};
		at += p[0];
		if (at > names.n || p[0] == 0 || items[i].incarnation == 0)
			r = -ERR_CORRUPT;
	}
	if (r == 0 && at != names.n)
		r = -ERR_CORRUPT;
	if (r) {
		mem_free(items);
		mem_free(own);
		return r;
	}
	vnode_news_deinit(n);
	n->items = items;
	n->names = own;
	n->n_items = n_items;
	return 0;
}

int
news_take_answer(struct slice in, struct vnode_news *n)
{
	uint32_t n_items;
	int r;

	if (in.n < ANSWER_BYTES)
		return -ERR_CORRUPT;
	n_items = le_get32(in.p + 16);
	if (n_items > NEWS_ITEMS_MAX ||
	    n_items > (in.n - ANSWER_BYTES) / ITEM_BYTES)
		return -ERR_CORRUPT;
	r = take_items(
	    SLICE(in.p + ANSWER_BYTES, in.n - ANSWER_BYTES), n_items, n);
	if (r)
		return r;
	n->index = le_get64(in.p);
	n->t_ms = le_get64(in.p + 8);
	return 0;
}

/* --- answering ------------------------------------------------------------ */

static int
comes_after(const struct event *e, const struct vnode_news *req)
{
	return e->index > req->after_index ||
	       (e->index == req->after_index &&
		   e->ordinal > req->after_ordinal);
}

static void
record_at(
    const struct tail_block *tb, uint32_t at, struct event *e, uint32_t *bytes)
{
	int r = event_decode(
	    SLICE(tb->block->p + at, tb->block->n - at), 0, e, bytes);

	ASSERT(r == 0);
}

/* Whether S may have something new: yes, unless that is known. */
static int
is_new(const struct stream *s, const struct vnode_news *req)
{
	const struct tail_block *tb = s->tail.newest;
	struct event e;
	uint32_t n;

	if (s->last == 0 || s->first > s->last || s->last_t < req->after_t)
		return 0;
	if (!tb || tb->last != s->last)
		return 1;
	record_at(tb, tb->last_at, &e, &n);
	return comes_after(&e, req);
}

/* The first event in memory that comes after, if those before it are there or
 * are not kept; else 0. */
static uint64_t
first_new(const struct stream *s, const struct vnode_news *req)
{
	const struct tail_block *tb = s->tail.oldest, *in = NULL;
	struct event e;
	uint32_t n, at = 0;

	for (; tb; tb = tb->next) {
		record_at(tb, 0, &e, &n);
		if (comes_after(&e, req))
			break;
		in = tb;
	}
	if (!in)
		return s->tail.oldest && s->tail.oldest->first <= s->first
			   ? s->first
			   : 0;
	for (uint64_t seq = in->first; seq <= in->last; seq++) {
		record_at(in, at, &e, &n);
		if (comes_after(&e, req))
			return seq;
		at += n;
	}
	return in->last + 1;
}

static int
add_item(struct vnode_news *req, uint32_t *cap, const struct stream *s)
{
	if (req->n_items == NEWS_ITEMS_MAX)
		return -ERR_LIMIT;
	if (req->n_items == *cap) {
		uint32_t more = *cap ? *cap * 2 : 4;
		void *p = mem_realloc(req->items, more * sizeof(*req->items));

		if (!p)
			return -ERR_NOMEM;
		req->items = p;
		*cap = more;
	}
	req->items[req->n_items++] = (struct vnode_news_item){
	    .name = stream_name(s),
	    .incarnation = s->id,
	    .last = s->last,
	    .from = first_new(s, req),
	};
	return 0;
}

/* The names move into memory of the answer's own. */
static int
own_names(struct vnode_news *req)
{
	size_t n = 0;

	for (uint32_t i = 0; i < req->n_items; i++)
		n += req->items[i].name.n;
	req->names = mem_alloc(n + 1);
	if (!req->names)
		return -ERR_NOMEM;
	n = 0;
	for (uint32_t i = 0; i < req->n_items; i++) {
		struct slice *name = &req->items[i].name;

		memcpy(req->names + n, name->p, name->n);
		name->p = req->names + n;
		n += name->n;
	}
	return 0;
}

static int
gather(const struct vnode *v, struct vnode_news *req)
{
	const struct bucket *b = vnode_bucket(v, req->bucket);
	uint32_t cap = 0;
	int r = 0;

	for (uint32_t i = 0; r == 0 && b && i < b->n_streams; i++)
		if (is_new(b->streams[i], req))
			r = add_item(req, &cap, b->streams[i]);
	return r == 0 && req->n_items ? own_names(req) : r;
}

void
store_news(struct store_worker *w, struct vnode_news *req)
{
	struct vnode *v = &w->store->vnodes[req->group];
	int r = 0;

	vnode_news_deinit(req);
	req->index = v->group.applied_index;
	req->t_ms = v->group.clock_ms;
	if (!req->now)
		r = gather(v, req);
	if (r == 0 && !req->now && req->n_items == 0 && req->wait_ms) {
		r = watch_wait(w, v, &req->msg);
		if (r == 0)
			return;
	}
	if (r)
		vnode_news_deinit(req);
	req->r = r;
	store_answer(w->store, &req->msg);
}
