/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * merge - the events of a bucket in one group, in the order of the group's log.
 *
 * Invariants:
 *  1. An event is given out when the heads of all sources are known.
 *  2. What was given out comes before or at `at`; nothing after it was.
 *  3. That a stream was deleted is given out before an event of its successor.
 */
#include "http/merge_impl.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define BATCH_BYTES (256u << 10)
#define TEXT_KEPT   4096 /* by one that waits */

/* --- rounds --------------------------------------------------------------- */

static int
round_is_over(const struct merge *m)
{
	return m->n_sources == 0 && m->ended == m->news.n_ended;
}

static void
end_round(struct merge *m)
{
	merge_remove_sources(m);
	m->ended = 0;
	if (!m->asking)
		vnode_news_deinit(&m->news);
}

void
merge_give_up(struct merge *m, int r)
{
	end_round(m);
	m->ready(m->arg, &m->batch, r);
}

void
merge_close_if_done(struct merge *m)
{
	if (!m->closed || m->asking || m->n_reading || m->kicked || m->busy)
		return;
	buf_deinit(&m->text);
	block_unref(m->batch.text);
	vnode_news_deinit(&m->news);
	listen_names_unref(m->bucket);
	mem_free(m);
}

/* --- news ----------------------------------------------------------------- */

static void
got_news(struct msg *msg)
{
	struct merge *m = CONTAINER_OF(
	    CONTAINER_OF(msg, struct vnode_news, msg), struct merge, news);
	struct vnode_news *n = &m->news;
	int r = n->r;

	m->asking = 0;
	if (m->closed) {
		merge_close_if_done(m);
		return;
	}
	m->end = (struct position){n->index, n->t_ms, UINT32_MAX};
	m->ended = 0;
	if (r == 0 && n->n_items) {
		m->sources = mem_calloc(n->n_items, sizeof(*m->sources));
		r = m->sources ? 0 : -ERR_NOMEM;
	}
	for (uint32_t i = 0; r == 0 && i < n->n_items; i++)
		r = merge_add_source(m, &n->items[i]);
	m->busy = 1;
	if (r)
		merge_give_up(m, r);
	else
		merge_step(m);
	m->busy = 0;
	merge_close_if_done(m);
}

static void
ask_news(struct merge *m)
{
	const struct vnode_route *route = &m->server->config.route;

	end_round(m);
	m->news = (struct vnode_news){
	    .msg = {.kind = MSG_NEWS,
		.from = m->server->worker,
		.fn = got_news},
	    .group = m->group,
	    .bucket = m->bucket->bucket,
	    .after_index = m->at.index,
	    .after_ordinal = m->at.ordinal,
	    .after_t = m->at.t_ms,
	    .wait_ms = m->wait_ms,
	};
	m->asking = 1;
	route->send(route->ctx, m->group, &m->news.msg);
}

/* --- batches -------------------------------------------------------------- */

static int
is_full(const struct merge *m)
{
	return m->batch.n == MERGE_EVENTS || m->text.n >= BATCH_BYTES;
}

static void
give_out(struct merge *m)
{
	struct batch *b = &m->batch;

	if (round_is_over(m) && position_before(m->at, m->end))
		m->at = m->end;
	b->to = m->at;
	if (batch_finish(b, &m->text))
		merge_give_up(m, -ERR_NOMEM);
	else
		m->ready(m->arg, b, 0);
}

/* A notice that is told before the head of S; who has had it stands where it stood
 * before. */
static void
begin_notice(struct merge *m, const struct source *s)
{
	m->batch.items[m->batch.n] =
	    (struct batch_item){.at = m->at, .of = s->head, .notice = 1};
}

/* What is to be said before the event of S that comes next, E: 1 when the batch
 * is full of it. */
static int
add_notices(struct merge *m, struct source *s, const struct event *e)
{
	if (e->seq != 1 || !m->news.forgot || s->told)
		return 0;
	begin_notice(m, s);
	batch_add_deleted(&m->batch, &m->text, s->names);
	s->told = 1;
	return is_full(m);
}

/* The head of source I goes into the batch. */
static void
take_head(struct merge *m, uint32_t i)
{
	struct source *s = m->sources[i];
	struct batch *b = &m->batch;
	struct event e;
	uint32_t n;
	int there = merge_take_record(s, &e, &n);

	ASSERT(there);
	if (add_notices(m, s, &e))
		return;
	m->at = s->head;
	b->items[b->n] = (struct batch_item){.at = m->at, .of = m->at};
	batch_add_event(b, &m->text, s->names, &e);
	merge_use_head(m, i, n);
}

/* Streams of this name were told of, should they come up in this round. */
static void
mark_told(struct merge *m, struct slice name)
{
	for (uint32_t i = 0; i < m->n_sources; i++)
		if (slice_equal(m->sources[i]->names->stream, name))
			m->sources[i]->told = 1;
}

/* The next that was deleted goes into the batch.  -ERR_NOMEM. */
static int
take_ended(struct merge *m)
{
	const struct vnode_news_ended *e = &m->news.ended[m->ended];
	struct listen_names *names =
	    listen_names_new(m->server, m->bucket->bucket, e->name);
	struct batch *b = &m->batch;

	if (!names)
		return -ERR_NOMEM;
	m->ended++;
	m->at = (struct position){e->index, e->t_ms, e->ordinal};
	b->items[b->n] =
	    (struct batch_item){.at = m->at, .of = m->at, .notice = 1};
	batch_add_deleted(b, &m->text, names);
	if (m->news.forgot)
		mark_told(m, e->name);
	listen_names_unref(names);
	return 0;
}

/* Whether the next that was deleted comes before the head of S, or NULL. */
static int
ended_is_first(const struct merge *m, const struct source *s)
{
	const struct vnode_news_ended *e;

	if (m->ended == m->news.n_ended)
		return 0;
	e = &m->news.ended[m->ended];
	return !s ||
	       position_before(
		   (struct position){e->index, e->t_ms, e->ordinal}, s->head);
}

/* One more thing goes into the batch: 1; 0: it takes a page; -ERR_NOMEM. */
static int
take_next(struct merge *m)
{
	uint32_t i = m->n_sources ? merge_first_source(m) : 0;
	struct source *s = m->n_sources ? m->sources[i] : NULL;

	if (ended_is_first(m, s))
		return take_ended(m) ? -ERR_NOMEM : 1;
	if (s->page.n_parts == 0) {
		merge_drop_head(m, s);
		return 0;
	}
	take_head(m, i);
	return 1;
}

/* That one of the name of S was deleted is to be given out yet. */
static int
follows_ended(const struct merge *m, const struct source *s)
{
	for (uint32_t i = m->ended; i < m->news.n_ended; i++)
		if (slice_equal(m->news.ended[i].name, s->names->stream))
			return 1;
	return 0;
}

/* Of the sources whose gap can be told, that whose head comes first; n_sources:
 * there is none. */
static uint32_t
first_gap(const struct merge *m)
{
	uint32_t best = m->n_sources;

	for (uint32_t i = 0; i < m->n_sources; i++)
		if (m->sources[i]->gap && !follows_ended(m, m->sources[i]) &&
		    (best == m->n_sources ||
			position_before(
			    m->sources[i]->head, m->sources[best]->head)))
			best = i;
	return best;
}

/* Gaps make a batch of their own, before anything that may come after what is
 * missing: whoever gets that stands behind it.  How many there were. */
static uint32_t
take_gaps(struct merge *m)
{
	uint32_t n = 0, i;

	if (m->n_heads < m->n_sources)
		return 0;
	for (; !is_full(m) && (i = first_gap(m)) < m->n_sources; n++) {
		struct source *s = m->sources[i];

		begin_notice(m, s);
		batch_add_gap(&m->batch, &m->text, s->names, s->gap);
		s->gap = 0;
		if (s->hidden)
			merge_remove_source(m, i);
	}
	return n;
}

void
merge_step(struct merge *m)
{
	int r = take_gaps(m) == 0;

	while (r == 1 && !is_full(m) && !round_is_over(m) &&
	       m->n_heads == m->n_sources && first_gap(m) == m->n_sources)
		r = take_next(m);
	if (r >= 0 && (m->batch.n || round_is_over(m))) {
		give_out(m);
		return;
	}
	if (r >= 0)
		r = merge_read_heads(m);
	if (r < 0)
		merge_give_up(m, r);
}

static void
go_on(struct msg *msg)
{
	struct merge *m = CONTAINER_OF(msg, struct merge, kick);

	m->kicked = 0;
	m->busy = 1;
	if (m->closed)
		;
	else if (round_is_over(m))
		ask_news(m);
	else
		merge_step(m);
	m->busy = 0;
	merge_close_if_done(m);
}

void
merge_next(struct merge *m, uint32_t wait_ms)
{
	const struct env_post *post = &m->server->config.env->post;

	m->wait_ms = wait_ms;
	m->batch.n = 0;
	m->batch.from = m->at;
	m->batch.text = block_unref(m->batch.text);
	if (m->text.cap > TEXT_KEPT) {
		buf_deinit(&m->text);
		buf_init(&m->text, 64u << 20);
	}
	buf_reset(&m->text);
	m->kick = (struct msg){.kind = MSG_CALL, .fn = go_on};
	m->kicked = 1;
	post->to_worker(post->ctx, m->server->worker, &m->kick);
}

/* --- life ----------------------------------------------------------------- */

struct merge *
merge_new(struct http_server *s, struct listen_names *bucket, uint32_t group,
    struct position at, merge_ready_fn ready, void *arg)
{
	struct merge *m = mem_zalloc(sizeof(*m));

	if (!m)
		return NULL;
	m->server = s;
	buf_init(&m->text, 64u << 20);
	m->bucket = listen_names_ref(bucket);
	m->group = group;
	m->at = at;
	m->ready = ready;
	m->arg = arg;
	return m;
}

struct merge *
merge_close(struct merge *m)
{
	if (!m || m->closed)
		return NULL;
	m->closed = 1;
	end_round(m);
	merge_close_if_done(m);
	return NULL;
}
