/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * tail - the newest events of a stream, in memory.
 *
 * Invariants:
 *  1. The blocks of a tail, oldest to newest, are dense: next->first ==
 *     last + 1.
 *  2. Bytes below block->n never change; only the newest block grows.
 *  3. A clean block that grows is taken out of the clean list, so blocks of a
 *     tail stand in that list in their order, and the front of the list is the
 *     oldest block of its tail.
 */
#include "vnode/tail.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define CHANNEL_IDLE_US 60000000ull

void
tail_cache_init(struct tail_cache *cache, uint64_t clean_max)
{
	*cache = (struct tail_cache){.clean_max = clean_max};
	list_init(&cache->clean);
}

static void
make_dirty(struct tail_block *tb, struct tail_cache *cache)
{
	if (list_empty(&tb->clean))
		return;
	list_del(&tb->clean);
	cache->clean_bytes -= tb->block->cap;
}

/* Small streams stay small: a block is as large as its first event, the next
 * one twice that, up to TAIL_BLOCK_BYTES. */
static uint32_t
next_cap(const struct tail *t, uint32_t need)
{
	uint32_t cap = t->newest ? t->newest->block->cap * 2 : 0;

	if (cap > TAIL_BLOCK_BYTES)
		cap = TAIL_BLOCK_BYTES;
	return cap > need ? cap : need;
}

static struct tail_block *
add_block(struct tail *t, uint64_t seq, uint64_t chunk_first,
    uint32_t file_offset, uint32_t need)
{
	struct tail_block *tb = mem_alloc(sizeof(*tb));

	if (!tb)
		return NULL;
	*tb = (struct tail_block){
	    .tail = t,
	    .block = block_new(next_cap(t, need)),
	    .first = seq,
	    .last = seq - 1,
	    .chunk_first = chunk_first,
	    .file_offset = file_offset,
	};
	list_init(&tb->clean);
	if (!tb->block)
		return mem_free(tb);
	if (t->newest)
		t->newest->next = tb;
	else
		t->oldest = tb;
	t->newest = tb;
	return tb;
}

int
tail_append(struct tail *t, struct tail_cache *cache, uint64_t seq,
    uint64_t chunk_first, uint32_t file_offset, struct slice head,
    struct slice data)
{
	uint32_t need = (uint32_t)(head.n + data.n);
	struct tail_block *tb = t->newest;
	struct block *b;

	ASSERT(!tb || tb->last + 1 == seq);
	if (!tb || tb->chunk_first != chunk_first ||
	    tb->block->cap - tb->block->n < need)
		tb = add_block(t, seq, chunk_first, file_offset, need);
	if (!tb)
		return -ERR_NOMEM;
	b = tb->block;
	ASSERT(tb->file_offset + b->n == file_offset);
	make_dirty(tb, cache);
	memcpy(b->p + b->n, head.p, head.n);
	if (data.n)
		memcpy(b->p + b->n + head.n, data.p, data.n);
	tb->last_at = b->n;
	tb->last = seq;
	b->n += need;
	cache->dirty_bytes += need;
	return 0;
}

void
tail_flushed(
    struct tail *t, struct tail_cache *cache, uint64_t was, uint64_t seq)
{
	for (struct tail_block *tb = t->oldest; tb && tb->first <= seq;
	     tb = tb->next) {
		uint64_t from = was + 1 > tb->first ? was + 1 : tb->first;
		uint64_t to = seq < tb->last ? seq : tb->last;

		if (from > to)
			continue;
		cache->dirty_bytes -=
		    tail_offset(tb, to + 1) - tail_offset(tb, from);
		if (tb->last > seq || !list_empty(&tb->clean))
			continue;
		list_add_tail(&cache->clean, &tb->clean);
		cache->clean_bytes += tb->block->cap;
	}
}

static void
free_oldest(struct tail *t, struct tail_cache *cache)
{
	struct tail_block *tb = t->oldest;

	make_dirty(tb, cache);
	t->oldest = tb->next;
	if (!t->oldest)
		t->newest = NULL;
	block_unref(tb->block);
	mem_free(tb);
}

/* Whether TB holds events of the channel of its tail (http-api.md section 6),
 * which gives its memory back when nobody has listened for a while. */
static int
is_channel(const struct tail_cache *cache, const struct tail_block *tb)
{
	const struct tail *t = tb->tail;
	uint64_t behind = 0;

	if (!t->wanted_us || t->wanted_us + CHANNEL_IDLE_US < cache->now_us ||
	    t->newest->last - tb->last >= cache->channel_items)
		return 0;
	for (tb = tb->next; tb && behind < cache->channel_bytes; tb = tb->next)
		behind += tb->block->n;
	return behind < cache->channel_bytes;
}

void
tail_cache_trim(struct tail_cache *cache)
{
	uint64_t kept = 0;

	LIST_FOREACH_SAFE (node, tmp, &cache->clean) {
		struct tail_block *tb =
		    LIST_ENTRY(node, struct tail_block, clean);

		if (cache->clean_bytes <= cache->clean_max)
			return;
		if (tb->tail->oldest != tb ||
		    (kept < cache->clean_max / 2 && is_channel(cache, tb)))
			kept += tb->block->cap;
		else
			free_oldest(tb->tail, cache);
	}
}

void
tail_deinit(struct tail *t, struct tail_cache *cache)
{
	while (t->oldest)
		free_oldest(t, cache);
}

struct tail_block *
tail_find(const struct tail *t, uint64_t seq)
{
	struct tail_block *tb = t->oldest;

	if (!tb || seq < tb->first || seq > t->newest->last)
		return NULL;
	if (seq >= t->newest->first)
		return t->newest;
	while (seq > tb->last)
		tb = tb->next;
	return tb;
}

uint32_t
tail_offset(const struct tail_block *tb, uint64_t seq)
{
	struct slice all = SLICE(tb->block->p, tb->block->n);
	uint32_t at = 0;

	ASSERT(seq >= tb->first && seq <= tb->last + 1);
	if (seq == tb->last + 1)
		return tb->block->n;
	if (seq == tb->last)
		return tb->last_at;
	for (uint64_t s = tb->first; s < seq; s++) {
		struct event e;
		uint32_t n;
		int r = event_decode(SLICE(all.p + at, all.n - at), 0, &e, &n);

		ASSERT(r == 0);
		at += n;
	}
	return at;
}

/* Whole blocks from..to that fit, as first and last block of the page. */
static uint32_t
choose_blocks(const struct tail *t, uint64_t from, uint64_t to,
    uint32_t max_bytes, int desc, struct tail_block **first)
{
	struct tail_block *tb = tail_find(t, from);
	uint64_t total = 0;
	uint32_t n = 0;

	*first = tb;
	for (; tb && tb->first <= to; tb = tb->next) {
		if (!desc && n > 0 && total + tb->block->n > max_bytes)
			break;
		total += tb->block->n;
		n++;
		while (desc && n > 1 && total > max_bytes) {
			total -= (*first)->block->n;
			*first = (*first)->next;
			n--;
		}
	}
	return n;
}

int
tail_page(const struct tail *t, uint64_t from, uint64_t to, uint32_t max_bytes,
    int desc, struct vnode_page *page)
{
	struct tail_block *tb;
	uint32_t n = choose_blocks(t, from, to, max_bytes, desc, &tb);

	ASSERT(n > 0);
	page->parts = mem_calloc(n, sizeof(*page->parts));
	if (!page->parts)
		return -ERR_NOMEM;
	page->n_parts = n;
	page->first = tb->first > from ? tb->first : from;
	for (uint32_t i = 0; i < n; i++, tb = tb->next) {
		uint64_t a = tb->first > from ? tb->first : from;
		uint64_t z = tb->last < to ? tb->last : to;
		uint32_t at = tail_offset(tb, a);

		page->parts[i].records =
		    SLICE(tb->block->p + at, tail_offset(tb, z + 1) - at);
		page->parts[i].block = block_ref(tb->block);
		page->last = z;
	}
	return 0;
}
