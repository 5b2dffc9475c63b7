/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * claim - gives every slot an owner.
 *
 * First as little as possible is taken from those who own too much, where it
 * conflicts least; then swaps repair what conflicts (claim_repair.c).  With few
 * members no such path may lead out of conflict: then a ring of members in turn
 * is laid out and compared (claim_pattern.c).  What is left of windows with too
 * few owners is mended at any price.
 */
#include "ring/claim.h"

#include "ring/claim_impl.h"
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"

/* --- the ring and its cost ------------------------------------------------ */

static int64_t
weight(const struct claim *c, uint32_t distance)
{
	return distance < c->apart ? (int64_t)(c->apart - distance) * CLAIM_HARD
				   : CLAIM_NEAR;
}

int64_t
claim_pair(const struct claim *c, uint32_t p, uint32_t w)
{
	uint32_t ahead = (w - p) & (c->q - 1u), behind = c->q - ahead;
	int64_t cost = 0;

	if (ahead <= c->reach)
		cost += weight(c, ahead);
	if (behind <= c->reach)
		cost += weight(c, behind);
	return cost;
}

static void
touch(struct claim *c, uint32_t p, uint16_t x, int sign)
{
	for (uint32_t d = 1; d <= c->reach; d++) {
		int32_t w = (int32_t)weight(c, d) * sign;
		uint32_t up = (p + d) & (c->q - 1u);
		uint32_t down = (p - d) & (c->q - 1u);

		c->around[(size_t)up * c->m + x] += w;
		c->around[(size_t)down * c->m + x] += w;
	}
	c->count[x] = (uint16_t)(c->count[x] + sign);
}

void
claim_set(struct claim *c, uint32_t p, uint16_t x)
{
	uint16_t was = c->owner[p];

	if (was != RING_NOBODY) {
		c->cost -= claim_around(c, p, was);
		c->cost -= was != c->old[p] ? CLAIM_MOVE : 0;
		touch(c, p, was, -1);
	}
	c->owner[p] = x;
	if (x != RING_NOBODY) {
		c->cost += claim_around(c, p, x);
		c->cost += x != c->old[p] ? CLAIM_MOVE : 0;
		touch(c, p, x, 1);
	}
}

void
claim_load(struct claim *c, const uint16_t *owners)
{
	memset(c->around, 0, (size_t)c->q * c->m * sizeof(*c->around));
	memset(c->count, 0, c->m * sizeof(*c->count));
	memset(c->owner, 0xff, c->q * sizeof(*c->owner));
	c->cost = 0;
	for (uint32_t p = 0; p < c->q; p++)
		claim_set(c, p, owners[p]);
}

int
claim_is_bad(const struct claim *c, const uint16_t *owners, uint32_t start)
{
	uint16_t seen[RING_COPIES_MAX];
	uint32_t n = 0;

	for (uint32_t d = 0; d < c->n_copies; d++) {
		uint16_t x = owners[(start + d) & (c->q - 1u)];
		uint32_t k = 0;

		while (k < n && seen[k] != x)
			k++;
		if (k == n)
			seen[n++] = x;
	}
	return n < c->apart;
}

uint32_t
claim_bad_windows(const struct claim *c, const uint16_t *owners)
{
	uint32_t bad = 0;

	for (uint32_t p = 0; p < c->q; p++)
		bad += claim_is_bad(c, owners, p) != 0;
	return bad;
}

/* --- construct ------------------------------------------------------------ */

/*
 * need[x]: slots X is to get, or give (< 0).  The Q mod M members that own one
 * more than the others are those that own most already, then by name.
 */
static void
set_needs(struct claim *c, int32_t *need)
{
	uint32_t low = c->q / c->m, rest = c->q % c->m;

	for (uint16_t x = 0; x < c->m; x++) {
		uint32_t before = 0;

		for (uint16_t y = 0; y < c->m; y++)
			before += c->count[y] > c->count[x] ||
				  (c->count[y] == c->count[x] && y < x);
		need[x] = (int32_t)(low + (before < rest)) - c->count[x];
		c->least += need[x] > 0 ? need[x] * CLAIM_MOVE : 0;
	}
}

struct pick {
	uint32_t p;
	uint16_t x;
	int give;     /* it is someone's who owns too much */
	int64_t cost; /* that is added; moves do not count */
};

static int
is_better(const struct pick *a, const struct pick *b)
{
	if (a->cost != b->cost)
		return a->cost < b->cost;
	return a->give < b->give; /* of equals the first */
}

/* The best slot for X among those to be had. */
static void
pick_for(struct claim *c, const int32_t *need, uint16_t x, struct pick *best)
{
	for (uint32_t p = 0; p < c->q; p++) {
		uint16_t was = c->owner[p];
		struct pick at = {p, x, was != RING_NOBODY, 0};

		if (at.give && need[was] >= 0)
			continue;
		at.cost = claim_around(c, p, x);
		if (at.give)
			at.cost -= claim_around(c, p, was);
		if (best->x == RING_NOBODY || is_better(&at, best))
			*best = at;
	}
}

/* Of those that were not asked, in DONE, the one that needs most. */
static uint16_t
next_taker(const struct claim *c, const int32_t *need, const uint8_t *done)
{
	uint16_t best = RING_NOBODY;

	for (uint16_t x = 0; x < c->m; x++)
		if (need[x] > 0 && !done[x] &&
		    (best == RING_NOBODY || need[x] > need[best]))
			best = x;
	return best;
}

static void
construct(struct claim *c, int32_t *need)
{
	for (;;) {
		struct pick best = {.x = RING_NOBODY};
		uint8_t done[RING_MEMBERS_MAX] = {0};
		uint16_t x;

		while ((x = next_taker(c, need, done)) != RING_NOBODY) {
			done[x] = 1;
			pick_for(c, need, x, &best);
			if (best.cost <= 0)
				break;
		}
		if (best.x == RING_NOBODY)
			return;
		if (best.give)
			need[c->owner[best.p]]++;
		claim_set(c, best.p, best.x);
		need[best.x]--;
	}
}

/* --- choose --------------------------------------------------------------- */

struct choice {
	uint32_t bad;
	int64_t cost;
	uint16_t *owners;
};

static void
offer(const struct claim *c, struct choice *best)
{
	uint32_t bad = claim_bad_windows(c, c->owner);

	if (best->bad < bad || (best->bad == bad && best->cost <= c->cost))
		return;
	best->bad = bad;
	best->cost = c->cost;
	memcpy(best->owners, c->owner, c->q * sizeof(*c->owner));
}

/* Is a ring of members in turn worth trying? */
static int
may_be_better(const struct claim *c)
{
	int64_t moves = c->cost % CLAIM_HARD / CLAIM_MOVE * CLAIM_MOVE;

	return c->cost >= CLAIM_HARD ||
	       (moves > c->least && c->m <= c->apart + 2u);
}

/* As many members as copies that do not share Q evenly: see cluster.md 5 (b). */
static uint32_t
unavoidable(const struct claim *c)
{
	return c->m == c->n_copies && c->q % c->m ? c->n_copies - 1u : 0;
}

static int
search(struct claim *c, struct choice *best, int32_t *need, uint16_t *pattern)
{
	int r;

	claim_load(c, c->old);
	set_needs(c, need);
	construct(c, need);
	r = claim_repair(c);
	if (r)
		return r;
	offer(c, best);
	if (!may_be_better(c))
		return 0;
	r = claim_pattern(c, pattern);
	if (r)
		return r;
	claim_load(c, pattern);
	offer(c, best);
	r = claim_repair(c);
	offer(c, best);
	return r;
}

static int
run(struct claim *c, struct choice *best, int32_t *need, uint16_t *pattern)
{
	int r = search(c, best, need, pattern);

	if (r || best->bad <= unavoidable(c))
		return r;
	claim_load(c, best->owners);
	claim_mend(c);
	offer(c, best);
	return 0;
}

int
ring_claim(const uint16_t *old, uint16_t q, uint16_t n_members,
    uint16_t n_copies, uint16_t *out)
{
	uint32_t cells = (uint32_t)q * n_members;
	struct claim c = {.q = q, .m = n_members, .n_copies = n_copies};
	struct choice best = {.bad = UINT32_MAX};
	uint16_t *slots = mem_calloc(q, 4 * sizeof(*slots));
	int32_t *need = mem_calloc(n_members, sizeof(*need));
	int r = -ERR_NOMEM;

	ASSERT(q >= RING_SIZE_MIN && q <= RING_SIZE_MAX && !(q & (q - 1)));
	ASSERT(n_members >= 1 && n_members <= RING_MEMBERS_MAX);
	ASSERT(n_copies >= 1 && n_copies <= RING_COPIES_MAX);
	c.apart = n_copies < n_members ? n_copies : n_members;
	c.reach = (uint16_t)(n_members > c.apart ? c.apart : c.apart - 1);
	c.count = mem_calloc(n_members, sizeof(*c.count));
	c.around = mem_calloc(cells, sizeof(*c.around));
	if (slots && need && c.count && c.around) {
		memcpy(slots, old, q * sizeof(*slots));
		c.old = slots;
		c.owner = slots + q;
		best.owners = slots + 2 * q;
		r = run(&c, &best, need, slots + 3 * q);
	}
	if (r == 0)
		memcpy(out, best.owners, q * sizeof(*out));
	mem_free(slots);
	mem_free(need);
	mem_free(c.count);
	mem_free(c.around);
	return r;
}
