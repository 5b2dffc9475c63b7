/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include <criterion/criterion.h>

#include "ring/change.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/ring/grow.h"

TestSuite(change);

/* What is staged, as a text: "join b; replace c with d". */
static const char *
staged(const struct ring *r)
{
	static const char *const verb[] = {
	    "", "join", "leave", "remove", "replace", "force-replace"};
	static char text[512];
	size_t n = 0;

	text[0] = '\0';
	for (uint16_t i = 0; i < r->n_staged; i++) {
		const struct ring_change *c = &r->staged[i];

		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s %.6s",
		    i ? "; " : "", verb[c->kind], r->members[c->member].name);
		if (c->with != RING_NOBODY)
			n += (size_t)snprintf(text + n, sizeof(text) - n,
			    " with %.6s", r->members[c->with].name);
	}
	return text;
}

#define CHECK_STAGED(r, want) cr_assert_str_eq(staged(r), want, "%s", staged(r))

static struct ring *
replace(struct ring *r, unsigned x, unsigned y, int force)
{
	struct ring *next = NULL;

	cr_assert_eq(
	    ring_stage_replace(r, grow_name(x), grow_name(y), force, &next),
	    RING_OK);
	return grow_next(r, next);
}

static enum ring_state
state_of(const struct ring *r, unsigned i)
{
	return r->members[ring_named(r, grow_name(i))].state;
}

Test(change, nobody_unknown_or_alone_leaves)
{
	struct ring *r = grow_one(8, 3), *next = NULL;

	cr_assert_eq(ring_stage_leave(r, "x@x", &next), RING_NOT_MEMBER);
	cr_assert_eq(ring_stage_remove(r, "x@x", &next), RING_NOT_MEMBER);
	cr_assert_eq(ring_mark_down(r, "x@x", 0, &next), RING_NOT_MEMBER);
	cr_assert_eq(
	    ring_stage_leave(r, grow_name(1), &next), RING_ONLY_MEMBER);
	cr_assert_eq(
	    ring_stage_remove(r, grow_name(1), &next), RING_ONLY_MEMBER);
	cr_assert_eq(
	    ring_mark_down(r, grow_name(1), 0, &next), RING_ONLY_MEMBER);
	cr_assert_null(next);
	ring_unref(r);
}

Test(change, joins_are_staged_by_name_and_cleared)
{
	struct ring *r = grow_one(8, 3), *next = NULL;

	r = grow_join(r, 3);
	r = grow_join(r, 2);
	CHECK_STAGED(r, "join iorio2; join iorio3");
	cr_assert_eq(state_of(r, 2), RING_JOINING);
	cr_assert_eq(r->n_members, 3);
	cr_assert_eq(ring_clear(r, &next), RING_OK);
	r = grow_next(r, next);
	CHECK_STAGED(r, "");
	cr_assert_eq(r->n_members, 1);
	cr_assert_eq(ring_clear(r, &next), RING_SAME);
	ring_unref(r);
}

Test(change, a_second_join_changes_the_address_alone)
{
	struct ring *r = grow_join(grow_one(8, 3), 2), *next = NULL;
	uint8_t id[RING_ID_BYTES];
	int known;

	grow_id(2, 0, id);
	cr_assert_eq(
	    ring_stage_join(r, id, grow_name(2), "", &next, &known), RING_SAME);
	cr_assert_eq(ring_stage_join(r, id, "y@y", "", &next, &known),
	    RING_ALREADY_MEMBER);
	cr_assert_eq(ring_stage_join(r, id, grow_name(2), "h:1", &next, &known),
	    RING_OK);
	r = grow_next(r, next);
	cr_assert_str_eq(r->members[ring_find(r, id)].address, "h:1");
	r = grow_commit(r);
	cr_assert_eq(ring_stage_join(r, id, grow_name(2), "h:1", &next, &known),
	    RING_ALREADY_MEMBER);
	ring_unref(r);
}

Test(change, a_node_that_lost_its_disk_replaces_itself_by_force)
{
	struct ring *r = grow_done(grow_cluster(16, 3, 3)), *next = NULL;
	uint8_t id[RING_ID_BYTES];
	int known = 0;

	r = grow_to(r, ring_stage_leave, 2);
	grow_id(2, 1, id);
	cr_assert_eq(
	    ring_stage_join(r, id, grow_name(2), "", &next, &known), RING_OK);
	cr_assert(known);
	r = grow_next(r, next);
	CHECK_STAGED(r, "force-replace iorio2 with iorio2");
	cr_assert_eq(ring_joining(r, grow_name(2)), ring_find(r, id));
	cr_assert_neq(ring_named(r, grow_name(2)), ring_find(r, id));

	/* And loses it again. */
	grow_id(2, 2, id);
	cr_assert_eq(
	    ring_stage_join(r, id, grow_name(2), "", &next, &known), RING_OK);
	cr_assert(known);
	r = grow_next(r, next);
	CHECK_STAGED(r, "force-replace iorio2 with iorio2");
	cr_assert_eq(r->n_members, 4);
	cr_assert_eq(ring_joining(r, grow_name(2)), ring_find(r, id));
	r = grow_commit(r);
	cr_assert_eq(r->n_members, 3);
	cr_assert_eq(ring_pending(r), 0);
	cr_assert_eq(ring_named(r, grow_name(2)), ring_find(r, id));
	ring_unref(r);
}

Test(change, a_leave_is_staged_once_and_refused_when_on_its_way)
{
	struct ring *r = grow_done(grow_cluster(16, 3, 3)), *next = NULL;

	r = grow_to(r, ring_stage_leave, 2);
	cr_assert_eq(ring_stage_leave(r, grow_name(2), &next), RING_SAME);
	r = grow_commit(r);
	cr_assert_eq(state_of(r, 2), RING_LEAVING);
	cr_assert_eq(
	    ring_stage_leave(r, grow_name(2), &next), RING_ALREADY_LEAVING);
	cr_assert_eq(
	    ring_mark_down(r, grow_name(2), 0, &next), RING_ALREADY_LEAVING);
	cr_assert_eq(
	    ring_stage_replace(r, grow_name(2), grow_name(3), 0, &next),
	    RING_ALREADY_LEAVING);
	cr_assert_eq(ring_mark_down(r, grow_name(3), 0, &next), RING_OK);
	r = grow_next(r, next);
	cr_assert_eq(
	    ring_stage_leave(r, grow_name(3), &next), RING_ALREADY_LEAVING);
	ring_unref(r);
}

Test(change, somebody_stays_to_own_the_slots)
{
	struct ring *r = grow_done(grow_cluster(16, 3, 2)), *next = NULL;

	r = grow_to(r, ring_stage_leave, 1);
	cr_assert_eq(
	    ring_stage_leave(r, grow_name(2), &next), RING_ONLY_MEMBER);
	cr_assert_eq(
	    ring_stage_remove(r, grow_name(2), &next), RING_ONLY_MEMBER);
	r = grow_join(r, 3);
	r = grow_to(r, ring_stage_remove, 2);
	CHECK_STAGED(r, "leave iorio1; remove iorio2; join iorio3");
	cr_assert_eq(
	    ring_stage_leave(r, grow_name(3), &next), RING_ONLY_MEMBER);
	ring_unref(r);
}

Test(change, a_later_change_of_a_member_takes_the_place_of_the_first)
{
	struct ring *r = grow_done(grow_cluster(16, 3, 3));

	r = grow_to(r, ring_stage_leave, 2);
	r = grow_to(r, ring_stage_remove, 2);
	CHECK_STAGED(r, "remove iorio2");
	r = grow_join(r, 4);
	r = replace(r, 2, 4, 0);
	CHECK_STAGED(r, "replace iorio2 with iorio4");
	r = replace(r, 2, 4, 1);
	CHECK_STAGED(r, "force-replace iorio2 with iorio4");
	r = grow_to(r, ring_stage_leave, 2);
	CHECK_STAGED(r, "leave iorio2; join iorio4");
	r = replace(r, 3, 4, 0);
	r = grow_to(r, ring_stage_leave, 4);
	CHECK_STAGED(r, "leave iorio2; leave iorio4");
	ring_unref(r);
}

Test(change, only_a_joining_member_replaces_and_one_only)
{
	struct ring *r = grow_done(grow_cluster(16, 3, 3)), *next = NULL;
	static const struct {
		unsigned x, y;
		enum ring_refusal want;
	} cases[] = {
	    {9, 4, RING_NOT_MEMBER},
	    {1, 9, RING_INVALID_REPLACEMENT},
	    {1, 2, RING_INVALID_REPLACEMENT}, /* valid */
	    {1, 1, RING_INVALID_REPLACEMENT},
	    {4, 4, RING_NOT_MEMBER},          /* not yet */
	    {1, 5, RING_INVALID_REPLACEMENT}, /* its leave is staged */
	    {1, 4, RING_ALREADY_REPLACEMENT},
	    {3, 4, RING_SAME},
	};

	r = grow_join(grow_join(r, 4), 5);
	r = grow_to(r, ring_stage_leave, 5);
	r = replace(r, 3, 4, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_assert_eq(ring_stage_replace(r, grow_name(cases[i].x),
				 grow_name(cases[i].y), 0, &next),
		    cases[i].want, "case %zu", i);
	CHECK_STAGED(r, "replace iorio3 with iorio4; leave iorio5");
	ring_unref(r);
}

Test(change, what_is_leaving_is_replaced_by_force_alone)
{
	struct ring *r = grow_done(grow_cluster(16, 3, 4)), *next = NULL;

	r = grow_commit(grow_to(r, ring_stage_leave, 2));
	r = grow_join(r, 5);
	cr_assert_eq(
	    ring_stage_replace(r, grow_name(2), grow_name(5), 0, &next),
	    RING_ALREADY_LEAVING);
	r = grow_commit(replace(r, 2, 5, 1));
	cr_assert_eq(ring_named(r, grow_name(2)), RING_NOBODY);
	cr_assert_eq(state_of(r, 5), RING_VALID);
	ring_unref(r);
}

Test(change, down_is_for_those_not_heard_and_ends_with_their_return)
{
	struct ring *r = grow_done(grow_cluster(16, 3, 3)), *next = NULL;
	uint8_t id[RING_ID_BYTES];

	cr_assert_eq(ring_mark_down(r, grow_name(2), 1, &next), RING_IS_UP);
	cr_assert_eq(ring_mark_down(r, grow_name(2), 0, &next), RING_OK);
	r = grow_next(r, next);
	cr_assert_eq(state_of(r, 2), RING_DOWN);
	cr_assert_eq(ring_mark_down(r, grow_name(2), 0, &next), RING_SAME);
	cr_assert_eq(ring_claimants(r), 3);
	grow_id(2, 0, id);
	cr_assert_eq(ring_returned(r, id, "", &next), RING_OK);
	r = grow_next(r, next);
	cr_assert_eq(state_of(r, 2), RING_VALID);
	cr_assert_eq(ring_returned(r, id, "", &next), RING_SAME);
	cr_assert_eq(ring_returned(r, id, "h:2", &next), RING_OK);
	r = grow_next(r, next);
	cr_assert_str_eq(r->members[ring_find(r, id)].address, "h:2");
	grow_id(7, 0, id);
	cr_assert_eq(ring_returned(r, id, "", &next), RING_NOT_MEMBER);
	ring_unref(r);
}

Test(change, of_a_joining_member_is_not_down)
{
	struct ring *r = grow_join(grow_one(8, 3), 2), *next = NULL;

	cr_assert_eq(
	    ring_mark_down(r, grow_name(2), 0, &next), RING_NOT_MEMBER);
	ring_unref(r);
}

Test(change, more_members_than_there_is_room_for_are_refused)
{
	struct ring *r = grow_one(8, 3), *next = NULL;
	uint8_t id[RING_ID_BYTES] = {0};
	char name[32];
	int known;

	for (unsigned i = 2; i <= RING_MEMBERS_MAX + 1; i++) {
		enum ring_refusal no;

		id[0] = (uint8_t)i;
		id[1] = (uint8_t)(i >> 8);
		id[2] = 1;
		snprintf(name, sizeof(name), "n%u@h", i);
		no = ring_stage_join(r, id, name, "", &next, &known);
		if (i > RING_MEMBERS_MAX) {
			cr_assert_eq(no, RING_TOO_MANY);
			break;
		}
		cr_assert_eq(no, RING_OK);
		r = grow_next(r, next);
	}
	cr_assert_eq(r->n_members, RING_MEMBERS_MAX);
	ring_unref(r);
}

/* Its old self goes by force, whatever the new one does. */
Test(change, a_node_that_lost_its_disk_may_replace_another)
{
	struct ring *r = grow_done(grow_cluster(16, 3, 3)), *next = NULL;

	r = grow_join(grow_join_life(r, 2, 1), 4);
	CHECK_STAGED(r, "force-replace iorio2 with iorio2; join iorio4");
	cr_assert_eq(
	    ring_stage_leave(r, grow_name(2), &next), RING_ALREADY_LEAVING);
	cr_assert_eq(
	    ring_stage_replace(r, grow_name(2), grow_name(4), 0, &next),
	    RING_ALREADY_LEAVING);
	cr_assert_eq(
	    ring_stage_replace(r, grow_name(3), grow_name(2), 0, &next),
	    RING_ALREADY_REPLACEMENT);
	r = replace(r, 2, 4, 1);
	CHECK_STAGED(r, "force-replace iorio2 with iorio4; join iorio2");
	r = replace(r, 3, 2, 0);
	r = grow_to(r, ring_stage_leave, 4);
	CHECK_STAGED(
	    r, "remove iorio2; replace iorio3 with iorio2; leave iorio4");
	ring_unref(r);
}

/* --- histories ------------------------------------------------------------ */

struct life {
	uint64_t rng;
	struct ring *r;
	unsigned lives; /* ids given away */
};

static unsigned
below(struct life *l, unsigned n)
{
	l->rng ^= l->rng << 13;
	l->rng ^= l->rng >> 7;
	l->rng ^= l->rng << 17;
	return (unsigned)(l->rng >> 33) % n;
}

static enum ring_refusal
any_change(struct life *l, struct ring **out)
{
	const char *x = grow_name(1 + below(l, 7));
	const char *y = grow_name(1 + below(l, 7));
	const uint8_t *id = l->r->members[below(l, l->r->n_members)].id;
	uint8_t fresh[RING_ID_BYTES] = {0};
	struct ring_plan *p;
	enum ring_refusal no;
	uint16_t slots[3];
	int known;

	for (int i = 0; i < 3; i++)
		slots[i] = (uint16_t)below(l, l->r->q);
	switch (below(l, 16)) {
	case 0:
	case 1:
	case 2:
		fresh[0] = (uint8_t)below(l, 256);
		fresh[1] = (uint8_t)++l->lives;
		fresh[2] = (uint8_t)(l->lives >> 8);
		return ring_stage_join(l->r, fresh, x, "", out, &known);
	case 3:
		return ring_stage_leave(l->r, x, out);
	case 4:
		return ring_stage_remove(l->r, x, out);
	case 5:
	case 6:
		return ring_stage_replace(l->r, x, y, (int)below(l, 2), out);
	case 7:
		return ring_clear(l->r, out);
	case 8:
		return ring_mark_down(l->r, x, 0, out);
	case 9:
		return ring_returned(l->r, id, "h:1", out);
	case 10:
		return ring_removed(l->r, id, out);
	case 11:
	case 12:
		no = ring_plan_new(l->r, &p);
		if (no)
			return no;
		no = ring_plan_store(l->r, p, out);
		ring_plan_free(p);
		return no;
	case 13:
		return ring_commit(l->r, NULL, out);
	default:
		return ring_flip(l->r, slots, 3, out);
	}
}

static void
must_be_possible(const struct ring *r)
{
	struct ring *again = NULL;
	struct buf b;

	buf_init(&b, RING_ENCODED_MAX);
	ring_encode(r, &b);
	cr_assert_eq(ring_decode(buf_slice(&b), &again), 0);
	ring_unref(again);
	buf_deinit(&b);
}

/* Whatever is asked, in whatever order. */
Test(change, makes_possible_rings_only)
{
	unsigned made = 0;

	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct life l = {seed * 0x9e3779b97f4a7c15u,
		    grow_one(8 << seed % 3, (uint16_t)(1 + seed % 5)), 0};

		for (int i = 0; i < 400; i++) {
			struct ring *next = NULL;
			enum ring_refusal no = any_change(&l, &next);

			cr_assert_eq(no == RING_OK, next != NULL);
			if (no)
				continue;
			must_be_possible(next);
			l.r = grow_next(l.r, next);
			made++;
		}
		ring_unref(l.r);
	}
	cr_assert_gt(made, 4000, "%u", made);
}

/* --- memory --------------------------------------------------------------- */

static int
fail_at(void *arg, size_t n)
{
	int *left = arg;

	(void)n;
	return (*left)-- == 0;
}

Test(change, says_so_without_memory)
{
	struct ring *r = grow_done(grow_cluster(16, 3, 3));
	int failed = 0;

	r = grow_join(r, 4);
	for (int at = 0; at < 30; at++) {
		struct ring *next = NULL;
		struct ring_plan *p = NULL;
		enum ring_refusal no;
		int left = at;

		mem_set_hook(fail_at, &left);
		no = ring_stage_leave(r, grow_name(2), &next);
		if (no == RING_OK)
			no = ring_plan_new(next, &p);
		mem_set_hook(NULL, NULL);
		cr_assert(no == RING_OK || no == RING_NO_MEMORY);
		failed += no == RING_NO_MEMORY;
		ring_unref(next);
		ring_plan_free(p);
	}
	cr_assert(failed > 10 && failed < 30, "%d", failed);
	ring_unref(r);
}
