/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_http - the bytes of a connection: the same outcome however they are cut,
 * and the targets of what was accepted through uri.
 */
#include "http/uri.h"
#include "src/base/assert.h"
#include "src/base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "tests/http/walk.h"

/* Byte by byte copies a head once for each of its bytes. */
#define BY_BYTE_MAX 4096

static size_t
random_cut(void *arg)
{
	uint64_t *x = arg;

	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x % 8 ? 1 + *x % 61 : 1 + *x % 9001;
}

static void
check_cuts(struct slice in)
{
	uint64_t seed = 0x9e3779b97f4a7c15u + in.n;
	struct walk whole, cut;

	walk_init(&whole);
	walk_init(&cut);
	walk_by(&whole, in, in.n);
	for (int i = 0; i < 3; i++) {
		walk_run(&cut, in, random_cut, &seed);
		ASSERT(walk_equal(&whole, &cut));
	}
	walk_by(&cut, in, in.n > BY_BYTE_MAX ? 1021 : 1);
	ASSERT(walk_equal(&whole, &cut));
	walk_deinit(&whole);
	walk_deinit(&cut);
}

/* The first of its name is what uri_param finds. */
static void
check_param(const struct uri *u, struct slice name, struct slice value)
{
	char text[64];
	uint8_t *store = mem_alloc(u->query.n);
	struct slice found;

	ASSERT(store);
	if (name.n > 0 && name.n < sizeof(text)) {
		memcpy(text, name.p, name.n);
		text[name.n] = '\0';
		for (size_t i = 0; i < name.n; i++)
			if (name.p[i] <= 0x20)
				text[0] = '\0';
		if (text[0]) {
			ASSERT(uri_param(u, text, store, &found) == 0);
			ASSERT(slice_equal(found, value));
		}
	}
	mem_free(store);
}

static void
check_query(const struct uri *u)
{
	struct slice rest = u->query, name, value;
	uint8_t *store = mem_alloc(rest.n + 1);
	int r, n = 0;

	ASSERT(store);
	while ((r = uri_query_next(&rest, store, &name, &value)) == 1) {
		ASSERT(name.n + value.n <= u->query.n);
		if (n++ == 0 && uri_query_check(u->query) == 0)
			check_param(u, name, value);
	}
	if (r < 0)
		ASSERT(uri_query_check(u->query) < 0);
	else
		ASSERT(uri_query_check(u->query) == 0);
	mem_free(store);
}

/* Escaping what was decoded and decoding it again changes nothing. */
static void
check_segment(struct slice segment)
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
check_target(struct slice target)
{
	struct uri u;
	uint8_t *store;

	if (target.n == 0 || target.p[0] != '/')
		return;
	store = mem_alloc(target.n);
	ASSERT(store);
	if (uri_parse(&u, target, store) == 0) {
		for (uint32_t i = 0; i < u.n_segments; i++)
			check_segment(u.segments[i]);
		check_query(&u);
	}
	mem_free(store);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	const uint8_t *slash = n ? memchr(p, '/', n) : NULL;
	const uint8_t *end;

	if (n == 0)
		return 0;
	check_cuts(SLICE(p, n));
	if (slash) {
		size_t left = n - (size_t)(slash - p);

		end = memchr(slash, ' ', left);
		check_target(SLICE(slash, end ? (size_t)(end - slash) : left));
	}
	return 0;
}
