/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * parser - strict incremental HTTP/1.x requests.
 *
 * RFC 9112.  Lines end with CRLF and nothing else; a line is looked at once it
 * is whole, and no byte is scanned twice for its end.
 */
#include "http/parser.h"

#include <strings.h>

#define FAIL(h, s, why) ((h)->status = (s), (h)->reason = (why), PARSER_ERROR)

static int
is_tchar(uint8_t c)
{
	static const char others[] = "!#$%&'*+-.^_`|~";

	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
	       (c >= 'A' && c <= 'Z') || (c && strchr(others, c));
}

struct slice
parser_slice(const uint8_t *base, struct parser_span s)
{
	return SLICE(base + s.at, s.n);
}

static int
is_word(struct slice s, const char *word)
{
	return s.n == strlen(word) &&
	       strncasecmp((const char *)s.p, word, s.n) == 0;
}

struct slice
parser_header_find(
    const struct parser_head *h, const uint8_t *base, const char *name)
{
	for (uint32_t i = 0; i < h->n_headers; i++)
		if (is_word(parser_slice(base, h->headers[i].name), name))
			return parser_slice(base, h->headers[i].value);
	return SLICE(NULL, 0);
}

void
parser_head_init(struct parser_head *h)
{
	memset(h, 0, offsetof(struct parser_head, headers));
	memset((char *)h + offsetof(struct parser_head, bytes), 0,
	    sizeof(*h) - offsetof(struct parser_head, bytes));
}

/* --- the request line
 * ----------------------------------------------------------- */

static enum parser_result
request_line(struct parser_head *h, const uint8_t *p, uint32_t at, uint32_t n)
{
	uint32_t i = 0, target;

	while (i < n && is_tchar(p[at + i]))
		i++;
	if (i == 0 || i == n || p[at + i] != ' ')
		return FAIL(h, 400, "malformed request line");
	h->method = (struct parser_span){at, i};
	target = ++i;
	while (
	    i < n && p[at + i] > 0x20 && p[at + i] < 0x7f && p[at + i] != '#')
		i++;
	if (i == target || i == n || p[at + i] != ' ')
		return FAIL(h, 400, "malformed request target");
	h->target = (struct parser_span){at + target, i - target};
	i++;
	if (n - i != 8 || memcmp(p + at + i, "HTTP/", 5) != 0 ||
	    p[at + i + 5] < '0' || p[at + i + 5] > '9' ||
	    p[at + i + 6] != '.' || p[at + i + 7] < '0' || p[at + i + 7] > '9')
		return FAIL(h, 400, "malformed protocol version");
	if (p[at + i + 5] != '1')
		return FAIL(h, 505, "only HTTP/1.1 and 1.0 are spoken here");
	h->minor = p[at + i + 7] == '0' ? 0 : 1;
	h->keep_alive = h->minor == 1;
	h->in_headers = 1;
	return PARSER_MORE;
}

/* --- headers
 * ------------------------------------------------------------------------ */

static enum parser_result
content_length(struct parser_head *h, struct slice v)
{
	uint64_t n = 0;

	if (v.n == 0 || v.n > 18)
		return FAIL(h, 400, "malformed Content-Length");
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
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
	if (h->chunked || !is_word(v, "chunked"))
		return FAIL(h, 400, "the only transfer coding is chunked");
	h->chunked = 1;
	return PARSER_MORE;
}

static void
connection(struct parser_head *h, struct slice v)
{
	size_t i = 0;

	while (i < v.n) {
		size_t from = i, to;
		struct slice word;

		while (i < v.n && v.p[i] != ',')
			i++;
		to = i++;
		while (from < to && (v.p[from] == ' ' || v.p[from] == '\t'))
			from++;
		while (to > from && (v.p[to - 1] == ' ' || v.p[to - 1] == '\t'))
			to--;
		word = SLICE(v.p + from, to - from);
		if (is_word(word, "close"))
			h->keep_alive = 0;
		else if (is_word(word, "keep-alive") && h->minor == 0)
			h->keep_alive = 1;
		else if (is_word(word, "upgrade"))
			h->upgrade = 1;
	}
}

static enum parser_result
host(struct parser_head *h, struct slice v)
{
	if (h->has_host)
		return FAIL(h, 400, "two Host headers");
	h->has_host = 1;
	for (size_t i = 0; i < v.n; i++)
		if (!is_tchar(v.p[i]) && !strchr(":[]()=,;", v.p[i]))
			return FAIL(h, 400, "malformed Host");
	return PARSER_MORE;
}

static enum parser_result
known_header(struct parser_head *h, struct slice name, struct slice v)
{
	if (is_word(name, "content-length"))
		return content_length(h, v);
	if (is_word(name, "transfer-encoding"))
		return transfer_encoding(h, v);
	if (is_word(name, "host"))
		return host(h, v);
	if (is_word(name, "connection"))
		connection(h, v);
	if (is_word(name, "expect")) {
		if (!is_word(v, "100-continue"))
			return FAIL(
			    h, 417, "only 100-continue can be expected");
		h->expect_continue = h->minor == 1;
	}
	return PARSER_MORE;
}

static enum parser_result
header_line(struct parser_head *h, const uint8_t *p, uint32_t at, uint32_t n)
{
	struct parser_header *header;
	uint32_t i = 0, from, to = n;

	if (h->n_headers == PARSER_HEADERS_MAX)
		return FAIL(h, 431, "too many headers");
	while (i < n && is_tchar(p[at + i]))
		i++;
	if (i == 0 || i == n || p[at + i] != ':')
		return FAIL(h, 400, "malformed header");
	from = i + 1;
	while (from < to && (p[at + from] == ' ' || p[at + from] == '\t'))
		from++;
	while (to > from && (p[at + to - 1] == ' ' || p[at + to - 1] == '\t'))
		to--;
	for (uint32_t k = from; k < to; k++)
		if ((p[at + k] < 0x20 && p[at + k] != '\t') ||
		    p[at + k] == 0x7f)
			return FAIL(h, 400, "control character in a header");
	header = &h->headers[h->n_headers++];
	header->name = (struct parser_span){at, i};
	header->value = (struct parser_span){at + from, to - from};
	return known_header(
	    h, parser_slice(p, header->name), parser_slice(p, header->value));
}

static enum parser_result
end_of_head(struct parser_head *h, const uint8_t *p, uint32_t bytes)
{
	struct slice method = parser_slice(p, h->method);
	struct slice target = parser_slice(p, h->target);

	h->bytes = bytes;
	if (h->minor == 1 && !h->has_host)
		return FAIL(h, 400, "Host is missing");
	if (h->chunked && h->has_length)
		return FAIL(
		    h, 400, "Content-Length together with Transfer-Encoding");
	if (target.p[0] != '/' && is_word(method, "connect"))
		return FAIL(h, 400, "CONNECT is not for this server");
	if (target.n == 1 && target.p[0] == '*' &&
	    slice_equal(method, SLICE_LIT("OPTIONS")))
		return PARSER_DONE;
	if (target.n > 7 &&
	    strncasecmp((const char *)target.p, "http://", 7) == 0) {
		const uint8_t *slash = memchr(target.p + 7, '/', target.n - 7);

		if (!slash)
			return FAIL(h, 400, "malformed request target");
		h->target.n -= (uint32_t)(slash - target.p);
		h->target.at += (uint32_t)(slash - target.p);
	} else if (target.p[0] != '/') {
		return FAIL(h, 400, "malformed request target");
	}
	return PARSER_DONE;
}

static enum parser_result
line(struct parser_head *h, const uint8_t *p, uint32_t at, uint32_t n)
{
	if (memchr(p + at, '\r', n))
		return FAIL(h, 400, "bare CR");
	if (!h->in_headers &&
	    n == 0) /* RFC 9112 section 2.2: before a request */
		return at >= 4 ? FAIL(h, 400, "blank lines before a request")
			       : PARSER_MORE;
	if (!h->in_headers)
		return n > PARSER_LINE_MAX
			   ? FAIL(h, 414, "request line too long")
			   : request_line(h, p, at, n);
	if (n == 0)
		return end_of_head(h, p, at + 2);
	if (p[at] == ' ' || p[at] == '\t')
		return FAIL(h, 400, "folded header");
	return header_line(h, p, at, n);
}

/* A line that is not whole yet may be too long already. */
static enum parser_result
partial(struct parser_head *h, struct slice in)
{
	uint32_t n = (uint32_t)(in.n - h->line_at);

	if (!h->in_headers) {
		const uint8_t *p = in.p + h->line_at;

		if (n > PARSER_LINE_MAX)
			return FAIL(h, 414, "request line too long");
		for (uint32_t i = 0; i < n && i < 32 && p[i] != ' '; i++)
			if (!is_tchar(p[i]) && p[i] != '\r')
				return FAIL(h, 400, "malformed request line");
	} else if (in.n - h->target.at > PARSER_LINE_MAX + PARSER_BLOCK_MAX ||
		   n > PARSER_BLOCK_MAX) {
		return FAIL(h, 431, "header block too large");
	}
	return PARSER_MORE;
}

enum parser_result
parser_head_step(struct parser_head *h, struct slice in)
{
	for (;;) {
		const uint8_t *lf =
		    h->scan_at < in.n
			? memchr(in.p + h->scan_at, '\n', in.n - h->scan_at)
			: NULL;
		enum parser_result r;
		uint32_t end, at = h->line_at;

		if (!lf) {
			h->scan_at = (uint32_t)in.n;
			return partial(h, in);
		}
		end = (uint32_t)(lf - in.p);
		if (!h->in_headers && end - at > PARSER_LINE_MAX + 1)
			return FAIL(h, 414, "request line too long");
		if (h->in_headers && end - h->line_at + (at - h->target.at) >
					 PARSER_BLOCK_MAX + h->target.n)
			return FAIL(h, 431, "header block too large");
		if (end == at || in.p[end - 1] != '\r')
			return FAIL(h, 400, "bare LF");
		h->line_at = h->scan_at = end + 1;
		r = line(h, in.p, at, end - 1 - at);
		if (r != PARSER_MORE)
			return r;
	}
}

/* --- chunked bodies
 * --------------------------------------------------------------------- */

enum {
	CHUNK_SIZE,
	CHUNK_EXTENSION,
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	CHUNK_TRAILER, /* at the start of a line */
	CHUNK_TRAILER_LINE,
	CHUNK_TRAILER_LF,
	CHUNK_END_LF,
};

void
parser_chunked_init(struct parser_chunked *c)
{
	memset(c, 0, sizeof(*c));
}

static int
hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int
size_byte(struct parser_chunked *c, uint8_t b)
{
	int digit = hex(b);

	if (++c->line_bytes > PARSER_CHUNK_LINE_MAX)
		return -1;
	if (digit >= 0) {
		if (++c->digits > 15)
			return -1;
		c->left = c->left << 4 | (uint64_t)digit;
		return CHUNK_SIZE;
	}
	if (c->digits == 0)
		return -1;
	if (b == '\r')
		return CHUNK_SIZE_LF;
	return b == ';' || b == ' ' || b == '\t' ? CHUNK_EXTENSION : -1;
}

static int
trailer_byte(struct parser_chunked *c, uint8_t b)
{
	if (++c->trailer_bytes > PARSER_TRAILERS_MAX)
		return -1;
	if (b == '\r')
		return c->state == CHUNK_TRAILER ? CHUNK_END_LF
						 : CHUNK_TRAILER_LF;
	if (c->state == CHUNK_TRAILER && !is_tchar(b))
		return -1;
	return (b < 0x20 && b != '\t') || b == 0x7f ? -1 : CHUNK_TRAILER_LINE;
}

/* The state after B, or -1. */
static int
chunk_byte(struct parser_chunked *c, uint8_t b)
{
	switch (c->state) {
	case CHUNK_SIZE:
		return size_byte(c, b);
	case CHUNK_EXTENSION:
		if (++c->line_bytes > PARSER_CHUNK_LINE_MAX)
			return -1;
		if (b == '\r')
			return CHUNK_SIZE_LF;
		return (b < 0x20 && b != '\t') || b == 0x7f ? -1
							    : CHUNK_EXTENSION;
	case CHUNK_SIZE_LF:
		if (b != '\n')
			return -1;
		return c->left ? CHUNK_DATA : CHUNK_TRAILER;
	case CHUNK_DATA_CR:
		return b == '\r' ? CHUNK_DATA_LF : -1;
	case CHUNK_DATA_LF:
		c->digits = 0;
		c->line_bytes = 0;
		c->left = 0;
		return b == '\n' ? CHUNK_SIZE : -1;
	case CHUNK_TRAILER:
	case CHUNK_TRAILER_LINE:
		return trailer_byte(c, b);
	case CHUNK_TRAILER_LF:
		return b == '\n' ? CHUNK_TRAILER : -1;
	}
	return -1;
}

enum parser_result
parser_chunked_step(
    struct parser_chunked *c, struct slice in, size_t *used, struct slice *data)
{
	size_t i = 0;

	*data = SLICE(NULL, 0);
	while (i < in.n && c->state != CHUNK_DATA) {
		int next;

		if (c->state == CHUNK_END_LF) {
			*used = i + 1;
			return in.p[i] == '\n' ? PARSER_DONE : PARSER_ERROR;
		}
		next = chunk_byte(c, in.p[i++]);
		if (next < 0) {
			*used = i;
			return PARSER_ERROR;
		}
		c->state = (uint8_t)next;
	}
	if (i < in.n) {
		size_t n = in.n - i < c->left ? in.n - i : (size_t)c->left;

		*data = SLICE(in.p + i, n);
		i += n;
		c->left -= n;
		if (c->left == 0)
			c->state = CHUNK_DATA_CR;
	}
	*used = i;
	return PARSER_MORE;
}
