/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "src/os/pieces.h"

#include <criterion/criterion.h>

#include "src/base/err.h"

TestSuite(pieces);

#define MAX 1000

static struct pieces_budget budget;
static struct pieces pieces;
static struct block *whole;

static int
add(uint64_t number, uint32_t total, uint32_t at, const char *bytes)
{
	uint8_t p[PIECE_HEAD_BYTES + 64];
	struct piece_head h = {number, total, at};
	size_t n = strlen(bytes);

	budget.max = 1500;
	piece_put_head(p, &h);
	memcpy(p + PIECE_HEAD_BYTES, bytes, n);
	return pieces_add(&pieces, &budget, MAX, SLICE(p, PIECE_HEAD_BYTES + n),
	    (struct mono){7}, &whole);
}

static void
is_whole(int r, const char *text)
{
	cr_assert_eq(r, 0);
	cr_assert(slice_equal(SLICE(whole->p, whole->n), SLICE_STR(text)));
	whole = block_unref(whole);
	cr_assert_eq(budget.bytes, 0);
	cr_assert_null(pieces.block);
}

Test(pieces, a_frame_is_whole_with_its_last_piece)
{
	cr_assert_eq(add(1, 9, 0, "abc"), PIECES_E_MORE);
	cr_assert_eq(budget.bytes, 9);
	cr_assert_eq(pieces.since.us, 7);
	cr_assert_eq(add(1, 9, 3, "defg"), PIECES_E_MORE);
	is_whole(add(1, 9, 7, "hi"), "abcdefghi");
	is_whole(add(2, 3, 0, "one"), "one");
}

Test(pieces, a_frame_with_a_hole_is_dropped_and_the_next_is_not)
{
	cr_assert_eq(add(1, 9, 0, "abc"), PIECES_E_MORE);
	cr_assert_eq(add(1, 9, 4, "efghi"), PIECES_E_MORE);
	cr_assert_eq(budget.bytes, 0);
	cr_assert_eq(add(1, 9, 3, "defghi"), PIECES_E_MORE);
	cr_assert_eq(add(2, 6, 3, "xyz"), PIECES_E_MORE);
	cr_assert_eq(add(3, 6, 0, "abc"), PIECES_E_MORE);
	is_whole(add(3, 6, 3, "def"), "abcdef");
}

Test(pieces, pieces_of_two_frames_are_never_mixed)
{
	cr_assert_eq(add(1, 6, 0, "abc"), PIECES_E_MORE);
	cr_assert_eq(add(2, 6, 3, "xyz"), PIECES_E_MORE);
	cr_assert_null(pieces.block);
	cr_assert_eq(add(1, 6, 0, "abc"), PIECES_E_MORE);
	cr_assert_eq(add(1, 7, 3, "xyz"), PIECES_E_MORE);
	cr_assert_null(pieces.block);
	cr_assert_eq(add(1, 6, 0, "abc"), PIECES_E_MORE);
	cr_assert_eq(add(2, 6, 0, "uvw"), PIECES_E_MORE);
	is_whole(add(2, 6, 3, "xyz"), "uvwxyz");
}

Test(pieces, what_no_frame_can_have_is_refused)
{
	cr_assert_eq(add(1, 6, 0, "abc"), PIECES_E_MORE);
	cr_expect_eq(add(1, 6, 3, ""), -ERR_CORRUPT, "no bytes");
	cr_expect_eq(add(1, 6, 3, "defg"), -ERR_CORRUPT, "too many");
	cr_expect_eq(add(1, 6, 7, "d"), -ERR_CORRUPT, "behind the end");
	cr_expect_eq(add(1, 6, UINT32_MAX, "d"), -ERR_CORRUPT);
	cr_expect_eq(add(1, MAX + 1, 0, "abc"), -ERR_CORRUPT, "too long");
	cr_expect_eq(add(1, UINT32_MAX, UINT32_MAX - 1, "a"), -ERR_CORRUPT);
	cr_expect_eq(add(1, 0, 0, "a"), -ERR_CORRUPT);
	is_whole(add(1, 6, 3, "def"), "abcdef");
}

Test(pieces, all_frames_under_way_share_a_budget)
{
	struct pieces other = {0};

	cr_assert_eq(add(1, MAX, 0, "abc"), PIECES_E_MORE);
	other = pieces;
	pieces = (struct pieces){0};
	cr_assert_eq(add(1, MAX, 0, "abc"), PIECES_E_MORE);
	cr_assert_null(pieces.block, "no room for both");
	cr_assert_eq(budget.bytes, MAX);
	pieces_drop(&other, &budget);
	cr_assert_eq(budget.bytes, 0);
	cr_assert_eq(add(1, MAX, 0, "abc"), PIECES_E_MORE);
	cr_assert_not_null(pieces.block);
	pieces_drop(&pieces, &budget);
	pieces_drop(&pieces, &budget);
	cr_assert_eq(budget.bytes, 0);
}
