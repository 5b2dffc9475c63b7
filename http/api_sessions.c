/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* api_sessions - /sessions (http-api.md section 2). */
#include "http/api_auth.h"
#include "src/base/err.h"

/* The same for every reason. */
static void
refuse_login(struct request *rq)
{
	respond_error(rq, 401, "unauthorized", NULL, NULL,
	    "the user name or the password is wrong");
}

static void
give_token(struct request *rq, const struct auth_identity *who, uint64_t now_ms)
{
	const struct http_server *s = rq->server;
	const struct env_rng *rng = &s->config.env->rng;
	uint8_t chance[16];
	struct buf token, body;
	int r;

	rng->bytes(rng->ctx, chance, sizeof(chance));
	buf_init(&token, JWT_MAX);
	buf_init(&body, 2 * JWT_MAX);
	r = jwt_make(s->config.algorithm, auth_view_secret(s->auth), who,
	    now_ms, chance, &token);
	buf_add_str(&body, "{\"ok\":true,\"token\":\"");
	buf_add_slice(&body, buf_slice(&token));
	buf_printf(&body, "\",\"username\":\"%s\"}", who->name);
	if (r) {
		respond_store_error(rq, r);
		buf_deinit(&body);
	} else {
		respond_json(rq, 201, "Location: /sessions\r\n", &body);
	}
	buf_deinit(&token);
}

/* The user may have been changed meanwhile: then the hash is another one. */
static void
checked(struct request *rq, struct api_auth *a)
{
	const struct http_server *s = rq->server;
	const struct env_clock *clock = &s->config.env->clock;
	uint64_t now_ms = clock->wall(clock->ctx).ms;
	struct auth_identity who = {0};
	struct auth_user_row u;

	if (!a->login.good ||
	    !auth_find_user(auth_view_doc(s->auth), buf_slice(&a->name), &u) ||
	    !slice_equal(u.hash, SLICE_STR(a->login.hash))) {
		refuse_login(rq);
		return;
	}
	memcpy(who.name, a->name.p, a->name.n);
	who.generation = u.generation;
	who.expires_ms = now_ms + s->config.session_us / 1000;
	give_token(rq, &who, now_ms);
}

void
api_session_post(struct request *rq)
{
	struct api_auth *a = api_auth_begin(rq);
	struct auth_user_row u = {.hash = {NULL, 0}};

	if (!a)
		return;
	if (!api_field(rq, "username", &a->name) ||
	    !api_field(rq, "password", &a->password)) {
		refuse_login(rq);
		return;
	}
	if (!auth_find_user(
		auth_view_doc(rq->server->auth), buf_slice(&a->name), &u))
		u.hash.n = 0;
	memcpy(
	    a->login.hash, u.hash.n ? u.hash.p : (const uint8_t *)"", u.hash.n);
	a->login.user = buf_slice(&a->name);
	a->login.address = tcp_peer_key(rq->conn->tcp);
	api_check_password(rq, a, checked);
}

void
api_session_get(struct request *rq)
{
	struct buf b;

	buf_init(&b, 256);
	buf_printf(&b, "{\"username\":\"%s\"}", rq->who.name);
	respond_json(rq, 200, NULL, &b);
}

void
api_session_delete(struct request *rq)
{
	struct api_auth *a;

	if (rq->who.anonymous) {
		request_deny(rq, "there is no session without a token");
		return;
	}
	a = api_auth_new(rq);
	if (!a)
		return;
	a->ask.change = (struct auth_change){
	    .op = AUTH_END_SESSIONS, .name = SLICE_STR(rq->who.name)};
	api_change(rq, a, api_done_empty);
}
