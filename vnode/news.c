/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * news - what is new in a bucket, in one group: which streams have events that
 * come after a position in the group's log, and from where on; and which were
 * deleted behind it.
 *
 * Who wants the events in the order of the log reads those streams and merges
 * them by (index, ordinal), which each event's record has.  The group's clock
 * never goes back from entry to entry, so an event that comes after one of time
 * t has a t that is not less: that finds the first of them where the tail does
 * not reach back so far.
 */
#include "vnode/news.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/mutants.h"
#include "vnode/replica.h"

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

/* Nothing was applied since. */
static int
has_all(const struct vnode *v, const struct vnode_news *req)
{
	return req->after_index > v->group.applied_index ||
	       (req->after_index == v->group.applied_index &&
		   req->after_ordinal == UINT32_MAX);
}

/* Whether S may have something new: yes, unless that is known; be it hidden, which
 * who follows it is told. */
static int
is_new(
    const struct vnode *v, const struct stream *s, const struct vnode_news *req)
{
	const struct tail_block *tb = s->tail.newest;
	struct event e;
	uint32_t n;

	if (s->last == 0 || s->last_t < req->after_t || has_all(v, req))
		return 0;
	if (!tb || tb->last != s->last)
		return 1;
	record_at(tb, tb->last_at, &e, &n);
	return comes_after(&e, req);
}

/* The first event in memory that comes after, if it is known that none before it
 * does; it may be one that is not kept any more.  Else 0. */
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
	if (!in) { /* all that are in memory, and whatever was before them? */
		tb = s->tail.oldest;
		return tb && (tb->first == 1 || tb->first < s->first)
			   ? tb->first
			   : 0;
	}
	for (uint64_t seq = in->first; seq <= in->last; seq++) {
		record_at(in, at, &e, &n);
		if (comes_after(&e, req))
			return seq + VNODE_MUTANT(NEWS_BEGIN_TOO_LATE);
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

static int
add_ended(
    struct vnode_news *req, uint32_t *cap, const struct manifest_ended *row)
{
	if (req->n_ended == *cap) {
		uint32_t more = *cap ? *cap * 2 : 4;
		void *p = mem_realloc(req->ended, more * sizeof(*req->ended));

		if (!p)
			return -ERR_NOMEM;
		req->ended = p;
		*cap = more;
	}
	req->ended[req->n_ended++] = (struct vnode_news_ended){
	    .name = row->stream,
	    .incarnation = row->id,
	    .index = row->index,
	    .t_ms = row->t_ms,
	    .ordinal = row->ordinal,
	};
	return 0;
}

static uint8_t *
own_name(uint8_t *at, struct slice *name)
{
	memcpy(at, name->p, name->n);
	name->p = at;
	return at + name->n;
}

/* The names move into memory of the answer's own. */
static int
own_names(struct vnode_news *req)
{
	size_t n = 0;
	uint8_t *at;

	for (uint32_t i = 0; i < req->n_items; i++)
		n += req->items[i].name.n;
	for (uint32_t i = 0; i < req->n_ended; i++)
		n += req->ended[i].name.n;
	req->names = at = mem_alloc(n + 1);
	if (!at)
		return -ERR_NOMEM;
	for (uint32_t i = 0; i < req->n_items; i++)
		at = own_name(at, &req->items[i].name);
	for (uint32_t i = 0; i < req->n_ended; i++)
		at = own_name(at, &req->ended[i].name);
	return 0;
}

static int
gather_ended(const struct vnode *v, struct vnode_news *req)
{
	const struct ended *all = &v->ended;
	uint64_t index = req->after_index;
	uint32_t ordinal = req->after_ordinal, cap = 0;
	int r = 0;

	req->forgot = ended_forgot_after(all, index, ordinal);
	for (struct ended_stream *s = ended_after(all, index, ordinal);
	     r == 0 && s; s = ended_next(all, s))
		if (slice_equal(s->row.bucket, req->bucket))
			r = add_ended(req, &cap, &s->row);
	return r;
}

static int
gather(const struct vnode *v, struct vnode_news *req)
{
	const struct bucket *b = vnode_bucket(v, req->bucket);
	uint32_t cap = 0;
	int r = gather_ended(v, req);

	for (uint32_t i = 0; r == 0 && b && i < b->n_streams; i++)
		if (is_new(v, b->streams[i], req))
			r = add_item(req, &cap, b->streams[i]);
	return r == 0 && req->n_items + req->n_ended ? own_names(req) : r;
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
	if (r == 0 && !req->now && req->n_items + req->n_ended == 0 &&
	    req->wait_ms) {
		r = watch_wait(w, v, &req->msg);
		if (r == 0)
			return;
	}
	if (r)
		vnode_news_deinit(req);
	req->r = r;
	store_answer(w->store, &req->msg);
}
