/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * auth - users, groups and grants in the document: format, and reading.
 *
 * Keys and values of the document (ring/doc.c), values in MessagePack:
 *
 *	`a` bucket 00 stream 00 role	uint: the permissions, one bit each, in
 *					the order of AUTH_PERMISSIONS; never 0.
 *					No stream: the whole bucket; bucket `*`:
 *					everything; role `*`: everyone
 *	`g` name			array of names: the groups that it is in
 *	`s`				bin: the secret that signs tokens
 *	`u` name			array of three: uint generation, str
 *					hash of the password as libargon2 writes
 *					it (empty: no login), array of names
 *
 * Names of buckets and streams have no byte 00, so keys cannot be mistaken for
 * each other.  Arrays of names ascend, without repeats.
 *
 * A generation is the number of the event that gave it: greater than any before,
 * also when a user of that name was deleted in between.
 */
#include "ring/auth.h"

#include <string.h>

#include "ring/auth_impl.h"
#include "src/base/err.h"
#include "src/base/name.h"
#include "src/base/pack.h"

/* --- words ---------------------------------------------------------------- */

static const char *const words[AUTH_N_PERMISSIONS] = {
#define AUTH_WORD(name, word) word,
    AUTH_PERMISSIONS(AUTH_WORD)
#undef AUTH_WORD
};

const char *
auth_permission_word(unsigned permission)
{
	for (unsigned i = 0; i < AUTH_N_PERMISSIONS; i++)
		if (permission == 1u << i)
			return words[i];
	return "?";
}

unsigned
auth_permission_of(struct slice word)
{
	for (unsigned i = 0; i < AUTH_N_PERMISSIONS; i++)
		if (slice_equal(word, SLICE_STR(words[i])))
			return 1u << i;
	return 0;
}

int
auth_permission_fits(
    unsigned permission, struct slice bucket, struct slice stream)
{
	if (permission == AUTH_LIST)
		return stream.n == 0;
	if (permission == AUTH_ADMINUSERS)
		return stream.n == 0 &&
		       (slice_equal(bucket, SLICE_LIT(AUTH_MAGIC_BUCKET)) ||
			   slice_equal(bucket, SLICE_LIT(AUTH_EVERYTHING)));
	return 1;
}

int
auth_name_is_legal(struct slice name)
{
	static const char *const reserved[] = {
	    "all", "on", "to", "from", "any"};
	static const char legal[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789-._@";

	if (name.n == 0 || name.n > AUTH_NAME_MAX)
		return 0;
	for (size_t i = 0; i < name.n; i++)
		if (!memchr(legal, name.p[i], sizeof(legal) - 1))
			return 0;
	for (size_t i = 0; i < sizeof(reserved) / sizeof(*reserved); i++)
		if (slice_equal(name, SLICE_STR(reserved[i])))
			return 0;
	return 1;
}

/* --- rows ----------------------------------------------------------------- */

static void
unpack_groups(struct unpack *u, struct auth_groups *out)
{
	out->n = unpack_array(u, 0, AUTH_GROUPS_MAX);
	for (uint32_t i = 0; i < out->n && !u->error; i++) {
		out->at[i] = unpack_str(u, 1, AUTH_NAME_MAX);
		if (i && slice_compare(out->at[i - 1], out->at[i]) >= 0)
			u->error = -ERR_FORMAT;
	}
}

static int
is_role(struct slice s)
{
	return auth_name_is_legal(s) ||
	       slice_equal(s, SLICE_LIT(AUTH_EVERYONE));
}

/* BUCKET 00 STREAM 00 ROLE */
static int
grant_of_key(struct slice key, struct auth_grant_row *out)
{
	struct slice *parts[] = {&out->bucket, &out->stream};

	for (int i = 0; i < 2; i++) {
		const uint8_t *end = memchr(key.p, 0, key.n);

		if (!end)
			return -ERR_CORRUPT;
		*parts[i] = SLICE(key.p, end - key.p);
		key = SLICE(end + 1, key.n - parts[i]->n - 1);
	}
	out->role = key;
	if ((!slice_equal(out->bucket, SLICE_LIT(AUTH_EVERYTHING)) &&
		name_check(out->bucket)) ||
	    (out->stream.n && name_check(out->stream)) || !is_role(key))
		return -ERR_CORRUPT;
	return 0;
}

int
auth_row(struct doc_item item, struct auth_row *out)
{
	struct slice name = SLICE(item.key.p + 1, item.key.n - 1);
	struct unpack u;
	int r = 0;

	unpack_init(&u, item.value);
	switch (item.key.p[0]) {
	case 'u':
		out->kind = AUTH_ROW_USER;
		out->user.name = name;
		unpack_array(&u, 3, 3);
		out->user.generation = unpack_uint(&u, UINT64_MAX);
		out->user.hash = unpack_str(&u, 0, AUTH_HASH_MAX);
		unpack_groups(&u, &out->user.groups);
		r = auth_name_is_legal(name) ? 0 : -ERR_CORRUPT;
		break;
	case 'g':
		out->kind = AUTH_ROW_GROUP;
		out->group.name = name;
		unpack_groups(&u, &out->group.groups);
		r = auth_name_is_legal(name) ? 0 : -ERR_CORRUPT;
		break;
	case 'a':
		out->kind = AUTH_ROW_GRANT;
		out->grant.permissions = (unsigned)unpack_uint(&u, AUTH_ALL);
		r = out->grant.permissions ? grant_of_key(name, &out->grant)
					   : -ERR_CORRUPT;
		break;
	case 's':
		out->kind = AUTH_ROW_SECRET;
		out->secret = unpack_bin(&u, AUTH_SECRET_MIN, AUTH_SECRET_MAX);
		r = name.n ? -ERR_CORRUPT : 0;
		break;
	default:
		return -ERR_CORRUPT;
	}
	return r || unpack_end(&u) ? -ERR_CORRUPT : 0;
}

static int
find_row(
    const struct doc *d, char kind, struct slice name, struct auth_row *out)
{
	struct auth_key k;
	uint32_t i;

	if (!auth_name_is_legal(name))
		return 0;
	k = auth_name_key(kind, name);
	i = doc_find(d, auth_key_slice(&k));
	return i < doc_n(d) &&
	       slice_equal(doc_at(d, i).key, auth_key_slice(&k)) &&
	       auth_row(doc_at(d, i), out) == 0;
}

int
auth_find_user(
    const struct doc *d, struct slice name, struct auth_user_row *out)
{
	struct auth_row row;

	if (!find_row(d, 'u', name, &row))
		return 0;
	*out = row.user;
	return 1;
}

int
auth_find_group(
    const struct doc *d, struct slice name, struct auth_group_row *out)
{
	struct auth_row row;

	if (!find_row(d, 'g', name, &row))
		return 0;
	*out = row.group;
	return 1;
}

void
auth_find_grants(const struct doc *d, struct slice bucket, struct slice stream,
    uint32_t *from, uint32_t *to)
{
	struct auth_key k = auth_grant_key(bucket, stream, SLICE(NULL, 0));

	*from = doc_find(d, auth_key_slice(&k));
	k.p[k.n - 1] = 1; /* behind all roles */
	*to = doc_find(d, auth_key_slice(&k));
}
