/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * mutate - libFuzzer's mutations, with checksums made right again behind most
 * of them.
 */
#include "tests/fuzz/fuzz.h"

size_t LLVMFuzzerMutate(uint8_t *p, size_t n, size_t max);
size_t LLVMFuzzerCustomMutator(
    uint8_t *p, size_t n, size_t max, unsigned int seed);

size_t
LLVMFuzzerCustomMutator(uint8_t *p, size_t n, size_t max, unsigned int seed)
{
	n = LLVMFuzzerMutate(p, n, max);
	if (fuzz_reseal && seed % 8)
		fuzz_reseal(p, n);
	return n;
}
