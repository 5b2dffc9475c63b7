/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * beat - what a member tells of itself with each heartbeat, beside its ring.
 *
 * Pure.
 * Format:  top of beat.c.  Golden bytes: tests/golden/node/beat.bin.
 */
#ifndef SRC_NODE_BEAT_H
#define SRC_NODE_BEAT_H

#include "ring/ring.h"
#include "src/base/buf.h"

#define BEAT_MAX (16 + RING_SIZE_MAX / 8)

struct beat {
	uint16_t q;         /* slots */
	int leads;          /* the root group */
	uint64_t root_term; /* there */
	/* A bit a group: it is led there, and is where the sender's ring wants
	 * it. */
	uint8_t placed[RING_SIZE_MAX / 8];
};

void beat_encode(const struct beat *b, struct buf *out);
/* 0, -ERR_CORRUPT or -ERR_FORMAT; with 0, OUT encodes to the same bytes. */
int beat_decode(struct slice in, struct beat *out);

#endif
