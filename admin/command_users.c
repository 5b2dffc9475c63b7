/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* command_users - users, groups and grants, with the rights of whoever may open
 * the control socket. */
#include "admin/command_impl.h"
#include "src/base/err.h"
#include "src/base/name.h"

#define NAME_COLUMNS 24

static const struct doc *
doc_of(const struct command *c)
{
	const struct admin_host *h = command_host(c);

	return h->users ? h->users(h->ctx) : NULL;
}

/* --- tables --------------------------------------------------------------- */

static void
add_names(struct buf *out, int json, const struct slice *names, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		buf_add_str(out, i ? (json ? "," : " ") : "");
		if (json)
			buf_add_json_string(out, names[i]);
		else
			buf_add_slice(out, names[i]);
	}
}

static void
add_row(struct command *c, const char *what, const char *members,
    struct slice name, const struct slice *names, uint32_t n, int first)
{
	if (c->json) {
		buf_printf(&c->out, "%s{\"%s\":", first ? "" : ",", what);
		buf_add_json_string(&c->out, name);
		buf_printf(&c->out, ",\"%s\":[", members);
		add_names(&c->out, 1, names, n);
		buf_add_str(&c->out, "]}");
		return;
	}
	buf_printf(&c->out, "%-*.*s%s", n ? NAME_COLUMNS : 0, (int)name.n,
	    (const char *)name.p, n ? " " : "");
	add_names(&c->out, 0, names, n);
	buf_add_byte(&c->out, '\n');
}

static void
begin_table(struct command *c, const char *list, const char *head)
{
	if (c->json)
		buf_printf(&c->out, "{\"%s\":[", list);
	else
		buf_printf(&c->out, "%s\n%.79s\n", head,
		    "----------------------------------------"
		    "----------------------------------------");
}

static void
end_table(struct command *c)
{
	buf_add_str(&c->out, c->json ? "]}\n" : "");
	command_end_object(c);
}

static void
list(struct command *c, enum auth_kind kind)
{
	const struct doc *d = doc_of(c);
	int users = kind == AUTH_ROW_USER, n = 0;

	if (!d) {
		command_failed(c, "users are not known here yet");
		return;
	}
	begin_table(c, users ? "users" : "groups",
	    users ? "User                     Groups"
		  : "Group                    In groups");
	for (uint32_t i = 0; i < doc_n(d); i++) {
		struct auth_row row;

		if (auth_row(doc_at(d, i), &row) || row.kind != kind)
			continue;
		if (users)
			add_row(c, "username", "groups", row.user.name,
			    row.user.groups.at, row.user.groups.n, n++ == 0);
		else
			add_row(c, "groupname", "groups", row.group.name,
			    row.group.groups.at, row.group.groups.n, n++ == 0);
	}
	end_table(c);
}

void
command_user_list(struct command *c)
{
	list(c, AUTH_ROW_USER);
}

void
command_group_list(struct command *c)
{
	list(c, AUTH_ROW_GROUP);
}

/* --- grants --------------------------------------------------------------- */

/* The resource of the arguments from number AT on; 0: misused. */
static int
take_resource(struct command *c, uint32_t at)
{
	struct auth_change *q = &c->auth.change;
	int all = strcmp(c->args[at], AUTH_EVERYTHING) == 0;

	q->bucket = SLICE_STR(c->args[at]);
	q->stream =
	    c->n_args > at + 1 ? SLICE_STR(c->args[at + 1]) : SLICE(NULL, 0);
	return !(all ? q->stream.n > 0 : name_check(q->bucket) != 0) &&
	       !(q->stream.n && name_check(q->stream));
}

void
command_grant_list(struct command *c)
{
	const struct doc *d = doc_of(c);
	uint32_t from, to;
	int n = 0;

	if (!d) {
		command_failed(c, "users are not known here yet");
		return;
	}
	if (!take_resource(c, 0)) {
		command_misused(c);
		return;
	}
	begin_table(c, "grants", "Role                     Permissions");
	auth_find_grants(
	    d, c->auth.change.bucket, c->auth.change.stream, &from, &to);
	for (; from < to; from++) {
		struct slice words[AUTH_N_PERMISSIONS];
		struct auth_row row;
		uint32_t k = 0;

		if (auth_row(doc_at(d, from), &row))
			continue;
		for (unsigned bit = 1; bit < AUTH_ALL; bit <<= 1)
			if (row.grant.permissions & bit)
				words[k++] =
				    SLICE_STR(auth_permission_word(bit));
		add_row(c, "role", "permissions", row.grant.role, words, k,
		    n++ == 0);
	}
	end_table(c);
}

/* --- changes -------------------------------------------------------------- */

static const char *
refusal_text(const struct admin_auth *a)
{
	switch (a->refusal) {
	case AUTH_EXISTS:
		return "a user or a group has this name";
	case AUTH_UNKNOWN:
		return "there is nobody of this name";
	case AUTH_NO_GROUP:
		return "there is no such group";
	case AUTH_CYCLE:
		return "a group would be in itself";
	case AUTH_LAST_ADMIN:
		return "nobody would be left in " AUTH_ADMINS;
	case AUTH_NEEDED:
		return "this group stays";
	default:
		return "it is in too many groups";
	}
}

static const char *
error_text(int r)
{
	if (r == -ERR_UNKNOWN)
		return "whether it was changed is not known";
	if (r == -ERR_LIMIT)
		return "there is no room for more";
	return r == -ERR_UNAVAILABLE
		   ? "there is no majority of the root group now"
		   : err_text(r);
}

static void
changed(struct command *c)
{
	const struct admin_auth *a = &c->auth;
	int ok =
	    a->r == 0 && (a->refusal == AUTH_OK || a->refusal == AUTH_SAME);

	if (a->r)
		buf_printf(&c->out, "Failed: %s\n", error_text(a->r));
	else if (!ok)
		buf_printf(&c->out, "Failed: %s\n", refusal_text(a));
	else
		buf_add_str(&c->out, "Done\n");
	if (ok && a->pending.n) {
		buf_add_str(&c->out, "Not yet known to ");
		buf_add_slice(&c->out, buf_slice(&a->pending));
		buf_add_byte(&c->out, '\n');
	}
	command_end(c, !ok);
}

static void
ask(struct command *c, enum auth_op op, uint32_t name)
{
	struct auth_change *q = &c->auth.change;

	q->op = op;
	q->name = SLICE_STR(c->args[name]);
	if (auth_name_is_legal(q->name) ||
	    (op >= AUTH_GIVE && strcmp(c->args[name], AUTH_EVERYONE) == 0)) {
		command_auth(c, changed);
		return;
	}
	buf_add_str(&c->out, "Failed: this is no name of a user or a group\n");
	command_end(c, 1);
}

/* The arguments from number AT on. */
static void
take_groups(struct command *c, uint32_t at)
{
	struct auth_change *q = &c->auth.change;

	q->has_groups = 1;
	for (; at < c->n_args; at++)
		q->groups.at[q->groups.n++] = SLICE_STR(c->args[at]);
}

void
command_user_add(struct command *c)
{
	c->auth.password = c->args[1];
	take_groups(c, 2);
	ask(c, AUTH_ADD_USER, 0);
}

void
command_user_passwd(struct command *c)
{
	c->auth.password = c->args[1];
	ask(c, AUTH_SET_USER, 0);
}

void
command_user_groups(struct command *c)
{
	take_groups(c, 1);
	ask(c, AUTH_SET_USER, 0);
}

void
command_user_delete(struct command *c)
{
	ask(c, AUTH_DROP_USER, 0);
}

void
command_user_revoke(struct command *c)
{
	ask(c, AUTH_END_SESSIONS, 0);
}

void
command_group_add(struct command *c)
{
	take_groups(c, 1);
	ask(c, AUTH_ADD_GROUP, 0);
}

void
command_group_groups(struct command *c)
{
	take_groups(c, 1);
	ask(c, AUTH_SET_GROUP, 0);
}

void
command_group_delete(struct command *c)
{
	ask(c, AUTH_DROP_GROUP, 0);
}

static void
change_grant(struct command *c, enum auth_op op)
{
	struct auth_change *q = &c->auth.change;

	q->permission = auth_permission_of(SLICE_STR(c->args[1]));
	if (!take_resource(c, 2) || !q->permission ||
	    !auth_permission_fits(q->permission, q->bucket, q->stream))
		command_misused(c);
	else
		ask(c, op, 0);
}

void
command_grant_add(struct command *c)
{
	change_grant(c, AUTH_GIVE);
}

void
command_grant_remove(struct command *c)
{
	change_grant(c, AUTH_TAKE);
}
