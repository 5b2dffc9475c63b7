/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "src/base/buf.h"

#include <criterion/criterion.h>

#include "src/base/err.h"

TestSuite(buf);

Test(buf, grows_up_to_its_cap_and_then_keeps_its_error)
{
	struct buf b;

	buf_init(&b, 1000);
	cr_assert_not_null(buf_reserve(&b, 0)); /* NULL says that it failed */
	for (int i = 0; i < 100; i++)
		buf_add(&b, "0123456789", 10);
	cr_assert_eq(buf_error(&b), 0);
	buf_add_byte(&b, 'x');
	cr_assert_eq(buf_error(&b), -ERR_LIMIT);
	cr_assert_eq(b.n, 1000);
	buf_reset(&b);
	buf_printf(&b, "%0600d", 7);
	cr_assert_eq(b.n, 600);
	cr_assert_eq(buf_error(&b), 0);
	buf_deinit(&b);
}

Test(buf, escapes_json_strings)
{
	struct buf b;

	buf_init(&b, 1000);
	buf_add_json_string(&b, SLICE_LIT("a\"\\\n\x01\x7f/\xc3\xa4"));
	cr_assert(slice_equal(buf_slice(&b),
	    SLICE_LIT("\"a\\\"\\\\\\n\\u0001\\u007f/\xc3\xa4\"")));
	buf_deinit(&b);
}

Test(buf, compares_slices_bytewise)
{
	cr_assert_lt(slice_compare(SLICE_LIT("ab"), SLICE_LIT("abc")), 0);
	cr_assert_gt(slice_compare(SLICE_LIT("b"), SLICE_LIT("abc")), 0);
	cr_assert_eq(slice_compare(SLICE_LIT(""), SLICE_LIT("")), 0);
}

Test(buf, a_block_lives_until_its_last_reference)
{
	struct block *b = block_new(10);

	cr_assert_eq(block_ref(b), b);
	cr_assert_null(block_unref(b));
	b->p[0] = 1;
	block_unref(b);
	cr_assert_null(block_unref(NULL));
}
