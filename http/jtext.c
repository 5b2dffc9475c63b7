/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* jtext - the texts of JSON strings and numbers, by what they mean. */
#include "http/jtext.h"

#include <string.h>

#include "src/base/utf8.h"

/* --- strings -------------------------------------------------------------- */

static uint32_t
hex4(const uint8_t *p)
{
	uint32_t v = 0;

	for (int i = 0; i < 4; i++) {
		uint32_t c = p[i] | 0x20u;

		v = v << 4 | ((c >= 'a' ? c - 'a' + 10 : c - '0') & 15);
	}
	return v;
}

static struct slice
behind(struct slice s, size_t n)
{
	n = n < s.n ? n : s.n;
	return SLICE(s.p + n, s.n - n);
}

/* *IN begins with \u. */
static uint32_t
next_unicode(struct slice *in)
{
	uint32_t high, low;

	if (in->n < 6) {
		*in = behind(*in, in->n);
		return 0xfffd;
	}
	high = hex4(in->p + 2);
	*in = behind(*in, 6);
	if (high < 0xd800 || high > 0xdbff || in->n < 6 || in->p[0] != '\\' ||
	    in->p[1] != 'u')
		return high;
	low = hex4(in->p + 2);
	if (low < 0xdc00 || low > 0xdfff)
		return high;
	*in = behind(*in, 6);
	return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
}

static uint32_t
next_escape(struct slice *in)
{
	static const char letters[] = "bfnrt";
	static const char meant[] = "\b\f\n\r\t";
	const char *at;
	uint8_t c;

	if (in->n < 2) {
		*in = behind(*in, in->n);
		return '\\';
	}
	c = in->p[1];
	if (c == 'u')
		return next_unicode(in);
	*in = behind(*in, 2);
	at = c ? strchr(letters, c) : NULL;
	return at ? (uint8_t)meant[at - letters] : c;
}

uint32_t
jtext_next(struct slice *in)
{
	static const uint8_t masks[5] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	uint8_t c = in->p[0];
	uint32_t n, v;

	if (c == '\\')
		return next_escape(in);
	n = c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	if (n > in->n)
		n = 1;
	v = c & masks[n];
	for (uint32_t i = 1; i < n; i++)
		v = v << 6 | (in->p[i] & 0x3f);
	*in = behind(*in, n);
	return v;
}

void
jtext_add(struct buf *b, uint32_t c)
{
	uint8_t bytes[UTF8_MAX];

	if (c == '"' || c == '\\') {
		buf_add_byte(b, '\\');
		buf_add_byte(b, (uint8_t)c);
	} else if (c < 0x20 || (c >= 0xd800 && c <= 0xdfff)) {
		buf_printf(b, "\\u%04x", c);
	} else {
		buf_add(b, bytes, utf8_encode(c, bytes));
	}
}

int
jtext_has_escape(struct slice s)
{
	return s.n && memchr(s.p, '\\', s.n);
}

int
jtext_compare(struct slice a, struct slice b)
{
	while (a.n && b.n) {
		uint32_t x = jtext_next(&a), y = jtext_next(&b);

		if (x != y)
			return x < y ? -1 : 1;
	}
	return a.n ? 1 : b.n ? -1 : 0;
}

int
jtext_equal(struct slice a, struct slice b)
{
	if (slice_equal(a, b))
		return 1;
	if (!jtext_has_escape(a) && !jtext_has_escape(b))
		return 0;
	return jtext_compare(a, b) == 0;
}

/* --- numbers -------------------------------------------------------------- */

#define EXPONENT_MAX 100000000000000000ll

/* 0.DIGITS * 10^exponent; the digits have neither zeros before them nor behind
 * them, and may have a point among them. */
struct decimal {
	int negative;
	struct slice digits; /* none: zero */
	int64_t exponent;
	int huge; /* the exponent is not known */
};

static int64_t
take_exponent(struct slice s, int *huge)
{
	int negative = s.n && s.p[0] == '-';
	int64_t v = 0;

	if (s.n && (s.p[0] == '-' || s.p[0] == '+'))
		s = behind(s, 1);
	for (size_t i = 0; i < s.n; i++) {
		v = v * 10 + (s.p[i] - '0');
		if (v > EXPONENT_MAX || v < 0) {
			*huge = 1;
			return 0;
		}
	}
	return negative ? -v : v;
}

static struct decimal
decimal(struct slice s)
{
	struct decimal d = {.negative = s.n && s.p[0] == '-'};
	size_t n = 0, point;

	if (d.negative)
		s = behind(s, 1);
	while (n < s.n && (s.p[n] | 0x20) != 'e')
		n++;
	d.exponent = take_exponent(behind(s, n + 1), &d.huge);
	s.n = n;
	for (point = 0; point < s.n && s.p[point] != '.'; point++)
		;
	d.exponent += (int64_t)point;
	while (s.n && (s.p[0] == '0' || s.p[0] == '.')) {
		d.exponent -= s.p[0] == '0';
		s = behind(s, 1);
	}
	while (s.n && (s.p[s.n - 1] == '0' || s.p[s.n - 1] == '.'))
		s.n--;
	d.digits = s;
	return d;
}

static int
same_digits(struct slice a, struct slice b)
{
	while (a.n && b.n) {
		if (a.p[0] == '.')
			a = behind(a, 1);
		if (b.p[0] == '.')
			b = behind(b, 1);
		if (!a.n || !b.n || a.p[0] != b.p[0])
			return 0;
		a = behind(a, 1);
		b = behind(b, 1);
	}
	return a.n == b.n;
}

int
jtext_number_equal(struct slice a, struct slice b)
{
	struct decimal x, y;

	if (slice_equal(a, b))
		return 1;
	x = decimal(a);
	y = decimal(b);
	if (x.digits.n == 0 || y.digits.n == 0)
		return x.digits.n == y.digits.n;
	return !x.huge && !y.huge && x.negative == y.negative &&
	       x.exponent == y.exponent && same_digits(x.digits, y.digits);
}
