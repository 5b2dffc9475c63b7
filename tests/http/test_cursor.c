/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Where a listener stands, as a text. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "http/cursor.h"
#include "src/base/err.h"

TestSuite(cursor, .timeout = 60);

static const uint8_t cluster[16] = "0123456789abcde";
static const uint8_t other[16] = "another cluster";

static struct cursor_stream streams[] = {
    {.incarnation = 1, .next = 1},
    {.incarnation = 1ull << 40, .next = UINT64_MAX},
};

static struct cursor_group groups[] = {
    {.group = 0, .index = 5, .ordinal = UINT32_MAX, .t_ms = 1700000000000},
    {.group = 63, .index = UINT64_MAX, .ordinal = 0},
    {.group = 1, .index = 0, .ordinal = 7, .t_ms = 1},
};

static struct cursor
example(void)
{
	streams[0].names = cursor_names(SLICE_LIT("b"), SLICE_LIT("s"));
	streams[1].names = cursor_names(SLICE_LIT("bs"), SLICE_LIT("t"));
	groups[0].names = groups[1].names =
	    cursor_names(SLICE_LIT("b"), SLICE(NULL, 0));
	groups[2].names = cursor_names(SLICE_LIT("c"), SLICE(NULL, 0));
	return (struct cursor){.n_streams = 2,
	    .n_groups = 3,
	    .streams = streams,
	    .groups = groups};
}

/* A change of it is a change of format. */
static const char golden[] =
    "ATAxMjM0NTY3ODlhYmNkZQAC9VVnozjXGlEBAVoM8Uj3W2ZygICAgIAg____________AQLU"
    "64D_90dHlAIABQCA0JX_vDE_____________AQEAePN26Rgqt8wBAQAIAVqObqs";

Test(cursor, is_what_it_was)
{
	struct cursor c = example(), got;
	struct buf text;

	buf_init(&text, CURSOR_TEXT_MAX);
	cursor_encode(&text, cluster, &c);
	cr_assert_eq(buf_error(&text), 0);
	cr_expect(slice_equal(buf_slice(&text), SLICE_LIT(golden)), "%.*s",
	    (int)text.n, (const char *)text.p);
	cr_assert_eq(cursor_decode(&got, cluster, buf_slice(&text)), 0);
	cr_assert_eq(got.n_streams, 2);
	cr_assert_eq(got.n_groups, 3);
	cr_expect_eq(memcmp(got.streams, streams, sizeof(streams)), 0);
	for (int i = 0; i < 3; i++) {
		cr_expect_eq(got.groups[i].names, groups[i].names);
		cr_expect_eq(got.groups[i].group, groups[i].group);
		cr_expect_eq(got.groups[i].index, groups[i].index);
		cr_expect_eq(got.groups[i].ordinal, groups[i].ordinal);
		cr_expect_eq(got.groups[i].t_ms, groups[i].t_ms);
	}
	cr_expect_eq(cursor_find(&got, SLICE_LIT("bs"), SLICE_LIT("t"))->next,
	    UINT64_MAX);
	cr_expect_null(cursor_find(&got, SLICE_LIT("b"), SLICE_LIT("st")));
	cr_expect_eq(cursor_find_group(&got, SLICE_LIT("c"), 1)->ordinal, 7);
	cr_expect_null(cursor_find_group(&got, SLICE_LIT("c"), 0));
	cursor_deinit(&got);
	buf_deinit(&text);
}

Test(cursor, of_nothing_is_one_too)
{
	struct cursor c = {0}, got;
	struct buf text;

	buf_init(&text, CURSOR_TEXT_MAX);
	cursor_encode(&text, cluster, &c);
	cr_assert_eq(cursor_decode(&got, cluster, buf_slice(&text)), 0);
	cr_expect_eq(got.n_streams + got.n_groups, 0);
	cursor_deinit(&got);
	buf_deinit(&text);
}

/* As long as an entry of either kind may be. */
static void
check_fits(uint32_t n_streams, uint32_t n_buckets, uint32_t n_groups)
{
	uint32_t n = n_buckets * n_groups;
	struct cursor c = {
	    .n_streams = n_streams,
	    .n_groups = n,
	    .streams = calloc(n_streams + 1, sizeof(*c.streams)),
	    .groups = calloc(n + 1, sizeof(*c.groups)),
	};
	struct cursor got;
	struct buf text;

	for (uint32_t i = 0; i < n_streams; i++)
		c.streams[i] = (struct cursor_stream){
		    UINT64_MAX - i, (1ull << 42) - 1, (1ull << 42) - 1};
	for (uint32_t i = 0; i < n; i++)
		c.groups[i] = (struct cursor_group){
		    .names = i / n_groups,
		    .group = i % n_groups,
		    .ordinal = (1u << 14) - 2,
		    .index = (1ull << 42) - 1,
		    .t_ms = (1ull << 42) - 1,
		};
	buf_init(&text, CURSOR_TEXT_MAX);
	cursor_encode(&text, cluster, &c);
	cr_assert_eq(
	    buf_error(&text), 0, "%u %u %u", n_streams, n_buckets, n_groups);
	cr_assert_eq(cursor_decode(&got, cluster, buf_slice(&text)), 0);
	cursor_deinit(&got);
	buf_deinit(&text);
	free(c.streams);
	free(c.groups);
}

Test(cursor, what_is_said_to_fit_does)
{
	uint32_t n = 0;

	cr_assert(cursor_fits(1000, 1, 1024));
	while (cursor_fits(n + 1, 0, 64))
		n++;
	check_fits(n, 0, 64);
	for (uint32_t q = 64; q <= 1024; q *= 4) {
		for (n = 0; cursor_fits(0, n + 1, q); n++)
			;
		check_fits(0, n, q);
	}
	check_fits(1000, 1, 1024);
}

Test(cursor, of_another_cluster_or_changed_anywhere_is_none)
{
	struct cursor c = example(), got;
	struct buf text;

	buf_init(&text, CURSOR_TEXT_MAX);
	cursor_encode(&text, cluster, &c);
	cr_expect_eq(cursor_decode(&got, other, buf_slice(&text)), -ERR_INVAL);
	for (size_t i = 0; i < text.n; i++) {
		uint8_t was = text.p[i];

		cr_expect_eq(
		    cursor_decode(&got, cluster, SLICE(text.p, i)), -ERR_INVAL);
		for (int k = 0; k < 256; k++) {
			text.p[i] = (uint8_t)k;
			if (k != was)
				cr_expect_eq(cursor_decode(&got, cluster,
						 buf_slice(&text)),
				    -ERR_INVAL);
		}
		text.p[i] = was;
	}
	buf_deinit(&text);
}
