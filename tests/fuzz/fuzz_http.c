/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_http - the bytes of a connection: the same outcome however they are cut.
 */
#include "src/base/assert.h"
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

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	if (n)
		check_cuts(SLICE(p, n));
	return 0;
}
