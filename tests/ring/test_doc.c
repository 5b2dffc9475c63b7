/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include <criterion/criterion.h>

#include "ring/doc.h"
#include "src/base/err.h"
#include "tests/golden/golden.h"
#include "tests/lib/chance.h"

TestSuite(doc);

#define KEYS 40

static int
same(const struct doc *a, const struct doc *b)
{
	if (doc_n(a) != doc_n(b) || doc_seq(a) != doc_seq(b))
		return 0;
	for (uint32_t i = 0; i < doc_n(a); i++)
		if (!slice_equal(doc_at(a, i).key, doc_at(b, i).key) ||
		    !slice_equal(doc_at(a, i).value, doc_at(b, i).value))
			return 0;
	return 1;
}

static struct doc *
change_of(const char *put, const char *value, const char *removed)
{
	struct doc *c = doc_new();

	if (put)
		cr_assert_eq(doc_put(c, SLICE_STR(put), SLICE_STR(value)), 0);
	if (removed)
		cr_assert_eq(doc_remove(c, SLICE_STR(removed)), 0);
	return c;
}

/* D goes on with CHANGE, by way of its event, which OUT keeps. */
static void
step(struct doc *d, struct doc *change, struct buf *out)
{
	buf_reset(out);
	cr_assert_eq(doc_encode(d, change, out), 0);
	cr_assert_eq(doc_apply(d, doc_seq(d) + 1, buf_slice(out)), 0);
	doc_free(change);
}

Test(doc, events_are_the_same_for_good)
{
	struct doc *d = doc_new();
	struct buf out;

	buf_init(&out, DOC_EVENT_MAX);
	step(d, change_of("b", "two", NULL), &out);
	golden("doc-whole.bin", buf_slice(&out));
	step(d, change_of("a", "one", "b"), &out);
	golden("doc-change.bin", buf_slice(&out));
	cr_assert_eq(doc_n(d), 1);
	cr_assert(slice_equal(doc_get(d, SLICE_LIT("a")), SLICE_LIT("one")));
	cr_assert_null(doc_get(d, SLICE_LIT("b")).p);
	buf_deinit(&out);
	doc_free(d);
}

/* A reader who begins at the base has what the writer has; so has one that
 * follows. */
Test(doc, who_begins_at_the_base_has_the_same)
{
	struct chance c = {7};
	struct doc *d = doc_new(), *follower = doc_new();
	struct buf events[600];
	uint64_t base = 0;
	int wholes = 0;

	for (int i = 0; i < 600; i++) {
		char key[16], value[400];
		struct doc *change;

		snprintf(
		    key, sizeof(key), "k%u", (unsigned)chance_below(&c, KEYS));
		memset(value, 'a' + i % 26, sizeof(value));
		value[chance_below(&c, sizeof(value) - 1)] = '\0';
		change = chance_below(&c, 4) ? change_of(key, value, NULL)
					     : change_of(NULL, NULL, key);
		buf_init(&events[i], DOC_EVENT_MAX);
		step(d, change, &events[i]);
		cr_assert_eq(
		    doc_apply(follower, (uint64_t)i + 1, buf_slice(&events[i])),
		    0);
		cr_assert(same(d, follower));
		cr_assert_eq(
		    doc_base(buf_slice(&events[i]), (uint64_t)i + 1, &base), 0);
		wholes += base == (uint64_t)i + 1;
		struct doc *late = doc_new();
		for (uint64_t k = base; k <= (uint64_t)i + 1; k++)
			cr_assert_eq(
			    doc_apply(late, k, buf_slice(&events[k - 1])), 0);
		cr_assert(same(d, late));
		doc_free(late);
	}
	cr_assert(wholes > 5 && wholes < 60, "%d", wholes);
	for (int i = 0; i < 600; i++)
		buf_deinit(&events[i]);
	doc_free(d);
	doc_free(follower);
}

Test(doc, what_does_not_follow_is_refused_and_changes_nothing)
{
	struct doc *d = doc_new(), *copy;
	struct buf first, second, third;

	buf_init(&first, DOC_EVENT_MAX);
	buf_init(&second, DOC_EVENT_MAX);
	buf_init(&third, DOC_EVENT_MAX);
	step(d, change_of("a", "1", NULL), &first);
	copy = doc_clone(d);
	step(d, change_of("b", "2", NULL), &second);
	step(d, change_of("c", "3", NULL), &third);
	cr_assert_eq(doc_apply(copy, 3, buf_slice(&third)), -ERR_CORRUPT);
	cr_assert_eq(doc_apply(copy, 2, buf_slice(&third)), -ERR_CORRUPT);
	cr_assert_eq(doc_apply(copy, 1, buf_slice(&first)), -ERR_CORRUPT);
	cr_assert_eq(doc_n(copy), 1);
	cr_assert_eq(doc_apply(copy, 2, buf_slice(&second)), 0);
	cr_assert_eq(doc_apply(copy, 3, buf_slice(&third)), 0);
	cr_assert(same(copy, d));
	buf_deinit(&first);
	buf_deinit(&second);
	buf_deinit(&third);
	doc_free(copy);
	doc_free(d);
}

Test(doc, bytes_that_were_cut_are_refused)
{
	struct doc *d = doc_new(), *fresh = doc_new();
	struct buf out;

	buf_init(&out, DOC_EVENT_MAX);
	step(d, change_of("key", "value", NULL), &out);
	for (size_t n = 0; n < out.n; n++)
		cr_assert_lt(doc_apply(fresh, 1, SLICE(out.p, n)), 0);
	cr_assert_eq(doc_n(fresh), 0);
	out.p[4] = 2;
	cr_assert_eq(doc_apply(fresh, 1, buf_slice(&out)), -ERR_FORMAT);
	buf_deinit(&out);
	doc_free(d);
	doc_free(fresh);
}

Test(doc, there_is_an_end_to_its_size)
{
	struct doc *d = doc_new(), *change = doc_new();
	static uint8_t value[DOC_VALUE_MAX];
	struct buf out;
	int r = 0;

	buf_init(&out, DOC_EVENT_MAX);
	cr_assert_eq(
	    doc_put(change, SLICE_LIT("k"), SLICE(value, DOC_VALUE_MAX + 1)),
	    -ERR_LIMIT);
	for (int i = 0; i < 600 && r == 0; i++) {
		char key[16];

		snprintf(key, sizeof(key), "%d", i);
		cr_assert_eq(doc_put(change, SLICE_STR(key),
				 SLICE(value, DOC_VALUE_MAX)),
		    0);
	}
	cr_assert_eq(doc_encode(d, change, &out), -ERR_LIMIT);
	buf_deinit(&out);
	doc_free(change);
	doc_free(d);
}
