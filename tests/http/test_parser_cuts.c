/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * Whole connections: what was read must not depend on how it was cut, at the
 * limits least of all.
 */
#include <criterion/criterion.h>

#include "http/parser.h"
#include "tests/http/walk.h"

TestSuite(parser_cuts);

#define H   "Host: x\r\n"
#define GET "GET / HTTP/1.1\r\n" H

struct row {
	const char *text;
	int n_requests, status;
};

static const struct row legal[] = {
    {GET "\r\n", 1, 0},
    {"\r\n\r\n" GET "\r\n", 1, 0},
    {GET "\r\n" GET "\r\n" GET "\r\n", 3, 0},
    {GET "\r\n\r\n\r\n" GET "\r\n", 2, 0},
    {"GET / HTTP/1.0\r\n\r\n" GET "\r\n", 1, 0},
    {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" GET "\r\n", 2, 0},
    {GET "Connection: close\r\n\r\n" GET "\r\n", 1, 0},
    {GET "Connection: keep-alive, close\r\n\r\n" GET "\r\n", 1, 0},
    {GET "Connection: ,, x,\t,\r\n\r\n" GET "\r\n", 2, 0},
    {"GET / HTTP/1.0\r\nConnection: close, keep-alive\r\n\r\n" GET "\r\n", 1,
	0},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc" GET "\r\n", 2, 0},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n" GET "\r\n", 2, 0},
    {"POST / HTTP/1.1\r\n" H "content-length:\t3\t\r\n\r\na\r\n", 1, 0},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
     "0\r\n\r\n" GET "\r\n",
	2, 0},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
     "3 ;a=\"b;c\"\r\nabc\r\n00B\t\t;\r\n0123456789a\r\n000\r\n"
     "A: b\r\nC:\r\n\r\n" GET "\r\n",
	2, 0},
    {"OPTIONS * HTTP/1.1\r\n" H "\r\n", 1, 0},
    {"GET http://x:80/a HTTP/1.1\r\n" H "\r\n", 1, 0},
    {"GET HTTPS://[2001:db8::1]:8443/a?b=/c HTTP/1.1\r\n" H "\r\n", 1, 0},
    {"GET http://x HTTP/1.1\r\n" H "\r\n", 1, 0},
    {"GET //a//b/ HTTP/1.1\r\n" H "\r\n", 1, 0},
    {"GET /a|b{c}\"<>\\^` HTTP/1.1\r\n" H "\r\n", 1, 0},
    {"!#$%&'*+-.^_`|~09azAZ / HTTP/1.1\r\n" H "\r\n", 1, 0},
    {"GET / HTTP/1.1\r\nHost: a-b_c~.d%20!$&'()*+,;=\r\n\r\n", 1, 0},
    {"GET / HTTP/1.1\r\nHost: x:\r\n\r\n", 1, 0},
    {"GET / HTTP/1.1\r\nHost: [::ffff:1.2.3.4]:65535\r\n\r\n", 1, 0},
    {GET "A:\r\nB: \t\r\nC:d\te\r\n\r\n", 1, 0},
    {GET "!#$%&'*+-.^_`|~: x\r\n\r\n", 1, 0},
    {GET "Expect: 100-Continue\r\n\r\n", 1, 0},
    /* not over yet */
    {"", 0, 0},
    {"\r", 0, 0},
    {"GET / HTTP/1.1\r", 0, 0},
    {GET, 0, 0},
    {GET "\r", 0, 0},
    {GET "Content-Length: 3\r\n\r\nab", 0, 0},
    {GET "Transfer-Encoding: chunked\r\n\r\n3\r\nab", 0, 0},
    {GET "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n", 0, 0},
};

#define CHUNKED "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"

static const struct row malformed[] = {
    /* request lines */
    {"\n" GET "\r\n", 0, 400},
    {"\r" GET "\r\n", 0, 400},
    {"\r\n\r\n\r\n" GET "\r\n", 0, 400},
    {"GET / HTTP/1.2\r\n" H "\r\n", 0, 505},
    {"GET / HTTP/1.9\r\n" H "\r\n", 0, 505},
    {"GET / HTTP/3.0\r\n" H "\r\n", 0, 505},
    {"GET / HTTP/01.1\r\n" H "\r\n", 0, 400},
    {"GET / HTTP/1.10\r\n" H "\r\n", 0, 400},
    {"GET / HTTP/1,1\r\n" H "\r\n", 0, 400},
    {"GET / HTTP/-1.1\r\n" H "\r\n", 0, 400},
    {"GET / ICE/1.1\r\n" H "\r\n", 0, 400},
    {"GET\t/ HTTP/1.1\r\n" H "\r\n", 0, 400},
    {"GET /\tHTTP/1.1\r\n" H "\r\n", 0, 400},
    {"GET / HTTP/1.1\t\r\n" H "\r\n", 0, 400},
    {"GET HTTP/1.1\r\n" H "\r\n", 0, 400},
    {"GET", 0, 0},
    {"GET:", 0, 400},
    {"\x80\x2e\x01", 0, 400},
    {"{\"a\":1}", 0, 400},
    {"GET ?a HTTP/1.1\r\n" H "\r\n", 0, 400},
    {"GET x:80 HTTP/1.1\r\n" H "\r\n", 0, 400},
    {"GET http:/a HTTP/1.1\r\n" H "\r\n", 0, 400},
    {"GET http:// HTTP/1.1\r\n" H "\r\n", 0, 400},
    {"GET http:///a HTTP/1.1\r\n" H "\r\n", 0, 400},
    {"GET http://:80/a HTTP/1.1\r\n" H "\r\n", 0, 400},
    {"GET http://x?a/b HTTP/1.1\r\n" H "\r\n", 0, 400},
    {"GET http://u@x/ HTTP/1.1\r\n" H "\r\n", 0, 400},
    {"GET http://x:8x/ HTTP/1.1\r\n" H "\r\n", 0, 400},
    {"CONNECT / HTTP/1.1\r\n" H "\r\n", 0, 400},
    {"POST * HTTP/1.1\r\n" H "\r\n", 0, 400},
    {"OPTIONS ** HTTP/1.1\r\n" H "\r\n", 0, 400},
    /* Host */
    {"GET / HTTP/1.1\r\nHost: x, x\r\n\r\n", 0, 400},
    {"GET / HTTP/1.1\r\nHost: x\r\nHOST: x\r\n\r\n", 0, 400},
    {"GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n", 0, 400},
    {"GET / HTTP/1.1\r\nHost: x#y\r\n\r\n", 0, 400},
    {"GET / HTTP/1.1\r\nHost: x\\y\r\n\r\n", 0, 400},
    {"GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n", 0, 400},
    {"GET / HTTP/1.1\r\nHost: x:123456\r\n\r\n", 0, 400},
    {"GET / HTTP/1.1\r\nHost: x:1:2\r\n\r\n", 0, 400},
    {"GET / HTTP/1.1\r\nHost: :80\r\n\r\n", 0, 400},
    {"GET / HTTP/1.1\r\nHost: []\r\n\r\n", 0, 400},
    {"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 0, 400},
    {"GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", 0, 400},
    {"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 0, 400},
    /* headers */
    {GET "A\t: b\r\n\r\n", 0, 400},
    {GET "\"A\": b\r\n\r\n", 0, 400},
    {GET "A: b\r\n \r\n\r\n", 0, 400},
    {GET "A: \x1b[0m\r\n\r\n", 0, 400},
    {GET "A: b\x0c\r\n\r\n", 0, 400},
    {GET "A: b\r\r\n\r\n", 0, 400},
    {GET "A: b\n\r\n", 0, 400},
    {GET "\r\r\n", 0, 400},
    /* framing */
    {GET "Content-Length: 1000000000000000000\r\n\r\n", 0, 400},
    {GET "Content-Length: 3,3\r\n\r\nabc", 0, 400},
    {GET "Content-Length: 3;\r\n\r\nabc", 0, 400},
    {GET "Content-Length: 3.0\r\n\r\nabc", 0, 400},
    {GET "Content-Length: 1e1\r\n\r\nabc", 0, 400},
    {GET "Content-Length: \xb2\r\n\r\nabc", 0, 400},
    {GET "Content-Length: 3\r\nContent-Length:\r\n\r\nabc", 0, 400},
    {GET "Transfer-Encoding:\r\n\r\n", 0, 400},
    {GET "Transfer-Encoding: chunked,\r\n\r\n", 0, 400},
    {GET "Transfer-Encoding: chunked, chunked\r\n\r\n", 0, 400},
    {GET "Transfer-Encoding: chunked;q=1\r\n\r\n", 0, 400},
    {GET "Transfer-Encoding: \"chunked\"\r\n\r\n", 0, 400},
    {GET "Transfer-Encoding: \x0b"
	 "chunked\r\n\r\n",
	0, 400},
    {GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n", 0, 400},
    {GET "Transfer-Encoding : chunked\r\n\r\n", 0, 400},
    {GET "Expect: 100-continue, x\r\n\r\n", 0, 417},
    {GET "Expect:\r\n\r\n", 0, 417},
    /* chunks */
    {CHUNKED "3 \r\nabc\r\n0\r\n\r\n", 0, 400},
    {CHUNKED "3 x\r\nabc\r\n0\r\n\r\n", 0, 400},
    {CHUNKED "3,4\r\nabc\r\n0\r\n\r\n", 0, 400},
    {CHUNKED ";x\r\n0\r\n\r\n", 0, 400},
    {CHUNKED "3;x\n\r\nabc\r\n0\r\n\r\n", 0, 400},
    {CHUNKED "3;x\rabc\r\n0\r\n\r\n", 0, 400},
    {CHUNKED "1000000000000000\r\n", 0, 400},
    {CHUNKED "0000000000000003\r\n", 0, 400},
    {CHUNKED "\r\n\r\n", 0, 400},
    {CHUNKED ";x\r\n\r\n", 0, 400},
    {CHUNKED "3\r\nabcx\n0\r\n\r\n", 0, 400},
    {CHUNKED "3\r\nabc0\r\n\r\n", 0, 400},
    {CHUNKED "3\r\nabc\r0\r\n\r\n", 0, 400},
    {CHUNKED "3\r\nab\r\n0\r\n\r\n", 0, 400},
    {CHUNKED "0\r\nA\r\n\r\n", 0, 400},
    {CHUNKED "0\r\nA : b\r\n\r\n", 0, 400},
    {CHUNKED "0\r\n: b\r\n\r\n", 0, 400},
    {CHUNKED "0\r\nA: b\n\r\n", 0, 400},
    {CHUNKED "0\r\nA: \x01\r\n\r\n", 0, 400},
    {CHUNKED "0\r\nA: b\r\n c\r\n\r\n", 0, 400},
    {CHUNKED "0\n\r\n", 0, 400},
    {CHUNKED "0\r\n\n", 0, 400},
    /* behind a good one */
    {GET "\r\n\r\n\r\n\r\n" GET "\r\n", 1, 400},
    {GET "Content-Length: 1\r\n\r\naGET\r\n", 1, 400},
};

static size_t
random_cut(void *arg)
{
	uint64_t *x = arg;

	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return 1 + *x % 40;
}

static void
check(struct slice in, int n_requests, int status)
{
	struct walk whole, cut;
	uint64_t seed = 1 + in.n;

	walk_init(&whole);
	walk_init(&cut);
	walk_by(&whole, in, in.n + 1);
	cr_assert_eq(whole.status, status, "%d: %.60s", whole.status,
	    (const char *)in.p);
	cr_assert_eq(whole.n_requests, n_requests, "%.60s", (const char *)in.p);
	walk_by(&cut, in, 1);
	cr_assert(
	    walk_equal(&whole, &cut), "byte by byte: %.60s", (char *)in.p);
	for (int i = 0; i < 20; i++) {
		walk_run(&cut, in, random_cut, &seed);
		cr_assert(walk_equal(&whole, &cut), "cut: %.60s", (char *)in.p);
	}
	walk_deinit(&whole);
	walk_deinit(&cut);
}

#define CHECK_ROWS(rows)                                                       \
	for (size_t i = 0; i < sizeof(rows) / sizeof(*(rows)); i++)            \
	check(SLICE_STR((rows)[i].text), (rows)[i].n_requests, (rows)[i].status)

Test(parser_cuts, legal_connections_are_read_alike)
{
	CHECK_ROWS(legal);
}

Test(parser_cuts, malformed_connections_end_alike)
{
	CHECK_ROWS(malformed);
}

Test(parser_cuts, no_prefix_of_a_legal_request_is_refused)
{
	struct walk w;

	walk_init(&w);
	for (size_t i = 0; i < sizeof(legal) / sizeof(*legal); i++)
		for (size_t n = 0; n < strlen(legal[i].text); n++) {
			walk_by(&w, SLICE(legal[i].text, n), n + 1);
			cr_assert_eq(
			    w.status, 0, "%zu of %s", n, legal[i].text);
		}
	walk_deinit(&w);
}

/* BEFORE, C as often as it takes to make N bytes of all, AFTER. */
static void
fill(struct buf *b, const char *before, size_t n, char c, const char *after)
{
	buf_reset(b);
	buf_add_str(b, before);
	while (b->n + strlen(after) < n)
		buf_add_byte(b, (uint8_t)c);
	buf_add_str(b, after);
}

Test(parser_cuts, request_line_limit_is_exact)
{
	struct buf b;

	buf_init(&b, 1u << 20);
	for (size_t over = 0; over < 3; over++) {
		fill(&b, "GET /", PARSER_LINE_MAX + over, 'a', " HTTP/1.1");
		buf_add_str(&b, "\r\n" H "\r\n");
		check(buf_slice(&b), over == 0, over ? 414 : 0);
	}
	buf_deinit(&b);
}

Test(parser_cuts, noise_is_refused_before_it_is_too_long)
{
	struct buf b;

	buf_init(&b, 1u << 20);
	fill(&b, "G\x01T /", 20000, 'a', " HTTP/1.1\r\n");
	check(buf_slice(&b), 0, 400);
	fill(&b, "\x16\x03\x01", 20000, '\0', "");
	check(buf_slice(&b), 0, 400);
	buf_deinit(&b);
}

Test(parser_cuts, header_block_limit_is_exact)
{
	static const char line[] = "GET / HTTP/1.1\r\n";
	size_t n = sizeof(line) - 1 + PARSER_BLOCK_MAX;
	struct walk whole, cut;
	struct buf b;

	buf_init(&b, 1u << 20);
	walk_init(&whole);
	walk_init(&cut);
	for (size_t over = 0; over < 4; over++) {
		fill(&b, GET "A: ", n + over, 'a', "\r\n\r\n");
		walk_by(&whole, buf_slice(&b), b.n);
		cr_assert_eq(whole.status, over ? 431 : 0);
		for (size_t from = b.n - 8; from < b.n; from++) {
			walk_by(&cut, buf_slice(&b), from);
			cr_assert(walk_equal(&whole, &cut), "%zu", from);
		}
		walk_by(&cut, buf_slice(&b), 127);
		cr_assert(walk_equal(&whole, &cut));
	}
	walk_deinit(&whole);
	walk_deinit(&cut);
	buf_deinit(&b);
}

Test(parser_cuts, chunk_lines_extensions_and_trailers_are_bounded)
{
	struct buf b;

	buf_init(&b, 1u << 20);
	for (size_t over = 0; over < 2; over++) {
		buf_reset(&b);
		buf_add_str(&b, CHUNKED "1;");
		for (size_t i = 0; i < PARSER_CHUNK_LINE_MAX + over - 1; i++)
			buf_add_byte(&b, 'x');
		buf_add_str(&b, "\r\na\r\n0\r\n\r\n");
		check(buf_slice(&b), !over, over ? 400 : 0);

		buf_reset(&b);
		buf_add_str(&b, CHUNKED "0\r\nA:");
		for (size_t i = 0; i < PARSER_TRAILERS_MAX + over - 5; i++)
			buf_add_byte(&b, 'x');
		buf_add_str(&b, "\r\n\r\n");
		check(buf_slice(&b), !over, over ? 400 : 0);
	}
	buf_reset(&b);
	buf_add_str(&b, CHUNKED);
	for (size_t i = 0; i < PARSER_CHUNK_LINE_MAX; i++)
		buf_add_str(&b, "1;x\r\na\r\n");
	buf_add_str(&b, "0\r\n\r\n");
	check(buf_slice(&b), 1, 0);
	buf_reset(&b);
	buf_add_str(&b, CHUNKED);
	for (size_t i = 0; i < PARSER_EXTENSIONS_MAX / 64 + 1; i++) {
		buf_add_str(&b, "1;");
		for (int k = 0; k < 63; k++)
			buf_add_byte(&b, 'x');
		buf_add_str(&b, "\r\na\r\n");
	}
	buf_add_str(&b, "0\r\n\r\n");
	check(buf_slice(&b), 0, 400);
	buf_deinit(&b);
}

Test(parser_cuts, targets_flags_and_values_are_found)
{
	static const struct {
		const char *text, *target;
		int keep_alive, expect, upgrade;
	} rows[] = {
	    {"GET /a?b HTTP/1.1\r\n" H "\r\n", "/a?b", 1, 0, 0},
	    {"GET http://x:1/a?b HTTP/1.1\r\n" H "\r\n", "/a?b", 1, 0, 0},
	    {"GET https://x/ HTTP/1.1\r\n" H "\r\n", "/", 1, 0, 0},
	    {"GET http://x HTTP/1.1\r\n" H "\r\n", "/", 1, 0, 0},
	    {"OPTIONS * HTTP/1.1\r\n" H "\r\n", "*", 1, 0, 0},
	    {GET "Connection: Upgrade\r\n\r\n", "/", 1, 0, 1},
	    {GET "Connection: close\r\nConnection: keep-alive\r\n\r\n", "/", 0,
		0, 0},
	    {"GET / HTTP/1.0\r\nConnection: upgrade\r\n\r\n", "/", 0, 0, 0},
	    {GET "Expect: 100-continue\r\n\r\n", "/", 1, 1, 0},
	    {"GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n", "/", 0, 0, 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct slice in = SLICE_STR(rows[i].text);
		struct parser_head h;

		parser_head_init(&h);
		cr_assert_eq(
		    parser_head_step(&h, in), PARSER_DONE, "%s", rows[i].text);
		cr_assert(slice_equal(parser_slice(in.p, h.target),
			      SLICE_STR(rows[i].target)),
		    "%s", rows[i].text);
		cr_assert_eq(h.keep_alive, rows[i].keep_alive, "%zu", i);
		cr_assert_eq(h.expect_continue, rows[i].expect, "%zu", i);
		cr_assert_eq(h.upgrade, rows[i].upgrade, "%zu", i);
		cr_assert_eq(h.bytes, in.n);
	}
}
