/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* api_users - /users and /groups (http-api.md section 3). */
#include "http/api_auth.h"
#include "src/base/err.h"

#define LIST_MAX (16u << 20)

static const struct doc *
doc_of(const struct request *rq)
{
	return auth_view_doc(rq->server->auth);
}

/* --- showing -------------------------------------------------------------- */

static void
add_row(struct buf *b, const char *what, struct slice name,
    const struct auth_groups *groups)
{
	buf_printf(b, "{\"%s\":", what);
	buf_add_json_string(b, name);
	buf_add_str(b, ",\"groups\":[");
	for (uint32_t i = 0; i < groups->n; i++) {
		if (i)
			buf_add_byte(b, ',');
		buf_add_json_string(b, groups->at[i]);
	}
	buf_add_str(b, "]}");
}

/* The document is in order of names. */
static void
list(struct request *rq, enum auth_kind kind)
{
	const struct doc *d = doc_of(rq);
	struct buf b;

	buf_init(&b, LIST_MAX);
	buf_add_byte(&b, '[');
	for (uint32_t i = 0; i < doc_n(d); i++) {
		struct auth_row row;

		if (auth_row(doc_at(d, i), &row) || row.kind != kind)
			continue;
		if (b.n > 1)
			buf_add_byte(&b, ',');
		if (kind == AUTH_ROW_USER)
			add_row(
			    &b, "username", row.user.name, &row.user.groups);
		else
			add_row(
			    &b, "groupname", row.group.name, &row.group.groups);
	}
	buf_add_byte(&b, ']');
	respond_json(rq, 200, NULL, &b);
}

void
api_users_list(struct request *rq)
{
	list(rq, AUTH_ROW_USER);
}

void
api_groups_list(struct request *rq)
{
	list(rq, AUTH_ROW_GROUP);
}

static void
not_found(struct request *rq)
{
	respond_error(
	    rq, 404, "not-found", NULL, NULL, "there is nobody of this name");
}

void
api_user_get(struct request *rq)
{
	struct auth_user_row u;
	struct buf b;

	if (!auth_find_user(doc_of(rq), rq->uri.segments[1], &u)) {
		not_found(rq);
		return;
	}
	buf_init(&b, LIST_MAX);
	add_row(&b, "username", u.name, &u.groups);
	respond_json(rq, 200, NULL, &b);
}

void
api_group_get(struct request *rq)
{
	struct auth_group_row g;
	struct buf b;

	if (!auth_find_group(doc_of(rq), rq->uri.segments[1], &g)) {
		not_found(rq);
		return;
	}
	buf_init(&b, LIST_MAX);
	add_row(&b, "groupname", g.name, &g.groups);
	respond_json(rq, 200, NULL, &b);
}

/* --- bodies --------------------------------------------------------------- */

static void
bad(struct request *rq, const char *type, const char *why)
{
	respond_error(rq, 400, type, NULL, NULL, "%s", why);
}

/* Name and password; 0: answered. */
static int
take_both(struct request *rq, struct api_auth *a)
{
	int user = api_field(rq, "username", &a->name) && a->name.n;
	int password = api_field(rq, "password", &a->password) && a->password.n;

	if (!user && !password)
		bad(rq, "no-user-and-pass",
		    "username and password are missing");
	else if (!user)
		bad(rq, "no-user", "username is missing");
	else if (!password)
		bad(rq, "no-pass",
		    "password is missing, or longer than 1024 bytes");
	return user && password;
}

static int
is_legal(struct request *rq, struct slice name)
{
	if (auth_name_is_legal(name))
		return 1;
	bad(rq, "illegal-username",
	    "a name has 1 to 64 letters, digits or -._@ and is none of all, "
	    "on, to, from, any");
	return 0;
}

/* --- users ---------------------------------------------------------------- */

static void
add_hashed(struct request *rq, struct api_auth *a)
{
	a->ask.change.has_hash = 1;
	a->ask.change.hash = SLICE_STR(a->login.hash);
	api_change(
	    rq, a, a->ask.change.op == AUTH_ADD_USER ? api_created : api_done);
}

void
api_users_post(struct request *rq)
{
	struct api_auth *a = api_auth_begin(rq);

	if (!a || !take_both(rq, a) || !is_legal(rq, buf_slice(&a->name)) ||
	    !api_groups(rq, a))
		return;
	a->ask.change.op = AUTH_ADD_USER;
	a->ask.change.name = buf_slice(&a->name);
	api_hash(rq, a, add_hashed);
}

static int
may_administer(const struct request *rq)
{
	return request_may(
	    rq, AUTH_ADMINUSERS, SLICE_LIT(AUTH_MAGIC_BUCKET), SLICE(NULL, 0));
}

/* A password: one's own, or an administrator any. */
void
api_users_put(struct request *rq)
{
	struct api_auth *a;
	struct auth_user_row u;
	int own;

	if (rq->who.anonymous) {
		request_deny(rq, "a token is needed");
		return;
	}
	a = api_auth_begin(rq);
	if (!a || !take_both(rq, a))
		return;
	own = slice_equal(buf_slice(&a->name), SLICE_STR(rq->who.name));
	if (!own && !may_administer(rq)) {
		request_deny(rq, "this user may only change its own password");
		return;
	}
	if (!auth_find_user(doc_of(rq), buf_slice(&a->name), &u)) {
		not_found(rq);
		return;
	}
	a->ask.change.op = AUTH_SET_USER;
	a->ask.change.name = buf_slice(&a->name);
	api_hash(rq, a, add_hashed);
}

/* Whether the body has NAME at all. */
static int
has(const struct request *rq, const char *name)
{
	struct slice raw;

	return fields_find(rq->body, name, &raw);
}

void
api_user_put(struct request *rq)
{
	struct api_auth *a = api_auth_begin(rq);
	struct auth_user_row u;

	if (!a)
		return;
	if (!auth_find_user(doc_of(rq), rq->uri.segments[1], &u)) {
		not_found(rq);
		return;
	}
	if (!api_groups(rq, a))
		return;
	a->ask.change.op = AUTH_SET_USER;
	a->ask.change.name = rq->uri.segments[1];
	if (!has(rq, "password"))
		api_change(rq, a, api_done);
	else if (!api_field(rq, "password", &a->password) || !a->password.n)
		respond_error(rq, 400, "invalid-field", NULL,
		    ",\"field\":\"password\"", "the password is not valid");
	else
		api_hash(rq, a, add_hashed);
}

/* Without a body. */
static void
change_named(struct request *rq, enum auth_op op)
{
	struct api_auth *a = api_auth_new(rq);

	if (!a)
		return;
	a->ask.change =
	    (struct auth_change){.op = op, .name = rq->uri.segments[1]};
	api_change(rq, a, api_done_empty);
}

void
api_user_delete(struct request *rq)
{
	change_named(rq, AUTH_DROP_USER);
}

void
api_user_sessions_delete(struct request *rq)
{
	change_named(rq, AUTH_END_SESSIONS);
}

/* --- groups --------------------------------------------------------------- */

void
api_groups_post(struct request *rq)
{
	struct api_auth *a = api_auth_begin(rq);

	if (!a)
		return;
	if (!api_field(rq, "groupname", &a->name) || !a->name.n)
		api_bad_field(rq, "groupname");
	else if (is_legal(rq, buf_slice(&a->name)) && api_groups(rq, a)) {
		a->ask.change.op = AUTH_ADD_GROUP;
		a->ask.change.name = buf_slice(&a->name);
		api_change(rq, a, api_created);
	}
}

void
api_group_put(struct request *rq)
{
	struct api_auth *a = api_auth_begin(rq);

	if (!a)
		return;
	if (!has(rq, "groups"))
		api_bad_field(rq, "groups");
	else if (api_groups(rq, a)) {
		a->ask.change.op = AUTH_SET_GROUP;
		a->ask.change.name = rq->uri.segments[1];
		api_change(rq, a, api_done);
	}
}

void
api_group_delete(struct request *rq)
{
	change_named(rq, AUTH_DROP_GROUP);
}
