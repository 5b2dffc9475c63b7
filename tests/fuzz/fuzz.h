/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz - what every fuzz target defines.
 *
 * With -Dfuzz=true (clang) libFuzzer calls it; otherwise driver.c runs it over
 * the committed files, as a test.  A violated rule is a failed ASSERT.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

#endif
