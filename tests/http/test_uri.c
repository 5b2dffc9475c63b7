/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include <criterion/criterion.h>

#include "http/uri.h"
#include "src/base/err.h"

TestSuite(uri);

Test(uri, segments_are_decoded_after_the_split)
{
	uint8_t store[256];
	struct uri u;

	cr_assert_eq(
	    uri_parse(&u, SLICE_LIT("/streams/a%2Fb/c+d/?x=1"), store), 0);
	cr_assert_eq(u.n_segments, 3);
	cr_assert(slice_equal(u.segments[1], SLICE_LIT("a/b")));
	cr_assert(slice_equal(u.segments[2], SLICE_LIT("c+d")));
	cr_assert_not(u.empty_segment);
	cr_assert(slice_equal(u.query, SLICE_LIT("x=1")));
}

Test(uri, empty_segments_and_bad_escapes_are_told)
{
	static const struct {
		const char *target;
		int r, empty;
	} rows[] = {{"/", 0, 0}, {"//", 0, 1}, {"/a//b", 0, 1}, {"/a/", 0, 0},
	    {"/a//", 0, 1}, {"//a", 0, 1}, {"/%", -ERR_INVAL, 0},
	    {"/%4", -ERR_INVAL, 0}, {"/%zz", -ERR_INVAL, 0},
	    {"/1/2/3/4/5/6/7/8/9", 0, 1}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint8_t store[64];
		struct uri u;
		int r = uri_parse(&u, SLICE_STR(rows[i].target), store);

		cr_assert_eq(r, rows[i].r, "%s", rows[i].target);
		if (r == 0)
			cr_assert_eq(u.empty_segment, rows[i].empty, "%s",
			    rows[i].target);
	}
}

Test(uri, the_first_segment_is_what_it_decodes_to)
{
	static const struct {
		const char *target;
		int yes;
	} rows[] = {{"/listen", 1}, {"/listen?s=a", 1}, {"/listen/", 1},
	    {"/listen/x", 1}, {"/%6cisten", 1}, {"/%6Ciste%6e/?x", 1},
	    {"/listenx", 0}, {"/liste", 0}, {"/x/listen", 0}, {"//listen", 0},
	    {"/", 0}, {"*", 0}, {"/?/listen", 0}, {"/listen%00", 0},
	    {"/listen%2f", 0}, {"/%zzlisten", 0}, {"/liste%6", 0}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		cr_assert_eq(
		    uri_begins_with(SLICE_STR(rows[i].target), "listen"),
		    rows[i].yes, "%s", rows[i].target);
}

Test(uri, parameters)
{
	uint8_t store[256], out[256];
	struct uri u;
	struct slice v;

	uri_parse(&u, SLICE_LIT("/?a=1&b=%41+&&c&a=2"), store);
	cr_assert_eq(uri_param(&u, "a", out, &v), 0);
	cr_assert(slice_equal(v, SLICE_LIT("1")));
	cr_assert_eq(uri_param(&u, "b", out, &v), 0);
	cr_assert(slice_equal(v, SLICE_LIT("A+")));
	cr_assert_eq(uri_param(&u, "c", out, &v), 0);
	cr_assert_eq(v.n, 0);
	cr_assert_eq(uri_param(&u, "d", out, &v), 1);
	uri_parse(&u, SLICE_LIT("/?x=%g1&a=1"), store);
	cr_assert_eq(uri_param(&u, "a", out, &v), -ERR_INVAL);
}

Test(uri, escaping_round_trips)
{
	struct buf b;
	uint8_t store[64];
	struct uri u;

	buf_init(&b, 256);
	buf_add_byte(&b, '/');
	uri_escape(&b, SLICE_LIT("a/b c\xc3\xa4%~"));
	cr_assert(
	    slice_equal(buf_slice(&b), SLICE_LIT("/a%2Fb%20c%C3%A4%25~")));
	cr_assert_eq(uri_parse(&u, buf_slice(&b), store), 0);
	cr_assert(slice_equal(u.segments[0], SLICE_LIT("a/b c\xc3\xa4%~")));
	buf_deinit(&b);
}
