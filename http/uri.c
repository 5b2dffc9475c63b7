/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* uri - request targets. */
#include "http/uri.h"

#include "src/base/err.h"

static int
hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Bytes written to OUT, or -ERR_INVAL. */
static int
decode(struct slice s, uint8_t *out)
{
	int n = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '%') {
			out[n++] = s.p[i];
			continue;
		}
		if (s.n - i < 3 || hex(s.p[i + 1]) < 0 || hex(s.p[i + 2]) < 0)
			return -ERR_INVAL;
		out[n++] = (uint8_t)(hex(s.p[i + 1]) << 4 | hex(s.p[i + 2]));
		i += 2;
	}
	return n;
}

int
uri_parse(struct uri *u, struct slice target, uint8_t *store)
{
	const uint8_t *mark = memchr(target.p, '?', target.n);
	size_t n = mark ? (size_t)(mark - target.p) : target.n;
	size_t i = 1;

	*u = (struct uri){.path = SLICE(target.p, n)};
	if (mark)
		u->query = SLICE(mark + 1, target.n - n - 1);
	if (n > 1 && target.p[n - 1] == '/')
		n--; /* one trailing slash is ignored */
	while (i < n) {
		size_t from = i;
		int k;

		while (i < n && target.p[i] != '/')
			i++;
		k = decode(SLICE(target.p + from, i - from), store);
		if (k < 0)
			return k;
		if (k == 0 || u->n_segments == URI_SEGMENTS_MAX)
			u->empty_segment = 1;
		else
			u->segments[u->n_segments++] = SLICE(store, (size_t)k);
		store += k;
		if (i + 1 == n && target.p[i] == '/')
			u->empty_segment = 1;
		i++;
	}
	return 0;
}

int
uri_param(
    const struct uri *u, const char *name, uint8_t *store, struct slice *out)
{
	size_t i = 0;
	int r = 1;

	while (i < u->query.n) {
		const uint8_t *p = u->query.p + i;
		size_t left = u->query.n - i;
		const uint8_t *amp = memchr(p, '&', left);
		size_t n = amp ? (size_t)(amp - p) : left;
		const uint8_t *eq = memchr(p, '=', n);
		size_t key = eq ? (size_t)(eq - p) : n;
		uint8_t junk[4096];
		int k;

		i += n + 1;
		if (r == 1 && key == strlen(name) &&
		    memcmp(p, name, key) == 0) {
			k = eq ? decode(SLICE(eq + 1, n - key - 1), store) : 0;
			if (k >= 0) {
				*out = SLICE(store, (size_t)k);
				r = 0;
			}
		} else {
			k = n <= sizeof(junk) ? decode(SLICE(p, n), junk) : 0;
		}
		if (k < 0)
			return k;
	}
	return r;
}

void
uri_escape(struct buf *b, struct slice s)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
		    (c >= 'A' && c <= 'Z') || c == '-' || c == '.' ||
		    c == '_' || c == '~') {
			buf_add_byte(b, c);
			continue;
		}
		buf_add_byte(b, '%');
		buf_add_byte(b, (uint8_t)digits[c >> 4]);
		buf_add_byte(b, (uint8_t)digits[c & 15]);
	}
}
