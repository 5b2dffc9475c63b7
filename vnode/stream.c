/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* stream - what a vnode holds of one stream. */
#include "vnode/stream.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/event.h"

struct stream *
stream_new(struct bucket *b, uint64_t id, struct slice name)
{
	struct stream *s = mem_zalloc(sizeof(*s) + name.n);

	ASSERT(name.n > 0 && name.n <= UINT8_MAX);
	if (!s)
		return NULL;
	s->bucket = b;
	s->id = id;
	s->first = 1;
	s->name_n = (uint8_t)name.n;
	memcpy(s->name, name.p, name.n);
	list_init(&s->dirty);
	list_init(&s->unsaved);
	return s;
}

void
stream_forget_tail(struct stream *s, struct tail_cache *cache)
{
	/* What was not flushed is dirty no more, for the cache's books. */
	if (s->tail.newest)
		tail_flushed(&s->tail, cache, s->flushed, s->tail.newest->last);
	tail_deinit(&s->tail, cache);
}

struct stream *
stream_free(struct stream *s, struct tail_cache *cache)
{
	if (!s)
		return NULL;
	stream_forget_tail(s, cache);
	list_del(&s->dirty);
	list_del(&s->unsaved);
	if (s->kept)
		list_del(&s->kept->cut);
	mem_free(s->kept);
	mem_free(s->chunks);
	return mem_free(s);
}

struct slice
stream_name(const struct stream *s)
{
	return SLICE(s->name, s->name_n);
}

static struct chunk_info *
add_chunk(struct stream *s)
{
	uint32_t cap = s->cap_chunks ? s->cap_chunks * 2 : 1;
	struct chunk_info *p = s->chunks;

	if (s->n_chunks == s->cap_chunks) {
		p = mem_realloc(p, cap * sizeof(*p));
		if (!p)
			return NULL;
		s->chunks = p;
		s->cap_chunks = cap;
	}
	p[s->n_chunks] = (struct chunk_info){0};
	return &p[s->n_chunks++];
}

int
stream_apply(struct stream *s, struct tail_cache *cache, uint64_t seq,
    uint64_t t_ms, struct slice head, struct slice data, uint32_t data_bytes,
    uint32_t header_bytes, int apart)
{
	uint32_t bytes = (uint32_t)(head.n + data.n);
	struct chunk_info *c = s->n_chunks ? &s->chunks[s->n_chunks - 1] : NULL;
	int r;

	if (seq != s->last + 1)
		return -ERR_CORRUPT;
	if (!c || apart || c->sealed || chunk_is_full(c, bytes)) {
		c = add_chunk(s);
		if (!c)
			return -ERR_NOMEM;
		c->first = seq;
		c->last = seq - 1;
		c->first_t = t_ms;
		c->before = s->total;
		c->bytes = header_bytes;
		c->apart = apart != 0;
	}
	r = tail_append(&s->tail, cache, seq, c->first, c->bytes, head, data);
	if (r)
		return r;
	c->last = seq;
	c->last_t = t_ms;
	c->bytes += bytes;
	c->last_bytes = data_bytes;
	s->last = seq;
	s->last_t = t_ms;
	s->last_bytes = data_bytes;
	s->total += data_bytes;
	if (s->proposed < seq)
		s->proposed = seq;
	return 0;
}

/* The last chunk that does not begin behind SEQ, as the first one does not. */
static struct chunk_info *
last_up_to(const struct stream *s, uint64_t seq)
{
	uint32_t lo = 0, hi = s->n_chunks;

	while (hi - lo > 1) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (s->chunks[mid].first <= seq)
			lo = mid;
		else
			hi = mid;
	}
	return &s->chunks[lo];
}

struct chunk_info *
stream_chunk(const struct stream *s, uint64_t seq)
{
	ASSERT(s->n_chunks && seq >= s->chunks[0].first && seq <= s->last);
	return last_up_to(s, seq);
}

struct chunk_info *
stream_find_chunk(const struct stream *s, uint64_t first)
{
	struct chunk_info *c;

	if (s->n_chunks == 0 || first < s->chunks[0].first)
		return NULL;
	c = last_up_to(s, first);
	return c->first == first ? c : NULL;
}

int
stream_set_chunk(struct stream *s, const struct chunk_info *c)
{
	struct chunk_info *p = s->n_chunks ? &s->chunks[s->n_chunks - 1] : NULL;

	if (p && c->first < p->first) { /* a row further up, sealed since */
		p = stream_find_chunk(s, c->first);
		if (!p)
			return -ERR_CORRUPT;
	} else if (!p || p->first != c->first) {
		if (p && c->first != p->last + 1)
			return -ERR_CORRUPT;
		p = add_chunk(s);
		if (!p)
			return -ERR_NOMEM;
	}
	*p = *c;
	return 0;
}

struct hash128
stream_chain_before(const struct stream *s, const struct chunk_info *c)
{
	const struct hash128 none = {0, 0};

	if (c->apart)
		return none;
	if (c > s->chunks)
		return c[-1].chain;
	return s->kept ? s->kept->chain : none;
}

struct stream *
stream_cut(struct stream *s, struct tail_cache *cache, uint32_t n)
{
	struct stream *gone = mem_zalloc(sizeof(*gone));
	struct chunk_info *rows = mem_alloc(n * sizeof(*rows));

	ASSERT(n > 0 && n <= s->n_chunks && s->chunks[n - 1].last < s->first);
	if (!gone || !rows) {
		mem_free(gone);
		mem_free(rows);
		return NULL;
	}
	gone->id = s->id;
	gone->dead = 1;
	gone->chunks = memcpy(rows, s->chunks, n * sizeof(*rows));
	gone->n_chunks = n;
	list_init(&gone->dirty);
	list_init(&gone->unsaved);
	s->kept->chain = rows[n - 1].chain;
	s->n_chunks -= n;
	memmove(s->chunks, s->chunks + n, s->n_chunks * sizeof(*rows));
	s->saved_chunks -= s->saved_chunks < n ? s->saved_chunks : n;
	if (s->n_chunks == 0) {
		stream_forget_tail(s, cache);
		s->flushed = s->last;
		s->cut = 0;
	}
	return gone;
}

/* The blocks of the chunk FIRST whose events are not flushed are AT's now. */
static void
move_tail(struct stream *s, uint64_t first, uint64_t at, uint32_t by)
{
	for (struct tail_block *tb = s->tail.oldest; tb; tb = tb->next) {
		if (tb->chunk_first != first || tb->last < at)
			continue;
		tb->chunk_first = at;
		tb->file_offset += by; /* where a flushed part of it would be */
	}
}

/* Payload of FROM..TO, which are in memory. */
static uint64_t
payload_of(const struct stream *s, uint64_t from, uint64_t to)
{
	uint64_t sum = 0;

	while (from <= to) {
		const struct tail_block *tb = tail_find(&s->tail, from);
		uint32_t at = tail_offset(tb, from), n;

		for (; from <= to && from <= tb->last; from++, at += n) {
			struct event e;
			int r = event_decode(
			    SLICE(tb->block->p + at, tb->block->n - at), 0, &e,
			    &n);

			ASSERT(r == 0);
			sum += e.data.n;
		}
	}
	return sum;
}

int
stream_give_up_chunk(
    struct stream *s, uint64_t first, uint32_t bytes, uint32_t header_bytes)
{
	uint32_t i = (uint32_t)(stream_chunk(s, first) - s->chunks);
	struct chunk_info rest = s->chunks[i];
	const struct tail_block *tb = tail_find(&s->tail, s->flushed + 1);
	struct event e;
	uint32_t n;

	ASSERT(rest.first == first && !rest.sealed && first <= s->flushed);
	if (s->flushed < rest.last) {
		uint32_t at = tail_offset(tb, s->flushed + 1);
		int r = event_decode(
		    SLICE(tb->block->p + at, tb->block->n - at), 0, &e, &n);

		ASSERT(r == 0);
		if (!add_chunk(s))
			return -ERR_NOMEM;
		memmove(s->chunks + i + 2, s->chunks + i + 1,
		    (s->n_chunks - i - 2) * sizeof(*s->chunks));
		rest.before =
		    (i + 2 < s->n_chunks ? s->chunks[i + 2].before : s->total) -
		    payload_of(s, s->flushed + 1, rest.last);
		rest.apart = 0;
		rest.first = s->flushed + 1;
		rest.first_t = e.t_ms;
		rest.bytes += header_bytes - bytes;
		s->chunks[i + 1] = rest;
		s->chunks[i].last = s->flushed;
		s->chunks[i].last_t = e.t_ms; /* at most */
		s->chunks[i].bytes = bytes;
		s->chunks[i].last_bytes = 0;
		move_tail(s, first, rest.first, header_bytes - bytes);
	}
	s->chunks[i].sealed = 1;
	if (s->saved_chunks > i)
		s->saved_chunks = i;
	return 0;
}
