/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* What counts for a stream, and tables as bytes. */
#include <criterion/criterion.h>

#include "ring/hash.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/golden/golden.h"
#include "tests/lib/chance.h"
#include "vnode/policy.h"

TestSuite(policy, .timeout = 60);

#define DAY_MS 86400000ull

static const struct slice none = {NULL, 0};

#define ROW(b, s, events, bytes, age)                                          \
	{                                                                      \
		.bucket = {(const uint8_t *)(b), sizeof(b) - 1},               \
		.stream = {(const uint8_t *)(s), sizeof(s) - 1},               \
		.policy = {{events, bytes, age}},                              \
	}

static struct policies *
table(struct policy defaults, const struct policy_row *rows, uint32_t n)
{
	struct policies *t = NULL;

	cr_assert_eq(policies_new(&t, 7, &defaults, rows, n), 0);
	return t;
}

static struct policies *
sample(void)
{
	static const struct policy_row rows[] = {
	    ROW("logs", "web", 100, 0, 0),
	    ROW("logs", "", 0, 4096, 1000),
	    ROW("a", "log", 1, 2, 3),
	    ROW("logs", "we", 0, 0, 5),
	};

	return table((struct policy){{10, 0, 2000}}, rows, 4);
}

static void
expect(const struct policies *t, const char *bucket, const char *stream,
    struct policy want, const enum policy_source from[POLICY_N_LIMITS])
{
	enum policy_source source[POLICY_N_LIMITS];
	struct policy got =
	    policy_effective(t, SLICE_STR(bucket), SLICE_STR(stream), source);

	for (int i = 0; i < POLICY_N_LIMITS; i++) {
		cr_assert_eq(got.max[i], want.max[i], "%s/%s: %s", bucket,
		    stream, policy_words[i]);
		cr_assert_eq(source[i], from[i], "%s/%s: %s", bucket, stream,
		    policy_words[i]);
	}
}

#define EXPECT(t, b, s, e, y, a, f, g, h)                                      \
	expect(t, b, s, (struct policy){{e, y, a}},                            \
	    (const enum policy_source[]){f, g, h})

Test(policy, each_limit_is_of_the_nearest_that_has_it)
{
	enum policy_source d = POLICY_OF_DEFAULT, b = POLICY_OF_BUCKET,
			   s = POLICY_OF_STREAM, u = POLICY_UNSET;
	struct policies *t = sample();

	EXPECT(t, "logs", "web", 100, 4096, 1000, s, b, b);
	EXPECT(t, "logs", "we", 10, 4096, 5, d, b, s);
	EXPECT(t, "logs", "w", 10, 4096, 1000, d, b, b);
	EXPECT(t, "logs", "", 10, 4096, 1000, d, b, b);
	EXPECT(t, "a", "log", 1, 2, 3, s, s, s);
	EXPECT(t, "a", "logs", 10, 0, 2000, d, u, d);
	EXPECT(t, "al", "og", 10, 0, 2000, d, u, d);
	policies_unref(t);
}

Test(policy, what_nodes_tell_of_themselves_stays_a_week)
{
	static const struct policy_row rows[] = {
	    ROW("$sys", "metrics", 0, 0, 9), ROW("$sys", "", 5, 0, 0)};
	struct policies *t = table((struct policy){{0}}, NULL, 0);

	EXPECT(t, "$sys", "metrics", 0, 0, 7 * DAY_MS, POLICY_UNSET,
	    POLICY_UNSET, POLICY_OF_DEFAULT);
	EXPECT(t, "other", "metrics", 0, 0, 0, POLICY_UNSET, POLICY_UNSET,
	    POLICY_UNSET);
	policies_unref(t);
	t = table((struct policy){{0, 0, 30 * DAY_MS}}, rows, 2);
	EXPECT(t, "$sys", "other", 5, 0, 7 * DAY_MS, POLICY_OF_BUCKET,
	    POLICY_UNSET, POLICY_OF_DEFAULT);
	EXPECT(t, "$sys", "metrics", 5, 0, 9, POLICY_OF_BUCKET, POLICY_UNSET,
	    POLICY_OF_STREAM);
	policies_unref(t);
}

Test(policy, what_was_set_is_found_and_nothing_else)
{
	struct policies *t = sample();
	struct policy p = policies_find(t, SLICE_LIT("logs"), none);

	cr_assert_eq(policies_n(t), 4);
	cr_assert_eq(policies_version(t), 7);
	cr_assert(slice_equal(policies_at(t, 0).bucket, SLICE_LIT("a")));
	cr_assert(slice_equal(policies_at(t, 2).stream, SLICE_LIT("we")));
	cr_assert_eq(p.max[POLICY_BYTES], 4096);
	cr_assert_eq(p.max[POLICY_EVENTS], 0);
	p = policies_find(t, SLICE_LIT("logs"), SLICE_LIT("x"));
	cr_assert(policy_is_empty(&p));
	p = policies_find(t, SLICE_LIT("a"), none);
	cr_assert(policy_is_empty(&p));
	policies_unref(t);
}

Test(policy, a_table_of_nonsense_is_refused)
{
	static const struct policy_row twice[] = {ROW("a", "b", 1, 0, 0),
	    ROW("c", "", 1, 0, 0), ROW("a", "b", 2, 0, 0)};
	static const struct policy_row bad[] = {ROW("a", "b", 0, 0, 0),
	    ROW("", "b", 1, 0, 0), ROW("*", "", 1, 0, 0),
	    ROW("a", "x:y", 1, 0, 0),
	    ROW("a", "b", POLICY_LIMIT_MAX + 1, 0, 0)};
	struct policy nothing = {{0}}, much = {{0, POLICY_LIMIT_MAX + 1, 0}};
	struct policies *t = NULL;

	cr_assert_eq(policies_new(&t, 1, &nothing, twice, 3), -ERR_CORRUPT);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		cr_assert_eq(policies_new(&t, 1, &nothing, &bad[i], 1),
		    -ERR_CORRUPT, "row %zu", i);
	cr_assert_eq(policies_new(&t, 1, &much, NULL, 0), -ERR_CORRUPT);
	cr_assert_null(t);
}

Test(policy, tables_are_equal_whatever_their_version)
{
	static const struct policy_row row[] = {ROW("a", "b", 1, 0, 0)};
	static const struct policy_row more[] = {ROW("a", "b", 2, 0, 0)};
	struct policy nothing = {{0}}, some = {{1}};
	struct policies *t[4];

	cr_assert_eq(policies_new(&t[0], 1, &nothing, row, 1), 0);
	cr_assert_eq(policies_new(&t[1], 2, &nothing, row, 1), 0);
	cr_assert_eq(policies_new(&t[2], 1, &nothing, more, 1), 0);
	cr_assert_eq(policies_new(&t[3], 1, &some, row, 1), 0);
	for (int i = 0; i < 4; i++)
		cr_assert_eq(policies_equal(t[0], t[i]), i < 2, "table %d", i);
	for (int i = 0; i < 4; i++)
		policies_unref(t[i]);
}

Test(policy, a_group_gets_all_of_buckets_and_its_own_streams)
{
	struct policies *t = sample(), *part = NULL;
	struct ring_hash *h = ring_hash_new();
	uint32_t streams = 0;

	for (uint32_t g = 0; g < 64; g++) {
		cr_assert_eq(policies_of_group(&part, t, g, 64), 0);
		cr_assert_eq(policies_version(part), 7);
		for (uint32_t i = 0; i < policies_n(part); i++) {
			struct policy_row row = policies_at(part, i);

			streams += row.stream.n > 0;
			cr_assert(
			    row.stream.n == 0 || ring_hash_group(h, row.bucket,
						     row.stream, 64) == g);
		}
		EXPECT(part, "logs", "", 10, 4096, 1000, POLICY_OF_DEFAULT,
		    POLICY_OF_BUCKET, POLICY_OF_BUCKET);
		policies_unref(part);
	}
	cr_assert_eq(streams, 3);
	ring_hash_free(h);
	policies_unref(t);
}

/* --- bytes ------------------------------------------------------------------ */

static int
reads(void *arg, struct slice bytes)
{
	const struct policies *want = arg;
	struct policies *t = NULL;
	int r = policies_decode(&t, bytes);

	if (r == 0 && (!policies_equal(t, want) ||
			  policies_version(t) != policies_version(want)))
		r = 1;
	policies_unref(t);
	return r;
}

Test(policy, its_bytes_are_these)
{
	struct policies *t = sample();
	struct buf b;

	buf_init(&b, POLICIES_BYTES_MAX);
	cr_assert_eq(policies_encode(t, &b), 0);
	golden("policies.bin", buf_slice(&b));
	golden_is_guarded(buf_slice(&b), reads, t);
	buf_add_byte(&b, 0);
	cr_assert_neq(reads(t, buf_slice(&b)), 0);
	buf_deinit(&b);
	policies_unref(t);
}

Test(policy, random_tables_come_back)
{
	struct chance c = {5};
	struct policy_row rows[40];
	char names[40][12];

	for (int round = 0; round < 200; round++) {
		uint32_t n = (uint32_t)chance_below(&c, 40);
		struct policies *t;
		struct buf b;

		for (uint32_t i = 0; i < n; i++) {
			int name = snprintf(
			    names[i], sizeof(names[i]), "%u", i * 7919 % 101);

			rows[i] = (struct policy_row){
			    .bucket = SLICE(names[i], (size_t)name),
			    .stream = SLICE(names[i],
				chance_below(&c, 2) ? (size_t)name : 0),
			    .policy = {{1 + chance_below(&c, 9),
				chance_below(&c, 9), chance_below(&c, 9)}},
			};
		}
		t = table((struct policy){{chance_below(&c, 3)}}, rows, n);
		buf_init(&b, POLICIES_BYTES_MAX);
		cr_assert_eq(policies_encode(t, &b), 0);
		cr_assert_eq(reads(t, buf_slice(&b)), 0);
		buf_deinit(&b);
		policies_unref(t);
	}
}

Test(policy, a_table_has_a_bound)
{
	uint32_t n = 4000, fits = 0;
	struct policy_row *rows = mem_alloc(n * sizeof(*rows));
	char(*names)[256] = mem_alloc(n * sizeof(*names));
	struct policies *t;
	struct buf b;

	for (uint32_t i = 0; i < n; i++) {
		snprintf(names[i], sizeof(names[i]), "%0255u", i);
		rows[i] = (struct policy_row){.bucket = SLICE(names[i], 255),
		    .stream = SLICE(names[i], 255),
		    .policy = {{1}}};
	}
	t = table((struct policy){{0}}, rows, n);
	buf_init(&b, 4 * POLICIES_BYTES_MAX);
	cr_assert_eq(policies_encode(t, &b), -ERR_LIMIT);
	policies_unref(t);
	fits = POLICIES_BYTES_MAX / 520;
	t = table((struct policy){{0}}, rows, fits);
	buf_reset(&b);
	cr_assert_eq(policies_encode(t, &b), 0);
	cr_assert_eq(reads(t, buf_slice(&b)), 0);
	policies_unref(t);
	buf_deinit(&b);
	mem_free(names);
	mem_free(rows);
}
