/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * tail - the newest events of a stream, in memory, as the record bytes that go
 * to its chunk files.
 *
 * Owns:    blocks of records, shared by reference with readers and flushes.  A
 *          block belongs to one chunk, so its bytes lie in that file in one run.
 * Shape:   a dense run of seqnums that ends at the stream's newest; what is not
 *          in a chunk file yet (dirty) is always here, what is (clean) stays as
 *          a cache until tail_cache_trim.
 * Bound:   clean bytes of all streams of a worker: tail_cache.clean_max; dirty
 *          bytes: the store admits no writes above its limit.
 * Thread:  the worker of the vnode.
 */
#ifndef VNODE_TAIL_H
#define VNODE_TAIL_H

#include <stdint.h>

#include "src/base/buf.h"
#include "src/base/list.h"
#include "vnode/vnode_msg.h"

/* Larger only for a single large event. */
#define TAIL_BLOCK_BYTES (64u << 10)

/* One per worker: what all its tails hold. */
struct tail_cache {
	struct list clean; /* blocks that may be dropped, oldest first */
	uint64_t clean_bytes, clean_max;
	uint64_t dirty_bytes;
	/* The newest events of a tail that somebody listens to stay: so many,
	 * about so many bytes, and no more than clean_max of all tails. */
	uint64_t channel_items, channel_bytes;
	uint64_t now_us;
};

struct tail_block {
	struct tail_block *next; /* newer */
	struct list clean;       /* in tail_cache.clean, or alone */
	struct tail *tail;
	struct block *block;
	uint64_t first, last;
	uint64_t chunk_first; /* of the chunk it belongs to */
	uint32_t file_offset; /* of its first byte */
	uint32_t last_at;     /* offset of the last record in the block */
};

struct tail {
	struct tail_block *oldest, *newest;
	uint64_t wanted_us; /* when somebody last listened; 0: never */
};

void tail_cache_init(struct tail_cache *cache, uint64_t clean_max);

/*
 * Adds the record HEAD followed by DATA (which may be empty) of event SEQ, at
 * FILE_OFFSET of the chunk that begins with CHUNK_FIRST.  0 or -ERR_NOMEM.
 */
int tail_append(struct tail *t, struct tail_cache *cache, uint64_t seq,
    uint64_t chunk_first, uint32_t file_offset, struct slice head,
    struct slice data);

/* Events up to SEQ have reached their files; WAS is what had before. */
void tail_flushed(
    struct tail *t, struct tail_cache *cache, uint64_t was, uint64_t seq);

/* Drops clean blocks until they fit again, or what is left is listened to. */
void tail_cache_trim(struct tail_cache *cache);

void tail_deinit(struct tail *t, struct tail_cache *cache);

/* The block that holds SEQ, or NULL when it is not in memory. */
struct tail_block *tail_find(const struct tail *t, uint64_t seq);

/* Where record SEQ of block TB begins in it; SEQ == last + 1: where it ends. */
uint32_t tail_offset(const struct tail_block *tb, uint64_t seq);

/*
 * Fills PAGE with FROM..TO (all in memory), or the part of it that fits into
 * about MAX_BYTES: the oldest, or with DESC the newest.  At least one event.
 */
int tail_page(const struct tail *t, uint64_t from, uint64_t to,
    uint32_t max_bytes, int desc, struct vnode_page *page);

#endif
