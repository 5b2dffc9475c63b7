/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* uri - request targets. */
#include "http/uri.h"

#include "http/text.h"
#include "src/base/assert.h"
#include "src/base/err.h"

/* The byte at the head of *S, which moves on behind it; -1 at a bad escape. */
static int
next_byte(struct slice *s)
{
	int c = s->p[0];

	if (c != '%') {
		*s = SLICE(s->p + 1, s->n - 1);
		return c;
	}
	if (s->n < 3 || text_hex(s->p[1]) < 0 || text_hex(s->p[2]) < 0)
		return -1;
	c = text_hex(s->p[1]) << 4 | text_hex(s->p[2]);
	*s = SLICE(s->p + 3, s->n - 3);
	return c;
}

static int
decode(struct slice s, uint8_t *store, struct slice *out)
{
	size_t n = 0;

	while (s.n) {
		int c = next_byte(&s);

		if (c < 0)
			return -ERR_INVAL;
		store[n++] = (uint8_t)c;
	}
	*out = SLICE(store, n);
	return 0;
}

/* The bytes of *S before the first C; *S moves on behind that. */
static struct slice
cut(struct slice *s, int c)
{
	const uint8_t *at = s->n ? memchr(s->p, c, s->n) : NULL;
	struct slice head = *s;

	if (!at) {
		*s = SLICE(s->p, 0);
		return head;
	}
	head.n = (size_t)(at - s->p);
	*s = SLICE(at + 1, s->n - head.n - 1);
	return head;
}

int
uri_parse(struct uri *u, struct slice target, uint8_t *store)
{
	struct slice rest;

	ASSERT(target.n && target.p[0] == '/');
	*u = (struct uri){.query = target};
	u->path = cut(&u->query, '?');
	rest = SLICE(u->path.p + 1, u->path.n - 1);
	while (rest.n) {
		struct slice segment;

		if (decode(cut(&rest, '/'), store, &segment))
			return -ERR_INVAL;
		store += segment.n;
		if (segment.n == 0 || u->n_segments == URI_SEGMENTS_MAX)
			u->empty_segment = 1;
		else
			u->segments[u->n_segments++] = segment;
	}
	return 0;
}

/* No escaped control character is part of a NAME that somebody asks for. */
static int
is_name(struct slice raw, const char *name)
{
	while (raw.n && *name) {
		int c = next_byte(&raw);

		if (c <= 0x20 || c != (uint8_t)*name++)
			return 0;
	}
	return raw.n == 0 && !*name;
}

int
uri_begins_with(struct slice target, const char *segment)
{
	struct slice path = cut(&target, '?');

	if (path.n == 0 || path.p[0] != '/')
		return 0;
	path = SLICE(path.p + 1, path.n - 1);
	return is_name(cut(&path, '/'), segment);
}

int
uri_query_check(struct slice query)
{
	while (query.n)
		if (next_byte(&query) < 0)
			return -ERR_INVAL;
	return 0;
}

int
uri_query_next(struct slice *query, uint8_t *store, struct slice *name,
    struct slice *value)
{
	struct slice rest = *query, pair = SLICE(NULL, 0), key, k, v;

	while (rest.n && pair.n == 0)
		pair = cut(&rest, '&');
	if (pair.n == 0)
		return 0;
	key = cut(&pair, '=');
	if (decode(key, store, &k) || decode(pair, store + k.n, &v))
		return -ERR_INVAL;
	*query = rest;
	*name = k;
	*value = v;
	return 1;
}

int
uri_param(
    const struct uri *u, const char *name, uint8_t *store, struct slice *out)
{
	struct slice rest = u->query;

	if (uri_query_check(rest))
		return -ERR_INVAL;
	while (rest.n) {
		struct slice pair = cut(&rest, '&');
		struct slice key = cut(&pair, '=');

		if (key.n && is_name(key, name))
			return decode(pair, store, out);
	}
	return 1;
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
