/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "src/base/hash.h"

#include <criterion/criterion.h>

TestSuite(hash);

/* Values of the XXH3 specification for the empty input. */
Test(hash, gives_the_published_values)
{
	struct hash128 h = hash128("", 0);

	cr_assert_eq(hash64("", 0, 0), 0x2d06800538d394c2);
	cr_assert_eq(h.hi, 0x99aa06d3014798d8);
	cr_assert_eq(h.lo, 0x6001c324468d497f);
	cr_assert_neq(hash64("abc", 3, 0), hash64("abc", 3, 1));
}

Test(hash, canonical_form_is_big_endian_and_reads_back)
{
	struct hash128 h = {.hi = 0x0001020304050607, .lo = 0x08090a0b0c0d0e0f};
	uint8_t p[HASH128_BYTES];

	hash128_put(p, h);
	for (int i = 0; i < HASH128_BYTES; i++)
		cr_assert_eq(p[i], i);
	cr_assert(hash128_equal(hash128_get(p), h));
}

Test(hash, a_stream_gives_the_hash_of_the_whole)
{
	struct hash128_stream *s = hash128_stream_new();
	uint8_t p[3000];

	for (size_t i = 0; i < sizeof(p); i++)
		p[i] = (uint8_t)(i * 7 + i / 256);
	for (size_t step = 1; step < 2000; step = step * 3 + 1) {
		hash128_stream_reset(s);
		for (size_t at = 0; at < sizeof(p); at += step) {
			size_t left = sizeof(p) - at;

			hash128_stream_update(
			    s, p + at, left < step ? left : step);
		}
		cr_assert(hash128_equal(
		    hash128_stream_final(s), hash128(p, sizeof(p))));
	}
	cr_assert_null(hash128_stream_free(s));
	cr_assert_null(hash128_stream_free(NULL));
}

Test(hash, a_chain_link_is_the_hash_of_the_previous_one_and_the_data)
{
	struct hash128_stream *s = hash128_stream_new();
	uint8_t p[HASH128_BYTES + 5];
	struct hash128 prev = hash128("x", 1);

	hash128_put(p, prev);
	memcpy(p + HASH128_BYTES, "hello", 5);
	hash128_stream_update(s, "left over", 9);
	cr_assert(hash128_equal(
	    hash128_chain(s, prev, "hello", 5), hash128(p, sizeof(p))));
	hash128_stream_free(s);
}
