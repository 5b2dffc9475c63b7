/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include <criterion/criterion.h>

#include "ring/ring.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/base/pack.h"

TestSuite(ring);

/* Three members that own a third each, when all has moved, and a fourth that is
 * to join; 0, 1 and 2 are their names and their places. */
static struct ring *
three(void)
{
	struct ring_member members[] = {
	    {.id = "a-", .name = "a@127.0.0.1", .state = RING_VALID},
	    {.id = "b-",
		.name = "b@127.0.0.1",
		.address = "127.0.0.1:8099",
		.state = RING_DOWN},
	    {.id = "c-", .name = "c@127.0.0.1", .state = RING_VALID},
	    {.id = "d-", .name = "d@127.0.0.1", .state = RING_JOINING}};
	struct ring_change staged[] = {{RING_JOIN, 3, RING_NOBODY}};
	uint16_t owners[64], next_owners[64];
	struct ring r = {.cluster_id = "cluster-cluster",
	    .epoch = 77,
	    .q = 64,
	    .n_copies = 3,
	    .hash_version = RING_HASH_VERSION,
	    .n_members = 4,
	    .n_staged = 1,
	    .members = members,
	    .owners = owners,
	    .next_owners = next_owners,
	    .staged = staged,
	    .has_plan = 1,
	    .plan_id = "plan-plan-plan-"};
	struct ring *out = NULL;
	struct buf b;

	for (uint16_t g = 0; g < 64; g++) {
		owners[g] = g % 2;
		next_owners[g] = g % 3;
	}
	buf_init(&b, RING_ENCODED_MAX);
	ring_encode(&r, &b);
	cr_assert_eq(ring_decode(buf_slice(&b), &out), 0);
	buf_deinit(&b);
	return out;
}

static int
is_taken(struct ring *r)
{
	struct ring *got;
	struct buf b;
	int e;

	buf_init(&b, RING_ENCODED_MAX);
	ring_encode(r, &b);
	e = ring_decode(buf_slice(&b), &got);
	buf_deinit(&b);
	cr_assert(e == 0 || e == -ERR_FORMAT);
	if (e == 0)
		ring_unref(got);
	return e == 0;
}

/* Each breaks one rule of ring.h. */
Test(ring, that_no_change_can_make_is_refused)
{
	struct ring *r = three();

	cr_assert(is_taken(r));
	r->owners[5] = 3; /* joining */
	cr_assert_not(is_taken(r));
	r->owners[5] = 1;
	r->next_owners[5] = 3;
	cr_assert_not(is_taken(r));
	r->next_owners[5] = 2;
	r->members[2].state = RING_LEAVING; /* and gets slots */
	cr_assert_not(is_taken(r));
	for (int g = 0; g < 64; g++)
		r->next_owners[g] = 0;
	r->owners[0] = 2;
	cr_assert(is_taken(r));
	r->members[2].state = RING_EXITING; /* and owns a slot */
	cr_assert_not(is_taken(r));
	r->owners[0] = 0;
	cr_assert(is_taken(r));
	r->members[2].state = RING_LEAVING;
	cr_assert(is_taken(r));
	memset(r->owners, 0, 64 * sizeof(*r->owners)); /* nothing moves */
	cr_assert_not(is_taken(r));
	ring_unref(r);
}

Test(ring, whose_names_or_staged_changes_contradict_is_refused)
{
	struct ring *r = three();

	r->members[2].name[0] = 'b';
	cr_assert_not(is_taken(r));
	r->members[2].name[0] = 'c';
	r->members[3].name[0] = 'b'; /* it joins anew, and the old one stays */
	cr_assert_not(is_taken(r));
	r->staged[0] = (struct ring_change){RING_FORCE_REPLACE, 1, 3};
	cr_assert(is_taken(r));
	r->staged[0] = (struct ring_change){RING_REPLACE, 1, 3};
	cr_assert_not(is_taken(r));
	r->members[3].name[0] = 'd';
	r->staged[0] = (struct ring_change){RING_JOIN, 3, RING_NOBODY};
	r->staged[0].member = 0; /* joins, and is valid */
	cr_assert_not(is_taken(r));
	r->staged[0] = (struct ring_change){RING_REPLACE, 0, 3};
	cr_assert(is_taken(r));
	r->staged[0].with = 2;
	cr_assert_not(is_taken(r));
	r->staged[0] = (struct ring_change){RING_REPLACE, 3, 3};
	cr_assert_not(is_taken(r));
	r->n_staged = 0; /* the fourth joins, but not by a change */
	r->has_plan = 0;
	cr_assert_not(is_taken(r));
	r->members[3].state = RING_DOWN;
	cr_assert(is_taken(r));
	r->has_plan = 1; /* of nothing */
	cr_assert_not(is_taken(r));
	ring_unref(r);
}

Test(ring, that_would_be_left_without_owners_is_refused)
{
	struct ring *r = three();
	struct ring_change all[] = {{RING_LEAVE, 0, RING_NOBODY},
	    {RING_REMOVE, 1, RING_NOBODY}, {RING_LEAVE, 2, RING_NOBODY},
	    {RING_JOIN, 3, RING_NOBODY}};
	struct ring_change *was = r->staged;

	r->staged = all;
	r->n_staged = 4;
	cr_assert(is_taken(r));
	all[3].kind = RING_LEAVE;
	cr_assert_not(is_taken(r));
	all[3].kind = RING_JOIN;
	all[1] = all[0]; /* two of one member */
	cr_assert_not(is_taken(r));
	r->staged = was;
	ring_unref(r);
}

Test(ring, survives_its_encoding_byte_for_byte)
{
	struct ring *r = three(), *again;
	struct buf a, b;

	buf_init(&a, RING_ENCODED_MAX);
	buf_init(&b, RING_ENCODED_MAX);
	ring_encode(r, &a);
	cr_assert_eq(ring_decode(buf_slice(&a), &again), 0);
	ring_encode(again, &b);
	cr_assert(slice_equal(buf_slice(&a), buf_slice(&b)));
	cr_assert_eq(again->epoch, 77);
	cr_assert_eq(again->n_members, 4);
	cr_assert_str_eq(again->members[1].name, "b@127.0.0.1");
	cr_assert_eq(again->members[3].state, RING_JOINING);
	cr_assert_eq(again->owners[3], 1);
	cr_assert_eq(again->next_owners[5], 2);
	cr_assert_eq(again->staged[0].member, 3);
	cr_assert_eq(again->staged[0].with, RING_NOBODY);
	cr_assert(again->has_plan);
	cr_assert_eq(ring_find(again, again->members[2].id), 2);
	cr_assert_eq(ring_find(again, again->cluster_id), RING_NOBODY);
	buf_deinit(&a);
	buf_deinit(&b);
	ring_unref(r);
	ring_unref(again);
}

/* Every cut, and every byte changed in every way: refused, or a ring that is
 * in bounds. */
Test(ring, takes_no_harm_from_hostile_bytes)
{
	struct ring *r = three(), *got;
	struct buf b;

	buf_init(&b, RING_ENCODED_MAX);
	ring_encode(r, &b);
	for (size_t n = 0; n < b.n; n++)
		cr_assert_eq(ring_decode(SLICE(b.p, n), &got), -ERR_FORMAT);
	for (size_t at = 0; at < b.n; at++) {
		uint8_t was = b.p[at];

		for (int v = 0; v < 256; v++) {
			b.p[at] = (uint8_t)v;
			if (ring_decode(buf_slice(&b), &got))
				continue;
			for (uint32_t g = 0; g < got->q; g++)
				cr_assert(got->owners[g] < got->n_members &&
					  got->next_owners[g] < got->n_members);
			ring_unref(got);
		}
		b.p[at] = was;
	}
	buf_deinit(&b);
	ring_unref(r);
}

Test(ring, walks_clockwise_to_distinct_owners)
{
	struct ring *r = three();
	uint16_t out[RING_COPIES_MAX];

	cr_assert_eq(ring_replicas(r, r->owners, 63, out), 2);
	cr_assert(out[0] == 1 && out[1] == 0);
	cr_assert_eq(ring_replicas(r, r->next_owners, 63, out), 2 + 1);
	cr_assert(out[0] == 0 && out[1] == 1 && out[2] == 2);
	for (uint32_t g = 0; g < 64; g++)
		r->owners[g] = g < 40 ? 0 : g < 41 ? 1 : 2;
	cr_assert_eq(ring_replicas(r, r->owners, 5, out), 3);
	cr_assert(out[0] == 0 && out[1] == 1 && out[2] == 2);
	cr_assert_eq(ring_replicas(r, r->owners, 41, out), 3);
	cr_assert(out[0] == 2 && out[1] == 0 && out[2] == 1);
	ring_unref(r);
}

Test(ring, of_one_node_owns_everything)
{
	static const uint8_t cluster[16] = "c", id[16] = "n";
	struct ring *r = ring_new(cluster, id, "n@127.0.0.1", 8, 3);
	uint16_t out[RING_COPIES_MAX];

	for (uint16_t g = 0; g < 8; g++) {
		cr_assert_eq(ring_replicas(r, r->owners, g, out), 1);
		cr_assert_eq(out[0], 0);
	}
	cr_assert_eq(r->epoch, 1);
	ring_unref(ring_ref(r));
	ring_unref(r);
}
