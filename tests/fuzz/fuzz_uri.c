/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_uri - the target of a request: what its path and query mean, as a
 * decoder says that copies piece after piece.
 */
#include "http/uri.h"
#include "src/base/assert.h"
#include "src/base/mem.h"
#include "tests/fuzz/fuzz.h"

#define TARGET_MAX 2048 /* each parameter is looked for from the start */

/* --- the dumb decoder ----------------------------------------------------- */

static int
digit(uint8_t c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c | 0x20) : NULL;

	if (!at || (c < 'A' && c > '9') || c < '0')
		return -1;
	return (int)(at - digits);
}

/* S with its escapes decoded, on the heap; n == SIZE_MAX: a bad escape. */
static struct slice
decode(struct slice s)
{
	uint8_t *p = mem_alloc(s.n);
	size_t n = 0;

	ASSERT(p);
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '%') {
			p[n++] = s.p[i];
			continue;
		}
		if (s.n - i < 3 || digit(s.p[i + 1]) < 0 ||
		    digit(s.p[i + 2]) < 0)
			return SLICE(p, SIZE_MAX);
		p[n++] = (uint8_t)(digit(s.p[i + 1]) * 16 + digit(s.p[i + 2]));
		i += 2;
	}
	return SLICE(p, n);
}

/* The piece of S from *AT to the next C or the end; *AT goes behind it. */
static struct slice
piece(struct slice s, size_t *at, uint8_t c)
{
	size_t from = *at, to = from;

	while (to < s.n && s.p[to] != c)
		to++;
	*at = to + 1;
	return SLICE(s.p + from, to - from);
}

static int
is(struct slice raw, struct slice decoded)
{
	struct slice own = decode(raw);
	int r = own.n != SIZE_MAX && slice_equal(own, decoded);

	mem_free((void *)(uintptr_t)own.p);
	return r;
}

static int
is_whole(struct slice raw)
{
	struct slice own = decode(raw);

	mem_free((void *)(uintptr_t)own.p);
	return own.n != SIZE_MAX;
}

/* --- rules ---------------------------------------------------------------- */

/* Escaping what was decoded and decoding it again changes nothing. */
static void
check_escape(struct slice segment)
{
	struct buf b;
	struct uri u;
	uint8_t *store = mem_alloc(segment.n * 3 + 1);

	ASSERT(store);
	buf_init(&b, 1u << 20);
	buf_add_byte(&b, '/');
	uri_escape(&b, segment);
	ASSERT(!buf_error(&b));
	ASSERT(uri_parse(&u, buf_slice(&b), store) == 0);
	ASSERT(u.n_segments == 1 && slice_equal(u.segments[0], segment));
	buf_deinit(&b);
	mem_free(store);
}

static void
check_path(const struct uri *u)
{
	uint32_t n = 0;
	int empty = 0;

	for (size_t at = 1; at < u->path.n;) {
		struct slice raw = piece(u->path, &at, '/');

		if (raw.n == 0 || n == URI_SEGMENTS_MAX) {
			empty = 1;
			continue;
		}
		ASSERT(n < u->n_segments && is(raw, u->segments[n]));
		check_escape(u->segments[n++]);
	}
	ASSERT(n == u->n_segments && empty == u->empty_segment);
}

/* The first of its name is what uri_param finds. */
static void
check_param(const struct uri *u, struct slice name)
{
	uint8_t *store = mem_alloc(u->query.n);
	struct slice found, own;
	char text[64];
	int r;

	ASSERT(store);
	if (name.n == 0 || name.n >= sizeof(text))
		goto out;
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= 0x20)
			goto out;
	memcpy(text, name.p, name.n);
	text[name.n] = '\0';
	r = uri_param(u, text, store, &found);
	if (uri_query_check(u->query)) {
		ASSERT(r < 0);
		goto out;
	}
	ASSERT(r == 0);
	for (size_t at = 0; at < u->query.n;) {
		struct slice pair = piece(u->query, &at, '&');
		size_t in = 0;

		own = piece(pair, &in, '=');
		if (!is(own, name))
			continue;
		in = in < pair.n ? in : pair.n;
		ASSERT(is(SLICE(pair.p + in, pair.n - in), found));
		break;
	}
out:
	mem_free(store);
}

static void
check_query(const struct uri *u)
{
	struct slice rest = u->query, name, value;
	uint8_t *store = mem_alloc(rest.n);
	size_t at = 0;
	int r;

	ASSERT(store);
	ASSERT((uri_query_check(rest) == 0) == is_whole(rest));
	while ((r = uri_query_next(&rest, store, &name, &value)) == 1) {
		struct slice pair = piece(u->query, &at, '&');
		size_t in = 0;

		while (pair.n == 0)
			pair = piece(u->query, &at, '&');
		ASSERT(is(piece(pair, &in, '='), name));
		in = in < pair.n ? in : pair.n;
		ASSERT(is(SLICE(pair.p + in, pair.n - in), value));
		check_param(u, name);
	}
	ASSERT((r < 0) == !is_whole(u->query));
	mem_free(store);
}

static void
check_target(struct slice target)
{
	uint8_t *store = mem_alloc(target.n);
	struct uri u;
	int r;

	ASSERT(store);
	r = uri_parse(&u, target, store);
	ASSERT((r == 0) == is_whole(u.path));
	if (r == 0) {
		ASSERT(u.path.n + u.query.n <= target.n);
		check_path(&u);
		check_query(&u);
	}
	mem_free(store);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	uint8_t *target;

	if (n > TARGET_MAX)
		return 0;
	target = mem_alloc(n + 1);
	ASSERT(target);
	target[0] = '/';
	if (n)
		memcpy(target + 1, p, n);
	check_target(SLICE(target, n + 1));
	mem_free(target);
	return 0;
}
