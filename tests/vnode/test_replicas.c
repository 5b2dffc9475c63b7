/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * Three whole nodes on one virtual time, and what operators and bad days do to
 * them, step by step.  The simulator (tests/world) does it by chance.
 */
#include <criterion/criterion.h>

#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "tests/vnode/nodes_rig.h"
#include "vnode/fill.h"
#include "vnode/store_impl.h"

TestSuite(replicas, .timeout = 120);

static void
on_stopped(void *arg)
{
	*(int *)arg = 1;
}

Test(replicas, learners_are_filled_promoted_and_get_what_is_written)
{
	struct nodes *rig = nodes_new();

	nodes_put_many(rig, 1, 300);
	nodes_join_all(rig);
	nodes_put_many(rig, 301, 50);
	nodes_check_all(rig, 350);
}

Test(replicas, another_leads_when_the_leader_dies_and_nothing_is_lost)
{
	struct nodes *rig = nodes_new();
	struct node *old;
	int r;

	nodes_put_many(rig, 1, 20);
	nodes_join_all(rig);
	nodes_put_many(rig, 21, 80);
	for (int i = 0; i < 4; i++) {
		old = nodes_leader(rig);
		nodes_kill(old);
		nodes_put_many(rig, 101 + 50 * (uint32_t)i, 25);
		nodes_start(old, old == &rig->nodes[0]);
		nodes_put_many(rig, 126 + 50 * (uint32_t)i, 25);
		cr_assert_eq(nodes_newest(rig, nodes_leader(rig), &r),
		    150 + 50 * (uint64_t)i);
	}
	nodes_check_all(rig, 300);
}

Test(replicas, one_that_was_away_for_long_is_filled_again)
{
	struct nodes *rig = nodes_new();
	struct node *away;

	nodes_join_all(rig);
	nodes_put_many(rig, 1, 10);
	away = nodes_leader(rig) == &rig->nodes[2] ? &rig->nodes[1]
						   : &rig->nodes[2];
	nodes_kill(away);
	nodes_put_many(rig, 11, 1500);
	nodes_run_for(rig, 100 * SECOND); /* checkpoints let the log go */
	nodes_put_many(rig, 1511, 10);
	nodes_run_for(rig, 100 * SECOND);
	nodes_start(away, 0);
	nodes_run_for(rig, 20 * SECOND);
	nodes_check_all(rig, 1520);
	/* What it was filled with outlives it. */
	nodes_kill(away);
	nodes_start(away, 0);
	nodes_run_for(rig, 5 * SECOND);
	nodes_check_all(rig, 1520);
}

/* What FILL_* frames of chunks are left on the way, to node `to`. */
struct lost {
	struct node *to;
	uint32_t n;
};

static int
lose_chunks(void *arg, struct node *from, struct node *to,
    const struct iovec *iov, int count)
{
	struct lost *l = arg;
	const uint8_t *p = iov[0].iov_base;
	uint32_t at = WIRE_FRAME_BYTES + WIRE_MESSAGE_BYTES;

	(void)from;
	(void)count;
	if (to != l->to || iov[0].iov_len != at + FILL_HEADER_BYTES ||
	    le_get32(p + at) != FILL_CHUNKS)
		return 0;
	l->n++;
	return 1;
}

/* Its leader, which waits for a word of it, need not wait for the silence to end. */
Test(replicas, one_that_is_killed_while_it_is_filled_goes_on_at_once)
{
	struct nodes *rig = nodes_new();
	struct lost lost = {0};
	struct store_group g;

	nodes_join_all(rig);
	nodes_put_many(rig, 1, 10);
	lost.to = nodes_leader(rig) == &rig->nodes[2] ? &rig->nodes[1]
						      : &rig->nodes[2];
	nodes_kill(lost.to);
	nodes_put_many(rig, 11, 1500);
	nodes_run_for(rig, 100 * SECOND);
	nodes_put_many(rig, 1511, 10);
	nodes_run_for(rig, 100 * SECOND);
	rig->hook = lose_chunks;
	rig->arg = &lost;
	nodes_start(lost.to, 0);
	for (int i = 0; i < 200 && !lost.n; i++)
		nodes_run_for(rig, SECOND / 10);
	cr_assert_gt(lost.n, 0);
	nodes_kill(lost.to);
	rig->hook = NULL;
	nodes_start(lost.to, 0);
	nodes_run_for(rig, 4 * SECOND);
	store_group(lost.to->store, 0, &g);
	cr_assert_geq(g.applied, 1520);
	nodes_check_all(rig, 1520);
	nodes_check_events(rig, 1520);
}

Test(replicas, a_node_cut_off_answers_no_reads_and_acknowledges_nothing)
{
	struct nodes *rig = nodes_new();
	struct node *old;
	int r;

	nodes_join_all(rig);
	nodes_put_many(rig, 1, 10);
	old = nodes_leader(rig);
	old->cut = 1;
	nodes_put_many(rig, 11, 10); /* at the new leader */
	nodes_newest(rig, old, &r);
	cr_assert_lt(r, 0);
	cr_assert_lt(nodes_put(rig, old, 999, NULL), 0);
	old->cut = 0;
	nodes_run_for(rig, 5 * SECOND);
	nodes_check_all(rig, 20);
}

Test(replicas, removed_and_added_again_is_a_new_life)
{
	struct nodes *rig = nodes_new();
	struct store_group g;
	uint64_t before;

	nodes_join_all(rig);
	nodes_put_many(rig, 1, 50);
	for (int i = 0; i < 3; i++) {
		struct node *n = nodes_leader(rig) == &rig->nodes[2]
				     ? &rig->nodes[1]
				     : &rig->nodes[2];

		store_group(n->store, 0, &g);
		before = g.generation;
		if (i == 1)
			nodes_kill(n); /* does not hear of it */
		nodes_change_soon(rig, VNODE_REMOVE, n);
		nodes_put_many(rig, 51 + 10 * (uint32_t)i, 5);
		if (i == 1)
			nodes_start(n, 0);
		nodes_run_for(rig, 10 * SECOND);
		store_group(n->store, 0, &g);
		cr_assert(!g.here, "round %d", i);
		nodes_kill(n); /* nor is it missed at the next start */
		nodes_start(n, 0);
		nodes_change_soon(rig, VNODE_ADD, n);
		nodes_change_soon(rig, VNODE_PROMOTE, n);
		store_group(n->store, 0, &g);
		cr_assert_gt(g.generation, before);
		nodes_put_many(rig, 56 + 10 * (uint32_t)i, 5);
	}
	nodes_check_all(rig, 80);
}

Test(replicas, leadership_is_handed_over)
{
	struct nodes *rig = nodes_new();

	nodes_join_all(rig);
	for (uint32_t i = 0; i < 6; i++) {
		struct node *to = &rig->nodes[i % N_NODES];

		if (nodes_leader(rig) != to) {
			cr_assert_eq(nodes_change(rig, VNODE_TRANSFER, to), 0);
			nodes_run_for(rig, 2 * SECOND);
		}
		cr_assert_eq(nodes_leader(rig), to);
		nodes_put_many(rig, 1 + 10 * i, 10);
	}
	nodes_check_all(rig, 60);
}

/* What nobody can confirm any more is answered all the same. */
Test(replicas, reads_under_way_are_answered_when_the_node_stops)
{
	struct nodes *rig = nodes_new();
	struct ask *a = mem_zalloc(sizeof(*a));
	struct node *n;
	int stopped = 0;

	nodes_join_all(rig);
	nodes_put_many(rig, 1, 10);
	n = nodes_leader(rig);
	n->cut = 1;
	a->read = (struct vnode_read){.msg = {.kind = MSG_READ},
	    .bucket = SLICE_LIT("b"),
	    .stream = SLICE_LIT("s"),
	    .to = UINT64_MAX,
	    .limit = 1000,
	    .max_bytes = 1u << 20};
	nodes_post(n, 0, &a->read.msg);
	nodes_run_for(rig, 10000);
	cr_assert_not(a->done);
	store_stop(n->store, on_stopped, &stopped);
	nodes_run_for(rig, 10 * SECOND);
	cr_assert(stopped);
	cr_assert(a->done);
	cr_assert_lt(a->read.r, 0);
	mem_free(a);
}

/* --- damage --------------------------------------------------------------- */

struct used_file {
	struct node *node;
	char path[128];
};

/* The newest segment that has a record in its third block. */
static void
take_used(void *arg, const char *name)
{
	struct used_file *f = arg;
	char path[128];
	struct buf b;

	snprintf(path, sizeof(path), "c/journal/%s", name);
	buf_init(&b, 1 << 20);
	memdisk_read_all(f->node->md, path, &b);
	if (b.n > 3 * 4096 && memcmp(b.p + 2 * 4096, "IOR1", 4) == 0 &&
	    /* of this life of the file, which is not just recycled */
	    b.p[2 * 4096 + 20] == b.p[24] &&
	    le_get32(b.p + 24) == strtoul(name, NULL, 16) &&
	    strcmp(path, f->path) > 0)
		snprintf(f->path, sizeof(f->path), "%s", path);
	buf_deinit(&b);
}

static struct node *
some_follower(struct nodes *rig)
{
	return nodes_leader(rig) == &rig->nodes[2] ? &rig->nodes[1]
						   : &rig->nodes[2];
}

/* A bit of a record in the newest segment of N. */
static void
flip_journal(struct node *n)
{
	const struct env_disk *d = memdisk_disk(n->md);
	struct used_file f = {n, ""};

	d->list(d->ctx, "c/journal", take_used, &f);
	cr_assert(f.path[0]);
	cr_assert_eq(memdisk_flip(n->md, f.path, 2 * 4096 + 100, 3), 0);
}

Test(replicas, one_whose_journal_is_damaged_is_whole_again_by_the_others)
{
	struct nodes *rig = nodes_new();
	struct store_group g;
	struct node *n;
	int r;

	nodes_join_all(rig);
	nodes_put_many(rig, 1, 200);
	n = some_follower(rig);
	nodes_kill(n);
	nodes_start(n, 0); /* a fresh segment */
	nodes_put_many(rig, 201, 40);
	nodes_kill(n);
	flip_journal(n);
	nodes_put_many(rig, 241, 10);
	nodes_start(n, 0);
	store_group(n->store, 0, &g);
	cr_assert(g.damaged);
	nodes_run_for(rig, 10 * SECOND);
	nodes_check_all(rig, 250);
	store_group(n->store, 0, &g);
	cr_assert_not(g.damaged);
	/* It counts again: without another one the group goes on. */
	for (int i = 0; i < N_NODES; i++)
		if (&rig->nodes[i] != n && &rig->nodes[i] != nodes_leader(rig))
			nodes_kill(&rig->nodes[i]);
	nodes_put_many(rig, 251, 10);
	cr_assert_eq(nodes_newest(rig, nodes_leader(rig), &r), 260);
}

Test(replicas, two_of_three_damaged_do_not_elect_a_leader_that_lacks_something)
{
	struct nodes *rig = nodes_new();
	struct store_group g;
	struct node *whole;

	nodes_join_all(rig);
	nodes_put_many(rig, 1, 100);
	whole = nodes_leader(rig);
	for (int i = 0; i < N_NODES; i++) {
		struct node *n = &rig->nodes[i];

		nodes_kill(n);
		nodes_start(n, i == 0);
	}
	nodes_put_many(rig, 101, 30);
	for (int i = 0; i < N_NODES; i++) {
		struct node *n = &rig->nodes[i];

		nodes_kill(n);
		if (n != whole)
			flip_journal(n);
	}
	for (int i = 0; i < N_NODES; i++)
		if (&rig->nodes[i] != whole)
			nodes_start(&rig->nodes[i], i == 0);
	nodes_run_for(rig, 20 * SECOND);
	for (int i = 0; i < N_NODES; i++) {
		if (&rig->nodes[i] == whole)
			continue;
		store_group(rig->nodes[i].store, 0, &g);
		cr_assert(g.here && !g.leads);
	}
}

Test(replicas, alone_with_a_damaged_journal_a_node_refuses_to_start)
{
	struct nodes *rig = nodes_new();
	struct node *n = &rig->nodes[0];
	struct store_config c = {.env = simenv_env(n->sim),
	    .dir = "c",
	    .cluster_id = "0123456789abcde",
	    .n_groups = N_GROUPS,
	    .found = 1,
	    .segment_bytes = SEGMENT,
	    .journal_max_bytes = 8 * SEGMENT};
	char why[512];

	nodes_put_many(rig, 1, 6); /* all in one segment, which is needed */
	nodes_kill(n);
	flip_journal(n);
	memcpy(c.node_id, n->id, 16);
	cr_assert_eq(store_open(&n->store, &c, why, sizeof(why)), -ERR_CORRUPT);
	cr_assert(strstr(why, ".journal") && strstr(why, "offset"), "%s", why);
}

/* --- out of service ------------------------------------------------------- */

/* The journal of a node forgets what a group that is out of service on it would
 * need, since others have it; it is whole again after the next start. */
Test(replicas, one_that_is_out_of_service_does_not_fill_the_journal)
{
	struct nodes *rig = nodes_new();
	struct node *ill;
	struct journal_stats js;

	for (rig->group = 0; rig->group < 2; rig->group++) {
		nodes_join_all(rig);
		nodes_put_many(rig, 1, 30);
	}
	rig->group = 0;
	nodes_run_for(rig, 40 * SECOND); /* a checkpoint */
	ill = nodes_leader(rig) == &rig->nodes[1] ? &rig->nodes[2]
						  : &rig->nodes[1];
	nodes_put_many(rig, 31, 3); /* for no checkpoint yet */
	nodes_run_for(rig, SECOND / 2);
	/* As if memory had run out in the middle of the last one. */
	ill->store->vnodes[0].group.applied_index--;
	ill->store->vnodes[0].group.failed = 1;
	ill->store->vnodes[0].group.half_applied = 1;
	nodes_put_many(rig, 34, 1);
	nodes_run_for(rig, 12 * SECOND);
	nodes_put_many(rig, 35, 1); /* the others can do without it */
	rig->group = 1;
	if (nodes_leader(rig) != ill)
		cr_assert_eq(nodes_change(rig, VNODE_TRANSFER, ill), 0);
	nodes_run_for(rig, 2 * SECOND);
	cr_assert_eq(nodes_leader(rig), ill);
	nodes_put_many(rig, 31, 1000);
	journal_stats(ill->store->journal, &js);
	cr_expect_leq(js.used_bytes, js.max_bytes);
	nodes_kill(ill);
	nodes_start(ill, 0);
	nodes_run_for(rig, 20 * SECOND);
	nodes_check_all(rig, 1030);
	rig->group = 0;
	nodes_check_all(rig, 35);
	nodes_check_events(rig, 35);
}

/* cluster.md 6.10.  What waits for room there is committed by the others; who
 * asked for it hears of it once there is room. */
Test(replicas, one_whose_disk_is_full_hands_over_and_follows_once_there_is_room)
{
	struct nodes *rig = nodes_new();
	struct ask *asks[2000] = {NULL};
	struct node *full;
	uint32_t n = 0;
	uint64_t newest;
	int r = 0;

	nodes_join_all(rig);
	nodes_put_many(rig, 1, 10);
	full = nodes_leader(rig);
	memdisk_set_capacity(full->md, 1);
	for (; r == 0 && n < 2000; n++) {
		asks[n] = nodes_begin_put(rig, full, 11 + n);
		nodes_run_for(rig, 3000);
		r = asks[n]->done ? asks[n]->put.r : 0;
	}
	cr_assert(r == -ERR_NOSPC || r == -ERR_NOTLEADER, "%s", err_text(r));
	nodes_run_for(rig, 5 * SECOND);
	cr_assert_neq(nodes_leader(rig), full);
	cr_assert_not(full->fatal);
	newest = nodes_newest(rig, nodes_leader(rig), &r);
	nodes_put_many(rig, (uint32_t)newest + 1, 200);
	memdisk_set_capacity(full->md, 64u << 20);
	nodes_run_for(rig, 20 * SECOND);
	nodes_check_all(rig, newest + 200);
	nodes_check_events(rig, newest + 200);
	for (uint32_t i = 0; i < n; i++) {
		cr_expect(asks[i]->done);
		cr_expect(asks[i]->put.r != 0 || asks[i]->put.first == 11 + i);
		free(asks[i]);
	}
}

/* It may be one of those that the others need. */
Test(replicas, one_that_is_out_of_service_keeps_what_nobody_else_may_have)
{
	struct nodes *rig = nodes_new();
	struct node *ill;
	struct store_group g;

	for (rig->group = 0; rig->group < 2; rig->group++) {
		nodes_join_all(rig);
		nodes_put_many(rig, 1, 30);
	}
	rig->group = 0;
	nodes_run_for(rig, 40 * SECOND);
	ill = some_follower(rig);
	nodes_put_many(rig, 31, 3);
	nodes_run_for(rig, SECOND / 2);
	ill->store->vnodes[0].group.applied_index--;
	ill->store->vnodes[0].group.failed = 1;
	ill->store->vnodes[0].group.half_applied = 1;
	rig->group = 1;
	nodes_put_many(rig, 31, 1000);
	nodes_kill(ill);
	nodes_start(ill, 0);
	store_group(ill->store, 0, &g);
	cr_assert(g.here && !g.damaged);
	rig->group = 0;
	nodes_check_all(rig, 33);
}

#define BEATS_US 300000 /* three */

/* Bytes from the first node to the second, and how many frames that took. */
static uint32_t
tell(struct nodes *rig, const char *what, int can_wait)
{
	struct node *to = &rig->nodes[1];
	uint32_t n = to->n_told, before = rig->n_frames;

	store_tell(rig->nodes[0].store, to->id, SLICE_STR(what), can_wait);
	nodes_run_for(rig, BEATS_US);
	cr_assert_eq(to->n_told, n + 1);
	cr_assert_str_eq(to->told, what);
	return rig->n_frames - before;
}

Test(
    replicas, what_is_above_a_store_hears_from_others_in_the_frames_of_replicas)
{
	struct nodes *rig = nodes_new();
	uint32_t before;

	nodes_put_many(rig, 1, 5);
	nodes_join_all(rig);
	nodes_run_for(rig, 3 * SECOND);
	before = rig->n_frames;
	nodes_run_for(rig, BEATS_US);
	before = rig->n_frames - before;
	/* Whole though its length is no multiple of eight; no frame more. */
	cr_assert_eq(tell(rig, "what can wait", 1), before);
	tell(rig, "and what can not", 0);
}
