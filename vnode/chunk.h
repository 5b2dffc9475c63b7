/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * chunk - one file holding a dense run of a stream's events.
 *
 * Shape:   header, event records first..last, and, once sealed, a footer;
 *          rotated by chunk_is_full(), a function of the events alone, so that
 *          every replica cuts its chunks at the same place.
 * Owns:    nothing; this is the codec and the rules, the files are written by
 *          flush and read by chunk_read.
 * Errors:  0; -ERR_CORRUPT, -ERR_FORMAT, -ERR_IDENTITY for what a file says.
 * Format:  top of chunk.c.  Golden bytes: tests/golden/vnode/chunk.bin.
 */
#ifndef VNODE_CHUNK_H
#define VNODE_CHUNK_H

#include <stdint.h>

#include "src/base/buf.h"
#include "src/base/hash.h"

#define CHUNK_BYTES_MAX        (4u << 20) /* of header and records; is_full */
#define CHUNK_EVENTS_MAX       4096
#define CHUNK_HEADER_BYTES_MAX (80 + 2 * 255)
#define CHUNK_INDEX_STEP       (64u << 10) /* bytes between footer index rows */
#define CHUNK_NAME_BYTES       48          /* of a file name and its NUL */

/* Who a chunk belongs to; bucket and stream are borrowed. */
struct chunk_id {
	uint8_t cluster_id[16];
	uint16_t group;
	uint64_t stream_id;
	uint64_t first;          /* seqnum of its first event */
	struct hash128 previous; /* chain of the chunk before; 0, 0: none */
	struct slice bucket, stream;
};

/* What its vnode remembers of a chunk. */
struct chunk_info {
	uint64_t first, last; /* seqnums; last < first: still empty */
	uint64_t first_t, last_t;
	uint64_t before;     /* payload of the stream before it */
	uint32_t bytes;      /* header and records, without the footer */
	uint32_t sealed : 1; /* footer written, never changes again */
	uint32_t apart : 1;  /* nothing before it was visible when it was begun:
				 its chain begins with it */
	uint32_t last_bytes : 30; /* payload of event `last`; 0: not known */
	struct hash128 chain;     /* sealed: over this and all chunks before;
				     zeros: it was given up, see stream.h */
};

/* Whether its file ends with a footer, and its chain is known. */
static inline int
chunk_has_footer(const struct chunk_info *c)
{
	return c->sealed && (c->chain.lo || c->chain.hi);
}

/* Whether the chunk must be sealed before a record of NEXT_BYTES. */
int chunk_is_full(const struct chunk_info *c, uint32_t next_bytes);

/* "<stream id>.<first seq>.chunk", both as 16 hex digits. */
void chunk_file_name(
    char out[CHUNK_NAME_BYTES], uint64_t stream_id, uint64_t first);

uint32_t chunk_header_bytes(const struct chunk_id *id);
/* Writes chunk_header_bytes() bytes. */
void chunk_encode_header(const struct chunk_id *id, uint8_t *out);
/* Slices of OUT borrow from IN. *BYTES is the header's length. */
int chunk_decode_header(struct slice in, struct chunk_id *out, uint32_t *bytes);
/* 0 when both name the same chunk of the same stream, else -ERR_IDENTITY. */
int chunk_same(const struct chunk_id *a, const struct chunk_id *b);

/* The footer for WHOLE (header and records), added to OUT.  Records must be
 * intact: -ERR_CORRUPT otherwise, or when they are not first..last. */
int chunk_add_footer(struct buf *out, struct slice whole, uint32_t header_bytes,
    const struct chunk_info *info);

/* Where to start reading for seqnum SEQ: a row of the footer's index. */
struct chunk_row {
	uint32_t nth;    /* seqnum - first of the record at OFFSET */
	uint32_t offset; /* in the file */
};

struct chunk_footer {
	uint64_t count, first_t, last_t;
	uint32_t bytes; /* of header and records */
	uint32_t n_rows;
	const uint8_t *rows; /* borrowed; chunk_footer_row() */
};

/* BYTES, a whole file up to C's length (with a footer: to its end), are the chunk ID and
 * what C says of it, to the last bit; STREAM is to compute in.  0,
 * -ERR_CORRUPT, -ERR_IDENTITY. */
int chunk_verify(struct slice bytes, const struct chunk_id *id,
    const struct chunk_info *c, struct hash128_stream *stream);

#define CHUNK_FOOTER_TAIL 8 /* the last bytes tell how long the footer is */

/* Length of the footer from the last CHUNK_FOOTER_TAIL bytes of a file. */
int chunk_footer_bytes(const uint8_t tail[CHUNK_FOOTER_TAIL], uint32_t *out);
int chunk_decode_footer(struct slice in, struct chunk_footer *out);
struct chunk_row chunk_footer_row(const struct chunk_footer *f, uint32_t i);

#endif
