/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * manifest - what a vnode knows of its streams, as a log of checkpoints.
 *
 * Owns:    nothing; the codec only.  Files are written by flush, read by
 *          recovery.
 * Shape:   a snapshot, then one delta per checkpoint, each ended by a COMMIT
 *          record; what no COMMIT follows does not count.
 * Errors:  0; -ERR_CORRUPT, -ERR_FORMAT, -ERR_IDENTITY.
 * Format:  top of manifest.c.  Golden bytes: tests/golden/vnode/manifest.bin.
 */
#ifndef VNODE_MANIFEST_H
#define VNODE_MANIFEST_H

#include <stdint.h>

#include "src/base/buf.h"
#include "vnode/chunk.h"
#include "vnode/entry.h"
#include "vnode/event.h"
#include "vnode/kept.h"

#define MANIFEST_NAME_BYTES 24
#define MANIFEST_BLOCK      4096u /* a delta begins at a multiple of it */

/* Where the delta behind END bytes of a manifest begins. */
static inline uint64_t
manifest_next(uint64_t end)
{
	return (end + MANIFEST_BLOCK - 1) / MANIFEST_BLOCK * MANIFEST_BLOCK;
}

struct manifest_id {
	uint8_t cluster_id[16];
	uint16_t group;
	uint64_t generation; /* of the replica */
	uint32_t number;     /* of the file: grows with each snapshot */
};

/* What a COMMIT says of the group. */
struct manifest_state {
	uint64_t checkpoint; /* counts the checkpoints of this replica */
	uint64_t term;
	uint64_t vote; /* for this replica in that term; 0: none */
	uint64_t applied_index, applied_term;
	uint64_t next_stream_id;
	uint64_t clock_ms;
	uint64_t policy_version;
	uint64_t journal_floor; /* LSN: older records of the group are void */
	int damaged;            /* cluster.md 6.3 */
	struct entry_members members; /* as of applied_index */
};

struct manifest_stream {
	uint64_t id;
	uint64_t first, last; /* visible are some from first on; neither goes
				 down */
	uint64_t last_t;
	uint64_t total;              /* payload of 1..last */
	uint32_t last_bytes;         /* ... of last */
	struct slice bucket, stream; /* empty: as said before */
};

/* Of a stream that policies apply to, or did (kept.h). */
struct manifest_kept {
	uint64_t id;
	struct limits hidden;
	uint64_t before;      /* payload before its `first` */
	uint64_t from;        /* chunks below it are no more */
	struct hash128 chain; /* of the one before it */
};

/* An idempotency key that counts (dedup.h). */
struct manifest_key {
	uint64_t stream_id;
	uint64_t first, t_ms; /* of its events */
	struct event_key id;
};

/* A stream that was deleted (ended.h). */
struct manifest_ended {
	uint64_t id, index, t_ms;    /* the entry that says so, and its clock */
	uint32_t ordinal;            /* in it */
	struct slice bucket, stream; /* empty: all up to here are forgotten */
};

/* "manifest.<number>", 8 hex digits. */
void manifest_file_name(char out[MANIFEST_NAME_BYTES], uint32_t number);
/* 0 and the number when NAME is of that form, else -ERR_INVAL. */
int manifest_parse_name(const char *name, uint32_t *number);

/* --- writing: records at the end of OUT ----------------------------------- */

struct manifest_writer {
	struct buf *out;
	uint32_t crc; /* of the record before; 0 at the start of a file */
};

void manifest_add_head(struct manifest_writer *w, const struct manifest_id *id);
void manifest_add_stream(
    struct manifest_writer *w, const struct manifest_stream *s);
/* Behind its stream, before its chunks. */
void manifest_add_kept(
    struct manifest_writer *w, const struct manifest_kept *k);
/* The encoded policies that are in force. */
void manifest_add_policies(struct manifest_writer *w, struct slice table);
void manifest_add_chunk(
    struct manifest_writer *w, uint64_t stream_id, const struct chunk_info *c);
void manifest_add_key(struct manifest_writer *w, const struct manifest_key *k);
/* A stream that was added before, in this file, is no more. */
void manifest_add_dropped(struct manifest_writer *w, uint64_t stream_id);
void manifest_add_ended(
    struct manifest_writer *w, const struct manifest_ended *e);
void manifest_add_commit(
    struct manifest_writer *w, const struct manifest_state *s);

/* --- reading -------------------------------------------------------------- */

struct manifest_reader_ops {
	/* Each returns 0 or the -ERR_* that ends the reading. */
	int (*stream)(void *arg, const struct manifest_stream *s);
	int (*chunk)(void *arg, uint64_t stream_id, const struct chunk_info *c);
	int (*key)(void *arg, const struct manifest_key *k);
	int (*dropped)(void *arg, uint64_t stream_id);
	int (*ended)(void *arg, const struct manifest_ended *e);
	int (*commit)(void *arg, const struct manifest_state *s);
	int (*kept)(void *arg, const struct manifest_kept *k);
	/* A piece of the encoded policies, all of which are BYTES long; the
	 * first has AT 0. */
	int (*policies)(
	    void *arg, struct slice piece, uint32_t at, uint32_t bytes);
};

struct manifest_end {
	uint64_t bytes; /* up to and with the last COMMIT */
	uint32_t crc;   /* for the writer that goes on there */
};

/*
 * Reads FILE, the whole content, calling OPS for all that was committed.  The
 * head must say ID.  -ERR_CORRUPT when not even the snapshot is whole.
 */
int manifest_read(struct slice file, const struct manifest_id *id,
    const struct manifest_reader_ops *ops, void *arg, struct manifest_end *end);

/* --- the journal's word on it: payload of a JOURNAL_CHECKPOINT record ----- */

#define MANIFEST_MARK_BYTES 32

struct manifest_mark {
	uint32_t number;
	uint64_t bytes; /* committed length of that file */
	uint64_t checkpoint;
	uint64_t applied_index;
};

void manifest_encode_mark(
    const struct manifest_mark *m, uint8_t out[MANIFEST_MARK_BYTES]);
int manifest_decode_mark(struct slice in, struct manifest_mark *out);

#endif
