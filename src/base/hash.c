/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * hash - XXH3 behind our own names; see the header.
 */
#include "src/base/hash.h"

#include <xxhash.h>

#include "src/base/assert.h"
#include "src/base/mem.h"

struct hash128_stream {
	XXH3_state_t *xxh; /* allocated by xxhash: it wants 64-byte alignment */
};

uint64_t
hash64(const void *p, size_t n, uint64_t seed)
{
	return XXH3_64bits_withSeed(p, n, seed);
}

static struct hash128
from_xxh(XXH128_hash_t h)
{
	return (struct hash128){.lo = h.low64, .hi = h.high64};
}

struct hash128
hash128(const void *p, size_t n)
{
	return from_xxh(XXH3_128bits(p, n));
}

void
hash128_put(uint8_t out[HASH128_BYTES], struct hash128 h)
{
	for (int i = 0; i < 8; i++) {
		out[i] = (uint8_t)(h.hi >> (56 - 8 * i));
		out[8 + i] = (uint8_t)(h.lo >> (56 - 8 * i));
	}
}

struct hash128
hash128_get(const uint8_t p[HASH128_BYTES])
{
	struct hash128 h = {0, 0};

	for (int i = 0; i < 8; i++) {
		h.hi = h.hi << 8 | p[i];
		h.lo = h.lo << 8 | p[8 + i];
	}
	return h;
}

struct hash128_stream *
hash128_stream_new(void)
{
	struct hash128_stream *s = mem_alloc(sizeof(*s));

	if (!s)
		return NULL;
	s->xxh = XXH3_createState();
	if (!s->xxh)
		return mem_free(s);
	hash128_stream_reset(s);
	return s;
}

struct hash128_stream *
hash128_stream_free(struct hash128_stream *s)
{
	if (s)
		XXH3_freeState(s->xxh);
	return mem_free(s);
}

void
hash128_stream_reset(struct hash128_stream *s)
{
	ASSERT(XXH3_128bits_reset(s->xxh) == XXH_OK);
}

void
hash128_stream_update(struct hash128_stream *s, const void *p, size_t n)
{
	ASSERT(XXH3_128bits_update(s->xxh, p, n) == XXH_OK);
}

struct hash128
hash128_stream_final(const struct hash128_stream *s)
{
	return from_xxh(XXH3_128bits_digest(s->xxh));
}

struct hash128
hash128_chain(
    struct hash128_stream *s, struct hash128 prev, const void *p, size_t n)
{
	uint8_t head[HASH128_BYTES];

	hash128_put(head, prev);
	hash128_stream_reset(s);
	hash128_stream_update(s, head, sizeof(head));
	hash128_stream_update(s, p, n);
	return hash128_stream_final(s);
}
