/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* What texts of strings and numbers mean. */
#include <criterion/criterion.h>

#include "http/jtext.h"
#include "src/base/mem.h"

TestSuite(jtext);

#define N(a) (sizeof(a) / sizeof(*(a)))

Test(jtext, strings_are_compared_by_what_they_mean)
{
	static const struct {
		const char *a, *b;
		int order;
	} rows[] = {
	    {"", "", 0},
	    {"a", "a", 0},
	    {"a", "\\u0061", 0},
	    {"\\u00e9", "\xc3\xa9", 0},
	    {"\\ud83d\\ude00", "\xf0\x9f\x98\x80", 0},
	    {"\\ud83d", "\\uD83D", 0},
	    {"\\/", "/", 0},
	    {"\\b\\f\\n\\r\\t\\\"\\\\",
		"\\u0008\\u000c\\u000A\\u000D\\u0009\\u0022\\u005c", 0},
	    {"\\u0000", "", 1},
	    {"a", "b", -1},
	    {"ab", "a", 1},
	    {"a", "\\u0061b", -1},
	    {"\\ud83d", "\\ud83d\\ude00", -1}, /* the pair is above it */
	    {"\\ude00\\ud83d", "\\ud83d\\ude00", -1},
	};

	for (size_t i = 0; i < N(rows); i++) {
		struct slice a = SLICE_STR(rows[i].a), b = SLICE_STR(rows[i].b);

		cr_expect_eq(jtext_compare(a, b), rows[i].order, "%zu", i);
		cr_expect_eq(jtext_compare(b, a), -rows[i].order, "%zu", i);
		cr_expect_eq(jtext_equal(a, b), rows[i].order == 0, "%zu", i);
	}
}

Test(jtext, every_code_point_is_written_and_read_again)
{
	struct buf b;

	buf_init(&b, 64);
	for (uint32_t c = 0; c <= 0x10ffff; c++) {
		struct slice s;

		buf_reset(&b);
		jtext_add(&b, c);
		s = buf_slice(&b);
		cr_assert_eq(jtext_next(&s), c);
		cr_assert_eq(s.n, 0, "%x", c);
	}
	buf_deinit(&b);
}

static int
same(const char *a, const char *b)
{
	int r = jtext_number_equal(SLICE_STR(a), SLICE_STR(b));

	cr_expect_eq(jtext_number_equal(SLICE_STR(b), SLICE_STR(a)), r);
	return r;
}

Test(jtext, numbers_are_equal_when_their_values_are)
{
	static const char *const equal[][2] = {
	    {"1", "1.0"},
	    {"1", "1e0"},
	    {"10", "1E1"},
	    {"10", "0.1e+2"},
	    {"0.001", "1e-3"},
	    {"0", "-0"},
	    {"0", "0.000e99"},
	    {"-1.50", "-15e-1"},
	    {"100", "1.00e2"},
	    {"1234.5", "0.0012345e6"},
	    {"9007199254740993", "9007199254740993.0"},
	    {"9007199254740993", "9.007199254740993e15"},
	    {"1e400", "10e399"},
	    {"1e99999999999999999999", "1e99999999999999999999"},
	};
	static const char *const others[][2] = {
	    {"1", "-1"},
	    {"1", "10"},
	    {"1", "1.01"},
	    {"1", "0"},
	    {"12", "120"},
	    {"1.2", "12"},
	    {"101", "11"},
	    {"9007199254740993", "9007199254740992"},
	    {"18446744073709551616", "18446744073709551617"},
	    {"0.1", "0.10000000000000000001"},
	    {"1e400", "1e401"},
	    {"1e99999999999999999999", "10e99999999999999999998"},
	    {"1e-400", "0"},
	};

	for (size_t i = 0; i < N(equal); i++)
		cr_expect(same(equal[i][0], equal[i][1]), "%s, %s", equal[i][0],
		    equal[i][1]);
	for (size_t i = 0; i < N(others); i++)
		cr_expect(!same(others[i][0], others[i][1]), "%s, %s",
		    others[i][0], others[i][1]);
}
