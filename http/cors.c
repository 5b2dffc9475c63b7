/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* cors - what pages of other origins may do with the answers. */
#include "http/cors.h"

#include "http/http_impl.h"
#include "http/parser_impl.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define LINES_MAX (16u << 10)

/* http-api.md section 5 and 7. */
static const char allow_headers[] =
    "X-Session, Authorization, Content-Type, If-Match, If-None-Match, "
    "Idempotency-Key, Last-Event-ID";
static const char expose_headers[] =
    "Location, ETag, Link, Iorio-First, Iorio-Last, Iorio-Seq, Iorio-Time, "
    "Iorio-Cursor, Iorio-Stale, Idempotent-Replayed, Retry-After, RateLimit, "
    "RateLimit-Policy, X-Request-Id";
static const char methods[] = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

struct cors {
	int all;                       /* origins */
	struct buf origins, preflight; /* the latter a C string */
};

/* The next item of a comma list, without blanks; empty at the end. */
static struct slice
next_item(const char **at)
{
	const char *p = *at, *end;

	p += strspn(p, ", \t");
	end = p + strcspn(p, ",");
	*at = end;
	while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	return SLICE(p, (size_t)(end - p));
}

static int
is_token(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_class(s.p[i], CLASS_TOKEN))
			return 0;
	return 1;
}

static int
is_origin(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= 0x20 || s.p[i] >= 0x7f)
			return 0;
	return 1;
}

/* Each with a NUL behind it. */
static int
take_origins(struct cors *c, const char *list)
{
	struct slice s;

	while ((s = next_item(&list)).n) {
		if (!is_origin(s))
			return -ERR_INVAL;
		c->all |= slice_equal(s, SLICE_LIT("*"));
		buf_add_slice(&c->origins, s);
		buf_add_byte(&c->origins, 0);
	}
	return buf_error(&c->origins);
}

static int
make_preflight(struct cors *c, const char *headers, uint64_t max_age_s)
{
	struct slice s;

	buf_printf(&c->preflight,
	    "Access-Control-Allow-Methods: %s\r\n"
	    "Access-Control-Allow-Headers: %s",
	    methods, allow_headers);
	while ((s = next_item(&headers)).n) {
		if (!is_token(s))
			return -ERR_INVAL;
		buf_add_str(&c->preflight, ", ");
		buf_add_slice(&c->preflight, s);
	}
	buf_printf(&c->preflight, "\r\nAccess-Control-Max-Age: %llu\r\n",
	    (unsigned long long)max_age_s);
	buf_add_byte(&c->preflight, 0);
	return buf_error(&c->preflight);
}

int
cors_new(struct cors **out, const char *origins, const char *headers,
    uint64_t max_age_s)
{
	struct cors *c = mem_zalloc(sizeof(*c));
	int r;

	if (!c)
		return -ERR_NOMEM;
	buf_init(&c->origins, LINES_MAX);
	buf_init(&c->preflight, LINES_MAX);
	r = take_origins(c, origins);
	if (r == 0)
		r = make_preflight(c, headers, max_age_s);
	if (r)
		cors_free(c);
	else
		*out = c;
	return r;
}

struct cors *
cors_free(struct cors *c)
{
	if (!c)
		return NULL;
	buf_deinit(&c->origins);
	buf_deinit(&c->preflight);
	return mem_free(c);
}

int
cors_is_list(const struct cors *c)
{
	return !c->all;
}

int
cors_allows(const struct cors *c, struct slice origin)
{
	const char *p = (const char *)c->origins.p, *end = p + c->origins.n;

	if (origin.n == 0 || c->all)
		return origin.n > 0;
	for (; p < end; p += strlen(p) + 1)
		if (slice_equal(origin, SLICE_STR(p)))
			return 1;
	return 0;
}

int
cors_preflight(struct request *rq)
{
	const struct cors *c = rq->server->config.cors;

	if (!c || rq->origin.n == 0 ||
	    !request_header(rq, "access-control-request-method").p)
		return 0;
	respond(rq, 200, NULL,
	    cors_allows(c, rq->origin) ? (const char *)c->preflight.p : NULL,
	    SLICE(NULL, 0));
	return 1;
}

void
cors_add(struct request *rq)
{
	static const char vary[] = "Vary: Origin\r\n";
	static const char allow[] = "Access-Control-Allow-Origin: ";
	static const char expose[] = "\r\nAccess-Control-Expose-Headers: ";
	const struct cors *c = rq->server->config.cors;

	if (!c)
		return;
	respond_bytes(rq, vary, sizeof(vary) - 1);
	if (!cors_allows(c, rq->origin))
		return;
	respond_bytes(rq, allow, sizeof(allow) - 1);
	if (c->all)
		respond_bytes(rq, "*", 1);
	else
		respond_bytes(rq, rq->origin.p, rq->origin.n);
	respond_bytes(rq, expose, sizeof(expose) - 1);
	respond_bytes(rq, expose_headers, sizeof(expose_headers) - 1);
	respond_bytes(rq, "\r\n", 2);
}
