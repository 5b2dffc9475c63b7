/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * libhttp-parser as a second opinion: what we accept, it reads the same way.
 *
 * The other direction does not hold: known_wrong lists what it accepts and must
 * not be (it is built without its strict mode in Debian).  It is stricter than
 * RFC 9110 in two things, which are left out of the comparison: it knows its
 * list of methods only, and refuses equal duplicates of Content-Length.  Its
 * keep-alive is not asked for: it overlooks what stands behind an empty member
 * of Connection, and obeys a Connection among the trailers.
 */
#include <criterion/criterion.h>
#include <http_parser.h>
#include <strings.h>

#include "tests/http/walk.h"

TestSuite(parser_oracle);

#define H       "Host: x\r\n"
#define GET     "GET / HTTP/1.1\r\n" H
#define CHUNKED "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"

/* What http_parser reads, in the form of walk.text. */
struct oracle {
	http_parser parser;
	struct buf text, url, value;
	size_t whole_n; /* of text: that of whole requests */
	int n_requests;
	int in_value, in_body, upgraded;
};

static void
end_value(struct oracle *o)
{
	size_t n = o->value.n;

	if (!o->in_value)
		return;
	while (n && (o->value.p[n - 1] == ' ' || o->value.p[n - 1] == '\t'))
		n--;
	buf_add_byte(&o->text, ':');
	buf_add(&o->text, o->value.p, n);
	buf_add_byte(&o->text, '\n');
	buf_reset(&o->value);
	o->in_value = 0;
}

static int
on_begin(http_parser *p)
{
	struct oracle *o = p->data;

	buf_reset(&o->url);
	o->in_body = 0;
	return 0;
}

static int
on_url(http_parser *p, const char *at, size_t n)
{
	struct oracle *o = p->data;

	buf_add(&o->url, at, n);
	return 0;
}

/* Our target: the path of an absolute one. */
static struct slice
path_of(struct slice url)
{
	const uint8_t *at;

	if (url.n < 8 || strncasecmp((const char *)url.p, "http", 4) != 0)
		return url;
	at = memmem(url.p, url.n, "://", 3);
	if (!at)
		return url;
	url.n -= (size_t)(at + 3 - url.p);
	at = memchr(at + 3, '/', url.n);
	return at ? SLICE(at, (size_t)(url.p + url.n - at)) : SLICE_LIT("/");
}

static void
add_request_line(struct oracle *o)
{
	struct slice url = buf_slice(&o->url), path = path_of(url);

	if (path.p > url.p && path.p < url.p + url.n)
		path.n = (size_t)(url.p + url.n - path.p);
	buf_add_str(&o->text, http_method_str(o->parser.method));
	buf_add_byte(&o->text, ' ');
	buf_add_slice(&o->text, path);
	buf_add_byte(&o->text, '\n');
	buf_reset(&o->url);
}

static int
on_field(http_parser *p, const char *at, size_t n)
{
	struct oracle *o = p->data;

	if (o->in_body) /* a trailer */
		return 0;
	if (o->url.n)
		add_request_line(o);
	end_value(o);
	buf_add(&o->text, at, n);
	return 0;
}

static int
on_value(http_parser *p, const char *at, size_t n)
{
	struct oracle *o = p->data;

	if (o->in_body)
		return 0;
	o->in_value = 1;
	buf_add(&o->value, at, n);
	return 0;
}

static int
on_headers(http_parser *p)
{
	struct oracle *o = p->data;

	if (o->url.n)
		add_request_line(o);
	end_value(o);
	buf_add_byte(&o->text, '\n');
	o->in_body = 1;
	return 0;
}

static int
on_body(http_parser *p, const char *at, size_t n)
{
	struct oracle *o = p->data;

	buf_add(&o->text, at, n);
	return 0;
}

static int
on_complete(http_parser *p)
{
	struct oracle *o = p->data;

	buf_add_byte(&o->text, '\n');
	o->n_requests++;
	o->whole_n = o->text.n;
	o->upgraded = p->upgrade;
	if (o->upgraded)
		http_parser_pause(p, 1);
	return 0;
}

static enum http_errno
oracle_run(struct oracle *o, struct slice in)
{
	static const http_parser_settings settings = {
	    .on_message_begin = on_begin,
	    .on_url = on_url,
	    .on_header_field = on_field,
	    .on_header_value = on_value,
	    .on_headers_complete = on_headers,
	    .on_body = on_body,
	    .on_message_complete = on_complete,
	};

	http_parser_init(&o->parser, HTTP_REQUEST);
	o->parser.data = o;
	buf_reset(&o->text);
	buf_reset(&o->value);
	o->whole_n = 0;
	o->n_requests = o->in_value = o->upgraded = 0;
	http_parser_execute(&o->parser, &settings, (const char *)in.p, in.n);
	return HTTP_PARSER_ERRNO(&o->parser);
}

static void
oracle_init(struct oracle *o)
{
	*o = (struct oracle){0};
	buf_init(&o->text, 1u << 24);
	buf_init(&o->url, 1u << 24);
	buf_init(&o->value, 1u << 24);
}

static void
oracle_deinit(struct oracle *o)
{
	buf_deinit(&o->text);
	buf_deinit(&o->url);
	buf_deinit(&o->value);
}

/* 1 when both were asked and agreed, 0 when we refused or it is excused. */
static int
compare(struct walk *w, struct oracle *o, struct slice in)
{
	enum http_errno e;
	size_t n;

	walk_by(w, in, in.n + 1);
	if (w->status || w->n_requests == 0)
		return 0;
	e = oracle_run(o, in);
	if (e == HPE_INVALID_METHOD || e == HPE_UNEXPECTED_CONTENT_LENGTH)
		return 0;
	/* Behind an upgrade it stops, we go on until somebody takes over.  It
	 * may find one more, in bytes that we call unfinished: see known_wrong.
	 */
	n = o->upgraded ? o->whole_n : w->whole_n;
	cr_assert(o->upgraded || o->n_requests >= w->n_requests,
	    "%d and %d (%s) of %.*s", w->n_requests, o->n_requests,
	    http_errno_name(e), (int)in.n, (const char *)in.p);
	cr_assert(n > 0 && n <= w->whole_n && n <= o->whole_n &&
		      memcmp(w->text.p, o->text.p, n) == 0,
	    "%.*s\n--- and ---\n%.*s", (int)w->text.n, w->text.p,
	    (int)o->text.n, o->text.p);
	return 1;
}

static const char *const seeds[] = {
    GET "\r\n" GET "Connection: close\r\n\r\n",
    "GET /a/b?c=d HTTP/1.1\r\n" H "Accept: */*\r\nA:\t b \t\r\nB:\r\n\r\n",
    "POST /a HTTP/1.1\r\n" H "Content-Length: 12\r\n\r\nhello\r\n\r\nyou" GET
    "\r\n",
    "PUT /a HTTP/1.0\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n"
    "abc" GET "\r\n",
    "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n"
    "Expect: 100-continue\r\n\r\n3;a=b\r\nabc\r\nB\r\n0123456789a\r\n0\r\n"
    "T: v\r\n\r\n" GET "\r\n",
    "OPTIONS * HTTP/1.1\r\n" H "\r\n\r\n" GET "\r\n",
    "DELETE http://x:80/a?b HTTP/1.1\r\n" H "\r\n",
    GET "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "HEAD / HTTP/1.0\r\nA: b\r\n\r\n",
    "PATCH /%41 HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 0\r\n\r\n" GET
    "\r\n",
};

Test(parser_oracle, agrees_on_legal_requests)
{
	struct walk w;
	struct oracle o;

	walk_init(&w);
	oracle_init(&o);
	for (size_t i = 0; i < sizeof(seeds) / sizeof(*seeds); i++)
		cr_assert(compare(&w, &o, SLICE_STR(seeds[i])), "%s", seeds[i]);
	oracle_deinit(&o);
	walk_deinit(&w);
}

static uint64_t
next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x >> 11;
}

static void
mutate(struct buf *b, uint64_t *x)
{
	static const char bytes[] = "\r\n :;,\t/?0159afGx-+.\x01\x7f\xff";
	static const char *const parts[] = {"\r\n", "Content-Length: 3\r\n",
	    "Transfer-Encoding: chunked\r\n", "Connection: close\r\n", H,
	    "0\r\n\r\n", GET "\r\n", ", x", "  "};
	size_t at = next(x) % b->n, from = next(x) % b->n;
	size_t n = 1 + next(x) % 12;

	switch (next(x) % 4) {
	case 0:
		b->p[at] = (uint8_t)bytes[next(x) % (sizeof(bytes) - 1)];
		break;
	case 1: /* take a byte or a few away */
		n = n < b->n - at ? n : b->n - at - 1;
		memmove(b->p + at, b->p + at + n, b->n - at - n);
		b->n -= n;
		break;
	case 2: /* copy a piece over another */
		n = n < b->n - at ? n : b->n - at;
		n = n < b->n - from ? n : b->n - from;
		memmove(b->p + at, b->p + from, n);
		break;
	case 3: {
		const char *part = parts[next(x) % 9];

		n = strlen(part);
		cr_assert(buf_reserve(b, n));
		memmove(b->p + at + n, b->p + at, b->n - at);
		memcpy(b->p + at, part, n);
		b->n += n;
	}
	}
}

Test(parser_oracle, agrees_on_what_we_accept_of_200000_mutants)
{
	uint64_t x = 88172645463325252u;
	int n_accepted = 0;
	struct walk w;
	struct oracle o;
	struct buf b;

	walk_init(&w);
	oracle_init(&o);
	buf_init(&b, 1u << 20);
	for (int i = 0; i < 200000; i++) {
		buf_reset(&b);
		buf_add_str(&b, seeds[next(&x) % 10]);
		for (uint64_t k = 1 + next(&x) % 3; k; k--)
			mutate(&b, &x);
		n_accepted += compare(&w, &o, buf_slice(&b));
	}
	cr_assert_geq(n_accepted, 10000, "%d", n_accepted);
	buf_deinit(&b);
	oracle_deinit(&o);
	walk_deinit(&w);
}

/* It reads a request where there is none: a reason each for our own parser. */
Test(parser_oracle, known_wrong)
{
	static const struct {
		const char *text;
		int status; /* ours */
	} rows[] = {
	    {GET "Content-Length : 5\r\n\r\nhello", 400},
	    {CHUNKED "3\r\nabcXY0\r\n\r\n", 400},
	    {"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		400},
	    {"GET / HTTP/1.1\nHost: x\n\n", 400},
	    {GET "A: b\r\n c\r\n\r\n", 400},
	    {"GET / HTTP/1.1\r\n\r\n", 400},
	    {GET H "\r\n", 400},
	    {GET "\r ", 0}, /* no LF yet: not over, 400 with the next one */
	    {"GET / HTTP/2.7\r\n" H "\r\n", 505},
	    {CHUNKED "3 x\r\nabc\r\n0\r\n\r\n", 400},
	    {"\r\n\r\n\r\n\r\n" GET "\r\n", 400},
	    {"GET /a#b HTTP/1.1\r\n" H "\r\n", 400},
	    {"GET /\xff HTTP/1.1\r\n" H "\r\n", 400},
	    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
	};
	struct walk w;
	struct oracle o;

	walk_init(&w);
	oracle_init(&o);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		enum http_errno e = oracle_run(&o, SLICE_STR(rows[i].text));

		cr_expect(e == HPE_OK || e == HPE_PAUSED, "%s: %s",
		    http_errno_name(e), rows[i].text);
		cr_expect_eq(o.n_requests, 1, "%s", rows[i].text);
		walk_by(&w, SLICE_STR(rows[i].text), 1);
		cr_expect_eq(
		    w.status, rows[i].status, "%d: %s", w.status, rows[i].text);
	}
	oracle_deinit(&o);
	walk_deinit(&w);
}
