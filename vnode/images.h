/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * images - copies of the half-filled last blocks of chunks that a flush is
 * about to append to: a torn write cannot take what was there before.
 *
 * Owns:    the file `vnodes/images`.
 * Thread:  LANE_FLUSH; images_restore before the workers run.
 * Format:  top of images.c.  Golden bytes: tests/golden/vnode/images.bin.
 */
#ifndef VNODE_IMAGES_H
#define VNODE_IMAGES_H

#include "vnode/flush_impl.h"

/* Copies what F's chunks need and syncs it, before F writes to them. */
int images_save(struct flush *f);
/* All chunks are synced: the copies are needed no more. */
void images_reset(struct store *s);
/* Puts back what differs from its copy, synced.  *N: how many blocks. */
int images_restore(struct store *s, uint32_t *n);

/* --- codec: shared with the fuzzer and the tests -------------------------- */

#define IMAGES_BLOCK 4096u
#define IMAGES_HEAD  12 /* bytes of a batch that tell how long it is */

struct image {
	uint16_t group;
	uint32_t offset; /* in the chunk file */
	uint64_t generation, stream_id, first;
	struct slice bytes; /* borrowed; at most IMAGES_BLOCK */
};

/* A batch in the empty B: begin, add what there is, end; see buf_error. */
void images_begin(struct buf *b);
/* Where the N bytes of IM go (im->bytes is not looked at); NULL: an error. */
uint8_t *images_add(struct buf *b, const struct image *im, uint32_t n);
void images_end(struct buf *b, const uint8_t cluster_id[16]);

enum { IMAGES_E_NONE = 1 }; /* no batch of ours is there, or a torn one */
/* How long the batch is that begins like this; 0: it is none. */
uint32_t images_batch_bytes(const uint8_t head[IMAGES_HEAD]);
/* *IMAGES of an intact BATCH, for images_next; or IMAGES_E_NONE. */
int images_open(
    struct slice batch, const uint8_t cluster_id[16], struct slice *images);
/* The next one, borrowed from *IN: 1, 0 at the end, or -ERR_CORRUPT. */
int images_next(struct slice *in, struct image *out);

#endif
