/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * hist - log-linear histogram of latencies, after HdrHistogram: 64 steps per
 * power of two, so a value is known to within 1.6 %.
 */
#ifndef TESTS_BENCH_HIST_H
#define TESTS_BENCH_HIST_H

#include <stdint.h>

#define HIST_STEPS 64
#define HIST_ROWS  58

struct hist {
	uint64_t n, max;
	uint64_t counts[HIST_ROWS * HIST_STEPS];
};

static inline uint32_t
hist_slot(uint64_t v)
{
	uint32_t row =
	    v < HIST_STEPS ? 0 : 64 - 6 - (uint32_t)__builtin_clzll(v);

	return row * HIST_STEPS + (uint32_t)(v >> (row ? row : 0)) % HIST_STEPS;
}

static inline void
hist_add(struct hist *h, uint64_t v)
{
	h->counts[hist_slot(v)]++;
	h->n++;
	if (v > h->max)
		h->max = v;
}

/* The value that a fraction Q of all do not exceed. */
static inline uint64_t
hist_quantile(const struct hist *h, double q)
{
	uint64_t want = (uint64_t)(q * (double)h->n), seen = 0;

	for (uint32_t i = 0; i < HIST_ROWS * HIST_STEPS; i++) {
		seen += h->counts[i];
		if (seen > want) {
			uint32_t row = i / HIST_STEPS;
			uint64_t v = ((uint64_t)(i % HIST_STEPS)) << row;

			return v < h->max ? v : h->max;
		}
	}
	return h->max;
}

#endif
