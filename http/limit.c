/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * limit - whether a request is one too many (http-api.md section 5), and the
 * headers that tell.
 *
 * Source:  draft-ietf-httpapi-ratelimit-headers-10: one policy, whose quota is
 *          for one second.
 */
#include "http/http_impl.h"
#include "http/ratelimit.h"
#include "http/text.h"

#define SECOND_US 1000000u

/* What load balancers ask is asked whatever happens. */
static int
is_exempt(const struct request *rq)
{
	return !rq->route || rq->route->handler == api_live ||
	       rq->route->handler == api_ready;
}

static uint64_t
seconds(uint64_t us)
{
	return (us + SECOND_US - 1) / SECOND_US;
}

static void
refuse(struct request *rq, uint64_t wait_us)
{
	char extra[48];

	snprintf(extra, sizeof(extra), "Retry-After: %llu\r\n",
	    (unsigned long long)seconds(wait_us));
	respond_error(rq, 429, "rate-limited", extra, NULL,
	    "more than %llu requests a second%s",
	    (unsigned long long)rq->limit_rps,
	    rq->limit_user ? "" : " from this address without a token");
}

/* No user can be taken for an address. */
static struct slice
key_of(const struct request *rq, struct slice user, uint8_t store[256])
{
	struct slice who = user.n ? user : tcp_peer_key(rq->conn->tcp);
	size_t n = who.n < 255 ? who.n : 255;

	store[0] = user.n ? 'u' : 'a';
	if (n)
		memcpy(store + 1, who.p, n);
	return SLICE(store, n + 1);
}

static uint64_t
rps_of(const struct request *rq, struct slice user)
{
	return user.n ? rq->server->user_rps : rq->server->anonymous_rps;
}

static struct ratelimit_step
take(const struct request *rq, struct slice user, struct mono now)
{
	uint8_t store[256];

	return ratelimit_take(rq->server->config.ratelimit,
	    key_of(rq, user, store), now, rps_of(rq, user));
}

int
request_limit_more(const struct request *rq)
{
	struct slice user =
	    rq->who.anonymous ? SLICE(NULL, 0) : SLICE_STR(rq->who.name);

	return rps_of(rq, user) &&
	       take(rq, user, server_now(rq->server)).refused;
}

int
request_limit(struct request *rq, struct slice user)
{
	uint64_t rps = rps_of(rq, user);
	struct ratelimit_step step;

	if (rps == 0 || is_exempt(rq))
		return 0;
	step = take(rq, user, rq->started);
	rq->limit_user = user.n > 0;
	rq->limit_rps = rps;
	rq->limit_left = step.remaining;
	rq->limit_reset_s = seconds(step.full_us);
	if (step.refused)
		refuse(rq, step.wait_us);
	return step.refused;
}

void
limit_add(struct request *rq)
{
	const char *name = rq->limit_user ? "\"user\"" : "\"anonymous\"";
	char lines[160], *at = lines;

	if (rq->limit_rps == 0)
		return;
	at = text_add(at, "RateLimit-Policy: ");
	at = text_add(at, name);
	at = text_add(at, ";q=");
	at = text_add_u64(at, rq->limit_rps);
	at = text_add(at, ";w=1\r\nRateLimit: ");
	at = text_add(at, name);
	at = text_add(at, ";r=");
	at = text_add_u64(at, rq->limit_left);
	at = text_add(at, ";t=");
	at = text_add_u64(at, rq->limit_reset_s);
	at = text_add(at, "\r\n");
	respond_bytes(rq, lines, (size_t)(at - lines));
}
