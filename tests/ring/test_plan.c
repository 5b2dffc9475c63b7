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

static const struct ring_member *
member(const struct ring *r, unsigned node)
{
	uint16_t at = ring_named(r, grow_name(node));

	cr_assert_neq(at, RING_NOBODY);
	return &r->members[at];
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

Test(plan, replacement_takes_the_slots_of_the_one_it_replaces)
{
	struct ring *r = grow_done(grow_cluster(64, 3, 4)), *next = NULL;
	struct ring_tallies t;
	struct ring_plan *p;

	r = grow_join(r, 5);
	cr_assert_eq(
	    ring_stage_replace(r, grow_name(3), grow_name(5), 0, &next),
	    RING_OK);
	r = grow_next(r, next);
	p = plan_of(r);
	cr_assert_eq(p->n, 2);
	cr_assert_eq(ring_reassigned(p, 0, &t), 0);
	cr_assert_eq(t.slots, 0);
	ring_tallies_deinit(&t);
	cr_assert_eq(ring_transfers(p->at[0], &t), 0);
	cr_assert_eq(t.n, 1);
	cr_assert_str_eq(t.at[0].from, grow_name(3));
	cr_assert_str_eq(t.at[0].to, grow_name(5));
	cr_assert_eq(t.slots, 16);
	ring_tallies_deinit(&t);
	ring_plan_free(p);
	ring_unref(r);
}

Test(plan, forced_replacement_takes_them_at_once)
{
	struct ring *r = grow_done(grow_cluster(64, 3, 4)), *next = NULL;
	struct ring_tallies t;
	struct ring_plan *p;

	r = grow_join(r, 5);
	cr_assert_eq(
	    ring_stage_replace(r, grow_name(3), grow_name(5), 1, &next),
	    RING_OK);
	r = grow_next(r, next);
	p = plan_of(r);
	cr_assert_eq(p->n, 1);
	cr_assert_eq(ring_pending(p->at[0]), 0);
	cr_assert_eq(p->at[0]->n_members, 4);
	cr_assert_eq(ring_reassigned(p, 0, &t), 0);
	cr_assert_eq(t.n, 1);
	cr_assert_str_eq(t.at[0].from, grow_name(3));
	cr_assert_str_eq(t.at[0].to, grow_name(5));
	cr_assert_eq(t.slots, 16);
	ring_tallies_deinit(&t);
	ring_plan_free(p);
	ring_unref(r);
}

/* Its slots go over at once, and what balance moves besides is transferred. */
Test(plan, removal_by_force_leaves_no_slot_without_an_owner)
{
	struct ring *r = grow_done(grow_cluster(64, 3, 4));
	struct ring_tallies t;
	struct ring_plan *p;

	r = grow_to(r, ring_stage_remove, 2);
	p = plan_of(r);
	cr_assert_eq(p->n, 1);
	cr_assert_eq(ring_named(p->at[0], grow_name(2)), RING_NOBODY);
	cr_assert_eq(ring_reassigned(p, 0, &t), 0);
	cr_assert_eq(t.slots, 16);
	for (uint32_t i = 0; i < t.n; i++)
		cr_assert_str_eq(t.at[i].from, grow_name(2));
	ring_tallies_deinit(&t);
	cr_assert_eq(ring_pending(p->at[0]), 46 - 16);
	ring_plan_free(p);
	ring_unref(r);
}

Test(plan, is_carried_out_only_as_it_was_shown)
{
	struct ring *r = grow_cluster(16, 3, 1), *next = NULL;
	struct ring_plan *p = NULL;
	char text[RING_PLAN_TEXT_BYTES];

	cr_assert_eq(ring_plan_new(r, &p), RING_NOTHING_STAGED);
	cr_assert_eq(ring_commit(r, NULL, &next), RING_NOTHING_PLANNED);
	r = grow_join(r, 2);
	cr_assert_eq(ring_commit(r, NULL, &next), RING_NOTHING_PLANNED);
	p = plan_of(r);
	ring_plan_text(p->id, text);
	cr_assert_eq(ring_plan_store(r, p, &next), RING_OK);
	r = grow_next(r, next);
	cr_assert_eq(ring_plan_store(r, p, &next), RING_SAME);
	ring_plan_free(p);

	r = grow_join(r, 3);
	cr_assert_eq(ring_commit(r, NULL, &next), RING_PLAN_CHANGED);
	p = plan_of(r);
	cr_assert_eq(ring_plan_store(r, p, &next), RING_OK);
	r = grow_next(r, next);
	ring_plan_free(p);
	cr_assert_eq(ring_commit(r, text, &next), RING_PLAN_CHANGED);
	ring_plan_text(r->plan_id, text);
	cr_assert_eq(ring_commit(r, text, &next), RING_OK);
	r = grow_next(r, next);
	cr_assert(!r->has_plan && r->n_staged == 0 && ring_claimants(r) == 3);
	cr_assert_eq(ring_commit(r, text, &next), RING_NOTHING_PLANNED);
	ring_unref(r);
}

/* What moves meanwhile, or who is marked down, changes nothing that was shown. */
Test(plan, outlives_flips_but_not_another_commit)
{
	struct ring *r = grow_join(grow_cluster(16, 3, 3), 4), *next = NULL;
	struct ring_plan *p = plan_of(r);
	uint8_t id[RING_ID_BYTES];
	uint16_t g = 0;

	memcpy(id, p->id, sizeof(id));
	ring_plan_free(p);
	while (r->owners[g] == r->next_owners[g])
		g++;
	cr_assert_eq(ring_flip(r, &g, 1, &next), RING_OK);
	r = grow_next(r, next);
	cr_assert_eq(ring_mark_down(r, grow_name(2), 0, &next), RING_OK);
	r = grow_next(r, next);
	p = plan_of(r);
	cr_assert_arr_eq(p->id, id, sizeof(id));
	ring_plan_free(p);

	r = grow_to(r, ring_stage_leave, 3);
	p = plan_of(r);
	cr_assert_arr_neq(p->id, id, sizeof(id));
	ring_plan_free(p);
	ring_unref(r);
}

/* The bytes hashed are described in plan.c: nodes of all versions agree. */
Test(plan, has_the_same_id_for_good)
{
	struct ring *r = grow_done(grow_cluster(64, 3, 4));
	char text[RING_PLAN_TEXT_BYTES];
	struct ring_plan *p;

	r = grow_to(grow_join(r, 5), ring_stage_leave, 2);
	p = plan_of(r);
	ring_plan_text(p->id, text);
	cr_assert_str_eq(text, "fdec208c", "%s", text);
	ring_plan_free(p);
	ring_unref(r);
}

/* A commit while slots move sends them elsewhere; owners stay. */
Test(plan, starts_from_where_slots_are_going)
{
	struct ring *r = grow_cluster(64, 3, 4);

	cr_assert_eq(ring_pending(r), 48);
	r = grow_commit(grow_join(r, 5));
	for (unsigned i = 1; i <= 5; i++)
		cr_assert_eq(next_of(r, i), i == 5 ? 12 : 13);
	for (uint16_t g = 0; g < 64; g++)
		cr_assert_str_eq(r->members[r->owners[g]].name, grow_name(1));
	ring_unref(r);
}

/* Owners that are gone give their slots to those they were going to. */
Test(plan, removal_by_force_of_a_member_in_the_middle_of_transfers)
{
	struct ring *r = grow_done(grow_cluster(64, 3, 4));
	uint16_t before[64], was;

	r = grow_commit(grow_join(r, 5));
	was = ring_named(r, grow_name(3));
	memcpy(before, r->owners, sizeof(before));
	r = grow_commit(grow_to(r, ring_stage_remove, 3));
	for (uint16_t g = 0; g < 64; g++)
		if (before[g] == was)
			cr_assert_eq(r->owners[g], r->next_owners[g]);
	cr_assert_eq(r->n_members, 4);
	cr_assert_gt(ring_pending(r), 0);
	r = grow_done(r);
	for (unsigned i = 1; i <= 5; i++)
		cr_assert(i == 3 || next_of(r, i) == 16);
	ring_unref(r);
}

Test(plan, a_member_leaves_when_its_last_slot_has_moved)
{
	struct ring *r = grow_done(grow_cluster(16, 3, 4)), *next = NULL;
	uint8_t id[RING_ID_BYTES];

	grow_id(2, 0, id);
	r = grow_commit(grow_to(r, ring_stage_leave, 2));
	for (uint16_t g = 0; g < 16; g++) {
		uint16_t twice[2] = {g, g};

		if (r->owners[g] == r->next_owners[g]) {
			cr_assert_eq(ring_flip(r, twice, 2, &next), RING_SAME);
			continue;
		}
		cr_assert_eq(member(r, 2)->state, RING_LEAVING);
		cr_assert_eq(ring_removed(r, id, &next), RING_NOT_MEMBER);
		cr_assert_eq(ring_flip(r, twice, 2, &next), RING_OK);
		r = grow_next(r, next);
	}
	cr_assert_eq(member(r, 2)->state, RING_EXITING);
	cr_assert_eq(ring_removed(r, id, &next), RING_OK);
	r = grow_next(r, next);
	cr_assert_eq(r->n_members, 3);
	cr_assert_eq(ring_removed(r, id, &next), RING_NOT_MEMBER);
	ring_unref(r);
}

Test(plan, a_member_that_joins_and_leaves_in_one_owns_nothing)
{
	struct ring *r = grow_done(grow_cluster(16, 3, 2));

	r = grow_commit(grow_to(grow_join(r, 3), ring_stage_leave, 3));
	cr_assert_eq(member(r, 3)->state, RING_EXITING);
	cr_assert_eq(ring_pending(r), 0);
	ring_unref(r);
}

/* What a removed member was staged for is no plan any more. */
Test(plan, goes_with_the_last_staged_change)
{
	struct ring *r = grow_done(grow_cluster(16, 3, 3)), *next = NULL;
	uint8_t id[RING_ID_BYTES];
	struct ring_plan *p;

	grow_id(2, 0, id);
	r = grow_commit(grow_to(r, ring_stage_leave, 2));
	for (uint16_t g = 0; g < 16; g++)
		if (ring_flip(r, &g, 1, &next) == RING_OK)
			r = grow_next(r, next);
	r = grow_to(r, ring_stage_remove, 2);
	p = plan_of(r);
	cr_assert_eq(ring_plan_store(r, p, &next), RING_OK);
	r = grow_next(r, next);
	ring_plan_free(p);
	cr_assert_eq(ring_removed(r, id, &next), RING_OK);
	r = grow_next(r, next);
	cr_assert_eq(r->n_staged, 0);
	cr_assert_eq(ring_commit(r, NULL, &next), RING_NOTHING_PLANNED);
	ring_unref(r);
}

/* --- targets -------------------------------------------------------------- */

Test(plan, the_first_members_by_name_vote_for_the_root)
{
	static const uint32_t want[] = {0, 1, 2, 3, 3, 5, 5, 5};

	for (unsigned n = 1; n <= 7; n++) {
		struct ring *r = grow_cluster(16, 3, n);
		uint16_t out[RING_VOTERS_MAX];

		r = grow_join(r, n + 1); /* learns */
		cr_assert_eq(ring_root_voters(r, out), want[n]);
		for (unsigned i = 0; i < want[n]; i++)
			cr_assert_str_eq(
			    r->members[out[i]].name, grow_name(i + 1));
		ring_unref(r);
	}
}

Test(plan, members_that_are_down_or_leave_do_not_vote)
{
	struct ring *r = grow_done(grow_cluster(16, 3, 5)), *next = NULL;
	uint16_t out[RING_VOTERS_MAX];

	cr_assert_eq(ring_mark_down(r, grow_name(1), 0, &next), RING_OK);
	r = grow_next(r, next);
	r = grow_commit(grow_to(r, ring_stage_leave, 3));
	cr_assert_eq(ring_root_voters(r, out), 3);
	cr_assert_str_eq(r->members[out[0]].name, grow_name(2));
	cr_assert_str_eq(r->members[out[1]].name, grow_name(4));
	cr_assert_str_eq(r->members[out[2]].name, grow_name(5));
	ring_unref(r);
}

Test(plan, somebody_votes_when_nobody_is_valid)
{
	struct ring *r = grow_done(grow_cluster(16, 3, 2)), *next = NULL;
	uint16_t out[RING_VOTERS_MAX];

	cr_assert_eq(ring_mark_down(r, grow_name(1), 0, &next), RING_OK);
	r = grow_next(r, next);
	cr_assert_eq(ring_mark_down(r, grow_name(2), 0, &next), RING_OK);
	r = grow_next(r, next);
	cr_assert_eq(ring_root_voters(r, out), 2);
	cr_assert_str_eq(r->members[out[0]].name, grow_name(1));
	ring_unref(r);
}

Test(plan, a_group_belongs_to_the_next_owners_from_its_slot_on)
{
	struct ring *r = grow_cluster(64, 3, 4);

	for (uint16_t g = 0; g < 64; g++) {
		uint16_t out[RING_COPIES_MAX];

		cr_assert_eq(ring_targets(r, g, out), 3);
		for (uint16_t i = 0; i < 3; i++)
			cr_assert_eq(out[i], r->next_owners[(g + i) % 64]);
	}
	ring_unref(r);
}
