/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* accept - content negotiation, RFC 9110 section 12.5.1. */
#include "http/http_impl.h"

static int
same(struct slice a, struct slice b)
{
	if (a.n != b.n)
		return 0;
	for (size_t i = 0; i < a.n; i++) {
		uint8_t x = a.p[i], y = b.p[i];

		x = x >= 'A' && x <= 'Z' ? x | 0x20 : x;
		y = y >= 'A' && y <= 'Z' ? y | 0x20 : y;
		if (x != y)
			return 0;
	}
	return 1;
}

static struct slice
trim(struct slice s)
{
	while (s.n && (*s.p == ' ' || *s.p == '\t'))
		s = SLICE(s.p + 1, s.n - 1);
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* Up to the next SEP, which is taken out of *REST. */
static struct slice
next_part(struct slice *rest, char sep)
{
	const uint8_t *p = memchr(rest->p, sep, rest->n);
	struct slice part = SLICE(rest->p, p ? (size_t)(p - rest->p) : rest->n);
	size_t used = p ? part.n + 1 : part.n;

	*rest = SLICE(rest->p + used, rest->n - used);
	return trim(part);
}

/* "0.5" is 500; what is no weight counts as 1000. */
static int
weight(struct slice s)
{
	int q = 0, unit = 100;

	if (s.n == 0 || s.n > 5 || s.p[0] != '0' || (s.n > 1 && s.p[1] != '.'))
		return 1000;
	for (size_t i = 2; i < s.n; i++, unit /= 10)
		if (s.p[i] >= '0' && s.p[i] <= '9')
			q += (s.p[i] - '0') * unit;
	return q;
}

static int
weight_of(struct slice params)
{
	while (params.n) {
		struct slice p = next_part(&params, ';');

		if (p.n >= 2 && (p.p[0] | 0x20) == 'q' && p.p[1] == '=')
			return weight(SLICE(p.p + 2, p.n - 2));
	}
	return 1000;
}

/* How closely RANGE names TYPE: 3 by name, 2 type/`*`, 1 all, 0 not. */
static int
closeness(struct slice range, struct slice type)
{
	const uint8_t *slash = memchr(type.p, '/', type.n);
	size_t major = slash ? (size_t)(slash - type.p) + 1 : type.n;

	if (same(range, type))
		return 3;
	if (range.n == major + 1 && range.p[major] == '*' &&
	    same(SLICE(range.p, major), SLICE(type.p, major)))
		return 2;
	return same(range, SLICE_LIT("*/*"));
}

static int
find_q(struct slice rest, const char *type, int at_least)
{
	struct slice want = SLICE_STR(type);
	int best = 0, q = 0;

	want = next_part(&want, ';');
	while (rest.n) {
		struct slice item = next_part(&rest, ',');
		struct slice range = next_part(&item, ';');
		int close = closeness(range, want);

		if (close < at_least || close <= best)
			continue;
		best = close;
		q = weight_of(item);
	}
	return q;
}

int
accept_q(struct slice accept, const char *type)
{
	return accept.n ? find_q(accept, type, 1) : 1000;
}

int
accept_q_by_name(struct slice accept, const char *type)
{
	return accept.n ? find_q(accept, type, 3) : 0;
}

int
accept_problem(struct slice accept)
{
	int q = accept_q_by_name(accept, "application/problem+json");

	return q > 0 && q >= accept_q_by_name(accept, "application/json");
}

/* --- the header ----------------------------------------------------------- */

static int
is_accept(const struct parser_head *h, const uint8_t *base, uint32_t i)
{
	return same(
	    parser_slice(base, h->headers[i].name), SLICE_LIT("accept"));
}

size_t
accept_bytes(const struct parser_head *h, const uint8_t *base)
{
	size_t bytes = 0, n = 0;

	for (uint32_t i = 0; i < h->n_headers; i++) {
		if (!is_accept(h, base, i))
			continue;
		bytes += h->headers[i].value.n + 1;
		n++;
	}
	return n > 1 ? bytes : 0;
}

struct slice
accept_header(const struct parser_head *h, const uint8_t *base, uint8_t *store)
{
	int several = accept_bytes(h, base) > 0;
	size_t n = 0;

	for (uint32_t i = 0; i < h->n_headers; i++) {
		struct slice v;

		if (!is_accept(h, base, i))
			continue;
		v = parser_slice(base, h->headers[i].value);
		if (!several)
			return v;
		memcpy(store + n, v.p, v.n);
		n += v.n;
		store[n++] = ',';
	}
	return several ? SLICE(store, n) : SLICE(NULL, 0);
}
