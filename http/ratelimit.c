/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* ratelimit - how many requests a second a user, or an address, may send. */
#include "http/ratelimit.h"

#include <stdatomic.h>

#include "src/base/hash.h"
#include "src/base/mem.h"

#define SECOND_US 1000000u
#define SETS      4096u
#define WAYS      4

struct bucket {
	uint64_t key, full_at_us;
};

struct set {
	atomic_flag lock;
	struct bucket at[WAYS];
};

struct ratelimit {
	uint64_t seed;
	struct set sets[SETS];
};

/* Tokens are counted in microseconds: one is worth SECOND_US / RPS of them, at
 * least one; a bucket holds RPS of those. */
struct ratelimit_step
ratelimit_step(uint64_t *full_at_us, uint64_t now_us, uint64_t rps)
{
	uint64_t token = rps < SECOND_US ? SECOND_US / rps : 1;
	uint64_t size = rps < SECOND_US ? token * rps : rps;
	uint64_t missing = *full_at_us > now_us ? *full_at_us - now_us : 0;
	struct ratelimit_step s = {0};

	if (missing > size)
		missing = size; /* the limit was another */
	if (missing + token > size) {
		s.refused = 1;
		s.wait_us = missing + token - size;
	} else {
		missing += token;
	}
	*full_at_us = now_us + missing;
	s.full_us = missing;
	s.remaining = (size - missing) / token;
	return s;
}

struct ratelimit *
ratelimit_new(uint64_t seed)
{
	struct ratelimit *l = mem_zalloc(sizeof(*l));

	if (!l)
		return NULL;
	l->seed = seed;
	for (uint32_t i = 0; i < SETS; i++)
		atomic_flag_clear(&l->sets[i].lock);
	return l;
}

struct ratelimit *
ratelimit_free(struct ratelimit *l)
{
	return mem_free(l);
}

/* Its own, or else that which is full soonest: it is forgotten. */
static struct bucket *
find(struct set *s, uint64_t key)
{
	struct bucket *best = &s->at[0];

	for (int i = 0; i < WAYS; i++) {
		if (s->at[i].key == key)
			return &s->at[i];
		if (s->at[i].full_at_us < best->full_at_us)
			best = &s->at[i];
	}
	*best = (struct bucket){.key = key};
	return best;
}

struct ratelimit_step
ratelimit_take(
    struct ratelimit *l, struct slice key, struct mono now, uint64_t rps)
{
	uint64_t h = hash64(key.p, key.n, l->seed);
	struct set *s = &l->sets[h % SETS];
	struct ratelimit_step step;

	while (
	    atomic_flag_test_and_set_explicit(&s->lock, memory_order_acquire))
		;
	step = ratelimit_step(&find(s, h)->full_at_us, now.us, rps);
	atomic_flag_clear_explicit(&s->lock, memory_order_release);
	return step;
}
