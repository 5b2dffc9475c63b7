/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * auth - users, groups and grants in the document, and what changes it.
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

#include "ring/auth_view.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/base/name.h"
#include "src/base/pack.h"

#define VALUE_MAX DOC_VALUE_MAX

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

/* --- keys ----------------------------------------------------------------- */

struct key {
	uint8_t p[DOC_KEY_MAX];
	size_t n;
};

static void
key_add(struct key *k, struct slice s)
{
	if (s.n)
		memcpy(k->p + k->n, s.p, s.n);
	k->n += s.n;
}

static struct slice
key_slice(const struct key *k)
{
	return SLICE(k->p, k->n);
}

static struct key
name_key(char kind, struct slice name)
{
	struct key k = {.p = {(uint8_t)kind}, .n = 1};

	key_add(&k, name);
	return k;
}

static struct key
grant_key(struct slice bucket, struct slice stream, struct slice role)
{
	struct key k = name_key('a', bucket);

	k.p[k.n++] = 0;
	key_add(&k, stream);
	k.p[k.n++] = 0;
	key_add(&k, role);
	return k;
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
	struct key k;
	uint32_t i;

	if (!auth_name_is_legal(name))
		return 0;
	k = name_key(kind, name);
	i = doc_find(d, key_slice(&k));
	return i < doc_n(d) && slice_equal(doc_at(d, i).key, key_slice(&k)) &&
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
	struct key k = grant_key(bucket, stream, SLICE(NULL, 0));

	*from = doc_find(d, key_slice(&k));
	k.p[k.n - 1] = 1; /* behind all roles */
	*to = doc_find(d, key_slice(&k));
}

/* --- values --------------------------------------------------------------- */

static int
by_bytes(const void *a, const void *b)
{
	return slice_compare(
	    *(const struct slice *)a, *(const struct slice *)b);
}

/* Ascending, without repeats. */
static void
sort_groups(struct auth_groups *g)
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

static int
is_in(const struct auth_groups *g, struct slice name)
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

static int
put_value(struct doc *out, const struct key *k, struct buf *value)
{
	int r = buf_error(value);

	if (r == 0)
		r = doc_put(out, key_slice(k), buf_slice(value));
	buf_deinit(value);
	return r;
}

static int
put_user(struct doc *out, const struct auth_user_row *u)
{
	struct key k = name_key('u', u->name);
	struct buf b;

	buf_init(&b, VALUE_MAX);
	pack_array(&b, 3);
	pack_uint(&b, u->generation);
	pack_str(&b, u->hash);
	pack_groups(&b, &u->groups);
	return put_value(out, &k, &b);
}

static int
put_group(struct doc *out, struct slice name, const struct auth_groups *groups)
{
	struct key k = name_key('g', name);
	struct buf b;

	buf_init(&b, VALUE_MAX);
	pack_groups(&b, groups);
	return put_value(out, &k, &b);
}

static int
put_grant(struct doc *out, struct slice bucket, struct slice stream,
    struct slice role, unsigned permissions)
{
	struct key k = grant_key(bucket, stream, role);
	struct buf b;

	if (permissions == 0)
		return doc_remove(out, key_slice(&k));
	buf_init(&b, 16);
	pack_uint(&b, permissions);
	return put_value(out, &k, &b);
}

/* --- users ---------------------------------------------------------------- */

/* Every one of GROUPS is there. */
static int
all_there(const struct doc *now, const struct auth_groups *groups)
{
	struct auth_group_row g;

	for (uint32_t i = 0; i < groups->n; i++)
		if (!auth_find_group(now, groups->at[i], &g))
			return 0;
	return 1;
}

static int
name_is_taken(const struct doc *now, struct slice name)
{
	struct auth_user_row u;
	struct auth_group_row g;

	return auth_find_user(now, name, &u) || auth_find_group(now, name, &g);
}

static int
add_user(const struct doc *now, const struct auth_change *c,
    enum auth_refusal *refusal, struct doc *out)
{
	struct auth_user_row u = {.name = c->name,
	    .hash = c->hash,
	    .generation = doc_seq(now) + 1,
	    .groups = c->groups};
	struct auth_group_row all;

	if (name_is_taken(now, c->name))
		*refusal = AUTH_EXISTS;
	else if (u.groups.n == AUTH_GROUPS_MAX)
		*refusal = AUTH_MANY_GROUPS;
	else if (!all_there(now, &u.groups))
		*refusal = AUTH_NO_GROUP;
	if (*refusal != AUTH_OK)
		return 0;
	if (auth_find_group(now, SLICE_LIT(AUTH_AUTHENTICATED), &all))
		u.groups.at[u.groups.n++] = SLICE_LIT(AUTH_AUTHENTICATED);
	sort_groups(&u.groups);
	return put_user(out, &u);
}

static int
set_user(const struct doc *now, const struct auth_change *c,
    enum auth_refusal *refusal, struct doc *out)
{
	struct auth_user_row u;

	if (!auth_find_user(now, c->name, &u))
		*refusal = AUTH_UNKNOWN;
	else if (c->has_groups && !all_there(now, &c->groups))
		*refusal = AUTH_NO_GROUP;
	if (*refusal != AUTH_OK)
		return 0;
	if (c->has_hash) {
		u.hash = c->hash;
		u.generation = doc_seq(now) + 1;
	}
	if (c->has_groups)
		u.groups = c->groups;
	sort_groups(&u.groups);
	return put_user(out, &u);
}

static int
end_sessions(const struct doc *now, const struct auth_change *c,
    enum auth_refusal *refusal, struct doc *out)
{
	struct auth_user_row u;

	if (!auth_find_user(now, c->name, &u)) {
		*refusal = AUTH_UNKNOWN;
		return 0;
	}
	u.generation = doc_seq(now) + 1;
	return put_user(out, &u);
}

/* NAME is no role any more. */
static int
drop_grants(const struct doc *now, struct slice name, struct doc *out)
{
	int r = 0;

	for (uint32_t i = 0; i < doc_n(now) && r == 0; i++) {
		struct auth_row row;

		if (auth_row(doc_at(now, i), &row) == 0 &&
		    row.kind == AUTH_ROW_GRANT &&
		    slice_equal(row.grant.role, name))
			r = doc_remove(out, doc_at(now, i).key);
	}
	return r;
}

static int
drop_name(const struct doc *now, char kind, struct slice name, struct doc *out)
{
	struct key k = name_key(kind, name);
	int r = doc_remove(out, key_slice(&k));

	return r ? r : drop_grants(now, name, out);
}

static int
drop_user(const struct doc *now, const struct auth_change *c,
    enum auth_refusal *refusal, struct doc *out)
{
	struct auth_user_row u;

	if (auth_find_user(now, c->name, &u))
		return drop_name(now, 'u', c->name, out);
	*refusal = AUTH_UNKNOWN;
	return 0;
}

/* --- groups --------------------------------------------------------------- */

static int
set_group(const struct doc *now, const struct auth_change *c,
    enum auth_refusal *refusal, struct doc *out)
{
	struct auth_groups groups = c->groups;
	struct auth_group_row g;
	int there = auth_find_group(now, c->name, &g);

	if (c->op == AUTH_ADD_GROUP && name_is_taken(now, c->name))
		*refusal = AUTH_EXISTS;
	else if (c->op == AUTH_SET_GROUP && !there)
		*refusal = AUTH_UNKNOWN;
	else if (is_in(&groups, c->name))
		*refusal = AUTH_CYCLE;
	else if (!all_there(now, &groups))
		*refusal = AUTH_NO_GROUP;
	if (*refusal != AUTH_OK)
		return 0;
	sort_groups(&groups);
	return put_group(out, c->name, &groups);
}

static void
leave(struct auth_groups *g, struct slice name)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < g->n; i++)
		if (!slice_equal(g->at[i], name))
			g->at[n++] = g->at[i];
	g->n = n;
}

static int
drop_group(const struct doc *now, const struct auth_change *c,
    enum auth_refusal *refusal, struct doc *out)
{
	struct auth_group_row g;
	int r;

	if (slice_equal(c->name, SLICE_LIT(AUTH_ADMINS)) ||
	    slice_equal(c->name, SLICE_LIT(AUTH_AUTHENTICATED)))
		*refusal = AUTH_NEEDED;
	else if (!auth_find_group(now, c->name, &g))
		*refusal = AUTH_UNKNOWN;
	if (*refusal != AUTH_OK)
		return 0;
	r = drop_name(now, 'g', c->name, out);
	for (uint32_t i = 0; i < doc_n(now) && r == 0; i++) {
		struct auth_row row;

		if (auth_row(doc_at(now, i), &row))
			continue;
		if (row.kind == AUTH_ROW_USER &&
		    is_in(&row.user.groups, c->name)) {
			leave(&row.user.groups, c->name);
			r = put_user(out, &row.user);
		} else if (row.kind == AUTH_ROW_GROUP &&
			   is_in(&row.group.groups, c->name) &&
			   !slice_equal(row.group.name, c->name)) {
			leave(&row.group.groups, c->name);
			r = put_group(out, row.group.name, &row.group.groups);
		}
	}
	return r;
}

/* --- grants --------------------------------------------------------------- */

static int
set_grant(const struct doc *now, const struct auth_change *c,
    enum auth_refusal *refusal, struct doc *out)
{
	struct key k = grant_key(c->bucket, c->stream, c->name);
	uint32_t i = doc_find(now, key_slice(&k));
	struct auth_row row = {0};
	unsigned had = 0, has;

	if (i < doc_n(now) && slice_equal(doc_at(now, i).key, key_slice(&k)) &&
	    auth_row(doc_at(now, i), &row) == 0)
		had = row.grant.permissions;
	has = c->op == AUTH_GIVE ? had | c->permission : had & ~c->permission;
	if (has == had) {
		*refusal = AUTH_SAME;
		return 0;
	}
	return put_grant(out, c->bucket, c->stream, c->name, has);
}

/* --- any ------------------------------------------------------------------ */

/* What must hold whatever was changed. */
static int
look_at_result(
    const struct doc *now, const struct doc *change, enum auth_refusal *refusal)
{
	struct auth_rules none = {.prefix = "", .anonymous = ""};
	struct auth_view *before = NULL, *after = NULL;
	struct doc *then = NULL;
	int r = doc_changed(now, change, &then);

	if (r == 0)
		r = auth_view_new(&before, now, &none);
	if (r == 0)
		r = auth_view_new(&after, then, &none);
	if (r == 0 && auth_view_has_cycle(after))
		*refusal = AUTH_CYCLE;
	else if (r == 0 && auth_view_admins(before) && !auth_view_admins(after))
		*refusal = AUTH_LAST_ADMIN;
	auth_view_unref(before);
	auth_view_unref(after);
	doc_free(then);
	return r;
}

int
auth_make(const struct doc *now, const struct auth_change *c,
    enum auth_refusal *refusal, struct doc **out)
{
	static int (*const makers[])(const struct doc *,
	    const struct auth_change *, enum auth_refusal *, struct doc *) = {
	    [AUTH_ADD_USER] = add_user,
	    [AUTH_SET_USER] = set_user,
	    [AUTH_DROP_USER] = drop_user,
	    [AUTH_END_SESSIONS] = end_sessions,
	    [AUTH_ADD_GROUP] = set_group,
	    [AUTH_SET_GROUP] = set_group,
	    [AUTH_DROP_GROUP] = drop_group,
	    [AUTH_GIVE] = set_grant,
	    [AUTH_TAKE] = set_grant,
	};
	struct doc *change = doc_new();
	int r = change ? 0 : -ERR_NOMEM;

	*refusal = AUTH_OK;
	if (r == 0)
		r = makers[c->op](now, c, refusal, change);
	if (r == 0 && *refusal == AUTH_OK && c->op != AUTH_GIVE &&
	    c->op != AUTH_TAKE && c->op != AUTH_END_SESSIONS)
		r = look_at_result(now, change, refusal);
	*out = r || *refusal != AUTH_OK ? NULL : change;
	if (!*out)
		doc_free(change);
	return r;
}

/* --- the first ------------------------------------------------------------ */

static int
put_secret(struct doc *out, struct slice secret)
{
	struct key k = {.p = {'s'}, .n = 1};
	struct buf b;

	buf_init(&b, VALUE_MAX);
	pack_bin(&b, secret);
	return put_value(out, &k, &b);
}

static int
put_first_grants(struct doc *out, const struct auth_first *f)
{
	struct slice none = SLICE(NULL, 0), admins = SLICE_LIT(AUTH_ADMINS);
	struct slice public = SLICE_LIT("public");
	int r = put_grant(out, SLICE_LIT(AUTH_EVERYTHING), none, admins,
	    f->everywhere ? AUTH_ALL & ~AUTH_ADMINUSERS : AUTH_LIST);

	if (r == 0)
		r = put_grant(out, SLICE_LIT(AUTH_MAGIC_BUCKET), none, admins,
		    AUTH_ADMINUSERS);
	if (r == 0)
		r = put_grant(out, SLICE_LIT("$sys"), none, admins, AUTH_GET);
	if (r == 0)
		r = put_grant(
		    out, public, none, SLICE_LIT(AUTH_AUTHENTICATED), AUTH_GET);
	if (r == 0)
		r = put_grant(out, public, none, SLICE_STR(f->admin), AUTH_PUT);
	return r;
}

int
auth_make_first(const struct auth_first *f, struct doc **out)
{
	struct auth_user_row admin = {.name = SLICE_STR(f->admin),
	    .generation = 1,
	    .hash = f->admin_hash,
	    .groups = {.n = 1, .at = {SLICE_LIT(AUTH_ADMINS)}}};
	struct auth_user_row nobody = {
	    .name = SLICE_STR(f->anonymous), .generation = 1};
	struct auth_groups none = {.n = 0};
	struct doc *d = doc_new();
	int r = d ? put_secret(d, f->secret) : -ERR_NOMEM;

	if (r == 0)
		r = put_group(d, SLICE_LIT(AUTH_ADMINS), &none);
	if (r == 0)
		r = put_group(d, SLICE_LIT(AUTH_AUTHENTICATED), &none);
	if (r == 0)
		r = put_user(d, &nobody);
	if (r == 0)
		r = put_user(d, &admin);
	if (r == 0)
		r = put_first_grants(d, f);
	if (r) {
		doc_free(d);
		return r;
	}
	*out = d;
	return 0;
}
