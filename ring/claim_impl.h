/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * claim_impl - the ring that a claim works on, and what a ring costs.
 *
 * A node that owns two slots at a distance below S is in conflict: some S slots
 * in a row do not have S owners.  At distance S it is not, but is soon, when
 * the next member comes.  Costs are compared in this order: conflicts, slots
 * that have moved, near conflicts; one number holds all three.
 */
#ifndef RING_CLAIM_IMPL_H
#define RING_CLAIM_IMPL_H

#include <stdint.h>

#include "ring/ring.h"

/*
 * Of one slot near conflicts are at most 4 and moves 1, of a whole ring 1,024
 * each: no sum of one kind reaches the next.
 */
#define CLAIM_NEAR ((int64_t)1)
#define CLAIM_MOVE ((int64_t)1 << 12)
#define CLAIM_HARD ((int64_t)1 << 24)

/*
 * 1. around[p * m + x] is what X at P would cost by its neighbours, whoever
 *    owns P.
 * 2. count[x] slots have owner X; RING_NOBODY has none.
 */
struct claim {
	uint16_t q, m, n_copies;
	uint16_t apart;      /* S = min(N, M): slots in a row with S owners */
	uint16_t reach;      /* the largest distance that costs anything */
	const uint16_t *old; /* q */
	uint16_t *owner;     /* q */
	uint16_t *count;     /* m */
	int32_t *around;     /* q * m */
	int64_t cost;
	int64_t least; /* moves that balance alone asks for */
};

/* Gives slot P to X. */
void claim_set(struct claim *c, uint32_t p, uint16_t x);
/* Starts anew from OWNERS, which is not c->owner. */
void claim_load(struct claim *c, const uint16_t *owners);
/* What the pair (P, W) costs while one member owns both. */
int64_t claim_pair(const struct claim *c, uint32_t p, uint32_t w);
/* How many N slots in a row have fewer owners than they could. */
uint32_t claim_bad_windows(const struct claim *c, const uint16_t *owners);
int claim_is_bad(const struct claim *c, const uint16_t *owners, uint32_t start);

static inline int64_t
claim_around(const struct claim *c, uint32_t p, uint16_t x)
{
	return c->around[(size_t)p * c->m + x];
}

/* claim_repair.c: counts stay balanced.  0 or -ERR_NOMEM. */
int claim_repair(struct claim *c);
/*
 * Fewer bad windows at any cost.  Conflicts are a stricter measure where there
 * are fewer members than copies, or too few slots for no conflict at all.
 */
void claim_mend(struct claim *c);
/* claim_pattern.c: members in turn, named after whoever owns most of it now.
 * 0 or -ERR_NOMEM. */
int claim_pattern(const struct claim *c, uint16_t *out);

#endif
