/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * auth - who asks, and whether they may (http-api.md sections 2 and 3).
 *
 * All is looked up in the view that this worker has; tokens that were verified
 * under it are kept, so that a client's next request costs no HMAC.
 */
#include <openssl/crypto.h>

#include "http/http_impl.h"
#include "src/base/hash.h"
#include "src/base/mem.h"

#define CACHED 64

struct token_cache {
	uint64_t seed;
	struct cached {
		uint64_t seq; /* of the view; 0: free */
		size_t n;
		uint8_t token[JWT_MAX];
		struct auth_identity who;
	} at[CACHED];
};

struct token_cache *
token_cache_new(void)
{
	return mem_zalloc(sizeof(struct token_cache));
}

struct token_cache *
token_cache_free(struct token_cache *c)
{
	return mem_free(c);
}

/* --- the token ------------------------------------------------------------ */

static int
is_bearer(struct slice s)
{
	static const char scheme[] = "bearer ";

	for (size_t i = 0; i < sizeof(scheme) - 1; i++)
		if (i >= s.n || (s.p[i] | 0x20) != (uint8_t)scheme[i])
			return 0;
	return 1;
}

/* The token that counts: the first that is there. */
static int
find_token(struct request *rq, struct slice *out)
{
	struct slice bearer = request_header(rq, "authorization");

	*out = request_header(rq, "x-session");
	if (out->p)
		return 1;
	if (is_bearer(bearer)) {
		*out = SLICE(bearer.p + 7, bearer.n - 7);
		while (out->n && *out->p == ' ')
			*out = SLICE(out->p + 1, out->n - 1);
		return 1;
	}
	return request_param(rq, "jwt", out);
}

/* 1: WHO is who TOKEN was made for. */
static int
verify(struct http_server *s, struct slice token, struct auth_identity *who)
{
	uint64_t seq = auth_view_seq(s->auth);
	struct cached *c;

	if (token.n == 0 || token.n > JWT_MAX)
		return 0;
	c = &s->tokens->at[hash64(token.p, token.n, s->tokens->seed) % CACHED];
	if (c->seq == seq && c->n == token.n &&
	    CRYPTO_memcmp(c->token, token.p, token.n) == 0) {
		*who = c->who;
		return 1;
	}
	if (jwt_check(
		s->config.algorithm, auth_view_secret(s->auth), token, who))
		return 0;
	c->seq = seq;
	c->n = token.n;
	memcpy(c->token, token.p, token.n);
	c->who = *who;
	return 1;
}

static uint64_t
wall_ms(const struct request *rq)
{
	const struct env_clock *clock = &rq->server->config.env->clock;

	return clock->wall(clock->ctx).ms;
}

void
request_deny(struct request *rq, const char *why)
{
	respond_error(
	    rq, 401, "no-perm", "WWW-Authenticate: jwt\r\n", NULL, "%s", why);
}

static void
refuse_for_now(struct request *rq)
{
	if (api_listen_later(rq))
		return;
	respond_unavailable(rq, "who may do what is not known here yet");
}

int
conn_waits_for_users(const struct conn *c)
{
	const struct http_server *s = c->server;
	const uint8_t *head = c->in->p + c->in_at;

	return !s->auth && !s->stopping && !c->impatient && !c->eof &&
	       uri_begins_with(parser_slice(head, c->head.target), "listen");
}

void
conn_goes_on_with_users(struct conn *c)
{
	if (c->state == CONN_HELD)
		conn_kick(c);
}

int
request_identify(struct request *rq)
{
	struct http_server *s = rq->server;
	struct slice token;
	int shown = find_token(rq, &token);

	if (!s->auth) {
		rq->who.anonymous = 1;
		if (!shown && rq->route->permission == PERM_NONE)
			return 1;
		refuse_for_now(rq);
		return 0;
	}
	rq->checked_at = auth_view_seq(s->auth);
	if (!shown) {
		rq->who = auth_anonymous(s->auth);
		return !request_limit(rq, SLICE(NULL, 0));
	}
	if (verify(s, token, &rq->who) &&
	    auth_is_valid(s->auth, &rq->who, wall_ms(rq)))
		return !request_limit(rq, SLICE_STR(rq->who.name));
	if (!request_limit(rq, SLICE(NULL, 0)))
		request_deny(rq, "the token is not valid, or not any more");
	return 0;
}

/* --- permissions ---------------------------------------------------------- */

int
request_may(const struct request *rq, unsigned permission, struct slice bucket,
    struct slice stream)
{
	return auth_check(
	    rq->server->auth, &rq->who, permission, bucket, stream);
}

int
request_may_still(const struct request *rq, unsigned permission,
    struct slice bucket, struct slice stream)
{
	return auth_is_valid(rq->server->auth, &rq->who, wall_ms(rq)) &&
	       request_may(rq, permission, bucket, stream);
}

int
request_is_valid(const struct request *rq)
{
	return auth_is_valid(rq->server->auth, &rq->who, wall_ms(rq));
}

static int
is_allowed(const struct request *rq)
{
	struct slice none = SLICE(NULL, 0);

	switch (rq->route->permission) {
	case PERM_NONE:
	case PERM_ANYBODY:
		return 1;
	case PERM_GET:
		return request_may(rq, AUTH_GET, rq->bucket, rq->stream);
	case PERM_PUT:
		return request_may(rq, AUTH_PUT, rq->bucket, rq->stream);
	case PERM_DELETE:
		return request_may(rq, AUTH_DELETE, rq->bucket, rq->stream);
	case PERM_GRANT:
		return request_may(rq, AUTH_GRANT, rq->bucket, rq->stream);
	case PERM_GRANT_OR_GET:
		return request_may(rq, AUTH_GRANT, rq->bucket, rq->stream) ||
		       request_may(rq, AUTH_GET, rq->bucket, rq->stream);
	case PERM_LIST:
		return request_may(rq, AUTH_LIST, rq->bucket, none);
	case PERM_LIST_ALL:
		return request_may(
		    rq, AUTH_LIST, SLICE_LIT(AUTH_EVERYTHING), none);
	case PERM_ADMINUSERS:
		return request_may(
		    rq, AUTH_ADMINUSERS, SLICE_LIT(AUTH_MAGIC_BUCKET), none);
	case PERM_METRICS:
		return rq->server->config.metrics_public ||
		       request_may(rq, AUTH_GET, SLICE_LIT("$sys"), none);
	}
	return 0;
}

int
request_allow(struct request *rq)
{
	if (is_allowed(rq))
		return 1;
	request_deny(rq,
	    rq->who.anonymous
		? "a token is needed: POST /sessions gives one, to be sent as "
		  "x-session or as Authorization: Bearer"
		: "this user has no permission for it");
	return 0;
}

int
request_still_allowed(struct request *rq)
{
	struct http_server *s = rq->server;

	if (!s->auth || rq->checked_at == auth_view_seq(s->auth))
		return 1;
	rq->checked_at = auth_view_seq(s->auth);
	if (auth_is_valid(s->auth, &rq->who, wall_ms(rq)))
		return request_allow(rq);
	request_deny(rq, "the token is not valid any more");
	return 0;
}
