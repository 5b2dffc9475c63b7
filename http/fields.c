/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* fields - what a small JSON object says (RFC 8259). */
#include "http/fields.h"

#include <string.h>

#include "http/text.h"
#include "src/base/utf8.h"

static int
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct slice
skip(struct slice s, size_t n)
{
	return SLICE(s.p + n, s.n - n);
}

static struct slice
skip_blanks(struct slice s)
{
	while (s.n && is_blank(*s.p))
		s = skip(s, 1);
	return s;
}

/* Bytes of the string that S begins with, quotes included; 0: it has no end. */
static size_t
string_bytes(struct slice s)
{
	for (size_t i = 1; i < s.n; i++) {
		if (s.p[i] == '"')
			return i + 1;
		if (s.p[i] == '\\')
			i++;
	}
	return 0;
}

/* Bytes of the value that S begins with; 0: it has no end. */
static size_t
value_bytes(struct slice s)
{
	size_t depth = 0, i = 0;

	while (i < s.n) {
		uint8_t c = s.p[i];
		size_t n = 1;

		if (c == '"')
			n = string_bytes(skip(s, i));
		else if (c == '{' || c == '[')
			depth++;
		else if (c == '}' || c == ']') {
			if (depth == 0)
				return i; /* of what it stands in */
			depth--;
		} else if (depth == 0 && (c == ',' || is_blank(c)))
			return i;
		if (n == 0)
			return 0;
		i += n;
		if (depth == 0 && (c == '"' || c == '}' || c == ']'))
			return i;
	}
	return depth ? 0 : i;
}

int
fields_is_object(struct slice text)
{
	struct slice s = skip_blanks(text);
	size_t n = s.n && *s.p == '{' ? value_bytes(s) : 0;

	return n && skip_blanks(skip(s, n)).n == 0;
}

/* The next NAME : VALUE of an object, whose bracket or last value was left
 * behind. */
static int
next_member(struct slice *rest, struct slice *name, struct slice *value)
{
	struct slice s = skip_blanks(*rest);
	size_t n;

	if (s.n && *s.p == ',')
		s = skip_blanks(skip(s, 1));
	if (!s.n || *s.p != '"')
		return 0;
	n = string_bytes(s);
	*name = SLICE(s.p, n);
	s = skip_blanks(skip(s, n));
	if (!n || !s.n || *s.p != ':')
		return 0;
	s = skip_blanks(skip(s, 1));
	n = value_bytes(s);
	*value = SLICE(s.p, n);
	*rest = skip(s, n);
	return n > 0;
}

/* Escapes of a name are looked through. */
static int
is_name(struct slice raw, const char *want)
{
	struct slice plain = SLICE(raw.p + 1, raw.n - 2);
	struct buf b;
	int same;

	if (!memchr(plain.p, '\\', plain.n))
		return slice_equal(plain, SLICE_STR(want));
	buf_init(&b, strlen(want));
	same = fields_string(raw, &b) &&
	       slice_equal(buf_slice(&b), SLICE_STR(want));
	buf_deinit(&b);
	return same;
}

int
fields_find(struct slice text, const char *name, struct slice *raw)
{
	struct slice rest = skip_blanks(text), key, value;
	int found = 0;

	if (!rest.n || *rest.p != '{')
		return 0;
	rest = skip(rest, 1);
	while (next_member(&rest, &key, &value)) {
		if (!is_name(key, name))
			continue;
		*raw = value;
		found = 1;
	}
	return found;
}

static int
is_one_of(struct slice raw, const char *const *known, int n)
{
	for (int i = 0; i < n; i++)
		if (is_name(raw, known[i]))
			return 1;
	return 0;
}

int
fields_unknown(struct slice text, const char *const *known, int n,
    struct slice *name, struct slice *raw)
{
	struct slice rest = skip_blanks(text);

	if (!rest.n || *rest.p != '{')
		return 0;
	rest = skip(rest, 1);
	while (next_member(&rest, name, raw))
		if (!is_one_of(*name, known, n))
			return 1;
	return 0;
}

/* --- values --------------------------------------------------------------- */

static int
hex4(struct slice s, uint32_t *out)
{
	*out = 0;
	if (s.n < 4)
		return 0;
	for (int i = 0; i < 4; i++) {
		int digit = text_hex(s.p[i]);

		if (digit < 0)
			return 0;
		*out = *out << 4 | (uint32_t)digit;
	}
	return 1;
}

static void
add_utf8(struct buf *out, uint32_t c)
{
	uint8_t bytes[UTF8_MAX];

	buf_add(out, bytes, utf8_encode(c, bytes));
}

/* S begins behind `\u`.  Bytes taken; 0: a lone surrogate. */
static size_t
add_unicode(struct buf *out, struct slice s)
{
	uint32_t c, low;

	if (!hex4(s, &c) || (c >= 0xdc00 && c < 0xe000))
		return 0;
	if (c < 0xd800 || c >= 0xe000) {
		add_utf8(out, c);
		return 4;
	}
	if (s.n < 10 || s.p[4] != '\\' || s.p[5] != 'u' ||
	    !hex4(skip(s, 6), &low) || low < 0xdc00 || low >= 0xe000)
		return 0;
	add_utf8(out, 0x10000 + ((c - 0xd800) << 10 | (low - 0xdc00)));
	return 10;
}

int
fields_string(struct slice raw, struct buf *out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	size_t end = raw.n - 1, n;

	if (raw.n < 2 || raw.p[0] != '"' || raw.p[end] != '"')
		return 0;
	for (size_t i = 1; i < end; i++) {
		const char *at;

		if (raw.p[i] != '\\') {
			buf_add_byte(out, raw.p[i]);
			continue;
		}
		if (++i == end)
			return 0;
		at = memchr(from, raw.p[i], sizeof(from) - 1);
		if (at) {
			buf_add_byte(out, (uint8_t)to[at - from]);
		} else {
			n = add_unicode(out, SLICE(raw.p + i + 1, end - i - 1));
			if (n == 0 || raw.p[i] != 'u')
				return 0;
			i += n;
		}
	}
	return buf_error(out) == 0;
}

int
fields_uint(struct slice raw, uint64_t *out)
{
	uint64_t v = 0;

	if (raw.n == 0)
		return 0;
	for (size_t i = 0; i < raw.n; i++) {
		uint64_t digit = (uint64_t)(raw.p[i] - '0');

		if (raw.p[i] < '0' || raw.p[i] > '9' ||
		    v > (UINT64_MAX - digit) / 10)
			return 0;
		v = v * 10 + digit;
	}
	*out = v;
	return 1;
}

int
fields_next(struct slice *rest, struct slice *raw)
{
	struct slice s = skip_blanks(*rest);
	size_t n;

	if (!s.n || (*s.p != '[' && *s.p != ',' && *s.p != ']'))
		return -1;
	if (*s.p == ']')
		return 0;
	s = skip_blanks(skip(s, 1));
	n = value_bytes(s);
	if (n == 0)
		return s.n && *s.p == ']' ? 0 : -1;
	*raw = SLICE(s.p, n);
	*rest = skip(s, n);
	return 1;
}
