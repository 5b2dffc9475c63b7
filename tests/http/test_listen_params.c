/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* What a listener asks for, and from where on. */
#include <criterion/criterion.h>

#include "http/listen_params.h"
#include "src/base/err.h"

Test(listen_params, what_is_wanted)
{
	static const struct {
		const char *text, *bucket, *stream;
		uint64_t next;
		int all;
	} good[] = {
	    {"b:s", "b", "s", 0, 0},
	    {"b:s:1", "b", "s", 1, 0},
	    {"b:s:0", "b", "s", 1, 0},
	    {"b:s:007", "b", "s", 7, 0},
	    {"b:s:9999999999999999999", "b", "s", 9999999999999999999u, 0},
	    {"b:*", "b", "*", 0, 1},
	    {"a/b c:.", "a/b c", ".", 0, 0},
	};
	static const char *const bad[] = {
	    "",
	    ":",
	    "b",
	    "b:",
	    ":s",
	    "b:s:",
	    "b:s:x",
	    "b:s:-1",
	    "b:s:+1",
	    "b:s:1 ",
	    "b:s:10000000000000000000", /* 20 digits */
	    "b:s:1:2",
	    "b:*:1",
	    "*:s",
	    "b:-$patch",
	    "b:\x01",
	    "\xff:s",
	};
	struct listen_wanted w;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		const char *t = good[i].text;

		cr_assert_eq(listen_take_wanted(SLICE_STR(t), &w), 0, "%s", t);
		cr_expect(slice_equal(w.bucket, SLICE_STR(good[i].bucket)));
		cr_expect(slice_equal(w.stream, SLICE_STR(good[i].stream)));
		cr_expect_eq(w.next, good[i].next, "%s", t);
		cr_expect_eq(w.all, good[i].all, "%s", t);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(listen_take_wanted(SLICE_STR(bad[i]), &w),
		    -ERR_INVAL, "%s", bad[i]);
}

Test(listen_params, last_event_ids)
{
	static const char *const bad[] = {"", "-", "-1", "1-", "1-2-3", "x",
	    "1-x", "1 ", "10000000000000000000", "1--2"};
	uint64_t incarnation, seq;

	cr_assert_eq(
	    listen_take_id(SLICE_LIT("12-345"), &incarnation, &seq), 0);
	cr_expect(incarnation == 12 && seq == 345);
	cr_assert_eq(listen_take_id(SLICE_LIT("0"), &incarnation, &seq), 0);
	cr_expect(incarnation == 0 && seq == 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_eq(
		    listen_take_id(SLICE_STR(bad[i]), &incarnation, &seq),
		    -ERR_INVAL, "%s", bad[i]);
}
