/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * merge - the events of a bucket in one group, in the order of the group's log.
 *
 * Invariants:
 *  1. Of each source, `head` is its next event, or is being read for.
 *  2. An event is given out when the heads of all sources are known.
 *  3. What was given out comes before or at `at`; nothing after it was.
 */
#include "http/merge.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define READS_MAX   8
#define BATCH_BYTES (256u << 10)
#define HELD_BYTES  (2u << 20)
#define PAGE_BYTES  (64u << 10)
#define PAGE_LEAST  2048
#define TEXT_KEPT   4096 /* by one that waits */

struct source {
	struct listen_names *names;
	uint64_t incarnation, next, last;
	int seeks; /* `next` is not known yet */
	int reading, has_head, gone;
	struct position head;
	uint64_t gap;           /* to be told of before the head */
	struct vnode_page page; /* empty: given back to save memory */
	uint32_t part;
	struct slice in; /* of the page, from the head on */
};

struct merge {
	struct http_server *server;
	struct listen_names *bucket;
	uint32_t group;
	merge_ready_fn ready;
	void *arg;
	int closed;
	struct vnode_news news;
	int asking;
	uint32_t n_reading, wait_ms;
	struct position at, end;
	struct source **sources;
	uint32_t n_sources, n_heads;
	uint64_t held;
	struct batch batch;
	struct buf text; /* of the batch */
	struct msg kick;
	int kicked;
	int busy; /* its own code runs */
};

/* A read for a source. */
struct merge_read {
	struct vnode_read read;
	struct merge *m;
	struct source *source; /* NULL: the round is over */
	struct listen_names *names;
};

static void step(struct merge *m);

/* --- sources -------------------------------------------------------------- */

static uint64_t
page_bytes(const struct vnode_page *p)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < p->n_parts; i++)
		n += p->parts[i].records.n;
	return n;
}

static void
drop_page(struct merge *m, struct source *s)
{
	m->held -= page_bytes(&s->page);
	vnode_page_deinit(&s->page);
	s->in = SLICE(NULL, 0);
	s->part = 0;
}

/* One that is being read for goes when its answer is there. */
static void
free_source(struct merge *m, struct source *s)
{
	drop_page(m, s);
	if (s->has_head)
		m->n_heads--;
	s->has_head = 0;
	s->gone = 1;
	if (s->reading)
		return;
	listen_names_unref(s->names);
	mem_free(s);
}

static void
remove_source(struct merge *m, uint32_t i)
{
	struct source *s = m->sources[i];

	m->sources[i] = m->sources[--m->n_sources];
	free_source(m, s);
}

static void
end_round(struct merge *m)
{
	while (m->n_sources)
		remove_source(m, m->n_sources - 1);
	m->sources = mem_free(m->sources);
	ASSERT(m->held == 0 && m->n_heads == 0);
}

static uint32_t
place_of(const struct merge *m, const struct source *s)
{
	uint32_t i = 0;

	while (m->sources[i] != s)
		i++;
	return i;
}

/* The record that the head is of; 0: the page is used up. */
static int
take_record(struct source *s, struct event *e, uint32_t *bytes)
{
	while (s->in.n == 0 && s->part < s->page.n_parts)
		s->in = s->page.parts[s->part++].records;
	return s->in.n && event_decode(s->in, 0, e, bytes) == 0;
}

/* The first event of the page that comes after what was given out. */
static void
find_head(struct merge *m, struct source *s)
{
	struct event e;
	uint32_t n;

	while (take_record(s, &e, &n)) {
		struct position at = {e.index, e.t_ms, e.ordinal};

		s->next = e.seq;
		if (position_before(m->at, at)) {
			s->head = at;
			s->has_head = 1;
			m->n_heads++;
			return;
		}
		s->in = SLICE(s->in.p + n, s->in.n - n);
		s->next = e.seq + 1;
	}
	drop_page(m, s);
}

/* --- reading -------------------------------------------------------------- */

static void
give_up(struct merge *m, int r)
{
	end_round(m);
	m->ready(m->arg, &m->batch, r);
}

static void
close_if_done(struct merge *m)
{
	if (!m->closed || m->asking || m->n_reading || m->kicked || m->busy)
		return;
	buf_deinit(&m->text);
	block_unref(m->batch.text);
	vnode_news_deinit(&m->news);
	listen_names_unref(m->bucket);
	mem_free(m);
}

static uint32_t
first_source(const struct merge *m)
{
	uint32_t best = 0;

	for (uint32_t i = 1; i < m->n_sources; i++)
		if (position_before(
			m->sources[i]->head, m->sources[best]->head))
			best = i;
	return best;
}

/* Whether the head of S is known to be the next to be given out. */
static int
is_first(const struct merge *m, const struct source *s)
{
	return m->n_heads == m->n_sources && m->sources[first_source(m)] == s;
}

static void
use_answer(struct merge *m, struct source *s, struct vnode_read *r)
{
	if (r->incarnation != s->incarnation) { /* deleted: nothing of it */
		remove_source(m, place_of(m, s));
		return;
	}
	if (s->seeks) {
		s->seeks = 0;
		s->next = r->seek;
		if (r->kept_first > 1 && r->seek == r->kept_first)
			s->gap = r->kept_first;
	} else if (r->page.n_parts == 0) {
		remove_source(m, place_of(m, s));
		return;
	} else {
		if (r->page.first > s->next && s->next)
			s->gap = r->page.first;
		s->page = r->page;
		r->page = (struct vnode_page){0};
		m->held += page_bytes(&s->page);
		find_head(m, s);
		if (m->held > HELD_BYTES && s->has_head && !is_first(m, s))
			drop_page(m, s);
	}
	if (s->next > s->last)
		remove_source(m, place_of(m, s));
}

static void
got_page(struct msg *msg)
{
	struct merge_read *q = CONTAINER_OF(
	    CONTAINER_OF(msg, struct vnode_read, msg), struct merge_read, read);
	struct merge *m = q->m;
	struct source *s = q->source;
	int r = q->read.r, gone = s->gone;

	m->n_reading--;
	m->busy = 1;
	s->reading = 0;
	if (gone) {
		listen_names_unref(s->names);
		mem_free(s);
	} else if (r) {
		give_up(m, r);
	} else {
		use_answer(m, s, &q->read);
		step(m);
	}
	vnode_page_deinit(&q->read.page);
	listen_names_unref(q->names);
	mem_free(q);
	m->busy = 0;
	close_if_done(m);
}

static int
read_source(struct merge *m, struct source *s)
{
	const struct vnode_route *route = &m->server->config.route;
	struct merge_read *q = mem_alloc(sizeof(*q));
	uint32_t bytes = HELD_BYTES / 2 / m->n_sources;

	if (!q)
		return -ERR_NOMEM;
	bytes = bytes > PAGE_BYTES ? PAGE_BYTES : bytes;
	*q = (struct merge_read){
	    .m = m,
	    .source = s,
	    .names = listen_names_ref(s->names),
	    .read =
		{
		    .msg = {.kind = MSG_READ,
			.from = m->server->worker,
			.fn = got_page},
		    .group = m->group,
		    .bucket = s->names->bucket,
		    .stream = s->names->stream,
		    .op = s->seeks ? VNODE_READ_SEEK : VNODE_READ_PAGE,
		    .from = s->next,
		    .to = s->last,
		    .limit = MERGE_EVENTS,
		    .seek_ms = m->at.t_ms,
		    .max_bytes = bytes < PAGE_LEAST ? PAGE_LEAST : bytes,
		},
	};
	s->reading = 1;
	m->n_reading++;
	route->send(route->ctx, m->group, &q->read.msg);
	return 0;
}

/* --- news ----------------------------------------------------------------- */

static int
add_source(struct merge *m, const struct vnode_news_item *it)
{
	struct source *s = mem_zalloc(sizeof(*s));

	if (s)
		s->names =
		    listen_names_new(m->server, m->bucket->bucket, it->name);
	if (!s || !s->names) {
		mem_free(s);
		return -ERR_NOMEM;
	}
	s->incarnation = it->incarnation;
	s->next = it->from;
	s->last = it->last;
	s->seeks = it->from == 0 && m->at.t_ms;
	m->sources[m->n_sources++] = s;
	return 0;
}

static void
got_news(struct msg *msg)
{
	struct merge *m = CONTAINER_OF(
	    CONTAINER_OF(msg, struct vnode_news, msg), struct merge, news);
	struct vnode_news *n = &m->news;
	int r = n->r;

	m->asking = 0;
	if (m->closed) {
		close_if_done(m);
		return;
	}
	m->end = (struct position){n->index, n->t_ms, UINT32_MAX};
	if (r == 0 && n->n_items) {
		m->sources = mem_calloc(n->n_items, sizeof(*m->sources));
		r = m->sources ? 0 : -ERR_NOMEM;
	}
	for (uint32_t i = 0; r == 0 && i < n->n_items; i++)
		r = add_source(m, &n->items[i]);
	vnode_news_deinit(n);
	m->busy = 1;
	if (r)
		give_up(m, r);
	else
		step(m);
	m->busy = 0;
	close_if_done(m);
}

static void
ask_news(struct merge *m)
{
	const struct vnode_route *route = &m->server->config.route;

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

	if (m->n_sources == 0 && position_before(m->at, m->end))
		m->at = m->end;
	b->to = m->at;
	if (batch_finish(b, &m->text))
		give_up(m, -ERR_NOMEM);
	else
		m->ready(m->arg, b, 0);
}

/* The head of source I goes into the batch. */
static void
take_head(struct merge *m, uint32_t i)
{
	struct source *s = m->sources[i];
	struct batch *b = &m->batch;
	struct event e;
	uint32_t n;
	int there = take_record(s, &e, &n);

	ASSERT(there);
	if (s->gap) { /* it stands where the listener stood before */
		b->items[b->n].gap = s->gap;
		b->items[b->n].at = m->at;
		batch_add_gap(b, &m->text, s->names, s->gap);
		s->gap = 0;
		if (is_full(m))
			return;
	}
	m->at = s->head;
	b->items[b->n].gap = 0;
	b->items[b->n].at = m->at;
	batch_add_event(b, &m->text, s->names, &e);
	s->in = SLICE(s->in.p + n, s->in.n - n);
	s->has_head = 0;
	m->n_heads--;
	s->next = e.seq + 1;
	if (s->next > s->last)
		remove_source(m, i);
	else
		find_head(m, s);
}

/* Heads that are missing are read for. */
static void
read_heads(struct merge *m)
{
	int r = 0;

	for (uint32_t i = 0;
	     r == 0 && i < m->n_sources && m->n_reading < READS_MAX; i++)
		if (!m->sources[i]->has_head && !m->sources[i]->reading)
			r = read_source(m, m->sources[i]);
	if (r)
		give_up(m, r);
}

static void
step(struct merge *m)
{
	while (!is_full(m) && m->n_sources && m->n_heads == m->n_sources) {
		uint32_t i = first_source(m);
		struct source *s = m->sources[i];

		if (s->page.n_parts == 0) { /* was given back */
			s->has_head = 0;
			m->n_heads--;
			break;
		}
		take_head(m, i);
	}
	if (m->batch.n || m->n_sources == 0)
		give_out(m);
	else
		read_heads(m);
}

static void
go_on(struct msg *msg)
{
	struct merge *m = CONTAINER_OF(msg, struct merge, kick);

	m->kicked = 0;
	m->busy = 1;
	if (m->closed)
		;
	else if (m->n_sources == 0)
		ask_news(m);
	else
		step(m);
	m->busy = 0;
	close_if_done(m);
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
	close_if_done(m);
	return NULL;
}
