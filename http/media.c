/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* media - the Content-Type of a request. */
#include "http/media.h"

#include "http/parser_impl.h"

int
media_is(struct slice type, const char *want)
{
	size_t n = strlen(want);

	if (type.n < n)
		return 0;
	for (size_t i = 0; i < n; i++) {
		uint8_t c = type.p[i];

		if (c >= 'A' && c <= 'Z')
			c |= 0x20;
		if (c != (uint8_t)want[i])
			return 0;
	}
	return type.n == n || type.p[n] == ';' || type.p[n] == ' ';
}

static size_t
token_bytes(struct slice s)
{
	size_t n = 0;

	while (n < s.n && is_class(s.p[n], CLASS_TOKEN))
		n++;
	return n;
}

/* RFC 9110 section 8.3.1: type/subtype, then parameters, which are taken as
 * they come, but for what is not printable. */
int
media_is_good(struct slice type)
{
	size_t major = token_bytes(type), n = major + 1;

	if (type.n > EVENT_TYPE_MAX || major == 0 || n >= type.n ||
	    type.p[major] != '/')
		return 0;
	n += token_bytes(SLICE(type.p + n, type.n - n));
	if (n == major + 1 ||
	    (n < type.n && type.p[n] != ';' && type.p[n] != ' '))
		return 0;
	for (; n < type.n; n++)
		if (type.p[n] < 0x20 || type.p[n] >= 0x7f)
			return 0;
	return 1;
}

int
media_is_encoded(const struct request *rq)
{
	struct slice coding = request_header(rq, "content-encoding");

	return coding.n && !slice_equal(coding, SLICE_LIT("identity"));
}
