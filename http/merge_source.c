/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * merge_source - the streams of a merge, read side by side.
 *
 * Invariants:
 *  1. Of each source, `head` is its next event, or is being read for.
 *  2. What is read for a source that is gone is dropped.
 */
#include "http/merge_impl.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define READS_MAX  8
#define HELD_BYTES (2u << 20)
#define PAGE_BYTES (64u << 10)
#define PAGE_LEAST 2048

/* A read for a source. */
struct merge_read {
	struct vnode_read read;
	struct merge *m;
	struct source *source; /* NULL: the round is over */
	struct listen_names *names;
};

/* --- life ----------------------------------------------------------------- */

int
merge_add_source(struct merge *m, const struct vnode_news_item *it)
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
	if (it->from == 0 && !s->seeks)
		s->next = 1; /* nothing was before: a gap can be seen */
	m->sources[m->n_sources++] = s;
	return 0;
}

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

void
merge_drop_head(struct merge *m, struct source *s)
{
	if (s->has_head)
		m->n_heads--;
	s->has_head = 0;
}

/* One that is being read for goes when its answer is there. */
void
merge_remove_source(struct merge *m, uint32_t i)
{
	struct source *s = m->sources[i];

	m->sources[i] = m->sources[--m->n_sources];
	drop_page(m, s);
	merge_drop_head(m, s);
	s->gone = 1;
	if (s->reading)
		return;
	listen_names_unref(s->names);
	mem_free(s);
}

void
merge_remove_sources(struct merge *m)
{
	while (m->n_sources)
		merge_remove_source(m, m->n_sources - 1);
	m->sources = mem_free(m->sources);
	ASSERT(m->held == 0 && m->n_heads == 0);
}

static void
remove_this(struct merge *m, const struct source *s)
{
	uint32_t i = 0;

	while (m->sources[i] != s)
		i++;
	merge_remove_source(m, i);
}

/* --- heads ---------------------------------------------------------------- */

uint32_t
merge_first_source(const struct merge *m)
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
	return m->n_heads == m->n_sources &&
	       m->sources[merge_first_source(m)] == s;
}

int
merge_take_record(struct source *s, struct event *e, uint32_t *bytes)
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

	while (merge_take_record(s, &e, &n)) {
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
		if (s->gap <= e.seq) /* what is hidden came before, too */
			s->gap = 0;
	}
	drop_page(m, s);
}

void
merge_use_head(struct merge *m, uint32_t i, uint32_t bytes)
{
	struct source *s = m->sources[i];

	s->in = SLICE(s->in.p + bytes, s->in.n - bytes);
	merge_drop_head(m, s);
	s->next++;
	if (s->next > s->last)
		merge_remove_source(m, i);
	else
		find_head(m, s);
}

/* --- reading -------------------------------------------------------------- */

static void
use_page(struct merge *m, struct source *s, struct vnode_read *r)
{
	if (r->page.first > s->next && s->next)
		s->gap = r->page.first;
	s->page = r->page;
	r->page = (struct vnode_page){0};
	m->held += page_bytes(&s->page);
	find_head(m, s);
	if (m->held > HELD_BYTES && s->has_head && !is_first(m, s))
		drop_page(m, s);
}

/* All that is new of S is hidden, as R says: that is told where the round ends. */
static void
use_hidden(struct merge *m, struct source *s, const struct vnode_read *r)
{
	s->gap = r->kept_first ? r->kept_first : r->newest + 1;
	s->hidden = 1;
	s->head = m->end;
	s->has_head = 1;
	m->n_heads++;
}

static void
use_answer(struct merge *m, struct source *s, struct vnode_read *r)
{
	if (r->incarnation != s->incarnation) { /* deleted: nothing of it */
		remove_this(m, s);
		return;
	}
	if (r->newest && (r->kept_first == 0 || r->kept_first > s->last)) {
		use_hidden(m, s, r);
		return;
	}
	if (s->seeks) {
		s->seeks = 0;
		s->next = r->seek;
		if (r->kept_first > 1 && r->seek == r->kept_first)
			s->gap = r->kept_first;
	} else if (r->page.n_parts == 0) {
		remove_this(m, s);
		return;
	} else {
		use_page(m, s, r);
	}
	if (s->next > s->last)
		remove_this(m, s);
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
		merge_give_up(m, r);
	} else {
		use_answer(m, s, &q->read);
		merge_step(m);
	}
	vnode_page_deinit(&q->read.page);
	listen_names_unref(q->names);
	mem_free(q);
	m->busy = 0;
	merge_close_if_done(m);
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

int
merge_read_heads(struct merge *m)
{
	for (uint32_t i = 0; i < m->n_sources && m->n_reading < READS_MAX;
	     i++) {
		struct source *s = m->sources[i];
		int r = s->has_head || s->reading ? 0 : read_source(m, s);
		if (r)
			return r;
	}
	return 0;
}
