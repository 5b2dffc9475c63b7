/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* api_auth - bodies, passwords and changes of users, from the request to its
 * answer. */
#include "http/api_auth.h"

#include "http/media.h"
#include "src/base/err.h"
#include "src/base/mem.h"

/* Queue, question, arrival, append and the other members: each may take as long
 * as a request (src/node/root_doc.c, users.c). */
#define CHANGE_PARTS 5

void
api_auth_free(struct api_auth *a)
{
	if (!a)
		return;
	if (a->password.p)
		explicit_bzero(a->password.p, a->password.cap);
	explicit_bzero(a->login.hash, sizeof(a->login.hash));
	buf_deinit(&a->password);
	buf_deinit(&a->name);
	buf_deinit(&a->ask.pending);
	mem_free(a);
}

struct api_auth *
api_auth_new(struct request *rq)
{
	struct api_auth *a = mem_zalloc(sizeof(*a));

	if (!a) {
		respond_store_error(rq, -ERR_NOMEM);
		return NULL;
	}
	buf_init(&a->name, 1024);
	buf_init(&a->password, PASSWORD_MAX);
	rq->asking = a;
	return a;
}

struct api_auth *
api_auth_begin(struct request *rq)
{
	struct json_error why;
	int r = json_check(rq->server->json, rq->body, JSON_MAX_DEPTH, &why);

	if (r == -ERR_NOMEM) {
		respond_store_error(rq, r);
		return NULL;
	}
	if (r || !fields_is_object(rq->body)) {
		respond_error(rq, 400, "invalid-body", NULL, NULL,
		    "the body is not a JSON object");
		return NULL;
	}
	return api_auth_new(rq);
}

void
api_object_check(struct request *rq)
{
	if (!media_is(request_header(rq, "content-type"), "application/json") ||
	    media_is_encoded(rq))
		respond_error(rq, 415, "", NULL, NULL, "-");
}

/* --- fields --------------------------------------------------------------- */

int
api_field(struct request *rq, const char *name, struct buf *out)
{
	struct slice raw;

	buf_reset(out);
	return fields_find(rq->body, name, &raw) && fields_string(raw, out);
}

void
api_bad_field(struct request *rq, const char *name)
{
	api_bad_value(rq, name, name);
}

void
api_bad_value(struct request *rq, const char *name, const char *member)
{
	struct slice raw;
	struct buf b;

	if (!fields_find(rq->body, member, &raw))
		raw = SLICE_LIT("null");
	buf_init(&b, 64u << 10);
	buf_printf(&b, ",\"field\":\"%s\",\"value\":", name);
	buf_add_slice(&b, raw);
	buf_add_byte(&b, '\0');
	respond_error(rq, 400, "invalid-field", NULL,
	    buf_error(&b) ? NULL : (char *)b.p, "the field %s is not valid",
	    name);
	buf_deinit(&b);
}

static int
take_group(struct api_auth *a, struct slice raw)
{
	struct auth_groups *g = &a->ask.change.groups;
	struct buf b;
	int good;

	buf_init(&b, AUTH_NAME_MAX);
	good = g->n < AUTH_GROUPS_MAX && fields_string(raw, &b) &&
	       auth_name_is_legal(buf_slice(&b));
	if (good) {
		memcpy(a->groups[g->n], b.p, b.n);
		g->at[g->n] = SLICE(a->groups[g->n], b.n);
		g->n++;
	}
	buf_deinit(&b);
	return good;
}

int
api_groups(struct request *rq, struct api_auth *a)
{
	struct slice rest, raw;
	int more;

	if (!fields_find(rq->body, "groups", &rest))
		return 1;
	a->ask.change.has_groups = 1;
	while ((more = fields_next(&rest, &raw)) > 0)
		if (!take_group(a, raw))
			break;
	if (more == 0)
		return 1;
	api_bad_field(rq, "groups");
	return 0;
}

/* --- passwords ------------------------------------------------------------ */

static void
computed(struct msg *m)
{
	struct login *l = CONTAINER_OF(m, struct login, msg);
	struct api_auth *a = CONTAINER_OF(l, struct api_auth, login);
	struct request *rq = m->via;
	char again[64];

	if (!request_back(rq))
		return;
	if (l->r == -ERR_LIMIT) {
		snprintf(
		    again, sizeof(again), "Retry-After: %u\r\n", l->wait_s);
		respond_error(rq, 429, "rate-limited", again, NULL,
		    "too many logins have failed");
	} else if (l->r == -ERR_BUSY) {
		respond_error(rq, 503, "unavailable", "Retry-After: 1\r\n",
		    NULL, "too many passwords are waiting to be looked at");
	} else if (l->r) {
		respond_store_error(rq, l->r);
	} else {
		a->next(rq, a);
	}
}

static void
compute(struct request *rq, struct api_auth *a, enum login_op op,
    void (*next)(struct request *rq, struct api_auth *a))
{
	a->next = next;
	a->login.op = op;
	a->login.password = buf_slice(&a->password);
	a->login.msg =
	    (struct msg){.from = rq->server->worker, .fn = computed, .via = rq};
	rq->in_store = 1;
	request_watch(rq);
	logins_ask(rq->server->config.logins, &a->login);
}

void
api_hash(struct request *rq, struct api_auth *a,
    void (*next)(struct request *rq, struct api_auth *a))
{
	compute(rq, a, LOGIN_HASH, next);
}

void
api_check_password(struct request *rq, struct api_auth *a,
    void (*next)(struct request *rq, struct api_auth *a))
{
	compute(rq, a, LOGIN_CHECK, next);
}

/* --- changes -------------------------------------------------------------- */

static void
refused(struct request *rq, const struct auth_request *q)
{
	int group = q->change.op >= AUTH_ADD_GROUP;

	switch (q->refusal) {
	case AUTH_EXISTS:
		respond_error(rq, 400, group ? "group-exists" : "user-exists",
		    NULL, NULL, "a user or a group has this name");
		break;
	case AUTH_UNKNOWN:
		respond_error(rq, 404, "not-found", NULL, NULL,
		    group ? "there is no such group" : "there is no such user");
		break;
	case AUTH_LAST_ADMIN:
		respond_error(rq, 409, "error", NULL, NULL,
		    "nobody would be left in " AUTH_ADMINS);
		break;
	case AUTH_NEEDED:
		respond_error(rq, 409, "error", NULL, NULL,
		    "this group cannot be deleted");
		break;
	case AUTH_CYCLE:
		respond_error(rq, 400, "invalid-field", NULL,
		    ",\"field\":\"groups\"", "a group would be in itself");
		break;
	default:
		api_bad_field(rq, "groups");
	}
}

static void
changed(struct msg *m)
{
	struct auth_request *q = CONTAINER_OF(m, struct auth_request, msg);
	struct api_auth *a = CONTAINER_OF(q, struct api_auth, ask);
	struct request *rq = a->login.msg.via;

	if (!request_back(rq))
		return;
	if (q->r == -ERR_LIMIT)
		respond_error(rq, 503, "unavailable", NULL, NULL,
		    "there is no room for more users, groups and grants");
	else if (q->r == -ERR_UNKNOWN)
		respond_error(rq, 504, "unknown-outcome", NULL, NULL,
		    "whether this was changed is not known");
	else if (q->r)
		respond_error(rq, 503, "unavailable", "Retry-After: 1\r\n",
		    NULL, "there is no majority of the root group now");
	else if (q->refusal != AUTH_OK && q->refusal != AUTH_SAME)
		refused(rq, q);
	else
		a->next(rq, a);
}

void
api_change(struct request *rq, struct api_auth *a,
    void (*next)(struct request *rq, struct api_auth *a))
{
	const struct http_config *c = &rq->server->config;

	a->next = next;
	a->login.msg.via = rq;
	a->ask.msg = (struct msg){.from = rq->server->worker, .fn = changed};
	rq->in_store = rq->proposed = 1;
	request_watch_for(rq, CHANGE_PARTS * c->request_timeout_us);
	c->ask(c->arg, &a->ask);
}

/* --- answers -------------------------------------------------------------- */

void
respond_json(
    struct request *rq, int status, const char *extra, struct buf *body)
{
	char lines[512];

	snprintf(lines, sizeof(lines), "Cache-Control: no-store\r\n%s",
	    extra ? extra : "");
	if (buf_error(body))
		respond_store_error(rq, -ERR_NOMEM);
	else
		respond(rq, status, "application/json", lines, buf_slice(body));
	buf_deinit(body);
}

static void
respond_ok(
    struct request *rq, struct api_auth *a, int status, const char *extra)
{
	struct buf b;

	buf_init(&b, 128u << 10);
	buf_add_str(&b, "{\"ok\":true");
	if (a->ask.pending.n) {
		buf_add_str(&b, ",\"pending\":[");
		buf_add_slice(&b, buf_slice(&a->ask.pending));
		buf_add_byte(&b, ']');
	}
	buf_add_byte(&b, '}');
	respond_json(rq, status, extra, &b);
}

void
api_done(struct request *rq, struct api_auth *a)
{
	respond_ok(rq, a, 200, NULL);
}

void
api_done_empty(struct request *rq, struct api_auth *a)
{
	if (a->ask.pending.n)
		respond_ok(rq, a, 200, NULL);
	else
		respond(rq, 204, NULL, NULL, SLICE(NULL, 0));
}

/* Names of users and groups need no escape but `@`, which may stand in a path. */
void
api_created(struct request *rq, struct api_auth *a)
{
	char extra[128];

	snprintf(extra, sizeof(extra), "Location: /%s/%.*s\r\n",
	    a->ask.change.op == AUTH_ADD_USER ? "users" : "groups",
	    (int)a->name.n, (const char *)a->name.p);
	respond_ok(rq, a, 201, extra);
}
