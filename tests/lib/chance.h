/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * chance - random numbers that a seed repeats: SplitMix64 (Steele, Lea and
 * Flood 2014, figure 17).
 */
#ifndef TESTS_LIB_CHANCE_H
#define TESTS_LIB_CHANCE_H

#include <stdint.h>

struct chance {
	uint64_t state;
};

static inline uint64_t
chance_next(struct chance *c)
{
	uint64_t z = c->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* 0 .. N - 1; N is not 0. */
static inline uint64_t
chance_below(struct chance *c, uint64_t n)
{
	return chance_next(c) % n;
}

static inline int
chance_one_in(struct chance *c, uint64_t n)
{
	return chance_below(c, n) == 0;
}

#endif
