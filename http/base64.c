/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* base64 - RFC 4648 section 4. */
#include "http/base64.h"

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
