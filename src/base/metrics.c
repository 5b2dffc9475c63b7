/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* metrics - counters and histograms of a node. */
#include "src/base/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/assert.h"
#include "src/base/mem.h"

struct metrics {
	uint32_t n;
	void *memory; /* with what aligning SHARDS has cost */
	struct metrics_shard *shards;
};

static const uint64_t micros[METRICS_BUCKETS] = {100, 250, 500, 1000, 2500,
    5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000,
    5000000, 10000000, 60000000};
static const uint64_t counts[METRICS_BUCKETS] = {1, 2, 4, 8, 16, 32, 64, 128,
    256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536};

static const enum metrics_scale scales[METRICS_N_HISTOGRAMS] = {
#define X(NAME, name, help, scale) [METRICS_##NAME] = scale,
    METRICS_HISTOGRAMS(X)
#undef X
};

const uint64_t *
metrics_bounds(enum metrics_scale scale)
{
	return scale == METRICS_SECONDS ? micros : counts;
}

struct metrics *
metrics_new(uint32_t n)
{
	struct metrics *m = mem_zalloc(sizeof(*m));
	const size_t align = _Alignof(struct metrics_shard);

	if (!m)
		return NULL;
	m->n = n;
	m->memory = mem_zalloc(n * sizeof(*m->shards) + align);
	if (!m->memory)
		return mem_free(m);
	m->shards =
	    (struct metrics_shard *)(((uintptr_t)m->memory + align - 1) /
				     align * align);
	return m;
}

struct metrics *
metrics_free(struct metrics *m)
{
	if (!m)
		return NULL;
	mem_free(m->memory);
	return mem_free(m);
}

struct metrics_shard *
metrics_shard(struct metrics *m, uint32_t i)
{
	if (!m)
		return NULL;
	ASSERT(i < m->n);
	return &m->shards[i];
}

void
metrics_observe(
    struct metrics_shard *s, enum metrics_histogram h, uint64_t value)
{
	const uint64_t *bounds = metrics_bounds(scales[h]);
	uint32_t i = 0;

	if (!s)
		return;
	while (i < METRICS_BUCKETS && value > bounds[i])
		i++;
	metrics_bump(&s->histograms[h].n[i], 1);
	metrics_bump(&s->histograms[h].sum, value);
}

static uint64_t
look(const atomic_ullong *a)
{
	return atomic_load_explicit(a, memory_order_relaxed);
}

static void
sum_histograms(const struct metrics_shard *s, struct metrics_sums *out)
{
	for (int h = 0; h < METRICS_N_HISTOGRAMS; h++) {
		for (int i = 0; i <= METRICS_BUCKETS; i++)
			out->histograms[h].n[i] += look(&s->histograms[h].n[i]);
		out->histograms[h].sum += look(&s->histograms[h].sum);
	}
}

void
metrics_sum(const struct metrics *m, struct metrics_sums *out)
{
	memset(out, 0, sizeof(*out));
	for (uint32_t k = 0; k < m->n; k++) {
		for (int i = 0; i < METRICS_N_COUNTERS; i++)
			out->counters[i] += look(&m->shards[k].counters[i]);
		sum_histograms(&m->shards[k], out);
	}
}
