/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* api_auth - bodies, passwords and changes of users, from the request to its
 * answer. */
#include "http/api_auth.h"

#include "src/base/err.h"
#include "src/base/mem.h"

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
	buf_deinit(&a->ask.root.pending);
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
	return api_object(rq) ? api_auth_new(rq) : NULL;
}

/* --- fields --------------------------------------------------------------- */

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
		respond_unavailable(
		    rq, "too many passwords are waiting to be looked at");
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
	struct root_request *q = CONTAINER_OF(m, struct root_request, msg);
	struct auth_request *ask = CONTAINER_OF(q, struct auth_request, root);
	struct api_auth *a = CONTAINER_OF(ask, struct api_auth, ask);
	struct request *rq = a->login.msg.via;

	if (!request_back(rq))
		return;
	if (q->r < 0)
		respond_root_error(rq, q->r, "users, groups and grants");
	else if (q->r)
		refused(rq, ask);
	else
		a->next(rq, a);
}

void
api_change(struct request *rq, struct api_auth *a,
    void (*next)(struct request *rq, struct api_auth *a))
{
	a->next = next;
	a->login.msg.via = rq;
	a->ask.root.make = auth_request_make;
	request_ask_root(rq, ROOT_USERS, &a->ask.root, changed);
}

/* --- answers -------------------------------------------------------------- */

void
api_done(struct request *rq, struct api_auth *a)
{
	respond_ok(rq, &a->ask.root, 200, NULL);
}

void
api_done_empty(struct request *rq, struct api_auth *a)
{
	respond_done(rq, &a->ask.root);
}

/* Names of users and groups need no escape but `@`, which may stand in a path. */
void
api_created(struct request *rq, struct api_auth *a)
{
	char extra[128];

	snprintf(extra, sizeof(extra), "Location: /%s/%.*s\r\n",
	    a->ask.change.op == AUTH_ADD_USER ? "users" : "groups",
	    (int)a->name.n, (const char *)a->name.p);
	respond_ok(rq, &a->ask.root, 201, extra);
}
