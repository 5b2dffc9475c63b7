/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * policy_codec - tables of policies as bytes.
 *
 * A table, format 1, in MessagePack:
 *
 *	array of 4 + 5 n	uint format = 1, uint version,
 *				array of 3: the defaults,
 *				uint n: of policies that follow
 *	each policy		str bucket, str stream (empty: of the bucket),
 *				uint max_events, uint max_bytes, uint max_age in
 *				ms; 0: not set, but one of them is
 *
 * in strictly ascending order of bucket and stream.  Every table has one
 * encoding, and nothing else is taken, so equal bytes are equal tables.  There is
 * no checksum: what holds the bytes has one.
 */
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/base/name.h"
#include "src/base/pack.h"
#include "vnode/policy.h"

#define FORMAT     1
#define HEAD_ITEMS 4
#define ROW_ITEMS  5

static void
pack_limits(struct buf *out, const struct policy *p)
{
	for (int i = 0; i < POLICY_N_LIMITS; i++)
		pack_uint(out, p->max[i]);
}

int
policies_encode(const struct policies *t, struct buf *out)
{
	size_t before = out->n;
	uint32_t n = policies_n(t);

	pack_array(out, HEAD_ITEMS + ROW_ITEMS * n);
	pack_uint(out, FORMAT);
	pack_uint(out, policies_version(t));
	pack_array(out, POLICY_N_LIMITS);
	pack_limits(out, policies_defaults(t));
	pack_uint(out, n);
	for (uint32_t i = 0; i < n; i++) {
		struct policy_row row = policies_at(t, i);

		pack_str(out, row.bucket);
		pack_str(out, row.stream);
		pack_limits(out, &row.policy);
	}
	if (buf_error(out))
		return buf_error(out);
	return out->n - before > POLICIES_BYTES_MAX ? -ERR_LIMIT : 0;
}

static void
unpack_limits(struct unpack *u, struct policy *out)
{
	for (int i = 0; i < POLICY_N_LIMITS; i++)
		out->max[i] = unpack_uint(u, POLICY_LIMIT_MAX);
}

static int
decode_rows(struct unpack *u, struct policy_row *rows, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		rows[i].bucket = unpack_str(u, 1, NAME_MAX_BYTES);
		rows[i].stream = unpack_str(u, 0, NAME_MAX_BYTES);
		unpack_limits(u, &rows[i].policy);
		if (u->error)
			return u->error;
	}
	return unpack_end(u);
}

/* T is what BYTES say, and there is one way to say it. */
static int
is_the_encoding(const struct policies *t, struct slice bytes)
{
	struct buf again;
	int r;

	buf_init(&again, POLICIES_BYTES_MAX + 1);
	r = policies_encode(t, &again);
	if (r == 0 && !slice_equal(buf_slice(&again), bytes))
		r = -ERR_CORRUPT;
	buf_deinit(&again);
	return r;
}

int
policies_decode(struct policies **out, struct slice bytes)
{
	struct policies *t = NULL;
	struct policy defaults;
	struct policy_row *rows;
	struct unpack u;
	uint64_t version;
	uint32_t n;
	int r;

	if (bytes.n > POLICIES_BYTES_MAX)
		return -ERR_LIMIT;
	unpack_init(&u, bytes);
	n = unpack_array(&u, HEAD_ITEMS, POLICIES_BYTES_MAX);
	if (unpack_uint(&u, UINT64_MAX) != FORMAT)
		return -ERR_FORMAT;
	version = unpack_uint(&u, UINT64_MAX);
	unpack_array(&u, POLICY_N_LIMITS, POLICY_N_LIMITS);
	unpack_limits(&u, &defaults);
	if (u.error ||
	    unpack_uint(&u, POLICIES_MAX) != (n - HEAD_ITEMS) / ROW_ITEMS)
		return -ERR_CORRUPT;
	n = (n - HEAD_ITEMS) / ROW_ITEMS;
	rows = mem_alloc((n + 1) * sizeof(*rows));
	if (!rows)
		return -ERR_NOMEM;
	r = decode_rows(&u, rows, n) ? -ERR_CORRUPT : 0;
	if (r == 0)
		r = policies_new(&t, version, &defaults, rows, n);
	mem_free(rows);
	if (r == 0)
		r = is_the_encoding(t, bytes);
	if (r) {
		policies_unref(t);
		return r;
	}
	*out = t;
	return 0;
}
