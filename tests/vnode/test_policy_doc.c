/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Policies in a document of the root, and changes of them. */
#include <criterion/criterion.h>

#include "src/base/err.h"
#include "tests/golden/golden.h"
#include "vnode/policy_doc.h"

TestSuite(policy_doc, .timeout = 60);

static const struct policy nothing = {{0}};

/* The event that CHANGE makes of D, which is applied. */
static void
apply(struct doc *d, struct doc *change, struct buf *event)
{
	buf_reset(event);
	cr_assert_eq(doc_encode(d, change, event), 0);
	cr_assert_eq(doc_apply(d, doc_seq(d) + 1, buf_slice(event)), 0);
	doc_free(change);
}

/* 1: something changed. */
static int
set(struct doc *d, const char *bucket, const char *stream, struct policy p)
{
	struct policy_request q = {.bucket = SLICE_STR(bucket),
	    .stream = SLICE_STR(stream),
	    .policy = p};
	struct doc *change;
	struct buf event;

	cr_assert_eq(policy_request_make(&q.root, d, &change), 0);
	if (!change)
		return 0;
	buf_init(&event, DOC_EVENT_MAX);
	apply(d, change, &event);
	buf_deinit(&event);
	return 1;
}

static struct policy
find(const struct doc *d, const char *bucket, const char *stream)
{
	struct policies *t = NULL;
	struct policy p;

	cr_assert_eq(policy_doc_table(&t, d, &nothing), 0);
	cr_assert_eq(policies_version(t), doc_seq(d));
	p = policies_find(t, SLICE_STR(bucket), SLICE_STR(stream));
	policies_unref(t);
	return p;
}

Test(policy_doc, what_is_set_replaces_what_was)
{
	struct doc *d = doc_new();
	struct policy p;

	cr_assert(set(d, "b", "", (struct policy){{1, 2, 3}}));
	cr_assert(set(d, "b", "s", (struct policy){{0, 0, 9}}));
	cr_assert(set(d, "b", "", (struct policy){{0, 5, 0}}));
	p = find(d, "b", "");
	cr_assert_eq(p.max[POLICY_EVENTS], 0);
	cr_assert_eq(p.max[POLICY_BYTES], 5);
	p = find(d, "b", "s");
	cr_assert_eq(p.max[POLICY_AGE], 9);
	cr_assert(set(d, "b", "", nothing));
	p = find(d, "b", "");
	cr_assert(policy_is_empty(&p));
	cr_assert_eq(doc_n(d), 1);
	doc_free(d);
}

Test(policy_doc, what_is_so_already_changes_nothing)
{
	struct doc *d = doc_new();

	cr_assert_not(set(d, "b", "s", nothing));
	cr_assert(set(d, "b", "s", (struct policy){{1}}));
	cr_assert_not(set(d, "b", "s", (struct policy){{1}}));
	cr_assert(set(d, "b", "s", nothing));
	cr_assert_not(set(d, "b", "s", nothing));
	cr_assert_eq(doc_seq(d), 2);
	doc_free(d);
}

Test(policy_doc, there_is_no_room_for_more_than_a_table_holds)
{
	struct doc *d = doc_new(), *change, *all = doc_new();
	char name[256], value[] = {(char)0x93, 1, 0, 0};
	struct policy one = {{1}};
	struct buf event;
	int r = 0;

	buf_init(&event, DOC_EVENT_MAX);
	for (int i = 0; i < 3900; i++) { /* 260 bytes of table each */
		snprintf(name, sizeof(name), "%0250d", i);
		name[250] = '\0';
		cr_assert_eq(
		    doc_put(all, SLICE(name, 251), SLICE(value, 4)), 0);
	}
	apply(d, all, &event);
	for (int i = 0; i < 500 && r == 0; i++) {
		snprintf(name, sizeof(name), "more%0240d", i);
		r = policy_doc_change(
		    d, SLICE_STR(name), SLICE(NULL, 0), &one, &change);
		if (r == 0)
			apply(d, change, &event);
	}
	cr_assert_eq(r, -ERR_LIMIT);
	cr_assert_null(change);
	/* and one that goes makes room */
	snprintf(name, sizeof(name), "%0250d", 7);
	cr_assert(set(d, name, "", nothing));
	buf_deinit(&event);
	doc_free(d);
}

static int
reads(void *arg, struct slice event)
{
	const struct policies *want = arg;
	struct policies *t = NULL;
	struct doc *d = doc_new();
	int r = doc_apply(d, 1, event);

	if (r == 0)
		r = policy_doc_table(&t, d, &nothing);
	if (r == 0 && !policies_equal(t, want))
		r = 1;
	policies_unref(t);
	doc_free(d);
	return r;
}

Test(policy_doc, its_bytes_are_these)
{
	struct doc *d = doc_new(), *change = NULL;
	struct policy p = {{100, 4096, 604800000}};
	struct policies *t = NULL;
	struct buf event;

	buf_init(&event, DOC_EVENT_MAX);
	cr_assert_eq(policy_doc_change(
			 d, SLICE_LIT("logs"), SLICE_LIT("web"), &p, &change),
	    0);
	apply(d, change, &event);
	cr_assert_eq(policy_doc_table(&t, d, &nothing), 0);
	golden("policy-doc.bin", buf_slice(&event));
	golden_is_guarded(buf_slice(&event), reads, t);
	policies_unref(t);
	buf_deinit(&event);
	doc_free(d);
}

Test(policy_doc, a_document_of_something_else_is_refused)
{
	static const struct {
		const char *key;
		size_t key_n;
		const char *value;
		size_t value_n;
	} bad[] = {
	    {"b", 1, "\x93\1\0\0", 4},      /* no end of the bucket */
	    {"\0s", 2, "\x93\1\0\0", 4},    /* no bucket */
	    {"b:\0s", 4, "\x93\1\0\0", 4},  /* not a name */
	    {"b\0s\0", 4, "\x93\1\0\0", 4}, /* one more */
	    {"b\0s", 3, "\x93\0\0\0", 4},   /* an empty policy */
	    {"b\0s", 3, "\x93\1\0\0\0", 5}, /* more than a policy */
	    {"b\0s", 3, "\x92\1\0", 3},     /* less */
	    {"b\0s", 3, "\x93\1\0\xff", 4}, /* a negative number */
	    {"b\0s", 3, "", 0},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct doc *d = doc_new(), *change = doc_new();
		struct policies *t = NULL;
		struct buf event;

		buf_init(&event, DOC_EVENT_MAX);
		cr_assert_eq(doc_put(change, SLICE(bad[i].key, bad[i].key_n),
				 SLICE(bad[i].value, bad[i].value_n)),
		    0);
		apply(d, change, &event);
		cr_assert_eq(policy_doc_table(&t, d, &nothing), -ERR_CORRUPT,
		    "document %zu", i);
		buf_deinit(&event);
		doc_free(d);
	}
}
