/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include <criterion/criterion.h>

#include "ring/plan.h"
#include "ring/targets.h"
#include "tests/ring/grow.h"

TestSuite(plan);

static struct ring_plan *
plan_of(struct ring *r)
{
	struct ring_plan *p = NULL;

	cr_assert_eq(ring_plan_new(r, &p), RING_OK);
	return p;
}

static uint16_t
next_of(const struct ring *r, unsigned node)
{
	struct ring_count counts[RING_MEMBERS_MAX];

	ring_counts(r, counts);
	return counts[ring_named(r, grow_name(node))].next;
}

Test(plan, four_of_one_moves_sixteen_slots_to_each_new_one)
{
	struct ring *r = grow_one(64, 3);
	struct ring_tallies t;
	struct ring_plan *p;

	for (unsigned i = 2; i <= 4; i++)
		r = grow_join(r, i);
	p = plan_of(r);
	cr_assert_eq(p->n, 1);
	cr_assert_eq(ring_claimants(p->at[0]), 4);
	cr_assert_eq(ring_transfers(p->at[0], &t), 0);
	cr_assert_eq(t.slots, 48);
	cr_assert_eq(t.n, 3);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_str_eq(t.at[i].from, grow_name(1));
		cr_assert_str_eq(t.at[i].to, grow_name(i + 2));
		cr_assert_eq(t.at[i].slots, 16);
	}
	ring_tallies_deinit(&t);
	cr_assert_eq(ring_reassigned(p, 0, &t), 0);
	cr_assert_eq(t.n, 0);
	ring_tallies_deinit(&t);
	ring_plan_free(p);
	ring_unref(r);
}

Test(plan, leave_of_one_of_four_is_two_transitions)
{
	struct ring *r = grow_done(grow_cluster(64, 3, 4));
	struct ring_plan *p;

	r = grow_to(r, ring_stage_leave, 2);
	p = plan_of(r);
	cr_assert_eq(p->n, 2);
	cr_assert_eq(ring_pending(p->at[0]), 46);
	cr_assert_eq(
	    p->at[0]->members[ring_named(r, grow_name(2))].state, RING_LEAVING);
	cr_assert_eq(next_of(p->at[0], 2), 0);
	cr_assert_eq(next_of(p->at[0], 1), 21);
	cr_assert_eq(next_of(p->at[0], 3), 22);
	cr_assert_eq(next_of(p->at[0], 4), 21);
	cr_assert_eq(ring_pending(p->at[1]), 0);
	cr_assert_eq(p->at[1]->n_members, 3);
	ring_plan_free(p);
	ring_unref(r);
}

Test(plan, fifth_node_takes_three_slots_of_each)
{
	struct ring *r = grow_done(grow_cluster(64, 3, 4));
	struct ring_tallies t;
	struct ring_plan *p;

	r = grow_join(r, 5);
	p = plan_of(r);
	cr_assert_eq(ring_transfers(p->at[0], &t), 0);
	cr_assert_eq(t.slots, 12);
	cr_assert_eq(t.n, 4);
	for (unsigned i = 0; i < 4; i++) {
		cr_assert_eq(t.at[i].slots, 3);
		cr_assert_eq(next_of(p->at[0], i + 1), 13);
	}
	cr_assert_eq(next_of(p->at[0], 5), 12);
	ring_tallies_deinit(&t);
	ring_plan_free(p);
	ring_unref(r);
}
