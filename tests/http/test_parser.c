/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * Each request is fed whole and byte by byte: the outcome must be the same.
 */
#include <criterion/criterion.h>

#include "http/parser.h"

TestSuite(parser);

#define H "Host: x\r\n"

static const struct {
	const char *text;
	int status; /* 0: accepted */
} heads[] = {
    /* legal */
    {"GET / HTTP/1.1\r\n" H "\r\n", 0},
    {"\r\nGET / HTTP/1.1\r\n" H "\r\n", 0},
    {"GET / HTTP/1.0\r\n\r\n", 0},
    {"OPTIONS * HTTP/1.1\r\n" H "\r\n", 0},
    {"GET http://x HTTP/1.1\r\n" H "\r\n", 0},
    {"GET http://x/a?b HTTP/1.1\r\n" H "\r\n", 0},
    {"GET /a?b=%20&c HTTP/1.1\r\n" H "Accept: */*\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\nhost:x\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n" H "A:\t b \t\r\n\r\n", 0},
    {"GET / HTTP/1.1\r\n" H "A: \xff\xfe\r\n\r\n", 0},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\n", 0},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
	0},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 005\r\n\r\n", 0},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", 0},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: ChunkeD\r\n\r\n", 0},
    {"POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\n\r\n", 0},
    {"M-SEARCH / HTTP/1.1\r\n" H "\r\n", 0},
    /* request lines */
    {" GET / HTTP/1.1\r\n" H "\r\n", 400},
    {"GET  / HTTP/1.1\r\n" H "\r\n", 400},
    {"GET / HTTP/1.1 \r\n" H "\r\n", 400},
    {"GET /  HTTP/1.1\r\n" H "\r\n", 400},
    {"GET /a b HTTP/1.1\r\n" H "\r\n", 400},
    {"GET / http/1.1\r\n" H "\r\n", 400},
    {"GET / HTTP/1\r\n" H "\r\n", 400},
    {"GET / HTTP/1.1x\r\n" H "\r\n", 400},
    {"GET / HTTP/11\r\n" H "\r\n", 400},
    {"GET / HTTP/1.\r\n" H "\r\n", 400},
    {"GET / HTTP/x.1\r\n" H "\r\n", 400},
    {"GET / HTTP/2.0\r\n" H "\r\n", 505},
    {"GET / HTTP/0.9\r\n" H "\r\n", 505},
    {"GET / HTTP/2.7\r\n" H "\r\n", 505},
    {"GET /\r\n", 400},
    {"GET\r\n", 400},
    {"G@T / HTTP/1.1\r\n" H "\r\n", 400},
    {"G\x01T / HTTP/1.1\r\n" H "\r\n", 400},
    {"\x16\x03\x01 / HTTP/1.1\r\n" H "\r\n", 400},
    {"GET /\x7f HTTP/1.1\r\n" H "\r\n", 400},
    {"GET /\x01 HTTP/1.1\r\n" H "\r\n", 400},
    {"GET /\xc3\xa4 HTTP/1.1\r\n" H "\r\n", 400},
    {"GET /a#b HTTP/1.1\r\n" H "\r\n", 400},
    {"GET a HTTP/1.1\r\n" H "\r\n", 400},
    {"GET * HTTP/1.1\r\n" H "\r\n", 400},
    {"GET ftp://x/ HTTP/1.1\r\n" H "\r\n", 400},
    {"CONNECT x:80 HTTP/1.1\r\n" H "\r\n", 400},
    {"\r\n\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", 400},
    /* line ends */
    {"GET / HTTP/1.1\nHost: x\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: x\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: x\r\n\n", 400},
    {"GET / HTTP/1.1\rHost: x\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: x\rA: b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: x\r\r\n\r\n", 400},
    /* headers */
    {"GET / HTTP/1.1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H H "\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "A : b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H ": b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "A\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "A b: c\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "A: b\r\n c\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "A: b\r\n\tc\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "A: b\x01\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "A: b\x7f\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "A\x80: b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "A(b): c\r\n\r\n", 400},
    /* framing */
    {"POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
	400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: +5\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: -5\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 5 \x0b\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 0x5\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 5, 5\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 5 6\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551616\r\n\r\n",
	400},
    {"POST / HTTP/1.1\r\n" H "Content-Length : 5\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H
     "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
	400},
    {"POST / HTTP/1.1\r\n" H
     "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
	400},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H
     "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
	400},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\n" H "Expect: 200-ok\r\n\r\n", 417},
};

static int
outcome(struct slice text, size_t step, struct parser_head *h)
{
	enum parser_result r = PARSER_MORE;

	parser_head_init(h);
	for (size_t n = step; r == PARSER_MORE; n += step) {
		r = parser_head_step(h, SLICE(text.p, n < text.n ? n : text.n));
		if (n >= text.n)
			break;
	}
	return r == PARSER_DONE ? 0 : r == PARSER_ERROR ? h->status : -1;
}

Test(parser, heads_whole_and_in_pieces)
{
	size_t n_bad = 0;

	for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++) {
		struct slice text = SLICE_STR(heads[i].text);
		struct parser_head h;

		n_bad += heads[i].status != 0;
		for (size_t step = 1; step <= text.n; step += step < 8 ? 1 : 13)
			cr_assert_eq(outcome(text, step, &h), heads[i].status,
			    "%s by %zu", heads[i].text, step);
		cr_assert_eq(outcome(text, text.n, &h), heads[i].status, "%s",
		    heads[i].text);
		if (heads[i].status == 0)
			cr_assert_eq(h.bytes, text.n);
	}
	cr_assert_geq(n_bad, 60);
}

Test(parser, a_nul_is_no_header_byte)
{
	static const char text[] =
	    "GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n";
	struct parser_head h;

	cr_assert_eq(outcome(SLICE(text, sizeof(text) - 1), 1, &h), 400);
}

Test(parser, limits)
{
	struct parser_head h;
	struct buf b;

	buf_init(&b, 1 << 20);
	buf_add_str(&b, "GET /");
	while (b.n < 20000)
		buf_add_byte(&b, 'a');
	cr_assert_eq(outcome(buf_slice(&b), 1000, &h), 414);
	buf_reset(&b);
	buf_add_str(&b, "GET / HTTP/1.1\r\nHost: x\r\nA: ");
	while (b.n < 70000)
		buf_add_byte(&b, 'a');
	cr_assert_eq(outcome(buf_slice(&b), 1000, &h), 431);
	buf_reset(&b);
	buf_add_str(&b, "GET / HTTP/1.1\r\nHost: x\r\n");
	for (int i = 0; i < 99; i++)
		buf_add_str(&b, "A: b\r\n");
	buf_add_str(&b, "\r\n");
	cr_assert_eq(outcome(buf_slice(&b), 7, &h), 0);
	b.n -= 2;
	buf_add_str(&b, "A: b\r\n\r\n");
	cr_assert_eq(outcome(buf_slice(&b), 7, &h), 431);
	buf_deinit(&b);
}

Test(parser, keep_alive_follows_version_and_connection)
{
	static const struct {
		const char *text;
		int keep;
	} rows[] = {
	    {"GET / HTTP/1.1\r\n" H "\r\n", 1},
	    {"GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n", 0},
	    {"GET / HTTP/1.1\r\n" H "Connection: x , Close\r\n\r\n", 0},
	    {"GET / HTTP/1.0\r\n\r\n", 0},
	    {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", 1},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct parser_head h;

		cr_assert_eq(outcome(SLICE_STR(rows[i].text), 1, &h), 0);
		cr_assert_eq(h.keep_alive, rows[i].keep, "%s", rows[i].text);
	}
}

static int
chunked(struct slice in, size_t step, struct buf *out)
{
	struct parser_chunked c;
	size_t at = 0, given = 0;

	parser_chunked_init(&c);
	buf_reset(out);
	while (given < in.n) {
		given = given + step < in.n ? given + step : in.n;
		while (at < given) {
			size_t used;
			struct slice data;
			enum parser_result r = parser_chunked_step(
			    &c, SLICE(in.p + at, given - at), &used, &data);

			at += used;
			buf_add_slice(out, data);
			if (r == PARSER_ERROR)
				return 400;
			if (r == PARSER_DONE)
				return 0;
		}
	}
	return -1;
}

Test(parser, chunked_bodies_whole_and_in_pieces)
{
	static const struct {
		const char *text;
		int status;
		const char *body;
	} rows[] = {
	    {"3\r\nabc\r\n0\r\n\r\n", 0, "abc"},
	    {"3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n", 0, "abc0123456789"},
	    {"3;x=y\r\nabc\r\n0;z\r\n\r\n", 0, "abc"},
	    {"3\r\nabc\r\n0\r\nTrailer: x\r\n\r\n", 0, "abc"},
	    {"0\r\n\r\n", 0, ""},
	    {"0x3\r\nabc\r\n0\r\n\r\n", 400, NULL},
	    {"+3\r\nabc\r\n0\r\n\r\n", 400, NULL},
	    {"-3\r\nabc\r\n0\r\n\r\n", 400, NULL},
	    {" 3\r\nabc\r\n0\r\n\r\n", 400, NULL},
	    {"\r\nabc\r\n0\r\n\r\n", 400, NULL},
	    {"3\nabc\r\n0\r\n\r\n", 400, NULL},
	    {"3\r\nabcd\r\n0\r\n\r\n", 400, NULL},
	    {"3\r\nabc\n0\r\n\r\n", 400, NULL},
	    {"3\r\nabc\r\rx", 400, NULL},
	    {"10000000000000000\r\n", 400, NULL},
	    {"g\r\n", 400, NULL},
	    {"3;\x01\r\nabc\r\n0\r\n\r\n", 400, NULL},
	    {"0\r\n bad: x\r\n\r\n", 400, NULL},
	    {"0\r\n\rx", 400, NULL},
	};
	struct buf out;

	buf_init(&out, 4096);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct slice text = SLICE_STR(rows[i].text);

		for (size_t step = 1; step <= text.n; step++) {
			cr_assert_eq(chunked(text, step, &out), rows[i].status,
			    "%s by %zu", rows[i].text, step);
			if (rows[i].body)
				cr_assert(slice_equal(
				    buf_slice(&out), SLICE_STR(rows[i].body)));
		}
	}
	buf_deinit(&out);
}
