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
#include "ring/root_request.h"
#include "src/base/buf.h"
#include "vnode/store.h"

#define BEAT_HEADER_BYTES 64
#define BEAT_FILL_BYTES   72
#define BEAT_MAX                                                               \
	(BEAT_HEADER_BYTES + RING_SIZE_MAX / 8 +                               \
	    STORE_FILLS_MAX * BEAT_FILL_BYTES)

struct beat {
	uint16_t q;         /* slots */
	int leads;          /* the root group */
	uint64_t root_term; /* there */
	/* The event of each document that all there goes by. */
	uint64_t in_force[ROOT_COUNT];
	uint32_t limit; /* transfer_limit there */
	/* About: what its replicas hold, how many those are, and what more it
	 * has room for. */
	uint64_t held, room;
	uint32_t n_replicas;
	/* A bit a group: it is led there, and is where the sender's ring wants
	 * it. */
	uint8_t placed[RING_SIZE_MAX / 8];
	struct store_fills fills;
};

void beat_encode(const struct beat *b, struct buf *out);
/* 0, -ERR_CORRUPT or -ERR_FORMAT; with 0, OUT encodes to the same bytes. */
int beat_decode(struct slice in, struct beat *out);

#endif
