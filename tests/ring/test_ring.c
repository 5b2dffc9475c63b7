/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include <criterion/criterion.h>

#include "ring/ring.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/base/pack.h"

TestSuite(ring);

/* Three members, the slots dealt round, one join staged. */
static struct ring *
three(void)
{
	static const uint8_t cluster[16] = "cluster-cluster", id[16] = "a-node";
	struct ring *one = ring_new(cluster, id, "a@127.0.0.1", 64, 3);
	struct ring *r;
	struct buf b;
	int e;

	/* By its bytes: the only way to make a larger one so far. */
	buf_init(&b, RING_ENCODED_MAX);
	pack_array(&b, 12);
	pack_uint(&b, 1);
	pack_bin(&b, SLICE(cluster, 16));
	pack_uint(&b, 77);
	pack_uint(&b, 64);
	pack_uint(&b, 3);
	pack_uint(&b, 1);
	pack_array(&b, 3);
	for (int i = 0; i < 3; i++) {
		uint8_t node[16] = {(uint8_t)('a' + i), '-'};
		char name[] = "a@127.0.0.1";

		name[0] = (char)('a' + i);
		pack_array(&b, 4);
		pack_bin(&b, SLICE(node, 16));
		pack_str(&b, SLICE_STR(name));
		pack_str(&b, SLICE_LIT("127.0.0.1:8099"));
		pack_uint(&b, i == 2 ? RING_JOINING : RING_VALID);
	}
	for (int list = 0; list < 2; list++) {
		pack_array(&b, 64);
		for (uint32_t g = 0; g < 64; g++)
			pack_uint(&b, g % (list ? 3 : 2));
	}
	pack_array(&b, 1);
	pack_array(&b, 3);
	pack_uint(&b, RING_JOIN);
	pack_uint(&b, 2);
	pack_nil(&b);
	pack_bin(&b, SLICE("plan-plan-plan-p", 16));
	pack_nil(&b);
	e = ring_decode(buf_slice(&b), &r);
	cr_assert_eq(e, 0);
	buf_deinit(&b);
	ring_unref(one);
	return r;
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
	cr_assert_eq(again->n_members, 3);
	cr_assert_str_eq(again->members[1].name, "b@127.0.0.1");
	cr_assert_eq(again->members[2].state, RING_JOINING);
	cr_assert_eq(again->owners[3], 1);
	cr_assert_eq(again->next_owners[5], 2);
	cr_assert_eq(again->staged[0].member, 2);
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
