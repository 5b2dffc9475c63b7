/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "src/node/peers.h"

#include <criterion/criterion.h>

#include "tests/ring/grow.h"

TestSuite(peers);

#define STEP_US LIVENESS_BEAT_US

struct rig {
	struct ring *ring;
	struct peers *peers;
	uint8_t self[16], other[16];
	struct mono now;
};

static struct rig
two(void)
{
	struct rig t = {.ring = grow_cluster(8, 3, 2), .now = {5000000}};

	grow_id(1, 0, t.self);
	grow_id(2, 0, t.other);
	t.peers = peers_new(t.self, t.now);
	peers_set(t.peers, t.ring, t.now);
	return t;
}

static void
done(struct rig *t)
{
	peers_free(t->peers);
	ring_unref(t->ring);
}

/* TICKS of silence; whether anything has become of anybody. */
static int
silence(struct rig *t, int ticks)
{
	int any = 0;

	for (int i = 0; i < ticks; i++) {
		uint8_t what[RING_MEMBERS_MAX];

		t->now.us += STEP_US;
		peers_tick(t->peers, t->now, what);
		any |= what[0] | what[1];
	}
	return any;
}

Test(peers, who_is_silent_for_a_second_is_suspected_until_heard)
{
	struct rig t = two();

	cr_assert(peers_is_up(t.peers, t.other));
	cr_assert_not(silence(&t, 9));
	cr_assert(silence(&t, 1));
	cr_assert_not(peers_is_up(t.peers, t.other));
	cr_assert(peers_is_up(t.peers, t.self));
	peers_heard(t.peers, t.other, t.now);
	cr_assert(silence(&t, 1));
	cr_assert(peers_is_up(t.peers, t.other));
	done(&t);
}

/* A process that was stopped has heard nobody, which says nothing of them. */
Test(peers, who_stood_still_suspects_nobody_for_that)
{
	struct rig t = two();

	silence(&t, 3);
	t.now.us += 30000000;
	cr_assert(peers_is_up(t.peers, t.other));
	cr_assert_not(silence(&t, 1));
	cr_assert(peers_is_up(t.peers, t.other));
	cr_assert(silence(&t, 10));
	cr_assert_not(peers_is_up(t.peers, t.other));
	done(&t);
}

Test(peers, who_is_no_member_is_not_up_and_begins_anew_when_it_is_one_again)
{
	struct rig t = two();
	struct ring *alone = grow_one(8, 3);

	silence(&t, 20);
	peers_set(t.peers, alone, t.now);
	cr_assert_not(peers_is_up(t.peers, t.other));
	peers_set(t.peers, t.ring, t.now);
	cr_assert(peers_is_up(t.peers, t.other));
	cr_assert_not(silence(&t, 9));
	cr_assert(silence(&t, 1));
	ring_unref(alone);
	done(&t);
}
