/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include <criterion/criterion.h>

#include "ring/liveness.h"
#include "src/base/mem.h"
#include "tests/ring/grow.h"

TestSuite(liveness);

#define START_MS 5000u

struct rig {
	struct ring *ring;
	struct liveness l;
	uint64_t ms;
	uint16_t self, other; /* places of nodes 1 and 2 */
	uint8_t what[RING_MEMBERS_MAX];
};

static struct mono
now(const struct rig *t)
{
	return (struct mono){t->ms * 1000};
}

/* Three nodes; we are the first. */
static struct rig
three(void)
{
	struct rig t = {.ring = grow_cluster(8, 3, 3), .ms = START_MS};

	t.self = ring_named(t.ring, grow_name(1));
	t.other = ring_named(t.ring, grow_name(2));
	liveness_init(&t.l, now(&t));
	liveness_set_ring(&t.l, t.ring, t.ring->members[t.self].id, now(&t));
	return t;
}

static void
tick(struct rig *t, uint64_t ms)
{
	t->ms += ms;
	liveness_tick(&t->l, now(t), t->what);
}

static void
hear(struct rig *t, uint16_t place)
{
	liveness_heard(&t->l, t->ring->members[place].id, now(t));
}

/* TICKS of 100 ms in which only the third node is heard; all that was said of
 * the second. */
static uint8_t
silence(struct rig *t, int ticks)
{
	uint16_t third = ring_named(t->ring, grow_name(3));
	uint8_t said = 0;

	for (int i = 0; i < ticks; i++) {
		hear(t, third);
		tick(t, 100);
		cr_assert_eq(t->what[third], 0);
		cr_assert_eq(t->what[t->self], 0);
		said |= t->what[t->other];
	}
	return said;
}

Test(liveness, a_silent_member_is_suspected_after_a_second_and_once)
{
	struct rig t = three();

	cr_assert_eq(silence(&t, 9), 0);
	cr_assert(liveness_is_up(&t.l, t.other));
	cr_assert_eq(silence(&t, 1), LIVENESS_SUSPECTED);
	cr_assert_not(liveness_is_up(&t.l, t.other));
	cr_assert_eq(silence(&t, 20), 0);
	cr_assert(liveness_is_up(&t.l, t.self));
	ring_unref(t.ring);
}

Test(liveness, a_member_that_is_heard_again_is_back_once)
{
	struct rig t = three();

	silence(&t, 15);
	hear(&t, t.other);
	tick(&t, 100);
	cr_assert_eq(t.what[t.other], LIVENESS_BACK);
	cr_assert(liveness_is_up(&t.l, t.other));
	tick(&t, 100);
	cr_assert_eq(t.what[t.other], 0);
	ring_unref(t.ring);
}

/* Stopped for ten seconds: the others are asked first, then judged. */
Test(liveness, who_stood_still_suspects_nobody_for_that)
{
	struct rig t = three();

	for (int i = 0; i < 5; i++) {
		hear(&t, t.other);
		tick(&t, 100);
	}
	tick(&t, 10000);
	cr_assert_eq(t.what[t.other], 0);
	/* It was silent for 100 ms before. */
	cr_assert_eq(silence(&t, 8), 0);
	cr_assert_eq(silence(&t, 1), LIVENESS_SUSPECTED);
	tick(&t, 10000);
	cr_assert_not(liveness_is_up(&t.l, t.other));
	cr_assert_eq(t.what[t.other], 0);
	ring_unref(t.ring);
}

/* Places shift when members come; what was known of them stays. */
Test(liveness, a_new_ring_keeps_what_was_known)
{
	struct rig t = three();
	uint8_t self[RING_ID_BYTES];

	grow_id(1, 0, self);
	silence(&t, 15);
	for (unsigned i = 4; i <= 7; i++)
		t.ring = grow_join(t.ring, i);
	liveness_set_ring(&t.l, t.ring, self, now(&t));
	t.self = ring_named(t.ring, grow_name(1));
	t.other = ring_named(t.ring, grow_name(2));
	cr_assert_eq(t.l.n, 7);
	tick(&t, 100);
	for (uint16_t i = 0; i < 7; i++) {
		cr_assert_eq(liveness_is_up(&t.l, i), i != t.other);
		cr_assert_eq(t.what[i], 0);
	}
	ring_unref(t.ring);
}

/* Frames are noticed by several threads. */
Test(liveness, what_was_heard_earlier_and_told_later_changes_nothing)
{
	struct rig t = three();
	struct mono before = {t.ms * 1000};

	t.ms += 300;
	hear(&t, t.other);
	liveness_heard(&t.l, t.ring->members[t.other].id, before);
	cr_assert_eq(silence(&t, 9), 0);
	cr_assert_eq(silence(&t, 1), LIVENESS_SUSPECTED);
	ring_unref(t.ring);
}

Test(liveness, of_strangers_is_not_kept)
{
	static const uint8_t other[RING_ID_BYTES] = "stranger";
	struct rig t = three();

	liveness_heard(&t.l, other, now(&t));
	cr_assert_eq(silence(&t, 10), LIVENESS_SUSPECTED);
	ring_unref(t.ring);
}
