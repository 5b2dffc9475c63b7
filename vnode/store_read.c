/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * store_read - which part of a stream a read wants, and where that part lies.
 *
 * Memory first: the tail answers at once.  What is older goes to a reading lane
 * as one page of one chunk; the asker comes back for the next page.  With one
 * replica what is applied is committed, so no round is needed before the
 * answer.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "vnode/chunk_read.h"
#include "vnode/edge.h"
#include "vnode/repair.h"
#include "vnode/store_impl.h"

static void
answer(struct store *s, struct vnode_read *req, int r)
{
	req->r = r;
	store_answer(s, &req->msg);
}

/* Clamps from..to to what is kept, then to the newest last_n of it. */
static void
clamp(const struct edge_view *view, struct vnode_read *req)
{
	uint64_t first = req->from > view->first ? req->from : view->first;
	uint64_t last = req->to < view->last ? req->to : view->last;

	if (req->last_n && last >= first && last - first >= req->last_n)
		first = last - req->last_n + 1;
	req->range_first = first;
	req->range_last = last;
}

static void
read_chunk(struct store *s, const struct stream *st, struct vnode_read *req,
    uint64_t from, uint64_t to)
{
	const struct vnode *v = &s->vnodes[req->group];
	struct store_worker *w = store_worker_of(s, req->group);
	struct chunk_info *c = stream_chunk(st, req->desc ? to : from);
	struct chunk_read job = {
	    .env = s->env,
	    .files = s->files,
	    .dir = v->dir,
	    .id = {.group = v->group.id,
		.stream_id = st->id,
		.first = c->first},
	    .info = *c,
	    .from = from > c->first ? from : c->first,
	    .to = to < c->last ? to : c->last,
	    .stop_t = req->op == VNODE_READ_SEEK ? req->seek_ms : 0,
	    .moves = &s->moves[req->group],
	    .reads = &w->reads[w->read_turn],
	    .damaged = repair_read_failed,
	    .owner = s,
	};
	int r;

	memcpy(job.id.cluster_id, s->config.cluster_id, 16);
	job.id.previous = stream_chain_before(st, c);
	if (job.to > st->flushed)
		job.to = st->flushed;
	r = chunk_read_start(&job, req);
	if (r)
		answer(s, req, r);
}

static void
read_page(struct store *s, const struct stream *st, struct vnode_read *req)
{
	uint64_t from = req->range_first, to = req->range_last;
	struct metrics_shard *m = store_worker_of(s, req->group)->metrics;
	uint64_t edge;

	if (from > to || req->limit == 0) {
		answer(s, req, 0);
		return;
	}
	if (req->desc && to - from >= req->limit)
		from = to - req->limit + 1;
	else if (to - from >= req->limit)
		to = from + req->limit - 1;
	edge = req->desc ? to : from;
	if (!tail_find(&st->tail, edge)) {
		metrics_add(m, METRICS_CHANNEL_MISSES, 1);
		read_chunk(s, st, req, from, to);
		return;
	}
	metrics_add(m, METRICS_CHANNEL_HITS, 1);
	if (from < st->tail.oldest->first)
		from = st->tail.oldest->first;
	answer(s, req,
	    tail_page(
		&st->tail, from, to, req->max_bytes, req->desc, &req->page));
}

/* The lowest seqnum in memory with t >= seek_ms, or last + 1. */
static uint64_t
seek_tail(const struct stream *st, uint64_t seek_ms)
{
	for (struct tail_block *tb = st->tail.oldest; tb; tb = tb->next) {
		struct slice in = SLICE(tb->block->p, tb->block->n);
		struct event e;
		uint32_t n;

		for (uint64_t seq = tb->first; seq <= tb->last; seq++) {
			int r = event_decode(in, 0, &e, &n);

			ASSERT(r == 0);
			if (e.t_ms >= seek_ms)
				return seq;
			in = SLICE(in.p + n, in.n - n);
		}
	}
	return st->last + 1;
}

static uint64_t
lower(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The first chunk whose last event is not older than seek_ms; NULL: none. */
static const struct chunk_info *
seek_chunk(const struct stream *st, uint64_t seek_ms)
{
	uint32_t lo = 0, hi = st->n_chunks;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (st->chunks[mid].last_t < seek_ms)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < st->n_chunks ? &st->chunks[lo] : NULL;
}

/* Of what is visible and was there when that was known: there may be more. */
static void
seek(struct store *s, const struct stream *st, struct vnode_read *req)
{
	uint64_t none = req->newest + 1;
	uint64_t first = req->kept_first ? req->kept_first : none;
	const struct chunk_info *c = seek_chunk(st, req->seek_ms);
	uint64_t from, memory, to;

	req->seek = none;
	if (c && c->last < first) /* hidden, and yet new enough */
		c = first < none ? stream_chunk(st, first) : NULL;
	from = c && c->first > first ? c->first : first;
	if (!c || from >= none) {
		answer(s, req, 0);
		return;
	}
	memory = st->tail.oldest ? st->tail.oldest->first : st->last + 1;
	req->seek = lower(seek_tail(st, req->seek_ms), none);
	if (memory <= from || req->seek > memory ||
	    c->first_t >= req->seek_ms) {
		if (c->first_t >= req->seek_ms || req->seek < from)
			req->seek = from; /* memory may have hidden ones */
		answer(s, req, 0);
		return;
	}
	to = lower(lower(memory - 1, c->last), req->newest);
	req->desc = 0;
	read_chunk(s, st, req, from, to);
}

/* Whether there is nothing yet of what REQ waits for. */
static int
must_wait(const struct stream *st, const struct vnode_read *req)
{
	uint64_t id = st && st->last ? st->id : 0;

	if (req->op != VNODE_READ_WAIT || req->wait_ms == 0)
		return 0;
	if (req->known && req->known != id)
		return 0;
	return id == 0 || req->from > st->last;
}

static void
wait_for_more(struct store *s, struct store_worker *w, struct vnode_read *req)
{
	int r = watch_wait(w, &s->vnodes[req->group], &req->msg);

	if (r)
		answer(s, req, r);
}

/* What VIEW saw of ST is still there: its chunks may have been let go of since. */
static int
still_there(const struct stream *st, const struct edge_view *view)
{
	return view->first > view->last ||
	       (st->n_chunks && view->first >= st->chunks[0].first);
}

/* What is visible of ST, or was a moment ago (VIEW); 0: that is being looked for,
 * and REQ waits. */
static int
see(struct store_worker *w, struct stream *st, struct vnode_read *req,
    struct edge_view *view)
{
	struct vnode *v = &w->store->vnodes[req->group];
	int r;

	if (view->incarnation == st->id && still_there(st, view))
		return 1;
	view->last = st->last;
	if (kept_first(v, st, &view->first))
		return 1;
	r = edge_look(w, v, st, &req->msg);
	if (r)
		answer(w->store, req, r);
	return 0;
}

void
store_read(struct store_worker *w, struct vnode_read *req,
    const struct edge_view *seen)
{
	struct store *s = w->store;
	struct edge_view view = seen ? *seen : (struct edge_view){0};
	struct stream *st;

	ASSERT(req->group < s->config.n_groups);
	st = vnode_find(&s->vnodes[req->group], req->bucket, req->stream);
	req->page = (struct vnode_page){0};
	req->incarnation = req->kept_first = req->newest = 0;
	req->range_first = 1;
	req->range_last = 0;
	req->seek = 1;
	if (st && req->op == VNODE_READ_WAIT)
		st->tail.wanted_us = w->cache.now_us;
	if (must_wait(st, req)) {
		wait_for_more(s, w, req);
		return;
	}
	if (!st) {
		answer(s, req, 0);
		return;
	}
	if (!see(w, st, req, &view))
		return;
	req->incarnation = st->id;
	req->newest = view.last;
	req->kept_first = view.first <= view.last ? view.first : 0;
	if (req->op == VNODE_READ_WAIT && req->known && req->known != st->id) {
		answer(s, req, 0);
		return;
	}
	clamp(&view, req);
	if (req->op == VNODE_READ_SEEK)
		seek(s, st, req);
	else
		read_page(s, st, req);
}
