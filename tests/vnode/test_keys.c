/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Idempotency keys on whole nodes: in flight, with another leader, in a fill. */
#include <criterion/criterion.h>

#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/vnode/nodes_rig.h"
#include "vnode/wire.h"

TestSuite(keys, .timeout = 120);

#define ANY UINT64_MAX

/* A put under KEY at N, if the newest event is EXPECT; the caller frees it. */
static struct ask *
begin(struct nodes *rig, struct node *n, uint8_t key, uint8_t body,
    uint64_t expect)
{
	struct ask *a = mem_zalloc(sizeof(*a));

	a->event = (struct vnode_put_event){.data = SLICE_LIT("x")};
	a->put = (struct vnode_put){
	    .msg = {.kind = MSG_PUT},
	    .group = rig->group,
	    .bucket = SLICE_LIT("b"),
	    .stream = SLICE_LIT("s"),
	    .n_events = 1,
	    .events = &a->event,
	    .has_expect = expect != ANY,
	    .expect = expect,
	    .has_key = 1,
	    .key = {key},
	    .key_body = {body},
	};
	nodes_post(n, rig->group, &a->put.msg);
	return a;
}

/* What the leader says: the seqnum, negative if that is an old one; or 0 and
 * -ERR_* to *R. */
static int
put_if(struct nodes *rig, uint8_t key, uint8_t body, uint64_t expect, int *r)
{
	struct ask *a = begin(rig, nodes_leader(rig), key, body, expect);
	int seq;

	nodes_wait_for(rig, a);
	*r = a->put.r;
	seq = a->put.r ? 0 : (int)a->put.first;
	seq = a->put.replayed ? -seq : seq;
	mem_free(a);
	return seq;
}

static int
put(struct nodes *rig, uint8_t key)
{
	int r, seq = put_if(rig, key, key, ANY, &r);

	cr_assert_eq(r, 0);
	return seq;
}

Test(keys, what_comes_again_is_answered_again)
{
	struct nodes *rig = nodes_new();
	int r;

	for (int alone = 1; alone >= 0; alone--) {
		uint8_t base = alone ? 0 : 10;
		int at = alone ? 1 : 3;

		if (!alone)
			nodes_join_all(rig);
		cr_expect_eq(put(rig, base + 1), at);
		cr_expect_eq(put(rig, base + 1), -at);
		cr_expect_eq(put(rig, base + 2), at + 1);
		cr_expect_eq(put(rig, base + 1), -at);
		put_if(rig, base + 1, 99, ANY, &r);
		cr_expect_eq(r, -ERR_MISMATCH);
		/* The key counts before the condition. */
		cr_expect_eq(put_if(rig, base + 1, base + 1, 77, &r), -at);
		put_if(rig, base + 3, base + 3, 77, &r);
		cr_expect_eq(r, -ERR_CONFLICT);
	}
}

Test(keys, of_those_in_flight_with_one_key_one_is_appended)
{
	struct nodes *rig = nodes_new();
	struct ask *a[8];

	for (int alone = 1; alone >= 0; alone--) {
		uint8_t key = (uint8_t)(1 + alone);
		int replayed = 0;

		if (!alone)
			nodes_join_all(rig);
		for (int i = 0; i < 8; i++) {
			a[i] = begin(rig, nodes_leader(rig), key, i == 7, ANY);
			if (i % 3 == 0)
				nodes_step(rig);
		}
		for (int i = 0; i < 8; i++) {
			nodes_wait_for(rig, a[i]);
			cr_assert_eq(a[i]->put.r, i == 7 ? -ERR_MISMATCH : 0);
			cr_expect_eq(a[i]->put.first, a[0]->put.first);
			cr_expect_eq(a[i]->put.t_ms, a[0]->put.t_ms);
			replayed += a[i]->put.replayed;
		}
		for (int i = 0; i < 8; i++)
			mem_free(a[i]);
		cr_expect_eq(replayed, 6);
	}
	cr_expect_eq(put(rig, 50), 3);
}

/* Else a client would hear of an event that never was. */
Test(keys, no_answer_rests_on_what_is_lost_with_its_leader)
{
	struct nodes *rig = nodes_new();
	struct ask *first, *second, *other;
	struct node *old;

	nodes_join_all(rig);
	cr_assert_eq(put(rig, 1), 1);
	old = nodes_leader(rig);
	old->cut = 1;
	first = begin(rig, old, 2, 2, ANY);  /* never committed */
	second = begin(rig, old, 2, 2, ANY); /* would be answered by it */
	other = begin(rig, old, 2, 9, ANY);  /* would be refused */
	nodes_run_for(rig, SECOND / 2);
	cr_assert_not(first->done || second->done || other->done);
	nodes_run_for(rig, 15 * SECOND);
	cr_assert_neq(nodes_leader(rig), old);
	cr_assert_eq(put(rig, 3), 2); /* takes its seqnum */
	cr_assert_eq(put(rig, 2), 3);
	cr_assert_eq(put(rig, 2), -3);
	cr_assert_eq(put(rig, 1), -1);
	old->cut = 0;
	nodes_wait_for(rig, first);
	nodes_wait_for(rig, second);
	nodes_wait_for(rig, other);
	cr_expect_eq(first->put.r, -ERR_UNKNOWN);
	cr_expect(second->put.r != 0 ||
		  (second->put.replayed && second->put.first == 3));
	cr_expect(other->put.r != 0);
	nodes_run_for(rig, 5 * SECOND);
	cr_assert_eq(put(rig, 2), -3);
	mem_free(first);
	mem_free(second);
	mem_free(other);
}

/* Entries of ARG do not arrive, heartbeats do. */
static int
no_entries(void *arg, struct node *from, struct node *to,
    const struct iovec *iov, int count)
{
	struct wire_message m;
	struct wire_reader r;
	struct buf b;
	int lost = 0;

	(void)to;
	if (from != arg)
		return 0;
	buf_init(&b, 1u << 20);
	for (int i = 0; i < count; i++)
		buf_add(&b, iov[i].iov_base, iov[i].iov_len);
	if (wire_open(&r, buf_slice(&b)) == 0)
		while (wire_next(&r, &m) == 0)
			lost |= m.type == RAFT_APPEND && m.n > 0;
	buf_deinit(&b);
	return lost;
}

/* The others say that it leads still, so the round of a read is over at once;
 * what it rests on is lost all the same. */
Test(keys, nor_does_one_whose_leader_was_confirmed)
{
	struct nodes *rig = nodes_new();
	struct ask *first, *second;
	struct node *old;

	nodes_join_all(rig);
	cr_assert_eq(put(rig, 1), 1);
	old = nodes_leader(rig);
	rig->hook = no_entries;
	rig->arg = old;
	first = begin(rig, old, 2, 2, ANY);
	second = begin(rig, old, 2, 2, ANY);
	nodes_run_for(rig, SECOND / 2);
	cr_assert_not(first->done || second->done);
	old->cut = 1;
	nodes_run_for(rig, 10 * SECOND);
	cr_assert_neq(nodes_leader(rig), old);
	for (uint8_t i = 3; i < 10; i++)
		put(rig, i);
	rig->hook = NULL;
	old->cut = 0;
	nodes_wait_for(rig, first);
	nodes_wait_for(rig, second);
	cr_expect_eq(first->put.r, -ERR_UNKNOWN);
	cr_expect(second->put.r == -ERR_NOTLEADER ||
		  second->put.r == -ERR_UNAVAILABLE);
	cr_expect_eq(put(rig, 2), 9);
	mem_free(first);
	mem_free(second);
}

/* By the log, by a manifest that was sent, and by one of its own. */
Test(keys, each_replica_has_them_when_it_leads)
{
	struct nodes *rig = nodes_new();

	for (uint8_t i = 1; i <= 20; i++)
		cr_assert_eq(put(rig, i), i);
	nodes_put_many(rig, 21, 200); /* the log begins later */
	nodes_run_for(rig, 5 * SECOND);
	nodes_join_all(rig);
	for (uint8_t i = 21; i <= 40; i++)
		cr_assert_eq(put(rig, i), 200 + i);
	for (int k = 0; k < N_NODES; k++) {
		if (nodes_leader(rig) != &rig->nodes[k])
			nodes_change_soon(rig, VNODE_TRANSFER, &rig->nodes[k]);
		nodes_run_for(rig, 2 * SECOND);
		cr_assert_eq(nodes_leader(rig), &rig->nodes[k]);
		for (uint8_t i = 1; i <= 40; i++)
			cr_assert_eq(put(rig, i), i <= 20 ? -i : -200 - i);
	}
	for (int k = 0; k < N_NODES; k++) {
		nodes_kill(&rig->nodes[k]);
		nodes_start(&rig->nodes[k], k == 0);
	}
	nodes_run_for(rig, 5 * SECOND);
	for (uint8_t i = 1; i <= 40; i++)
		cr_assert_eq(put(rig, i), i <= 20 ? -i : -200 - i);
	cr_expect_eq(put(rig, 41), 241);
}
