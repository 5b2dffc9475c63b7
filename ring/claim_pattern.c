/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * claim_pattern - a ring of members in turn, as near to the old ring as names
 * allow.
 *
 * Rounds of all members, one after the other; as there are a few slots too many
 * for Q, each of some members is left out of one round, those rounds spread
 * evenly.  Members in it are labels at first: for each rotation of it labels
 * are given to members so that most slots stay where they are, which is an
 * assignment problem.
 */
#include <limits.h>

#include "ring/claim_impl.h"
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"

/* Rotations are tried as long as they take fewer steps than this together. */
#define STEPS_MAX 50000000u

static void
lay_out(const struct claim *c, uint16_t *out)
{
	uint32_t rounds = (c->q + c->m - 1u) / c->m, n = 0, label = 0;
	uint32_t extra = rounds * c->m - c->q, left_out = 0;

	for (uint32_t round = 0; round < rounds; round++) {
		/* Of few members all are left out of the last round: another
		 * would repeat a member too soon. */
		uint32_t upto =
		    c->m <= c->reach + 1u
			? (round + 1 == rounds ? extra : 0)
			: ((round + 1) * extra + rounds - 1) / rounds;
		uint32_t drop = upto - left_out;

		for (uint32_t x = 0; x < c->m; x++)
			if ((x + c->m - label) % c->m >= drop)
				out[n++] = (uint16_t)x;
		label = (label + drop) % c->m;
		left_out = upto;
	}
	ASSERT(n == c->q);
}

/* --- assignment ----------------------------------------------------------- */

/*
 * Labels to members, M of each, with the greatest sum of keep[label][member].
 * The Hungarian method by shortest augmenting paths (Jonker and Volgenant
 * 1987); rows and columns count from 1, 0 is the free one.
 */
struct assign {
	uint32_t m;
	int32_t *keep;          /* m * m */
	int32_t *row, *col;     /* potentials */
	int32_t *slack;         /* of a column */
	uint32_t *label, *from; /* of a column */
	uint8_t *seen;
};

static int32_t
price(const struct assign *a, uint32_t i, uint32_t j)
{
	return -a->keep[(size_t)(i - 1) * a->m + (j - 1)] - a->row[i] -
	       a->col[j];
}

/* Relaxes the columns from the row that COLUMN has; the nearest one. */
static uint32_t
grow(struct assign *a, uint32_t column)
{
	int32_t delta = INT32_MAX;
	uint32_t next = 0;

	a->seen[column] = 1;
	for (uint32_t j = 1; j <= a->m; j++) {
		int32_t cost;

		if (a->seen[j])
			continue;
		cost = price(a, a->label[column], j);
		if (cost < a->slack[j]) {
			a->slack[j] = cost;
			a->from[j] = column;
		}
		if (a->slack[j] < delta) {
			delta = a->slack[j];
			next = j;
		}
	}
	for (uint32_t j = 0; j <= a->m; j++) {
		if (a->seen[j]) {
			a->row[a->label[j]] += delta;
			a->col[j] -= delta;
		} else {
			a->slack[j] -= delta;
		}
	}
	return next;
}

static void
solve(struct assign *a)
{
	memset(a->row, 0, (a->m + 1) * sizeof(*a->row));
	memset(a->col, 0, (a->m + 1) * sizeof(*a->col));
	memset(a->label, 0, (a->m + 1) * sizeof(*a->label));
	for (uint32_t i = 1; i <= a->m; i++) {
		uint32_t column = 0;

		memset(a->seen, 0, a->m + 1);
		for (uint32_t j = 0; j <= a->m; j++)
			a->slack[j] = INT32_MAX;
		a->label[0] = i;
		do {
			column = grow(a, column);
		} while (a->label[column]);
		for (; column; column = a->from[column])
			a->label[column] = a->label[a->from[column]];
	}
}

/* --- rotations ------------------------------------------------------------ */

/* Slots that stay with PATTERN turned by K; WHO: the member of each label. */
static int32_t
name_labels(const struct claim *c, const uint16_t *pattern, uint32_t k,
    struct assign *a, uint16_t *who)
{
	int32_t kept = 0;

	memset(a->keep, 0, (size_t)a->m * a->m * sizeof(*a->keep));
	for (uint32_t p = 0; p < c->q; p++) {
		uint16_t label = pattern[(p + k) & (c->q - 1u)];

		if (c->old[p] != RING_NOBODY)
			a->keep[(size_t)label * a->m + c->old[p]]++;
	}
	solve(a);
	for (uint32_t j = 1; j <= a->m; j++) {
		uint32_t label = a->label[j] - 1;

		who[label] = (uint16_t)(j - 1);
		kept += a->keep[(size_t)label * a->m + (j - 1)];
	}
	return kept;
}

static void
turn(const struct claim *c, const uint16_t *pattern, struct assign *a,
    uint16_t *out)
{
	uint32_t m = c->m, limit = STEPS_MAX / (m * m * m), turns = c->q;
	int32_t best = -1;

	if (m > c->apart + 1u && m < turns)
		turns = m;
	if (turns > limit)
		turns = limit ? limit : 1;
	for (uint32_t k = 0; k < turns; k++) {
		uint16_t who[RING_MEMBERS_MAX];
		int32_t kept = name_labels(c, pattern, k, a, who);

		if (kept <= best)
			continue;
		best = kept;
		for (uint32_t p = 0; p < c->q; p++)
			out[p] = who[pattern[(p + k) & (c->q - 1u)]];
	}
}

int
claim_pattern(const struct claim *c, uint16_t *out)
{
	uint32_t m = c->m;
	uint16_t *pattern = mem_calloc(c->q, sizeof(*pattern));
	int32_t *words = mem_calloc(5 * (m + 1) + m * m, sizeof(*words));
	uint8_t *seen = mem_calloc(m + 1, 1);
	int r = -ERR_NOMEM;

	if (pattern && words && seen) {
		struct assign a = {
		    .m = m,
		    .row = words,
		    .col = words + (m + 1),
		    .slack = words + 2 * (m + 1),
		    .label = (uint32_t *)(words + 3 * (m + 1)),
		    .from = (uint32_t *)(words + 4 * (m + 1)),
		    .keep = words + 5 * (m + 1),
		    .seen = seen,
		};

		lay_out(c, pattern);
		turn(c, pattern, &a, out);
		r = 0;
	}
	mem_free(pattern);
	mem_free(words);
	mem_free(seen);
	return r;
}
