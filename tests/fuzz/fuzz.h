/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz - what every fuzz target defines, and what it may use.
 *
 * With -Dfuzz=true (clang) libFuzzer calls it; otherwise driver.c runs it over
 * the committed files and variants of them, as a test.  A violated rule is a
 * failed ASSERT.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/*
 * Makes checksums and lengths of the N bytes at P right again, as far as there
 * is a layout to be made out, so that a changed input gets behind them.  Bytes
 * that the encoder wrote stay as they are.  A target without checksums has
 * none.
 */
void fuzz_reseal(uint8_t *p, size_t n) __attribute__((weak));

/*
 * From fuzz_mem_start to fuzz_mem_stop all that is allocated together must not
 * exceed MAX bytes: a short input must not ask for much.
 */
struct fuzz_mem {
	size_t total, max;
};

void fuzz_mem_start(struct fuzz_mem *m, size_t max);
void fuzz_mem_stop(struct fuzz_mem *m);

#endif
