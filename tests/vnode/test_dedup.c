/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Which idempotency keys count, and for how long. */
#include <criterion/criterion.h>

#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "vnode/dedup.h"
#include "vnode/manifest.h"
#include "vnode/stream.h"

TestSuite(dedup, .timeout = 60);

#define WINDOW 1000

/* Key N, of one event whose body is BODY. */
static struct event_key
id_of(uint32_t n, uint8_t body)
{
	struct event_key id = {.body = {body}, .n_events = 1};

	le_put32(id.key, n);
	return id;
}

static void
add(struct dedup *d, struct stream *s, uint32_t n, uint64_t t)
{
	struct event_key id = id_of(n, (uint8_t)n);

	cr_assert_eq(dedup_add(d, s, n, t, &id), 0);
}

static const struct dedup_key *
find(const struct dedup *d, const struct stream *s, uint32_t n, uint64_t t)
{
	struct event_key id = id_of(n, 0);

	return dedup_find(d, s, id.key, t);
}

static void
init(struct dedup *d, uint32_t keys_max)
{
	struct dedup_limits limits = {WINDOW, keys_max};

	dedup_init(d, &limits, 42);
}

Test(dedup, a_key_is_one_of_its_stream)
{
	struct stream one = {.id = 1}, two = {.id = 2};
	const struct dedup_key *k;
	struct dedup d;

	init(&d, 100);
	cr_expect_null(find(&d, &one, 7, 0));
	add(&d, &one, 7, 50);
	k = find(&d, &one, 7, 60);
	cr_assert_not_null(k);
	cr_expect(k->first == 7 && k->t_ms == 50 && k->id.body[0] == 7 &&
		  k->id.n_events == 1);
	cr_expect_null(find(&d, &two, 7, 60));
	cr_expect_null(find(&d, &one, 8, 60));
	dedup_clear(&d);
	cr_expect_null(one.keys);
}

Test(dedup, a_key_counts_for_the_window_by_the_clock_of_the_group)
{
	struct stream s = {.id = 1};
	struct dedup d;

	init(&d, 100);
	add(&d, &s, 1, 50);
	add(&d, &s, 2, 50 + WINDOW / 2);
	cr_expect_not_null(find(&d, &s, 1, 50 + WINDOW - 1));
	cr_expect_null(find(&d, &s, 1, 50 + WINDOW));
	cr_expect_not_null(find(&d, &s, 2, 50 + WINDOW));
	/* Only the log forgets: a clock that was ahead may go back. */
	cr_expect_not_null(find(&d, &s, 1, 0));
	dedup_expire(&d, 50 + WINDOW - 1);
	cr_expect_eq(d.applied.n, 2);
	dedup_expire(&d, 50 + WINDOW);
	cr_expect_eq(d.applied.n, 1);
	cr_expect_null(find(&d, &s, 1, 0));
	/* One that is appended tells the time as well. */
	add(&d, &s, 3, 50 + 2 * WINDOW);
	cr_expect_eq(d.applied.n, 1);
	dedup_expire(&d, UINT64_MAX);
	cr_expect_eq(d.applied.n, 0);
	cr_expect_null(s.keys);
	dedup_clear(&d);
}

Test(dedup, the_newest_of_a_stream_and_of_the_group_are_kept)
{
	struct stream s = {.id = 1}, other = {.id = 2};
	struct dedup d;

	init(&d, DEDUP_STREAM_MAX + 10);
	add(&d, &other, 1, 1);
	for (uint32_t i = 1; i <= DEDUP_STREAM_MAX + 5; i++)
		add(&d, &s, i, 2);
	cr_expect_eq(d.applied.n, DEDUP_STREAM_MAX + 1);
	cr_expect_null(find(&d, &s, 5, 2));
	cr_expect_not_null(find(&d, &s, 6, 2));
	cr_expect_not_null(find(&d, &other, 1, 2));
	for (uint32_t i = 2; i <= 12; i++)
		add(&d, &other, i, 3);
	cr_expect_eq(d.applied.n, DEDUP_STREAM_MAX + 10);
	cr_expect_null(find(&d, &other, 1, 3)); /* the oldest of all */
	cr_expect_null(find(&d, &s, 6, 3));
	cr_expect_not_null(find(&d, &s, 7, 3));
	dedup_drop_stream(&d, &s);
	cr_expect_eq(d.applied.n, 11);
	cr_expect_null(s.keys);
	cr_expect_not_null(find(&d, &other, 12, 3));
	dedup_clear(&d);
}

/* What comes again though it is known: from where the window is shorter. */
Test(dedup, a_key_that_is_used_again_is_the_newest_use)
{
	struct stream s = {.id = 1};
	struct dedup d;

	init(&d, 3);
	for (uint32_t i = 1; i <= 3; i++)
		add(&d, &s, i, i);
	for (uint32_t i = 2; i <= 3; i++) { /* in the middle, the newest */
		struct event_key id = id_of(i, 99);

		cr_assert_eq(dedup_add(&d, &s, 10 + i, 10 + i, &id), 0);
		cr_expect_eq(d.applied.n, 3);
		cr_expect_eq(find(&d, &s, i, 20)->first, 10 + i);
	}
	add(&d, &s, 4, 20);
	cr_expect_null(find(&d, &s, 1, 20));
	cr_expect_not_null(find(&d, &s, 2, 20));
	dedup_clear(&d);
	cr_expect_null(s.keys);
}

static struct dedup_key *
propose(struct dedup *d, struct stream *s, uint32_t n, uint64_t t)
{
	struct dedup_key *k = dedup_new(d);

	cr_assert_not_null(k);
	k->stream = s;
	k->first = n;
	k->t_ms = t;
	k->id = id_of(n, 1);
	dedup_propose(d, k);
	return k;
}

Test(dedup, what_is_proposed_counts_until_its_outcome_is_known)
{
	struct stream s = {.id = 1};
	struct dedup_key *a, *b;
	struct dedup d;

	init(&d, 100);
	a = propose(&d, &s, 1, 5);
	b = propose(&d, &s, 2, 5);
	cr_expect_eq(find(&d, &s, 1, 5), a);
	cr_expect_eq(find(&d, &s, 1, 5 + 10 * WINDOW), a);
	dedup_expire(&d, 5 + 10 * WINDOW); /* the log does not have it yet */
	cr_expect_eq(find(&d, &s, 1, 5), a);
	dedup_forget(&d, b);
	cr_expect_null(find(&d, &s, 2, 5));
	cr_assert_eq(dedup_take(&d, a), 0);
	cr_expect_eq(d.proposed.n, 0);
	cr_expect_eq(find(&d, &s, 1, 5), a);
	cr_expect_null(find(&d, &s, 1, 5 + WINDOW));
	/* It is over: the key may be proposed again, and not come to be. */
	b = propose(&d, &s, 1, 5 + WINDOW);
	cr_expect_eq(find(&d, &s, 1, 5 + WINDOW), b);
	dedup_forget(&d, b);
	cr_expect_eq(find(&d, &s, 1, 5), a);
	dedup_clear(&d);
}

/* --- the manifest --------------------------------------------------------- */

static int
count_key(void *arg, const struct manifest_key *k)
{
	uint64_t *sum = arg;

	*sum = *sum * 10 + k->first;
	return 0;
}

static int
no_commit(void *arg, const struct manifest_state *st)
{
	(void)arg;
	(void)st;
	return 0;
}

/* The seqnums of the rows that D gives to a manifest, as digits. */
static uint64_t
rows(struct dedup *d, int all)
{
	static const struct manifest_reader_ops ops = {
	    .key = count_key, .commit = no_commit};
	struct manifest_id id = {.number = 1};
	struct manifest_state st = {.checkpoint = 1};
	struct manifest_end end;
	uint64_t sum = 0;
	struct buf b;
	struct manifest_writer mw = {&b, 0};

	buf_init(&b, 1u << 20);
	manifest_add_head(&mw, &id);
	dedup_add_rows(d, &mw, all);
	manifest_add_commit(&mw, &st);
	cr_assert_eq(manifest_read(buf_slice(&b), &id, &ops, &sum, &end), 0);
	buf_deinit(&b);
	return sum;
}

Test(dedup, a_delta_has_the_new_ones_and_a_snapshot_all)
{
	struct stream s = {.id = 1}, other = {.id = 2};
	struct dedup_key *k;
	struct dedup d;

	init(&d, 5);
	cr_expect_eq(rows(&d, 0), 0);
	add(&d, &s, 1, 1);
	add(&d, &other, 2, 1);
	k = propose(&d, &s, 9, 1); /* none of it */
	cr_expect_eq(rows(&d, 0), 12);
	cr_expect_eq(rows(&d, 0), 0);
	add(&d, &s, 3, 2);
	cr_expect_eq(rows(&d, 0), 3);
	for (uint32_t i = 4; i <= 7; i++)
		add(&d, &s, i, 3);
	cr_expect_eq(rows(&d, 1), 34567);
	cr_expect_eq(rows(&d, 0), 0);
	dedup_forget(&d, k);
	dedup_clear(&d);
}
