/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * claim_repair - makes a balanced ring cheaper and keeps it balanced.
 *
 * Steepest descent over swaps of two slots, and over slots given from a member
 * that owns one more than others to one of those; when nothing gets cheaper the
 * least bad step is taken, and the slot changed is left alone for a while
 * (tabu), so that the walk leaves a valley instead of circling in it.
 */
#include <limits.h>

#include "ring/claim_impl.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define TENURE     7
#define STALL_MAX  30
#define SWEEP_MIN  64 /* slots in conflict: fewer are repaired step by step */
#define ROUNDS_MAX 4000
#define PAIRS_MAX  2000000u  /* looked at without a gain */
#define PAIRS_ALL  20000000u /* looked at: 60 ms of a slow core */

struct step {
	int64_t delta;
	uint32_t p;
	uint32_t w; /* swap with; or q: give to X */
	uint16_t x;
};

static int64_t
moved(const struct claim *c, uint32_t p, uint16_t x)
{
	return x != c->old[p] ? CLAIM_MOVE : 0;
}

static int64_t
give_delta(const struct claim *c, uint32_t p, uint16_t x)
{
	uint16_t a = c->owner[p];

	return claim_around(c, p, x) - claim_around(c, p, a) + moved(c, p, x) -
	       moved(c, p, a);
}

static int64_t
swap_delta(const struct claim *c, uint32_t p, uint32_t w)
{
	uint16_t a = c->owner[p], b = c->owner[w];

	/* Each is no longer where the other sees it. */
	return give_delta(c, p, b) + give_delta(c, w, a) -
	       2 * claim_pair(c, p, w);
}

/* Slots worth changing: in conflict; without any, those that have moved. */
static uint32_t
candidates(const struct claim *c, uint16_t *out)
{
	int in_conflict = c->cost % CLAIM_MOVE != 0 || c->cost >= CLAIM_HARD;
	uint32_t n = 0;

	for (uint32_t p = 0; p < c->q; p++)
		if (in_conflict ? claim_around(c, p, c->owner[p]) != 0
				: c->owner[p] != c->old[p])
			out[n++] = (uint16_t)p;
	return n;
}

static void
try_swaps(const struct claim *c, uint32_t p, struct step *best)
{
	for (uint32_t w = 0; w < c->q; w++) {
		int64_t delta;

		if (c->owner[w] == c->owner[p])
			continue;
		delta = swap_delta(c, p, w);
		if (delta < best->delta)
			*best = (struct step){delta, p, w, 0};
	}
}

static void
try_gifts(const struct claim *c, uint32_t p, uint32_t low, struct step *best)
{
	if (c->count[c->owner[p]] == low)
		return;
	for (uint16_t x = 0; x < c->m; x++) {
		int64_t delta;

		if (c->count[x] != low)
			continue;
		delta = give_delta(c, p, x);
		if (delta < best->delta)
			*best = (struct step){delta, p, c->q, x};
	}
}

static struct step
best_step(const struct claim *c, const uint16_t *at, uint32_t n,
    const uint32_t *tabu, uint32_t round)
{
	struct step best = {.delta = INT64_MAX};
	uint32_t low = c->q / c->m;

	for (uint32_t i = 0; i < n; i++)
		if (tabu[at[i]] <= round)
			try_swaps(c, at[i], &best);
	if (c->q % c->m == 0)
		return best;
	for (uint32_t i = 0; i < n; i++)
		if (tabu[at[i]] <= round)
			try_gifts(c, at[i], low, &best);
	return best;
}

static void
take_step(struct claim *c, const struct step *s)
{
	uint16_t was = c->owner[s->p];

	if (s->w == c->q) {
		claim_set(c, s->p, s->x);
		return;
	}
	claim_set(c, s->p, c->owner[s->w]);
	claim_set(c, s->w, was);
}

/*
 * A ring in much conflict: each slot takes the best step it has, as long as a
 * pass over all of them gains.  The best of all steps, one at a time, would
 * look at every pair again for each.
 */
static void
sweep(struct claim *c, uint16_t *at, const uint32_t *tabu)
{
	int64_t before;

	do {
		uint32_t n = candidates(c, at);

		before = c->cost;
		if (n < SWEEP_MIN)
			return;
		for (uint32_t i = 0; i < n; i++) {
			struct step s = best_step(c, at + i, 1, tabu, 0);

			if (s.delta < 0)
				take_step(c, &s);
		}
	} while (c->cost < before);
}

int
claim_repair(struct claim *c)
{
	uint16_t *at = mem_calloc(c->q, 2 * sizeof(*at)), *best;
	uint32_t *tabu = mem_calloc(c->q, sizeof(*tabu));
	uint32_t stalled = 0, pairs = 0, in_all = 0;
	int64_t least;

	if (!at || !tabu) {
		mem_free(at);
		mem_free(tabu);
		return -ERR_NOMEM;
	}
	best = at + c->q;
	sweep(c, at, tabu);
	least = c->cost;
	memcpy(best, c->owner, c->q * sizeof(*best));
	for (uint32_t round = 1; round <= ROUNDS_MAX && in_all < PAIRS_ALL;
	     round++) {
		uint32_t n = candidates(c, at);
		struct step s;

		if (c->cost == c->least)
			break;
		in_all += n * c->q;
		s = best_step(c, at, n, tabu, round);
		pairs += n * c->q;
		if (s.delta == INT64_MAX ||
		    (s.delta >= 0 &&
			(++stalled > STALL_MAX || pairs > PAIRS_MAX)))
			break;
		take_step(c, &s);
		tabu[s.p] = round + TENURE;
		if (c->cost < least) {
			least = c->cost;
			memcpy(best, c->owner, c->q * sizeof(*best));
			stalled = pairs = 0;
		}
	}
	claim_load(c, best);
	mem_free(at);
	mem_free(tabu);
	return 0;
}

/* --- bad windows ---------------------------------------------------------- */

/* Bad windows with P or W in them. */
static uint32_t
bad_near(const struct claim *c, uint32_t p, uint32_t w)
{
	uint32_t bad = 0, mask = c->q - 1u;

	for (uint32_t d = 0; d < c->n_copies; d++) {
		uint32_t start = (w - d) & mask;

		bad += claim_is_bad(c, c->owner, (p - d) & mask);
		if (((p - start) & mask) >= c->n_copies)
			bad += claim_is_bad(c, c->owner, start);
	}
	return bad;
}

static void
swap_owners(struct claim *c, uint32_t p, uint32_t w)
{
	uint16_t was = c->owner[p];

	c->owner[p] = c->owner[w];
	c->owner[w] = was;
}

/* The swap of a slot in window START that mends most, then costs least. */
static struct step
best_mending(struct claim *c, uint32_t start, int32_t *gain)
{
	struct step best = {.delta = INT64_MAX};

	*gain = 0;
	for (uint32_t d = 0; d < c->n_copies; d++) {
		uint32_t p = (start + d) & (c->q - 1u);

		for (uint32_t w = 0; w < c->q; w++) {
			int64_t delta;
			int32_t g;

			if (c->owner[w] == c->owner[p])
				continue;
			delta = swap_delta(c, p, w);
			g = (int32_t)bad_near(c, p, w);
			swap_owners(c, p, w);
			g -= (int32_t)bad_near(c, p, w);
			swap_owners(c, p, w);
			if (g > *gain ||
			    (g == *gain && g > 0 && delta < best.delta)) {
				*gain = g;
				best = (struct step){delta, p, w, 0};
			}
		}
	}
	return best;
}

void
claim_mend(struct claim *c)
{
	for (uint32_t start = 0; start < c->q; start++) {
		struct step s;
		int32_t gain;

		if (!claim_is_bad(c, c->owner, start))
			continue;
		s = best_mending(c, start, &gain);
		if (gain > 0) {
			take_step(c, &s);
			start = UINT32_MAX; /* from the first again */
		}
	}
}
