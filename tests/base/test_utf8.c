/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "src/base/utf8.h"

#include <criterion/criterion.h>
#include <stdint.h>

TestSuite(utf8);

/* The encoding of CODE in LEN bytes, whether that is legal or not. */
static void
encode(uint32_t code, size_t len, uint8_t out[6])
{
	static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0, 0xf8, 0xfc};

	for (size_t i = len - 1; i > 0; i--) {
		out[i] = (uint8_t)(0x80 | (code & 0x3f));
		code >>= 6;
	}
	out[0] = (uint8_t)(lead[len] | code);
}

static size_t
shortest(uint32_t code)
{
	if (code < 0x80)
		return 1;
	if (code < 0x800)
		return 2;
	return code < 0x10000 ? 3 : 4;
}

Test(utf8, accepts_exactly_the_shortest_form_of_every_scalar_value)
{
	static const uint32_t limit[] = {
	    0, 0x80, 0x800, 0x10000, 0x200000, 0x4000000};
	uint8_t p[6];

	for (size_t len = 1; len <= 5; len++) {
		for (uint32_t code = 0; code < limit[len]; code++) {
			int legal = len == shortest(code) && code <= 0x10ffff &&
				    (code < 0xd800 || code > 0xdfff);

			encode(code, len, p);
			if ((utf8_check(p, len) == len) != legal)
				cr_assert_fail(
				    "U+%04X in %zu bytes", code, len);
		}
	}
}

Test(utf8, names_the_begin_of_the_first_bad_sequence)
{
	static const struct {
		const char *text;
		size_t n, bad;
	} rows[] = {
	    {"", 0, 0},
	    {"abc\0def", 7, 7},
	    {"\x80", 1, 0},
	    {"a\xff", 2, 1},
	    {"a\xc3", 2, 1},
	    {"\xe2\x82", 2, 0},
	    {"\xe2\x82\xac\xe2\x82x", 6, 3},
	    {"\xf0\x9f\x98", 3, 0},
	    {"\xf0\x9f\x98\x80", 4, 4},
	    {"\xed\xa0\x80", 3, 0},
	    {"0123456789abcdef0123456789abcde\xc3", 32, 31},
	    {"0123456789abcdef0123456789abcde\xc3\xa4", 33, 33},
	    {"0123456789abcde\xc3\xa4"
	     "0123456789abcdef\xc0",
		34, 33},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		cr_assert_eq(utf8_check(rows[i].text, rows[i].n), rows[i].bad,
		    "row %zu", i);
}

Test(utf8, finds_a_bad_byte_at_any_place)
{
	uint8_t p[100];

	for (size_t n = 1; n <= sizeof(p); n++) {
		for (size_t at = 0; at < n; at++) {
			memset(p, 'x', sizeof(p));
			p[at] = 0x80;
			cr_assert_eq(utf8_check(p, n), at);
		}
	}
}

Test(utf8, encodes_every_code_point_in_its_shortest_form)
{
	for (uint32_t code = 0; code <= 0x10ffff; code++) {
		uint8_t want[6], got[UTF8_MAX];
		size_t n = shortest(code);

		encode(code, n, want);
		if (utf8_encode(code, got) != n || memcmp(got, want, n) != 0)
			cr_assert_fail("U+%04X", code);
	}
}
