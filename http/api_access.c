/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* api_access - /access: who was granted what on exactly this bucket or stream
 * (http-api.md section 3). */
#include "http/api_auth.h"
#include "src/base/err.h"

#define LIST_MAX (16u << 20)

static void
add_grant(struct buf *b, const struct auth_grant_row *g, int *n)
{
	int first = 1;

	if ((*n)++)
		buf_add_byte(b, ',');
	buf_add_str(b, "{\"name\":");
	buf_add_json_string(b, g->role);
	buf_add_str(b, ",\"grants\":[");
	for (unsigned bit = 1; bit < AUTH_ALL; bit <<= 1) {
		if (!(g->permissions & bit))
			continue;
		buf_printf(
		    b, "%s\"%s\"", first ? "" : ",", auth_permission_word(bit));
		first = 0;
	}
	buf_add_str(b, "]}");
}

/* Those of groups, or of all others. */
static void
add_grants(struct request *rq, struct buf *b, int of_groups)
{
	const struct doc *d = auth_view_doc(rq->server->auth);
	struct auth_group_row group;
	uint32_t from, to;
	int n = 0;

	auth_find_grants(d, rq->bucket, rq->stream, &from, &to);
	for (uint32_t i = from; i < to; i++) {
		struct auth_row row;

		if (auth_row(doc_at(d, i), &row) == 0 &&
		    auth_find_group(d, row.grant.role, &group) == of_groups)
			add_grant(b, &row.grant, &n);
	}
}

void
api_access_get(struct request *rq)
{
	struct buf b;

	buf_init(&b, LIST_MAX);
	buf_add_str(&b, "{\"users\":[");
	add_grants(rq, &b, 0);
	buf_add_str(&b, "],\"groups\":[");
	add_grants(rq, &b, 1);
	buf_add_str(&b, "]}");
	respond_json(rq, 200, NULL, &b);
}

static int
take_action(struct request *rq, struct api_auth *a)
{
	struct slice s;

	if (!api_field(rq, "action", &a->name))
		return 0;
	s = buf_slice(&a->name);
	a->ask.change.op =
	    slice_equal(s, SLICE_LIT("grant")) ? AUTH_GIVE : AUTH_TAKE;
	return a->ask.change.op == AUTH_GIVE ||
	       slice_equal(s, SLICE_LIT("revoke"));
}

static int
take_permission(struct request *rq, struct api_auth *a)
{
	if (!api_field(rq, "permission", &a->password))
		return 0;
	a->ask.change.permission = auth_permission_of(buf_slice(&a->password));
	return a->ask.change.permission &&
	       auth_permission_fits(
		   a->ask.change.permission, rq->bucket, rq->stream);
}

static int
take_role(struct request *rq, struct api_auth *a, const char **name)
{
	struct slice raw;

	*name = fields_find(rq->body, "role", &raw) ||
			!fields_find(rq->body, "username", &raw)
		    ? "role"
		    : "username";
	return api_field(rq, *name, &a->name) &&
	       (auth_name_is_legal(buf_slice(&a->name)) ||
		   slice_equal(buf_slice(&a->name), SLICE_LIT(AUTH_EVERYONE)));
}

void
api_access_post(struct request *rq)
{
	struct api_auth *a = api_auth_begin(rq);
	const char *role;

	if (!a)
		return;
	if (!take_action(rq, a)) {
		api_bad_field(rq, "action");
	} else if (!take_role(rq, a, &role)) {
		api_bad_value(rq, "role", role);
	} else if (!take_permission(rq, a)) {
		api_bad_field(rq, "permission");
	} else {
		a->ask.change.name = buf_slice(&a->name);
		a->ask.change.bucket = rq->bucket;
		a->ask.change.stream = rq->stream;
		api_change(rq, a, api_done);
	}
}
