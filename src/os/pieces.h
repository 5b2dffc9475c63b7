/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * pieces - frames that are longer than a message, cut and put together again.
 *
 * Pieces of one key come in order, so there is one frame under way for each.
 * What is lost, or overtaken by another frame, is dropped.
 *
 * Owns:    the block under way, charged to a budget that all receivers share.
 * Thread:  one.
 * Errors:  -ERR_CORRUPT: no such piece.
 *
 * A piece, the body of a sealed frame: u64 number of the frame, rising under
 * each key; u32 bytes of the frame; u32 where this piece begins; its bytes.
 */
#ifndef SRC_OS_PIECES_H
#define SRC_OS_PIECES_H

#include "src/base/buf.h"
#include "src/base/time.h"

#define PIECE_HEAD_BYTES 16
#define PIECES_MAX_US    5000000 /* until the next piece */

struct pieces_budget {
	size_t bytes; /* under way */
	size_t max;
};

struct pieces {
	struct block *block; /* NULL: nothing under way */
	uint64_t number;
	struct mono since; /* the last piece came */
};

struct piece_head {
	uint64_t number;
	uint32_t total, at;
};

void piece_put_head(uint8_t out[PIECE_HEAD_BYTES], const struct piece_head *h);

/* Conditions of pieces_add. */
enum {
	PIECES_E_MORE = 1, /* taken, or dropped: the frame is not whole */
};

/* 0: a frame of at most MAX bytes is whole; *OUT is the caller's reference. */
int pieces_add(struct pieces *p, struct pieces_budget *budget, uint32_t max,
    struct slice body, struct mono now, struct block **out);
/* Forgets what is under way. */
void pieces_drop(struct pieces *p, struct pieces_budget *budget);

#endif
