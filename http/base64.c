/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* base64 - RFC 4648. */
#include "http/base64.h"

#include "src/base/err.h"

static const char digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *
base64_put(char *at, struct slice s)
{
	size_t i;
	uint32_t v;

	for (i = 0; i + 2 < s.n; i += 3) {
		v = (uint32_t)s.p[i] << 16 | (uint32_t)s.p[i + 1] << 8 |
		    s.p[i + 2];
		*at++ = digits[v >> 18];
		*at++ = digits[v >> 12 & 63];
		*at++ = digits[v >> 6 & 63];
		*at++ = digits[v & 63];
	}
	if (i == s.n)
		return at;
	v = (uint32_t)s.p[i] << 16 |
	    (i + 1 < s.n ? (uint32_t)s.p[i + 1] << 8 : 0);
	*at++ = digits[v >> 18];
	*at++ = digits[v >> 12 & 63];
	*at++ = i + 1 < s.n ? digits[v >> 6 & 63] : '=';
	*at++ = '=';
	return at;
}

/* --- base64url ------------------------------------------------------------ */

static const char url_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void
base64url_add(struct buf *out, struct slice s)
{
	uint32_t v = 0, bits = 0;

	for (size_t i = 0; i < s.n; i++) {
		v = v << 8 | s.p[i];
		bits += 8;
		while (bits >= 6) {
			bits -= 6;
			buf_add_byte(out, (uint8_t)url_digits[v >> bits & 63]);
		}
	}
	if (bits)
		buf_add_byte(out, (uint8_t)url_digits[v << (6 - bits) & 63]);
}

static int
url_digit(uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

int
base64url_take(struct slice s, uint8_t *out, size_t *n)
{
	uint32_t v = 0, bits = 0;

	*n = 0;
	for (size_t i = 0; i < s.n; i++) {
		int d = url_digit(s.p[i]);

		if (d < 0)
			return -ERR_INVAL;
		v = (v << 6 | (uint32_t)d) & 0xffffff;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			out[(*n)++] = (uint8_t)(v >> bits);
		}
	}
	return bits >= 6 || (v & ((1u << bits) - 1)) ? -ERR_INVAL : 0;
}
