/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_policies - tables of policies, as a log has them and as they are read from
 * the root: a table has one encoding, and what a change makes can be read.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "tests/fuzz/doc_rig.h"
#include "tests/fuzz/fuzz.h"
#include "vnode/policy_doc.h"

static const struct policy defaults = {{7, 0, 9}};

static void
ask(const struct policies *t)
{
	struct policies *part;

	for (uint32_t i = 0; i < policies_n(t); i++) {
		struct policy_row row = policies_at(t, i);
		struct policy p = policies_find(t, row.bucket, row.stream);

		ASSERT(policy_is_same(&p, &row.policy));
		p = policy_effective(t, row.bucket, row.stream, NULL);
		for (int k = 0; k < POLICY_N_LIMITS; k++)
			ASSERT(!row.policy.max[k] ||
			       p.max[k] == row.policy.max[k]);
	}
	ASSERT(policies_of_group(&part, t, 3, 64) == 0);
	ASSERT(policies_n(part) <= policies_n(t));
	policies_unref(part);
}

/* BYTES may be a table. */
static void
decode(struct slice bytes)
{
	struct policies *t;
	struct buf again;

	if (policies_decode(&t, bytes))
		return;
	ask(t);
	buf_init(&again, POLICIES_BYTES_MAX);
	ASSERT(policies_encode(t, &again) == 0);
	ASSERT(slice_equal(buf_slice(&again), bytes));
	buf_deinit(&again);
	policies_unref(t);
}

static void
change(struct doc *d, struct slice stream, struct policy p)
{
	struct doc *next = doc_clone(d), *made;
	struct policies *t;

	ASSERT(next);
	if (policy_doc_change(d, SLICE_LIT("b"), stream, &p, &made) == 0 &&
	    made) {
		struct policy got;

		ASSERT(doc_rig_apply(next, made));
		ASSERT(policy_doc_table(&t, next, &defaults) == 0);
		got = policies_find(t, SLICE_LIT("b"), stream);
		ASSERT(policy_is_same(&got, &p));
		policies_unref(t);
	}
	doc_free(next);
}

static void
look(struct doc *d)
{
	struct policies *t, *again;
	struct buf bytes;

	if (policy_doc_table(&t, d, &defaults))
		return;
	ask(t);
	buf_init(&bytes, POLICIES_BYTES_MAX);
	if (policies_encode(t, &bytes) == 0) {
		ASSERT(policies_decode(&again, buf_slice(&bytes)) == 0);
		ASSERT(policies_equal(t, again));
		policies_unref(again);
	}
	buf_deinit(&bytes);
	policies_unref(t);
	change(d, SLICE_LIT("s"), (struct policy){{1, 2, 3}});
	change(d, SLICE(NULL, 0), (struct policy){{0, 0, 4}});
	change(d, SLICE_LIT("s"), (struct policy){{0}});
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	decode(SLICE(p, n));
	doc_rig(p, n, look);
	return 0;
}
