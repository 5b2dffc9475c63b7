/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * parser_chunked - the chunked transfer coding, byte by byte between the data.
 *
 * RFC 9112 section 7.1:
 *
 *   SIZE -+- ; or blank -> BLANK, EXTENSION -+
 *    ^    +- CR ---------------------------> SIZE_LF -+- DATA -> DATA_CR, _LF
 *    |                                                |               |
 *    +------------------------------------------------|---------------+
 *                            size 0: TRAILER <--------+
 *   TRAILER -+- name ... : -> VALUE -> LF -> TRAILER
 *            +- CR -> END_LF -> done
 *
 * Blanks stand only before a `;` there: what follows a size must not be
 * guessed.
 */
#include "http/parser.h"

#include "http/parser_impl.h"
#include "http/text.h"

enum {
	CHUNK_SIZE,
	CHUNK_BLANK,
	CHUNK_EXTENSION,
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	CHUNK_TRAILER, /* at the start of a line */
	CHUNK_TRAILER_NAME,
	CHUNK_TRAILER_VALUE,
	CHUNK_TRAILER_LF,
	CHUNK_END_LF,
	CHUNK_BROKEN,
};

void
parser_chunked_init(struct parser_chunked *c)
{
	memset(c, 0, sizeof(*c));
}

static int
size_byte(struct parser_chunked *c, uint8_t b)
{
	int digit = text_hex(b);

	if (digit >= 0) {
		if (++c->digits > 15)
			return CHUNK_BROKEN;
		c->left = c->left << 4 | (uint64_t)digit;
		return CHUNK_SIZE;
	}
	if (c->digits == 0)
		return CHUNK_BROKEN;
	if (b == '\r')
		return CHUNK_SIZE_LF;
	if (b == ';')
		return CHUNK_EXTENSION;
	return b == ' ' || b == '\t' ? CHUNK_BLANK : CHUNK_BROKEN;
}

/* Behind the digits of a size, up to the CR. */
static int
extension_byte(struct parser_chunked *c, uint8_t b)
{
	if (++c->extension_bytes > PARSER_EXTENSIONS_MAX ||
	    ++c->line_bytes > PARSER_CHUNK_LINE_MAX)
		return CHUNK_BROKEN;
	if (c->state == CHUNK_BLANK) {
		if (b == ';')
			return CHUNK_EXTENSION;
		return b == ' ' || b == '\t' ? CHUNK_BLANK : CHUNK_BROKEN;
	}
	if (b == '\r')
		return CHUNK_SIZE_LF;
	return is_class(b, CLASS_VALUE) ? CHUNK_EXTENSION : CHUNK_BROKEN;
}

static int
trailer_byte(struct parser_chunked *c, uint8_t b)
{
	if (++c->trailer_bytes > PARSER_TRAILERS_MAX)
		return CHUNK_BROKEN;
	switch (c->state) {
	case CHUNK_TRAILER:
		if (b == '\r')
			return CHUNK_END_LF;
		return is_class(b, CLASS_TOKEN) ? CHUNK_TRAILER_NAME
						: CHUNK_BROKEN;
	case CHUNK_TRAILER_NAME:
		if (b == ':')
			return CHUNK_TRAILER_VALUE;
		return is_class(b, CLASS_TOKEN) ? CHUNK_TRAILER_NAME
						: CHUNK_BROKEN;
	case CHUNK_TRAILER_VALUE:
		if (b == '\r')
			return CHUNK_TRAILER_LF;
		return is_class(b, CLASS_VALUE) ? CHUNK_TRAILER_VALUE
						: CHUNK_BROKEN;
	}
	return b == '\n' ? CHUNK_TRAILER : CHUNK_BROKEN;
}

static int
next_state(struct parser_chunked *c, uint8_t b)
{
	switch (c->state) {
	case CHUNK_SIZE:
		return size_byte(c, b);
	case CHUNK_BLANK:
	case CHUNK_EXTENSION:
		return extension_byte(c, b);
	case CHUNK_SIZE_LF:
		if (b != '\n')
			return CHUNK_BROKEN;
		return c->left ? CHUNK_DATA : CHUNK_TRAILER;
	case CHUNK_DATA_CR:
		return b == '\r' ? CHUNK_DATA_LF : CHUNK_BROKEN;
	case CHUNK_DATA_LF:
		c->digits = 0;
		c->line_bytes = 0;
		return b == '\n' ? CHUNK_SIZE : CHUNK_BROKEN;
	case CHUNK_TRAILER:
	case CHUNK_TRAILER_NAME:
	case CHUNK_TRAILER_VALUE:
	case CHUNK_TRAILER_LF:
		return trailer_byte(c, b);
	}
	return CHUNK_BROKEN;
}

enum parser_result
parser_chunked_step(
    struct parser_chunked *c, struct slice in, size_t *used, struct slice *data)
{
	size_t i = 0;

	*data = SLICE(NULL, 0);
	while (i < in.n && c->state != CHUNK_DATA) {
		uint8_t b = in.p[i++];

		if (c->state == CHUNK_END_LF && b == '\n') {
			*used = i;
			return PARSER_DONE;
		}
		c->state = (uint8_t)next_state(c, b);
		if (c->state == CHUNK_BROKEN) {
			*used = i;
			return PARSER_ERROR;
		}
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
