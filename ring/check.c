/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * check - whether a decoded ring is one that changes could have made.
 *
 * What is checked is what the functions of this folder rely on, so that no
 * bytes, however they came about, make one of their ASSERTs fail.
 */
#include "ring/ring_impl.h"

/* Rule 1 of ring.h, and 2. */
static int
owners_are_right(const struct ring *r)
{
	int moving = 0;

	for (uint32_t g = 0; g < r->q; g++) {
		enum ring_state s = r->members[r->owners[g]].state;

		if (s == RING_JOINING || s == RING_EXITING ||
		    !ring_member_may_own(&r->members[r->next_owners[g]]))
			return 0;
		moving |= r->owners[g] != r->next_owners[g];
	}
	for (uint16_t i = 0; i < r->n_members && !moving; i++)
		if (r->members[i].state == RING_LEAVING)
			return 0;
	return 1;
}

static int
joins(const struct ring *r, uint16_t member)
{
	return r->members[member].state == RING_JOINING;
}

/* Rule 3. */
static int
names_are_right(const struct ring *r)
{
	for (uint16_t i = 0; i < r->n_members; i++) {
		const struct ring_change *c = ring_staged(r, i);

		for (uint16_t k = 0; k < r->n_members; k++) {
			if (k == i ||
			    strcmp(r->members[i].name, r->members[k].name) != 0)
				continue;
			if (joins(r, i) == joins(r, k))
				return 0;
			if (!joins(r, i) && (!c || !ring_is_forced(c)))
				return 0;
		}
	}
	return 1;
}

/* Rule 4. */
static int
changes_are_right(const struct ring *r)
{
	uint8_t roles[RING_MEMBERS_MAX] = {0};

	for (uint16_t i = 0; i < r->n_staged; i++) {
		const struct ring_change *c = &r->staged[i];

		if (i && ring_compare(r, c[-1].member, c->member) >= 0)
			return 0;
		if (c->kind == RING_JOIN && !joins(r, c->member))
			return 0;
		roles[c->member]++;
		if (c->with == RING_NOBODY)
			continue;
		if (!joins(r, c->with) || joins(r, c->member))
			return 0;
		roles[c->with]++;
	}
	for (uint16_t i = 0; i < r->n_members; i++)
		if (roles[i] > 1 || (joins(r, i) && roles[i] == 0))
			return 0;
	return 1;
}

int
ring_keeps_somebody(const struct ring *r)
{
	for (uint16_t i = 0; i < r->n_members; i++) {
		const struct ring_change *c = ring_staged(r, i);

		if ((ring_member_may_own(&r->members[i]) || joins(r, i)) &&
		    (!c || c->kind == RING_JOIN))
			return 1;
	}
	return 0;
}

int
ring_is_possible(const struct ring *r)
{
	return owners_are_right(r) && names_are_right(r) &&
	       changes_are_right(r) && ring_keeps_somebody(r) &&
	       (!r->has_plan || r->n_staged > 0);
}
