/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * stream - what a vnode holds of one stream: counters, its chunks, its tail.
 *
 * Owns:    its chunk table and tail; the files are named, not held open.
 * Shape:   chunks are dense and cover first..last; the last one may be open.
 *          There may be some before first, and none once all is hidden.
 * Thread:  the worker of the vnode.
 */
#ifndef VNODE_STREAM_H
#define VNODE_STREAM_H

#include <stdint.h>

#include "src/base/list.h"
#include "vnode/chunk.h"
#include "vnode/kept.h"
#include "vnode/tail.h"

struct bucket; /* vnode.h */
struct dedup_key;

struct stream {
	struct bucket *bucket; /* NULL: dead, and in no flush */
	union {
		struct stream *older; /* of the same name: its deletion is only
					 proposed; or NULL */
		uint64_t gone_at;     /* dead: a durable manifest of this index
					 has it not */
	};
	uint64_t id;       /* incarnation; never 0 */
	uint64_t first;    /* what is below it is hidden for good; 1 from the
			      start; kept_settle makes it exact */
	uint64_t last;     /* newest applied; 0: none yet */
	uint64_t proposed; /* newest numbered, >= last */
	uint64_t flushed;  /* newest in a chunk file, <= last */
	uint64_t last_t;   /* of event `last` */
	uint64_t total;    /* payload of 1..last */
	struct chunk_info *chunks;
	struct kept *kept; /* NULL: nothing was ever hidden */
	struct tail tail;
	struct dedup_key *keys; /* the newest applied one, or NULL */
	struct list dirty; /* in struct dirty while flushed < last, or alone */
	struct list
	    unsaved; /* in vnode.unsaved while the manifest is behind; dead:
				in a list of those */
	uint32_t n_chunks, cap_chunks;
	uint32_t last_bytes; /* payload of event `last` */
	uint32_t
	    saved_chunks; /* rows before this one are final in the manifest */
	uint8_t named;    /* the manifest file knows its names */
	uint8_t cut;      /* the open chunk's file may be longer than we know */
	uint8_t listed;   /* in bucket->streams */
	uint8_t dropping; /* its deletion is proposed */
	uint8_t dead;     /* deleted; only its files are left */
	uint8_t name_n;
	char name[]; /* name_n bytes */
};

/* Of a worker: its streams with events in no chunk file yet, oldest first. */
struct dirty {
	struct list streams;
	uint32_t n;
};

static inline void
dirty_init(struct dirty *d)
{
	list_init(&d->streams);
	d->n = 0;
}

static inline void
dirty_add(struct dirty *d, struct stream *s)
{
	if (!list_empty(&s->dirty))
		return;
	list_add_tail(&d->streams, &s->dirty);
	d->n++;
}

static inline struct stream *
dirty_first(const struct dirty *d)
{
	struct list *node = list_first(&d->streams);

	return node ? LIST_ENTRY(node, struct stream, dirty) : NULL;
}

static inline void
dirty_remove(struct dirty *d, struct stream *s)
{
	list_del(&s->dirty);
	d->n--;
}

/* A stream without events, or NULL. */
struct stream *stream_new(struct bucket *b, uint64_t id, struct slice name);
/* Takes NULL and returns NULL. */
struct stream *stream_free(struct stream *s, struct tail_cache *cache);
/* Gives its events in memory back; they are not to be asked for any more. */
void stream_forget_tail(struct stream *s, struct tail_cache *cache);

struct slice stream_name(const struct stream *s);

/*
 * Applies event SEQ == last + 1: HEAD (a whole record, or all of it but its
 * data) followed by DATA.  HEADER_BYTES is what the header of a new chunk
 * takes; it begins one that stands APART.  0, -ERR_NOMEM, or -ERR_CORRUPT when
 * it is not the next one.
 */
int stream_apply(struct stream *s, struct tail_cache *cache, uint64_t seq,
    uint64_t t_ms, struct slice head, struct slice data, uint32_t data_bytes,
    uint32_t header_bytes, int apart);

/* The chain that the header of C, a chunk of S, goes on from. */
struct hash128 stream_chain_before(
    const struct stream *s, const struct chunk_info *c);

/*
 * The first N chunks are no more S's, but those of the stream that is returned:
 * dead, without a name, for those who remove files (dropped.h).  With all of
 * them goes what is in memory, and there is nothing left to be written.  NULL:
 * no memory, and nothing happened.
 */
struct stream *stream_cut(
    struct stream *s, struct tail_cache *cache, uint32_t n);

/* The chunk that holds SEQ, first <= SEQ <= last. */
struct chunk_info *stream_chunk(const struct stream *s, uint64_t seq);
/* The chunk that begins with FIRST, any number; NULL: none does. */
struct chunk_info *stream_find_chunk(const struct stream *s, uint64_t first);
/*
 * The chunk that begins with FIRST is damaged: it ends with what was flushed,
 * its first BYTES, and what comes behind that goes to a chunk of its own, with
 * HEADER_BYTES of header.  It counts as sealed, without a chain.  -ERR_NOMEM.
 */
int stream_give_up_chunk(
    struct stream *s, uint64_t first, uint32_t bytes, uint32_t header_bytes);
/* Replaces the row of the same first, or adds the next. */
int stream_set_chunk(struct stream *s, const struct chunk_info *c);

#endif
