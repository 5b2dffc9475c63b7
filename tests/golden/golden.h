/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * golden - the bytes of our formats, as they are for good.
 *
 * Files `<folder>/<name>.bin` here.  One that differs is a change of format: it
 * needs a version of its own.  IORIO_GOLDEN_WRITE=1 writes them anew.
 */
#ifndef TESTS_GOLDEN_GOLDEN_H
#define TESTS_GOLDEN_GOLDEN_H

#include <criterion/criterion.h>

#include "src/base/buf.h"
#include "src/base/mem.h"

#define GOLDEN_MAX (64u << 10)

/* GOT is what NAME holds. */
static inline void
golden(const char *name, struct slice got)
{
	uint8_t *want = mem_alloc(GOLDEN_MAX);
	char path[512];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", GOLDEN_DIR, name);
	if (getenv("IORIO_GOLDEN_WRITE")) {
		f = fopen(path, "wb");
		cr_assert(f && fwrite(got.p, 1, got.n, f) == got.n);
		fclose(f);
	}
	f = fopen(path, "rb");
	cr_assert(f && want, "%s is missing", path);
	n = fread(want, 1, GOLDEN_MAX, f);
	fclose(f);
	cr_assert(slice_equal(got, SLICE(want, n)), "%s differs", name);
	mem_free(want);
}

/* Reads BYTES; 0: they were taken for what they should be. */
typedef int (*golden_read_fn)(void *arg, struct slice bytes);

/* READ takes WHOLE, and nothing that has one other bit, or was cut. */
static inline void
golden_is_guarded(struct slice whole, golden_read_fn read, void *arg)
{
	uint8_t *p = mem_alloc(whole.n);

	cr_assert_not_null(p);
	memcpy(p, whole.p, whole.n);
	cr_assert_eq(read(arg, SLICE(p, whole.n)), 0);
	for (size_t bit = 0; bit < 8 * whole.n; bit++) {
		p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		cr_assert(read(arg, SLICE(p, whole.n)) != 0,
		    "bit %zu of byte %zu", bit % 8, bit / 8);
		p[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	mem_free(p);
	for (size_t cut = 0; cut < whole.n; cut++) {
		p = mem_alloc(cut); /* of this size: reads behind it are seen */
		cr_assert_not_null(p);
		memcpy(p, whole.p, cut);
		cr_assert(read(arg, SLICE(p, cut)) != 0, "cut at %zu", cut);
		mem_free(p);
	}
}

#endif
