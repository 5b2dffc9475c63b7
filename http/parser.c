/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * parser - strict incremental heads of HTTP/1.x requests.
 *
 * RFC 9112.  Lines end with CRLF and nothing else; a line is looked at once it
 * is whole, and no byte is scanned twice for its end.
 *
 * Whatever is refused before a line is whole (its first bytes, its length) is
 * checked in the same order once it is whole: otherwise the answer would depend
 * on how the network cut the bytes.
 */
#include "http/parser.h"

#include <strings.h>

#include "http/parser_impl.h"
#include "src/base/assert.h"

#define FAIL(h, s, why) ((h)->status = (s), (h)->reason = (why), PARSER_ERROR)

/* A TLS handshake or other noise is refused by these many bytes, without
 * waiting for a line. */
#define EARLY_BYTES 32

#define T CLASS_TOKEN
#define V CLASS_VALUE
#define G CLASS_TARGET
#define H CLASS_HOST
const uint8_t parser_class[256] = {
    ['\t'] = V,
    [' '] = V,
    ['!'] = T | V | G | H,
    ['"'] = V | G,
    ['#'] = T | V,
    ['$' ... '\''] = T | V | G | H,
    ['(' ... ')'] = V | G | H,
    ['*' ... '+'] = T | V | G | H,
    [','] = V | G | H,
    ['-' ... '.'] = T | V | G | H,
    ['/'] = V | G,
    ['0' ... '9'] = T | V | G | H,
    [':'] = V | G,
    [';'] = V | G | H,
    ['<'] = V | G,
    ['='] = V | G | H,
    ['>' ... '@'] = V | G,
    ['A' ... 'Z'] = T | V | G | H,
    ['[' ... ']'] = V | G,
    ['^'] = T | V | G,
    ['_'] = T | V | G | H,
    ['`'] = T | V | G,
    ['a' ... 'z'] = T | V | G | H,
    ['{'] = V | G,
    ['|'] = T | V | G,
    ['}'] = V | G,
    ['~'] = T | V | G | H,
    [0x80 ... 0xff] = V,
};
#undef T
#undef V
#undef G
#undef H

struct slice
parser_slice(const uint8_t *base, struct parser_span s)
{
	return SLICE(base + s.at, s.n);
}

static int
is_word_n(struct slice s, const char *word, size_t n)
{
	return s.n == n && strncasecmp((const char *)s.p, word, n) == 0;
}

#define IS_WORD(s, literal) is_word_n(s, literal, sizeof(literal) - 1)

struct slice
parser_header_find(
    const struct parser_head *h, const uint8_t *base, const char *name)
{
	size_t n = strlen(name);

	for (uint32_t i = 0; i < h->n_headers; i++)
		if (is_word_n(parser_slice(base, h->headers[i].name), name, n))
			return parser_slice(base, h->headers[i].value);
	return SLICE(NULL, 0);
}

uint32_t
parser_header_count(
    const struct parser_head *h, const uint8_t *base, const char *name)
{
	size_t n = strlen(name);
	uint32_t count = 0;

	for (uint32_t i = 0; i < h->n_headers; i++)
		count += (uint32_t)is_word_n(
		    parser_slice(base, h->headers[i].name), name, n);
	return count;
}

void
parser_head_init(struct parser_head *h)
{
	memset(h, 0, offsetof(struct parser_head, headers));
	memset((char *)h + offsetof(struct parser_head, bytes), 0,
	    sizeof(*h) - offsetof(struct parser_head, bytes));
}

static int
is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* `:` and up to five digits, or nothing. */
static int
is_port(struct slice s)
{
	if (s.n == 0)
		return 1;
	if (s.p[0] != ':' || s.n > 6)
		return 0;
	for (size_t i = 1; i < s.n; i++)
		if (!is_digit(s.p[i]))
			return 0;
	return 1;
}

/* RFC 3986 section 3.2.2: IP-literal or reg-name, then a port. */
static int
is_host(struct slice s)
{
	size_t i = 0;

	if (s.n && s.p[0] == '[') {
		for (i = 1; i < s.n && s.p[i] != ']'; i++)
			if (!is_class(s.p[i], CLASS_HOST) && s.p[i] != ':')
				return 0;
		if (i == 1 || i == s.n)
			return 0;
		i++;
	} else {
		while (i < s.n && is_class(s.p[i], CLASS_HOST))
			i++;
		if (i == 0)
			return 0;
	}
	return is_port(SLICE(s.p + i, s.n - i));
}

/* The path of http://authority/path; that of a bare authority is `/`, and the
 * second slash of `//` stands for it. */
static enum parser_result
absolute_target(struct parser_head *h, const uint8_t *p, uint32_t scheme)
{
	uint32_t at = h->target.at, end = at + h->target.n, i = at + scheme;

	while (i < end && p[i] != '/')
		i++;
	if (!is_host(SLICE(p + at + scheme, i - at - scheme)))
		return FAIL(h, 400, "malformed authority in the target");
	if (i == end)
		h->target = (struct parser_span){at + scheme - 1, 1};
	else
		h->target = (struct parser_span){i, end - i};
	return PARSER_MORE;
}

/* The four forms of RFC 9112 section 3.2. */
static enum parser_result
check_target(struct parser_head *h, const uint8_t *p)
{
	struct slice method = parser_slice(p, h->method);
	struct slice target = parser_slice(p, h->target);

	if (slice_equal(method, SLICE_LIT("CONNECT")))
		return FAIL(h, 400, "CONNECT is not for this server");
	if (target.p[0] == '/')
		return PARSER_MORE;
	if (slice_equal(target, SLICE_LIT("*")) &&
	    slice_equal(method, SLICE_LIT("OPTIONS")))
		return PARSER_MORE;
	if (target.n > 7 && IS_WORD(SLICE(target.p, 7), "http://"))
		return absolute_target(h, p, 7);
	if (target.n > 8 && IS_WORD(SLICE(target.p, 8), "https://"))
		return absolute_target(h, p, 8);
	return FAIL(h, 400, "malformed request target");
}

static enum parser_result
request_line(struct parser_head *h, const uint8_t *p, uint32_t at, uint32_t n)
{
	const uint8_t *s = p + at;
	uint32_t i = 0, target;

	while (i < n && is_class(s[i], CLASS_TOKEN))
		i++;
	if (i == 0 || i == n || s[i] != ' ')
		return FAIL(h, 400, "malformed request line");
	h->method = (struct parser_span){at, i};
	target = ++i;
	while (i < n && is_class(s[i], CLASS_TARGET))
		i++;
	if (i == target || i == n || s[i] != ' ')
		return FAIL(h, 400, "malformed request target");
	h->target = (struct parser_span){at + target, i - target};
	s += ++i;
	if (n - i != 8 || memcmp(s, "HTTP/", 5) != 0 || !is_digit(s[5]) ||
	    s[6] != '.' || !is_digit(s[7]))
		return FAIL(h, 400, "malformed protocol version");
	if (s[5] != '1' || s[7] > '1')
		return FAIL(h, 505, "only HTTP/1.1 and 1.0 are spoken here");
	h->minor = s[7] - '0';
	h->in_headers = 1;
	h->block_at = h->line_at;
	return check_target(h, p);
}

static enum parser_result
content_length(struct parser_head *h, struct slice v)
{
	uint64_t n = 0;

	if (v.n == 0 || v.n > 18)
		return FAIL(h, 400, "malformed Content-Length");
	for (size_t i = 0; i < v.n; i++) {
		if (!is_digit(v.p[i]))
			return FAIL(h, 400, "malformed Content-Length");
		n = n * 10 + (uint64_t)(v.p[i] - '0');
	}
	if (h->has_length && n != h->content_length)
		return FAIL(h, 400, "two different Content-Lengths");
	h->has_length = 1;
	h->content_length = n;
	return PARSER_MORE;
}

static enum parser_result
transfer_encoding(struct parser_head *h, struct slice v)
{
	if (h->minor == 0)
		return FAIL(h, 400, "Transfer-Encoding in HTTP/1.0");
	if (h->chunked || !IS_WORD(v, "chunked"))
		return FAIL(h, 400, "the only transfer coding is chunked");
	h->chunked = 1;
	return PARSER_MORE;
}

static struct slice
trim(struct slice s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = SLICE(s.p + 1, s.n - 1);
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

static void
connection(struct parser_head *h, struct slice v)
{
	for (size_t i = 0; i < v.n; i++) {
		size_t from = i;
		struct slice word;

		while (i < v.n && v.p[i] != ',')
			i++;
		word = trim(SLICE(v.p + from, i - from));
		if (IS_WORD(word, "close"))
			h->says_close = 1;
		else if (IS_WORD(word, "keep-alive"))
			h->says_keep_alive = 1;
		else if (IS_WORD(word, "upgrade"))
			h->upgrade = h->minor == 1; /* RFC 9110 section 7.8 */
	}
}

static enum parser_result
host(struct parser_head *h, struct slice v)
{
	if (h->has_host)
		return FAIL(h, 400, "two Host headers");
	h->has_host = 1;
	if (v.n && !is_host(v))
		return FAIL(h, 400, "malformed Host");
	return PARSER_MORE;
}

static enum parser_result
known_header(struct parser_head *h, struct slice name, struct slice v)
{
	switch (name.n) {
	case 4:
		if (IS_WORD(name, "host"))
			return host(h, v);
		break;
	case 6:
		if (!IS_WORD(name, "expect"))
			break;
		if (!IS_WORD(v, "100-continue"))
			return FAIL(
			    h, 417, "only 100-continue can be expected");
		h->expect_continue = h->minor == 1;
		break;
	case 10:
		if (IS_WORD(name, "connection"))
			connection(h, v);
		break;
	case 14:
		if (IS_WORD(name, "content-length"))
			return content_length(h, v);
		break;
	case 17:
		if (IS_WORD(name, "transfer-encoding"))
			return transfer_encoding(h, v);
		break;
	}
	return PARSER_MORE;
}

static enum parser_result
header_line(struct parser_head *h, const uint8_t *p, uint32_t at, uint32_t n)
{
	struct parser_header *header;
	struct slice value;
	uint32_t i = 0;

	if (h->n_headers == PARSER_HEADERS_MAX)
		return FAIL(h, 431, "too many headers");
	while (i < n && is_class(p[at + i], CLASS_TOKEN))
		i++;
	if (i == 0 || i == n || p[at + i] != ':')
		return FAIL(h, 400, "malformed header");
	for (uint32_t k = i + 1; k < n; k++)
		if (!is_class(p[at + k], CLASS_VALUE))
			return FAIL(h, 400, "control character in a header");
	value = trim(SLICE(p + at + i + 1, n - i - 1));
	header = &h->headers[h->n_headers++];
	header->name = (struct parser_span){at, i};
	header->value =
	    (struct parser_span){(uint32_t)(value.p - p), (uint32_t)value.n};
	return known_header(h, SLICE(p + at, i), value);
}

static enum parser_result
end_of_head(struct parser_head *h)
{
	h->bytes = h->line_at;
	h->keep_alive = !h->says_close && (h->minor == 1 || h->says_keep_alive);
	if (h->minor == 1 && !h->has_host)
		return FAIL(h, 400, "Host is missing");
	if (h->chunked && h->has_length)
		return FAIL(
		    h, 400, "Content-Length together with Transfer-Encoding");
	return PARSER_DONE;
}

/* The line of N bytes at AT is whole.  A CR in it is of no class. */
static enum parser_result
line(struct parser_head *h, const uint8_t *p, uint32_t at, uint32_t n)
{
	if (n == 0 && h->in_headers)
		return end_of_head(h);
	if (n == 0) /* RFC 9112 section 2.2: before a request */
		return at >= 4 ? FAIL(h, 400, "blank lines before a request")
			       : PARSER_MORE;
	if (!h->in_headers)
		return request_line(h, p, at, n);
	if (p[at] == ' ' || p[at] == '\t')
		return FAIL(h, 400, "folded header");
	return header_line(h, p, at, n);
}

/* What is known of the line at AT from its first N bytes (CR included, LF not),
 * be it whole or not. */
static enum parser_result
line_so_far(struct parser_head *h, const uint8_t *p, uint32_t at, size_t n)
{
	size_t early = n < EARLY_BYTES ? n : EARLY_BYTES;

	if (h->in_headers)
		return at - h->block_at + n > PARSER_BLOCK_MAX
			   ? FAIL(h, 431, "header block too large")
			   : PARSER_MORE;
	for (size_t i = 0; i < early && p[at + i] != ' '; i++) {
		if (p[at + i] == '\r')
			continue;
		if (!is_class(p[at + i], CLASS_TOKEN))
			return FAIL(h, 400, "malformed request line");
		h->started = 1;
	}
	if (n > PARSER_LINE_MAX + 1)
		return FAIL(h, 414, "request line too long");
	return PARSER_MORE;
}

enum parser_result
parser_head_step(struct parser_head *h, struct slice in)
{
	ASSERT(in.n >= h->scan_at);
	for (;;) {
		uint32_t at = h->line_at;
		const uint8_t *lf =
		    in.n > h->scan_at
			? memchr(in.p + h->scan_at, '\n', in.n - h->scan_at)
			: NULL;
		size_t end = lf ? (size_t)(lf - in.p) : in.n;
		enum parser_result r;

		/* The LF of a header line counts, that of a request line is
		 * no part of it. */
		r = line_so_far(
		    h, in.p, at, end - at + (lf && h->in_headers ? 1 : 0));
		if (r != PARSER_MORE)
			return r;
		if (!lf) {
			h->scan_at = (uint32_t)in.n;
			return PARSER_MORE;
		}
		if (end == at || in.p[end - 1] != '\r')
			return FAIL(h, 400, "bare LF");
		h->line_at = h->scan_at = (uint32_t)end + 1;
		r = line(h, in.p, at, (uint32_t)(end - 1 - at));
		if (r != PARSER_MORE)
			return r;
	}
}
