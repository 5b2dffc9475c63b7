/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "src/base/name.h"

#include <criterion/criterion.h>

TestSuite(name);

#define ROW(text, cond)                                                        \
	{                                                                      \
		sizeof(text) - 1, text, cond                                   \
	}

Test(name, follows_the_rule_of_the_api)
{
	static const struct {
		size_t n;
		const char *text;
		int cond;
	} rows[] = {
	    ROW("a", NAME_OK),
	    ROW(".", NAME_OK),
	    ROW("..", NAME_OK),
	    ROW("a/b c", NAME_OK),
	    ROW("**", NAME_OK),
	    ROW("x-$patch", NAME_OK),
	    ROW("$$iorio.permissions$$", NAME_OK),
	    ROW("z\xc3\xbcrich \xf0\x9f\x98\x80", NAME_OK),
	    ROW("\xc2\xa0", NAME_OK),
	    ROW("", NAME_E_EMPTY),
	    ROW("\xc3", NAME_E_UTF8),
	    ROW("a\xed\xa0\x80", NAME_E_UTF8),
	    ROW("a\0b", NAME_E_CONTROL),
	    ROW("a\n", NAME_E_CONTROL),
	    ROW("\x1f", NAME_E_CONTROL),
	    ROW("\x7f", NAME_E_CONTROL),
	    ROW("\xc2\x80", NAME_E_CONTROL),
	    ROW("x\xc2\x9f", NAME_E_CONTROL),
	    ROW("a:b", NAME_E_COLON),
	    ROW("*", NAME_E_RESERVED),
	    ROW("-$patch", NAME_E_RESERVED),
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		cr_assert_eq(name_check(SLICE(rows[i].text, rows[i].n)),
		    rows[i].cond, "row %zu", i);
}

Test(name, is_counted_in_bytes)
{
	uint8_t p[NAME_MAX_BYTES + 1];

	memset(p, 'x', sizeof(p));
	cr_assert_eq(name_check(SLICE(p, NAME_MAX_BYTES)), NAME_OK);
	cr_assert_eq(name_check(SLICE(p, NAME_MAX_BYTES + 1)), NAME_E_LONG);
}

Test(name, every_condition_has_a_text)
{
	for (int i = -1; i <= NAME_COND_COUNT; i++)
		cr_assert_gt(strlen(name_text(i)), 0);
	cr_assert_str_eq(name_text(NAME_E_COLON), "a name has no ':'");
}
