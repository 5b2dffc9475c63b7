/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* policy - tables of policies, and what counts for a stream. */
#include "vnode/policy.h"

#include <stdlib.h>
#include <string.h>

#include "ring/hash.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/base/name.h"

#define SYSTEM_MS (7ull * 24 * 3600 * 1000)

const char *const policy_words[POLICY_N_LIMITS] = {
#define POLICY_WORD(name, word) word,
    POLICY_LIMITS(POLICY_WORD)
#undef POLICY_WORD
};

struct policies {
	atomic_uint refs;
	uint64_t version;
	struct policy defaults;
	uint32_t n;
	struct policy_row rows[]; /* their names follow */
};

int
policy_is_empty(const struct policy *p)
{
	for (int i = 0; i < POLICY_N_LIMITS; i++)
		if (p->max[i])
			return 0;
	return 1;
}

int
policy_is_same(const struct policy *a, const struct policy *b)
{
	return memcmp(a->max, b->max, sizeof(a->max)) == 0;
}

/* --- making --------------------------------------------------------------- */

static int
compare(struct slice bucket, struct slice stream, const struct policy_row *row)
{
	int r = slice_compare(bucket, row->bucket);

	return r ? r : slice_compare(stream, row->stream);
}

static int
by_name(const void *a, const void *b)
{
	const struct policy_row *row = a;

	return compare(row->bucket, row->stream, b);
}

static int
limits_are_right(const struct policy *p)
{
	for (int i = 0; i < POLICY_N_LIMITS; i++)
		if (p->max[i] > POLICY_LIMIT_MAX)
			return 0;
	return 1;
}

static int
row_is_right(const struct policy_row *row)
{
	return name_check(row->bucket) == NAME_OK &&
	       (row->stream.n == 0 || name_check(row->stream) == NAME_OK) &&
	       !policy_is_empty(&row->policy) && limits_are_right(&row->policy);
}

/* In order, and each of them right. */
static int
rows_are_right(const struct policies *t)
{
	for (uint32_t i = 0; i < t->n; i++)
		if (!row_is_right(&t->rows[i]) ||
		    (i && by_name(&t->rows[i - 1], &t->rows[i]) >= 0))
			return 0;
	return limits_are_right(&t->defaults);
}

/* A table of ROWS as they are; NULL: no memory. */
static struct policies *
copy(uint64_t version, const struct policy *defaults,
    const struct policy_row *rows, uint32_t n)
{
	size_t head = sizeof(struct policies) + n * sizeof(*rows), names = 0;
	struct policies *t;
	uint8_t *at;

	for (uint32_t i = 0; i < n; i++)
		names += rows[i].bucket.n + rows[i].stream.n;
	t = mem_alloc(head + names);
	if (!t)
		return NULL;
	*t = (struct policies){
	    .refs = 1, .version = version, .defaults = *defaults, .n = n};
	at = (uint8_t *)t + head;
	for (uint32_t i = 0; i < n; i++)
		t->rows[i] = (struct policy_row){
		    .bucket = slice_put(&at, rows[i].bucket),
		    .stream = slice_put(&at, rows[i].stream),
		    .policy = rows[i].policy,
		};
	return t;
}

int
policies_new(struct policies **out, uint64_t version,
    const struct policy *defaults, const struct policy_row *rows, uint32_t n)
{
	struct policies *t;
	int r = 0;

	if (n > POLICIES_MAX)
		return -ERR_LIMIT;
	t = copy(version, defaults, rows, n);
	if (!t)
		return -ERR_NOMEM;
	if (n)
		qsort(t->rows, n, sizeof(*t->rows), by_name);
	r = rows_are_right(t) ? 0 : -ERR_CORRUPT;
	if (r) {
		policies_unref(t);
		return r;
	}
	*out = t;
	return 0;
}

struct policies *
policies_ref(struct policies *t)
{
	atomic_fetch_add(&t->refs, 1);
	return t;
}

struct policies *
policies_unref(struct policies *t)
{
	if (!t || atomic_fetch_sub(&t->refs, 1) != 1)
		return NULL;
	return mem_free(t);
}

int
policies_of_group(struct policies **out, const struct policies *t,
    uint32_t group, uint32_t n_groups)
{
	struct ring_hash *h = ring_hash_new();
	struct policy_row *rows = mem_alloc((t->n + 1) * sizeof(*rows));
	uint32_t n = 0;
	int r = h && rows ? 0 : -ERR_NOMEM;

	for (uint32_t i = 0; i < t->n && r == 0; i++) {
		const struct policy_row *row = &t->rows[i];

		if (row->stream.n == 0 || ring_hash_group(h, row->bucket,
					      row->stream, n_groups) == group)
			rows[n++] = *row;
	}
	if (r == 0)
		r = policies_new(out, t->version, &t->defaults, rows, n);
	ring_hash_free(h);
	mem_free(rows);
	return r;
}

/* --- looking up ----------------------------------------------------------- */

uint64_t
policies_version(const struct policies *t)
{
	return t->version;
}

const struct policy *
policies_defaults(const struct policies *t)
{
	return &t->defaults;
}

uint32_t
policies_n(const struct policies *t)
{
	return t->n;
}

struct policy_row
policies_at(const struct policies *t, uint32_t i)
{
	return t->rows[i];
}

int
policies_equal(const struct policies *a, const struct policies *b)
{
	if (a->n != b->n || !policy_is_same(&a->defaults, &b->defaults))
		return 0;
	for (uint32_t i = 0; i < a->n; i++)
		if (by_name(&a->rows[i], &b->rows[i]) ||
		    !policy_is_same(&a->rows[i].policy, &b->rows[i].policy))
			return 0;
	return 1;
}

struct policy
policies_find(
    const struct policies *t, struct slice bucket, struct slice stream)
{
	uint32_t low = 0, high = t->n;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		int r = compare(bucket, stream, &t->rows[mid]);

		if (r == 0)
			return t->rows[mid].policy;
		if (r < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return (struct policy){{0}};
}

/* What streams of BUCKET begin with. */
static struct policy
default_of(const struct policies *t, struct slice bucket)
{
	struct policy p = t->defaults;

	if (slice_equal(bucket, SLICE_LIT(NAME_SYSTEM_BUCKET)))
		p.max[POLICY_AGE] = SYSTEM_MS;
	return p;
}

struct policy
policy_effective_with(const struct policies *t, struct slice bucket,
    struct slice stream, const struct policy *own,
    enum policy_source source[POLICY_N_LIMITS])
{
	enum policy_source nearest =
	    stream.n ? POLICY_OF_STREAM : POLICY_OF_BUCKET;
	struct policy p = {{0}},
		      of[] = {
			  [POLICY_UNSET] = {{0}},
			  [POLICY_OF_DEFAULT] = default_of(t, bucket),
			  [POLICY_OF_BUCKET] =
			      policies_find(t, bucket, SLICE(NULL, 0)),
			  [POLICY_OF_STREAM] = {{0}},
		      };

	of[nearest] = *own;
	for (int i = 0; i < POLICY_N_LIMITS; i++) {
		enum policy_source from = nearest;

		while (from != POLICY_UNSET && !of[from].max[i])
			from--;
		p.max[i] = of[from].max[i];
		if (source)
			source[i] = from;
	}
	return p;
}

struct policy
policy_effective(const struct policies *t, struct slice bucket,
    struct slice stream, enum policy_source source[POLICY_N_LIMITS])
{
	struct policy own = policies_find(t, bucket, stream);

	return policy_effective_with(t, bucket, stream, &own, source);
}
