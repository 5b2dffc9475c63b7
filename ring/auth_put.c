/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* auth_put - keys and values of users, groups and grants (format: auth.c). */
#include <stdlib.h>
#include <string.h>

#include "ring/auth_impl.h"
#include "src/base/pack.h"

#define VALUE_MAX DOC_VALUE_MAX

/* --- keys ----------------------------------------------------------------- */

static void
key_add(struct auth_key *k, struct slice s)
{
	if (s.n)
		memcpy(k->p + k->n, s.p, s.n);
	k->n += s.n;
}

struct slice
auth_key_slice(const struct auth_key *k)
{
	return SLICE(k->p, k->n);
}

struct auth_key
auth_name_key(char kind, struct slice name)
{
	struct auth_key k = {.p = {(uint8_t)kind}, .n = 1};

	key_add(&k, name);
	return k;
}

struct auth_key
auth_grant_key(struct slice bucket, struct slice stream, struct slice role)
{
	struct auth_key k = auth_name_key('a', bucket);

	k.p[k.n++] = 0;
	key_add(&k, stream);
	k.p[k.n++] = 0;
	key_add(&k, role);
	return k;
}

/* --- values --------------------------------------------------------------- */

static int
by_bytes(const void *a, const void *b)
{
	return slice_compare(
	    *(const struct slice *)a, *(const struct slice *)b);
}

/* Ascending, without repeats. */
void
auth_sort_groups(struct auth_groups *g)
{
	uint32_t n = 0;

	if (g->n == 0)
		return;
	qsort(g->at, g->n, sizeof(*g->at), by_bytes);
	for (uint32_t i = 0; i < g->n; i++)
		if (i == 0 || !slice_equal(g->at[i], g->at[n - 1]))
			g->at[n++] = g->at[i];
	g->n = n;
}

int
auth_is_in(const struct auth_groups *g, struct slice name)
{
	for (uint32_t i = 0; i < g->n; i++)
		if (slice_equal(g->at[i], name))
			return 1;
	return 0;
}

static void
pack_groups(struct buf *b, const struct auth_groups *g)
{
	pack_array(b, g->n);
	for (uint32_t i = 0; i < g->n; i++)
		pack_str(b, g->at[i]);
}

int
auth_put_value(struct doc *out, const struct auth_key *k, struct buf *value)
{
	int r = buf_error(value);

	if (r == 0)
		r = doc_put(out, auth_key_slice(k), buf_slice(value));
	buf_deinit(value);
	return r;
}

int
auth_put_user(struct doc *out, const struct auth_user_row *u)
{
	struct auth_key k = auth_name_key('u', u->name);
	struct buf b;

	buf_init(&b, VALUE_MAX);
	pack_array(&b, 3);
	pack_uint(&b, u->generation);
	pack_str(&b, u->hash);
	pack_groups(&b, &u->groups);
	return auth_put_value(out, &k, &b);
}

int
auth_put_group(
    struct doc *out, struct slice name, const struct auth_groups *groups)
{
	struct auth_key k = auth_name_key('g', name);
	struct buf b;

	buf_init(&b, VALUE_MAX);
	pack_groups(&b, groups);
	return auth_put_value(out, &k, &b);
}

int
auth_put_grant(struct doc *out, struct slice bucket, struct slice stream,
    struct slice role, unsigned permissions)
{
	struct auth_key k = auth_grant_key(bucket, stream, role);
	struct buf b;

	if (permissions == 0)
		return doc_remove(out, auth_key_slice(&k));
	buf_init(&b, 16);
	pack_uint(&b, permissions);
	return auth_put_value(out, &k, &b);
}
