/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * grow - rings of nodes iorio1@127.0.0.1, iorio2@127.0.0.1, ... for tests.
 *
 * What takes a ring consumes it and returns the next one.
 */
#ifndef TESTS_RING_GROW_H
#define TESTS_RING_GROW_H

#include <criterion/criterion.h>

#include "ring/plan.h"

/* The id of node I of its LIFE-th disk; ids are not in the order of names. */
static inline void
grow_id(unsigned i, unsigned life, uint8_t out[RING_ID_BYTES])
{
	memset(out, 0, RING_ID_BYTES);
	out[0] = (uint8_t)(i * 151 + life * 89);
	out[1] = (uint8_t)i;
	out[2] = (uint8_t)life;
}

/* Good for four calls. */
static inline const char *
grow_name(unsigned i)
{
	static char text[4][32];
	static unsigned at;

	at = (at + 1) % 4;
	snprintf(text[at], sizeof(text[at]), "iorio%u@127.0.0.1", i);
	return text[at];
}

static inline struct ring *
grow_one(uint16_t q, uint16_t n_copies)
{
	static const uint8_t cluster[RING_ID_BYTES] = "cluster";
	uint8_t id[RING_ID_BYTES];
	struct ring *r;

	grow_id(1, 0, id);
	r = ring_new(cluster, id, grow_name(1), q, n_copies);
	cr_assert_not_null(r);
	return r;
}

static inline struct ring *
grow_next(struct ring *r, struct ring *next)
{
	cr_assert_eq(next->epoch, r->epoch + 1);
	ring_unref(r);
	return next;
}

static inline struct ring *
grow_join_life(struct ring *r, unsigned i, unsigned life)
{
	uint8_t id[RING_ID_BYTES];
	struct ring *next = NULL;
	int known;

	grow_id(i, life, id);
	cr_assert_eq(
	    ring_stage_join(r, id, grow_name(i), "", &next, &known), RING_OK);
	return grow_next(r, next);
}

static inline struct ring *
grow_join(struct ring *r, unsigned i)
{
	return grow_join_life(r, i, 0);
}

/* STAGE is ring_stage_leave or ring_stage_remove. */
static inline struct ring *
grow_to(struct ring *r,
    enum ring_refusal (*stage)(
	const struct ring *, const char *, struct ring **),
    unsigned i)
{
	struct ring *next = NULL;

	cr_assert_eq(stage(r, grow_name(i), &next), RING_OK);
	return grow_next(r, next);
}

/* Planned and committed. */
static inline struct ring *
grow_commit(struct ring *r)
{
	struct ring *next = NULL;
	struct ring_plan *p = NULL;
	enum ring_refusal no;

	cr_assert_eq(ring_plan_new(r, &p), RING_OK);
	no = ring_plan_store(r, p, &next);
	cr_assert(no == RING_OK || no == RING_SAME);
	if (no == RING_OK)
		r = grow_next(r, next);
	ring_plan_free(p);
	cr_assert_eq(ring_commit(r, NULL, &next), RING_OK);
	return grow_next(r, next);
}

/* All slots flipped, and all who were leaving removed. */
static inline struct ring *
grow_done(struct ring *r)
{
	struct ring *next = NULL;

	for (uint16_t g = 0; g < r->q; g++)
		if (ring_flip(r, &g, 1, &next) == RING_OK)
			r = grow_next(r, next);
	cr_assert_eq(ring_pending(r), 0);
	for (uint16_t i = r->n_members; i-- > 0;)
		if (ring_removed(r, r->members[i].id, &next) == RING_OK)
			r = grow_next(r, next);
	return r;
}

/* N nodes that joined at once; the slots still move. */
static inline struct ring *
grow_cluster(uint16_t q, uint16_t n_copies, unsigned n)
{
	struct ring *r = grow_one(q, n_copies);

	for (unsigned i = 2; i <= n; i++)
		r = grow_join(r, i);
	return n > 1 ? grow_commit(r) : r;
}

#endif
