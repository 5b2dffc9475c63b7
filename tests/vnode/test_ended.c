/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* The deleted streams that a group remembers. */
#include <criterion/criterion.h>

#include "src/base/err.h"
#include "vnode/ended.h"

/* A row counts this. */
#define ROW_BYTES (ENDED_FIXED_BYTES + 6 + 6)
#define ROWS_MAX  (ENDED_BYTES_MAX / ROW_BYTES)

static int
add(struct ended *e, uint64_t index, uint32_t ordinal, int saved)
{
	return ended_add(e,
	    &(struct manifest_ended){.id = index,
		.index = index,
		.ordinal = ordinal,
		.bucket = SLICE_LIT("bucket"),
		.stream = SLICE_LIT("stream")},
	    saved);
}

static int
on_ended(void *arg, const struct manifest_ended *row)
{
	return ended_add(arg, row, 1);
}

static int
on_commit(void *arg, const struct manifest_state *st)
{
	(void)arg;
	(void)st;
	return 0;
}

/* What TO learns from the rows of E. */
static int
hand_over(struct ended *e, struct ended *to, int all)
{
	static const struct manifest_reader_ops ops = {
	    .ended = on_ended, .commit = on_commit};
	struct manifest_id id = {.number = 1};
	struct manifest_state st = {.checkpoint = 1};
	struct manifest_end end;
	struct buf b;
	struct manifest_writer mw = {&b, 0};
	int r;

	buf_init(&b, 1u << 22);
	manifest_add_head(&mw, &id);
	ended_add_rows(e, &mw, all);
	manifest_add_commit(&mw, &st);
	r = manifest_read(buf_slice(&b), &id, &ops, to, &end);
	buf_deinit(&b);
	return r;
}

static void
expect_equal(const struct ended *a, const struct ended *b)
{
	struct ended_stream *x = ended_after(a, 0, 0);
	struct ended_stream *y = ended_after(b, 0, 0);

	cr_expect_eq(a->n, b->n);
	cr_expect_eq(a->bytes, b->bytes);
	cr_expect_eq(a->forgot_index, b->forgot_index);
	cr_expect_eq(a->forgot_ordinal, b->forgot_ordinal);
	for (; x && y; x = ended_next(a, x), y = ended_next(b, y)) {
		cr_assert_eq(x->row.index, y->row.index);
		cr_assert_eq(x->row.ordinal, y->row.ordinal);
		cr_assert(slice_equal(x->row.stream, y->row.stream));
	}
	cr_expect(!x && !y);
}

Test(ended, those_behind_a_position_come_in_order)
{
	struct ended e;
	struct ended_stream *s;

	ended_init(&e);
	cr_assert_null(ended_after(&e, 0, 0));
	cr_assert_eq(add(&e, 5, 0, 0), 0);
	cr_assert_eq(add(&e, 5, 3, 0), 0);
	cr_assert_eq(add(&e, 8, 0, 0), 0);
	cr_assert_eq(add(&e, 8, 0, 0), -ERR_CORRUPT);
	cr_assert_eq(add(&e, 7, 9, 0), -ERR_CORRUPT);
	s = ended_after(&e, 4, UINT32_MAX);
	cr_assert(s && s->row.index == 5 && s->row.ordinal == 0);
	s = ended_next(&e, s);
	cr_assert(s && s->row.index == 5 && s->row.ordinal == 3);
	s = ended_after(&e, 5, 0);
	cr_assert(s && s->row.index == 5 && s->row.ordinal == 3);
	s = ended_after(&e, 5, 3);
	cr_assert(s && s->row.index == 8);
	cr_assert_null(ended_next(&e, s));
	cr_assert_null(ended_after(&e, 8, 0));
	cr_assert_not(ended_forgot_after(&e, 0, 0));
	ended_clear(&e);
}

Test(ended, the_oldest_are_forgotten_and_that_is_known)
{
	struct ended e;

	ended_init(&e);
	for (uint64_t i = 1; i <= ROWS_MAX + 7; i++)
		cr_assert_eq(add(&e, i, 2, 0), 0);
	cr_expect_eq(e.n, ROWS_MAX);
	cr_expect(e.bytes <= ENDED_BYTES_MAX);
	cr_expect_eq(ended_after(&e, 0, 0)->row.index, 8);
	cr_expect(ended_forgot_after(&e, 7, 1));
	cr_expect_not(ended_forgot_after(&e, 7, 2));
	cr_expect_not(ended_forgot_after(&e, 9, 0));
	ended_clear(&e);
}

Test(ended, a_manifest_hands_on_what_is_known_and_what_is_not)
{
	struct ended e, all, deltas;

	ended_init(&e);
	ended_init(&all);
	ended_init(&deltas);
	for (uint64_t i = 1; i <= 10; i++)
		cr_assert_eq(add(&e, i, 0, 0), 0);
	cr_assert_eq(hand_over(&e, &deltas, 0), 0);
	expect_equal(&e, &deltas);
	cr_assert_eq(hand_over(&e, &deltas, 0), 0); /* nothing new */
	expect_equal(&e, &deltas);
	for (uint64_t i = 11; i <= 20; i++)
		cr_assert_eq(add(&e, i, 0, 0), 0);
	cr_assert_eq(hand_over(&e, &deltas, 0), 0);
	expect_equal(&e, &deltas);
	/* More than it holds between two checkpoints. */
	for (uint64_t i = 21; i <= 3 * ROWS_MAX; i++)
		cr_assert_eq(add(&e, i, 0, 0), 0);
	cr_assert_eq(hand_over(&e, &deltas, 0), 0);
	expect_equal(&e, &deltas);
	cr_assert_eq(hand_over(&e, &all, 1), 0);
	expect_equal(&e, &all);
	ended_clear(&e);
	ended_clear(&all);
	ended_clear(&deltas);
}
