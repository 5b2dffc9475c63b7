/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * utf8 - 16 ASCII bytes at a step, other characters one by one.
 *
 * Well-formed sequences, Unicode table 3-7; what is not here is refused:
 *
 *   C2..DF  80..BF
 *   E0      A0..BF  80..BF
 *   E1..EF  80..BF  80..BF          but ED 80..9F 80..BF: no surrogates
 *   F0      90..BF  80..BF  80..BF
 *   F1..F3  80..BF  80..BF  80..BF
 *   F4      80..8F  80..BF  80..BF
 */
#include "src/base/utf8.h"

#include <string.h>

#define HIGH_BITS UINT64_C(0x8080808080808080)

static inline int
ascii16(const uint8_t *p)
{
	uint64_t v[2];

	memcpy(v, p, sizeof(v));
	return ((v[0] | v[1]) & HIGH_BITS) == 0;
}

static inline int
continues(uint8_t c)
{
	return (c & 0xc0) == 0x80;
}

static inline int
second_fits(uint8_t first, uint8_t second)
{
	switch (first) {
	case 0xe0:
		return second >= 0xa0 && second <= 0xbf;
	case 0xed:
		return second >= 0x80 && second <= 0x9f;
	case 0xf0:
		return second >= 0x90 && second <= 0xbf;
	case 0xf4:
		return second >= 0x80 && second <= 0x8f;
	default:
		return continues(second);
	}
}

/* The bytes of the character at P, 0 when LEFT bytes hold no whole one. */
static inline size_t
char_bytes(const uint8_t *p, size_t left)
{
	uint8_t c = p[0];

	if (c < 0x80)
		return 1;
	if (c < 0xc2 || c > 0xf4)
		return 0;
	if (c < 0xe0)
		return left >= 2 && continues(p[1]) ? 2 : 0;
	if (c < 0xf0)
		return left >= 3 && second_fits(c, p[1]) && continues(p[2]) ? 3
									    : 0;
	return left >= 4 && second_fits(c, p[1]) && continues(p[2]) &&
		       continues(p[3])
		   ? 4
		   : 0;
}

size_t
utf8_check(const void *p, size_t n)
{
	const uint8_t *s = p;
	size_t i = 0;

	while (i < n) {
		size_t step;

		if (n - i >= 16 && ascii16(s + i)) {
			i += 16;
			continue;
		}
		step = char_bytes(s + i, n - i);
		if (step == 0)
			return i;
		i += step;
	}
	return n;
}

size_t
utf8_encode(uint32_t c, uint8_t out[UTF8_MAX])
{
	static const uint8_t leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

	for (size_t i = n; i-- > 1; c >>= 6)
		out[i] = (uint8_t)(0x80 | (c & 0x3f));
	out[0] = (uint8_t)(leads[n] | c);
	return n;
}
