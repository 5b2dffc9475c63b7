/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * policy_doc - policies in a document of the root.
 *
 * Keys and values of the document (ring/doc.c), values in MessagePack:
 *
 *	bucket 00 stream	array of three uints: max_events, max_bytes, and
 *				max_age in ms; 0: not set, but one of them is.
 *				No stream: of the whole bucket
 *
 * Names have no byte 00.
 */
#include "vnode/policy_doc.h"

#include <string.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/base/name.h"
#include "src/base/pack.h"

#define VALUE_MAX 64

struct key {
	uint8_t p[2 * NAME_MAX_BYTES + 1];
	size_t n;
};

/* --- reading -------------------------------------------------------------- */

static int
read_row(struct doc_item item, struct policy_row *out)
{
	const uint8_t *end = memchr(item.key.p, 0, item.key.n);
	struct unpack u;

	if (!end)
		return -ERR_CORRUPT;
	out->bucket = SLICE(item.key.p, (size_t)(end - item.key.p));
	out->stream = SLICE(end + 1, item.key.n - out->bucket.n - 1);
	unpack_init(&u, item.value);
	unpack_array(&u, POLICY_N_LIMITS, POLICY_N_LIMITS);
	for (int i = 0; i < POLICY_N_LIMITS; i++)
		out->policy.max[i] = unpack_uint(&u, POLICY_LIMIT_MAX);
	return unpack_end(&u) ? -ERR_CORRUPT : 0;
}

int
policy_doc_table(
    struct policies **out, const struct doc *d, const struct policy *defaults)
{
	uint32_t n = doc_n(d);
	struct policy_row *rows = mem_alloc((n + 1) * sizeof(*rows));
	int r = rows ? 0 : -ERR_NOMEM;

	for (uint32_t i = 0; i < n && r == 0; i++)
		r = read_row(doc_at(d, i), &rows[i]);
	if (r == 0)
		r = policies_new(out, doc_seq(d), defaults, rows, n);
	mem_free(rows);
	return r;
}

/* --- changing ------------------------------------------------------------- */

static void
make_key(struct key *k, struct slice bucket, struct slice stream)
{
	memcpy(k->p, bucket.p, bucket.n);
	k->p[bucket.n] = 0;
	if (stream.n)
		memcpy(k->p + bucket.n + 1, stream.p, stream.n);
	k->n = bucket.n + 1 + stream.n;
}

static int
put_row(struct doc *change, struct slice key, const struct policy *p)
{
	struct buf b;
	int r;

	buf_init(&b, VALUE_MAX);
	pack_array(&b, POLICY_N_LIMITS);
	for (int i = 0; i < POLICY_N_LIMITS; i++)
		pack_uint(&b, p->max[i]);
	r = buf_error(&b) ? buf_error(&b) : doc_put(change, key, buf_slice(&b));
	buf_deinit(&b);
	return r;
}

/* What NOW becomes is a table, and fits. */
static int
check_result(const struct doc *now, const struct doc *change)
{
	struct policy large = {
	    {POLICY_LIMIT_MAX, POLICY_LIMIT_MAX, POLICY_LIMIT_MAX}};
	struct policies *t = NULL;
	struct doc *then = NULL;
	struct buf b;
	int r = doc_changed(now, change, &then);

	buf_init(&b, POLICIES_BYTES_MAX);
	if (r == 0)
		r = policy_doc_table(&t, then, &large);
	if (r == 0)
		r = policies_encode(t, &b);
	buf_deinit(&b);
	policies_unref(t);
	doc_free(then);
	return r;
}

/* What NOW has under KEY. */
static struct policy
find(const struct doc *now, struct slice key)
{
	struct doc_item item = {.key = key, .value = doc_get(now, key)};
	struct policy_row row = {.policy = {{0}}};

	if (item.value.p && read_row(item, &row))
		row.policy = (struct policy){{0}};
	return row.policy;
}

int
policy_doc_change(const struct doc *now, struct slice bucket,
    struct slice stream, const struct policy *p, struct doc **out)
{
	struct doc *change;
	struct policy had;
	struct key k;
	struct slice key;
	int r;

	ASSERT(bucket.n && bucket.n <= NAME_MAX_BYTES &&
	       stream.n <= NAME_MAX_BYTES);
	make_key(&k, bucket, stream);
	key = SLICE(k.p, k.n);
	had = find(now, key);
	*out = NULL;
	if (policy_is_same(&had, p))
		return 0;
	change = doc_new();
	if (!change)
		return -ERR_NOMEM;
	r = policy_is_empty(p) ? doc_remove(change, key)
			       : put_row(change, key, p);
	if (r == 0)
		r = check_result(now, change);
	if (r) {
		doc_free(change);
		return r;
	}
	*out = change;
	return 0;
}

int
policy_request_make(
    struct root_request *q, const struct doc *now, struct doc **change)
{
	struct policy_request *p = CONTAINER_OF(q, struct policy_request, root);

	return policy_doc_change(now, p->bucket, p->stream, &p->policy, change);
}
