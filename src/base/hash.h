/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * hash - XXH3 in 64 and 128 bits; the only module that knows xxhash.
 *
 * Not for secrets, nor against an adversary who may choose the input: XXH3 is
 * not a cryptographic hash.  The values are the same on every machine and are
 * stored on disk.
 *
 * Thread:  any; a stream is used by one thread at a time.
 */
#ifndef SRC_BASE_HASH_H
#define SRC_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH128_BYTES 16

struct hash128 {
	uint64_t lo, hi;
};

uint64_t hash64(const void *p, size_t n, uint64_t seed);
struct hash128 hash128(const void *p, size_t n);

static inline int
hash128_equal(struct hash128 a, struct hash128 b)
{
	return a.lo == b.lo && a.hi == b.hi;
}

/* Canonical form: big-endian, hi first. */
void hash128_put(uint8_t out[HASH128_BYTES], struct hash128 h);
struct hash128 hash128_get(const uint8_t p[HASH128_BYTES]);

struct hash128_stream; /* opaque */

/* NULL: no memory. */
struct hash128_stream *hash128_stream_new(void);
/* Takes NULL and returns NULL. */
struct hash128_stream *hash128_stream_free(struct hash128_stream *s);
/* Forgets what was added; a new stream needs no reset. */
void hash128_stream_reset(struct hash128_stream *s);
void hash128_stream_update(struct hash128_stream *s, const void *p, size_t n);
/* The hash128() of all that was added; S may go on from there. */
struct hash128 hash128_stream_final(const struct hash128_stream *s);

/*
 * One link of a chain: hash128 of the canonical 16 bytes of PREV followed by
 * the N bytes at P.  S is a stream to work in; what it held is forgotten.
 */
struct hash128 hash128_chain(
    struct hash128_stream *s, struct hash128 prev, const void *p, size_t n);

#endif
