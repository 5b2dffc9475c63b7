/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * hash - which group a stream belongs to (cluster.md section 1.2).
 *
 * Thread:  one ring_hash per thread: it holds an EVP context.
 */
#ifndef RING_HASH_H
#define RING_HASH_H

#include <stdint.h>

#include "src/base/buf.h"

#define RING_SHA1_BYTES   20
#define RING_SHA256_BYTES 32
#define RING_INDEX_BYTES  52 /* 160 bits in decimal and a NUL */

struct ring_hash; /* opaque */

struct ring_hash *ring_hash_new(void); /* NULL: no memory */
struct ring_hash *ring_hash_free(struct ring_hash *h);

/* SHA-1 of the key of BUCKET and STREAM; a suffix `-$patch` does not count. */
void ring_hash_key(struct ring_hash *h, struct slice bucket,
    struct slice stream, uint8_t out[RING_SHA1_BYTES]);
/* The group 0..Q-1; Q is a power of two, 2..1024. */
uint32_t ring_hash_group(
    struct ring_hash *h, struct slice bucket, struct slice stream, uint32_t q);
/* GROUP * 2^160 / Q in decimal. */
void ring_index_text(uint32_t group, uint32_t q, char out[RING_INDEX_BYTES]);

/* SHA-256 of S; 0 or -ERR_NOMEM. */
int ring_digest(struct slice s, uint8_t out[RING_SHA256_BYTES]);

#endif
