/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* auth_change - what each change of users, groups and grants does, or why not. */
#include "ring/auth_impl.h"
#include "ring/auth_view.h"
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/pack.h"

#define VALUE_MAX DOC_VALUE_MAX

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
	auth_sort_groups(&u.groups);
	return auth_put_user(out, &u);
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
	auth_sort_groups(&u.groups);
	return auth_put_user(out, &u);
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
	return auth_put_user(out, &u);
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
	struct auth_key k = auth_name_key(kind, name);
	int r = doc_remove(out, auth_key_slice(&k));

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
	else if (auth_is_in(&groups, c->name))
		*refusal = AUTH_CYCLE;
	else if (!all_there(now, &groups))
		*refusal = AUTH_NO_GROUP;
	if (*refusal != AUTH_OK)
		return 0;
	auth_sort_groups(&groups);
	return auth_put_group(out, c->name, &groups);
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
		    auth_is_in(&row.user.groups, c->name)) {
			leave(&row.user.groups, c->name);
			r = auth_put_user(out, &row.user);
		} else if (row.kind == AUTH_ROW_GROUP &&
			   auth_is_in(&row.group.groups, c->name) &&
			   !slice_equal(row.group.name, c->name)) {
			leave(&row.group.groups, c->name);
			r = auth_put_group(
			    out, row.group.name, &row.group.groups);
		}
	}
	return r;
}

/* --- grants --------------------------------------------------------------- */

static int
set_grant(const struct doc *now, const struct auth_change *c,
    enum auth_refusal *refusal, struct doc *out)
{
	struct auth_key k = auth_grant_key(c->bucket, c->stream, c->name);
	uint32_t i = doc_find(now, auth_key_slice(&k));
	struct auth_row row = {0};
	unsigned had = 0, has;

	if (i < doc_n(now) &&
	    slice_equal(doc_at(now, i).key, auth_key_slice(&k)) &&
	    auth_row(doc_at(now, i), &row) == 0)
		had = row.grant.permissions;
	has = c->op == AUTH_GIVE ? had | c->permission : had & ~c->permission;
	if (has == had) {
		*refusal = AUTH_SAME;
		return 0;
	}
	return auth_put_grant(out, c->bucket, c->stream, c->name, has);
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

int
auth_request_make(
    struct root_request *q, const struct doc *now, struct doc **change)
{
	struct auth_request *a = CONTAINER_OF(q, struct auth_request, root);
	int r = auth_make(now, &a->change, &a->refusal, change);

	if (r)
		return r;
	return a->refusal != AUTH_OK && a->refusal != AUTH_SAME;
}

/* --- the first ------------------------------------------------------------ */

static int
put_secret(struct doc *out, struct slice secret)
{
	struct auth_key k = {.p = {'s'}, .n = 1};
	struct buf b;

	buf_init(&b, VALUE_MAX);
	pack_bin(&b, secret);
	return auth_put_value(out, &k, &b);
}

static int
put_first_grants(struct doc *out, const struct auth_first *f)
{
	struct slice none = SLICE(NULL, 0), admins = SLICE_LIT(AUTH_ADMINS);
	struct slice public = SLICE_LIT("public");
	int r = auth_put_grant(out, SLICE_LIT(AUTH_EVERYTHING), none, admins,
	    f->everywhere ? AUTH_ALL & ~AUTH_ADMINUSERS : AUTH_LIST);

	if (r == 0)
		r = auth_put_grant(out, SLICE_LIT(AUTH_MAGIC_BUCKET), none,
		    admins, AUTH_ADMINUSERS);
	if (r == 0)
		r = auth_put_grant(
		    out, SLICE_LIT("$sys"), none, admins, AUTH_GET);
	if (r == 0)
		r = auth_put_grant(
		    out, public, none, SLICE_LIT(AUTH_AUTHENTICATED), AUTH_GET);
	if (r == 0)
		r = auth_put_grant(
		    out, public, none, SLICE_STR(f->admin), AUTH_PUT);
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
		r = auth_put_group(d, SLICE_LIT(AUTH_ADMINS), &none);
	if (r == 0)
		r = auth_put_group(d, SLICE_LIT(AUTH_AUTHENTICATED), &none);
	if (r == 0)
		r = auth_put_user(d, &nobody);
	if (r == 0)
		r = auth_put_user(d, &admin);
	if (r == 0)
		r = put_first_grants(d, f);
	if (r) {
		doc_free(d);
		return r;
	}
	*out = d;
	return 0;
}
