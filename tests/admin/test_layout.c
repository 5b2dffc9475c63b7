/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include <criterion/criterion.h>

#include "admin/layout.h"
#include "tests/ring/grow.h"

TestSuite(layout);

/* What FN, given ARGS behind a buffer, adds. */
#define ADDED(fn, ...)                                                         \
	({                                                                     \
		static char added[512];                                        \
		struct buf b;                                                  \
                                                                               \
		buf_init(&b, sizeof(added) - 1);                               \
		fn(&b, __VA_ARGS__);                                           \
		cr_assert_eq(buf_error(&b), 0);                                \
		memcpy(added, b.p, b.n);                                       \
		added[b.n] = '\0';                                             \
		buf_deinit(&b);                                                \
		added;                                                         \
	})

Test(layout, percent_is_rounded_half_up_on_the_decimal_value)
{
	static const struct {
		uint32_t count;
		const char *text;
	} checks[] = {{48, " 75.0"}, {41, " 64.1"}, {23, " 35.9"},
	    {16, " 25.0"}, {13, " 20.3"}, {12, " 18.8"}, {6, "  9.4"},
	    {5, "  7.8"}, {4, "  6.3"}, {64, "100.0"}, {0, "  0.0"}};
	char out[LAYOUT_PERCENT_BYTES];

	for (size_t i = 0; i < sizeof(checks) / sizeof(*checks); i++)
		cr_assert_str_eq(layout_percent(checks[i].count, 64, 5, out),
		    checks[i].text);
	/* Every count of every size, against the definition in integers. */
	for (uint32_t q = 8; q <= 1024; q *= 2)
		for (uint32_t n = 0; n <= q; n++) {
			uint32_t t = layout_tenths(n, q);

			cr_assert(20 * t * q <= 20000 * n + 10 * q &&
				  20 * (t + 1) * q > 20000 * n + 10 * q);
		}
}

Test(layout, centres_with_what_is_over_to_the_right)
{
	cr_assert_str_eq(ADDED(layout_centre, "ab", 5), " ab  ");
	cr_assert_str_eq(ADDED(layout_centre, "abc", 5), " abc ");
	cr_assert_str_eq(ADDED(layout_centre, "abcde", 5), "abcde");
	cr_assert_str_eq(ADDED(layout_centre, "abcdef", 5), "abcdef");
	cr_assert_str_eq(ADDED(layout_centre, "", 3), "   ");
}

Test(layout, times_and_bytes_have_the_largest_unit_that_fits)
{
	cr_assert_str_eq(ADDED(layout_time, 0), "0.00 us");
	cr_assert_str_eq(ADDED(layout_time, 999), "999.00 us");
	cr_assert_str_eq(ADDED(layout_time, 16970), "16.97 ms");
	cr_assert_str_eq(ADDED(layout_time, 2018970), "2.02 s");
	cr_assert_str_eq(ADDED(layout_time, 90000000), "1.50 min");
	cr_assert_str_eq(ADDED(layout_time, 5400000000u), "1.50 hr");
	cr_assert_str_eq(ADDED(layout_time, 129600000000u), "1.50 d");
	cr_assert_str_eq(ADDED(layout_bytes, 1023), "1023.00 B");
	cr_assert_str_eq(ADDED(layout_bytes, 1024), "1.00 KB");
	cr_assert_str_eq(ADDED(layout_bytes, 24735907), "23.59 MB");
	cr_assert_str_eq(ADDED(layout_bytes, 1ull << 40), "1024.00 GB");
	cr_assert_str_eq(
	    ADDED(layout_date, 1795453848999), "2026-11-23 17:10:48");
}

Test(layout, indices_are_160_bits_in_decimal)
{
	char out[LAYOUT_INDEX_BYTES];

	cr_assert_str_eq(layout_index(0, 64, out), "0");
	cr_assert_str_eq(layout_index(1, 64, out),
	    "22835963083295358096932575511191922182123945984");
	cr_assert_str_eq(layout_index(19, 64, out),
	    "433883298582611803841718934712646521460354973696");
	cr_assert_str_eq(layout_index(63, 64, out),
	    "1438665674247607560106752257205091097473808596992");
	cr_assert_str_eq(layout_index(1, 1024, out),
	    "1427247692705959881058285969449495136382746624");
	cr_assert_str_eq(layout_index(1023, 1024, out),
	    "1460074389638196958322626546746833524519549796352");
}

/* --- lists ---------------------------------------------------------------- */

static const char *
list_behind(size_t columns, unsigned n_nodes, unsigned n_marked)
{
	static char text[4096];
	struct ring *r = grow_cluster(64, 3, n_nodes);
	uint8_t marked[RING_MEMBERS_MAX] = {0};
	struct buf b;

	for (unsigned i = 1; i <= n_marked; i++)
		marked[ring_named(r, grow_name(i))] = 1;
	buf_init(&b, sizeof(text) - 1);
	buf_add_str(&b, "another line\n");
	layout_fill(&b, '.', columns);
	layout_members(&b, r, marked, 1);
	memcpy(text, b.p + 13, b.n - 13);
	text[b.n - 13] = '\0';
	buf_deinit(&b);
	ring_unref(r);
	return text + columns;
}

Test(layout, lists_are_filled_to_80_columns)
{
	cr_assert_str_eq(list_behind(0, 4, 0), "[]");
	cr_assert_str_eq(list_behind(70, 4, 1), "['iorio1@127.0.0.1']");
	cr_assert_str_eq(list_behind(33, 4, 4),
	    "['iorio1@127.0.0.1','iorio2@127.0.0.1',\n"
	    "                                  "
	    "'iorio3@127.0.0.1','iorio4@127.0.0.1']");
	/* Two of 18 with their commas behind the bracket: 41 + 39 is 80. */
	cr_assert_str_eq(strchr(list_behind(41, 4, 2), '\n') ? "2" : "1", "1");
	cr_assert_str_eq(strchr(list_behind(42, 4, 2), '\n') ? "2" : "1", "2");
}

Test(layout, names_come_in_the_order_of_their_bytes)
{
	cr_assert_str_eq(list_behind(0, 11, 11),
	    "['iorio10@127.0.0.1','iorio11@127.0.0.1','iorio1@127.0.0.1',"
	    "'iorio2@127.0.0.1',\n"
	    " 'iorio3@127.0.0.1','iorio4@127.0.0.1','iorio5@127.0.0.1',"
	    "'iorio6@127.0.0.1',\n"
	    " 'iorio7@127.0.0.1','iorio8@127.0.0.1','iorio9@127.0.0.1']");
}

/* --- JSON ----------------------------------------------------------------- */

Test(layout, messages_lose_their_last_newline_only)
{
	cr_assert_str_eq(ADDED(layout_json_message, 1, SLICE_LIT("a\nb\n")),
	    "{\"ok\":true,\"message\":\"a\\nb\"}\n");
	cr_assert_str_eq(
	    ADDED(layout_json_message, 0, SLICE_LIT("Success: \"x\" y")),
	    "{\"ok\":false,\"message\":\"Success: \\\"x\\\" y\"}\n");
	cr_assert_str_eq(ADDED(layout_json_message, 1, SLICE_LIT("")),
	    "{\"ok\":true,\"message\":\"\"}\n");
}
