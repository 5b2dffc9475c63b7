/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * Three whole nodes on one virtual time, and what operators and bad days do to
 * them, step by step.  The simulator (tests/world) does it by chance.
 */
#include <criterion/criterion.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/lib/memdisk.h"
#include "tests/lib/simenv.h"
#include "vnode/store.h"
#include "vnode/vnode_msg.h"

TestSuite(replicas, .timeout = 120);

#define N_NODES 3
#define SEGMENT (64u << 10)
#define SECOND  1000000ull

struct rig;

struct node {
	struct rig *rig;
	uint8_t id[16];
	struct memdisk *md;
	struct simenv *sim;
	struct store *store;
	int up, cut, fatal;
};

struct rig {
	struct node nodes[N_NODES];
	uint32_t n_frames;
};

struct ask {
	struct vnode_put put;
	struct vnode_put_event event;
	struct vnode_read read;
	struct vnode_change change;
	int done;
	char data[2048];
};

static void
dispatch(void *arg, uint32_t worker, struct msg *m)
{
	struct node *n = arg;

	if (m->kind == MSG_CALL || m->answer)
		m->fn(m);
	else
		store_handle(n->store, worker, m);
}

static void
turn(void *arg, uint32_t worker)
{
	struct node *n = arg;

	if (n->store)
		store_turn(n->store, worker);
}

static void
on_fatal(void *arg, const char *what)
{
	struct node *n = arg;

	n->fatal = 1;
	fprintf(stderr, "# node %d: %s\n", n->id[0], what);
}

static void
on_report(void *arg, int is_error, const char *what)
{
	struct node *n = arg;

	if (is_error)
		fprintf(stderr, "# node %d: %s\n", n->id[0], what);
}

static int
send_frame(void *ctx, uint32_t worker, const uint8_t to[16],
    enum env_channel channel, const struct iovec *iov, int count)
{
	struct node *from = ctx;
	struct rig *rig = from->rig;

	(void)worker;
	(void)channel;
	for (int i = 0; i < N_NODES; i++) {
		struct node *n = &rig->nodes[i];
		const struct env_post *post = &simenv_env(n->sim)->post;
		struct net_frame *f;

		if (memcmp(n->id, to, 16) != 0)
			continue;
		if (!n->up || n->cut || from->cut)
			return 0;
		f = net_frame_new(from->id, iov, count);
		cr_assert_not_null(f);
		rig->n_frames++;
		post->to_worker(
		    post->ctx, rig->n_frames % post->n_workers, &f->msg);
		return 0;
	}
	return -ERR_NOTFOUND;
}

static void
start(struct node *n, int found)
{
	struct store_config c = {
	    .env = simenv_env(n->sim),
	    .dir = "c",
	    .cluster_id = "0123456789abcde",
	    .n_groups = 2,
	    .found = found,
	    .seed = 42,
	    .segment_bytes = SEGMENT,
	    .journal_max_bytes = 8 * SEGMENT,
	    .request_timeout_us = 5 * SECOND,
	    .clean_max_bytes = 1,
	    .checkpoint_bytes = SEGMENT / 2,
	    .report = on_report,
	    .fatal = on_fatal,
	    .arg = n,
	};
	char why[512];

	memcpy(c.node_id, n->id, 16);
	cr_assert_eq(store_open(&n->store, &c, why, sizeof(why)), 0, "%s", why);
	cr_assert_eq(store_start(n->store), 0);
	n->up = 1;
}

static void
kill_it(struct node *n)
{
	simenv_kill(n->sim);
	memdisk_close_all(n->md);
	n->store = NULL;
	n->up = 0;
}

static void
node_init(struct rig *rig, struct node *n, int i)
{
	struct memdisk_config mc = {.capacity_bytes = 64u << 20};
	struct simenv_config sc = {
	    .seed = (uint64_t)i + 1, .n_workers = 1 + (uint32_t)i % 2};
	struct env_net net = {.send = send_frame, .ctx = n};
	const struct env_disk *d;

	*n = (struct node){.rig = rig, .md = memdisk_new(&mc)};
	memset(n->id, i + 1, sizeof(n->id));
	d = memdisk_disk(n->md);
	d->mkdir(d->ctx, "c");
	d->sync_all(d->ctx);
	sc.disk = d;
	n->sim = simenv_new(&sc);
	simenv_set_dispatch(n->sim, dispatch, n);
	simenv_set_turn(n->sim, turn, n);
	simenv_set_net(n->sim, &net);
}

static struct rig *
rig_new(void)
{
	struct rig *rig = mem_zalloc(sizeof(*rig));

	for (int i = 0; i < N_NODES; i++)
		node_init(rig, &rig->nodes[i], i);
	for (int i = 0; i < N_NODES; i++)
		start(&rig->nodes[i], i == 0);
	return rig;
}

static int
step(struct rig *rig)
{
	struct node *first = NULL;
	uint64_t at = UINT64_MAX;

	for (int i = 0; i < N_NODES; i++) {
		struct node *n = &rig->nodes[i];

		if (n->up && simenv_next(n->sim).us < at) {
			first = n;
			at = simenv_next(n->sim).us;
		}
	}
	if (!first)
		return 0;
	for (int i = 0; i < N_NODES; i++)
		simenv_advance_to(rig->nodes[i].sim, (struct mono){at});
	simenv_step(first->sim);
	return 1;
}

static void
run_for(struct rig *rig, uint64_t us)
{
	uint64_t end = simenv_mono(rig->nodes[0].sim).us + us;

	while (simenv_mono(rig->nodes[0].sim).us < end && step(rig))
		;
}

/* --- asking --------------------------------------------------------------- */

static void
answered(struct msg *m)
{
	struct ask *a;

	if (m->kind == MSG_PUT)
		a = CONTAINER_OF(
		    CONTAINER_OF(m, struct vnode_put, msg), struct ask, put);
	else if (m->kind == MSG_READ)
		a = CONTAINER_OF(
		    CONTAINER_OF(m, struct vnode_read, msg), struct ask, read);
	else
		a = CONTAINER_OF(CONTAINER_OF(m, struct vnode_change, msg),
		    struct ask, change);
	a->done = 1;
}

static void
post(struct node *n, uint32_t group, struct msg *m)
{
	const struct env_post *p = &simenv_env(n->sim)->post;

	m->fn = answered;
	m->from = group % p->n_workers;
	p->to_worker(p->ctx, group % p->n_workers, m);
}

static void
wait_for(struct rig *rig, struct ask *a)
{
	for (int i = 0; i < 200000 && !a->done; i++)
		step(rig);
	cr_assert(a->done, "no answer");
}

static struct node *
leader_of(struct rig *rig, uint32_t group)
{
	for (int i = 0; i < 100; i++) {
		for (int k = 0; k < N_NODES; k++) {
			struct store_group g;

			if (!rig->nodes[k].up || rig->nodes[k].cut)
				continue;
			store_group(rig->nodes[k].store, group, &g);
			if (g.ready)
				return &rig->nodes[k];
		}
		run_for(rig, SECOND / 10);
	}
	for (int k = 0; k < N_NODES; k++) {
		struct store_group g;

		if (!rig->nodes[k].up)
			continue;
		store_group(rig->nodes[k].store, group, &g);
		fprintf(stderr,
		    "# node %d: here %d leads %d term %llu applied %llu of "
		    "%llu, %u members, leader %d\n",
		    k + 1, g.here, g.leads, (unsigned long long)g.term,
		    (unsigned long long)g.applied, (unsigned long long)g.last,
		    g.members.n, g.leader[0]);
	}
	cr_assert(0, "nobody leads");
	return NULL;
}

/* Event N of stream s of group 0, at NODE. */
static int
put(struct rig *rig, struct node *n, uint32_t nth, uint64_t *seq)
{
	struct ask *a = mem_zalloc(sizeof(*a));
	int r;

	snprintf(a->data, sizeof(a->data), "event %u", nth);
	memset(a->data + strlen(a->data), '.', nth % 1000);
	a->event = (struct vnode_put_event){.data = SLICE_STR(a->data)};
	a->put = (struct vnode_put){.msg = {.kind = MSG_PUT},
	    .bucket = SLICE_LIT("b"),
	    .stream = SLICE_LIT("s"),
	    .n_events = 1,
	    .events = &a->event};
	post(n, 0, &a->put.msg);
	wait_for(rig, a);
	r = a->put.r;
	if (r == 0 && seq)
		*seq = a->put.first;
	mem_free(a);
	return r;
}

static void
put_many(struct rig *rig, uint32_t first, uint32_t n)
{
	for (uint32_t i = first; i < first + n; i++) {
		uint64_t seq = 0;

		cr_assert_eq(put(rig, leader_of(rig, 0), i, &seq), 0);
		cr_assert_eq(seq, i);
	}
}

static int
change(struct rig *rig, enum vnode_change_op op, struct node *who)
{
	struct ask *a = mem_zalloc(sizeof(*a));
	int r;

	a->change =
	    (struct vnode_change){.msg = {.kind = MSG_CHANGE}, .op = op};
	memcpy(a->change.node, who->id, 16);
	post(leader_of(rig, 0), 0, &a->change.msg);
	wait_for(rig, a);
	r = a->change.r;
	mem_free(a);
	return r;
}

static void
change_soon(struct rig *rig, enum vnode_change_op op, struct node *who)
{
	int r = -ERR_BUSY;

	for (int i = 0; i < 300 && r; i++) {
		r = change(rig, op, who);
		run_for(rig, SECOND / 10);
	}
	cr_assert_eq(r, 0, "%d: %s", op, err_text(r));
}

/* The newest seqnum that NODE reads. */
static uint64_t
newest(struct rig *rig, struct node *n, int *r)
{
	struct ask *a = mem_zalloc(sizeof(*a));
	uint64_t last;

	a->read = (struct vnode_read){.msg = {.kind = MSG_READ},
	    .bucket = SLICE_LIT("b"),
	    .stream = SLICE_LIT("s"),
	    .to = UINT64_MAX,
	    .limit = 1000,
	    .max_bytes = 1u << 20};
	post(n, 0, &a->read.msg);
	wait_for(rig, a);
	*r = a->read.r;
	last = a->read.newest;
	vnode_page_deinit(&a->read.page);
	mem_free(a);
	return last;
}

static void
join_all(struct rig *rig)
{
	for (int i = 1; i < N_NODES; i++) {
		change_soon(rig, VNODE_ADD, &rig->nodes[i]);
		change_soon(rig, VNODE_PROMOTE, &rig->nodes[i]);
	}
}

static void
check_all(struct rig *rig, uint64_t n)
{
	struct store_group g[N_NODES];
	int r;

	cr_assert_eq(newest(rig, leader_of(rig, 0), &r), n);
	cr_assert_eq(r, 0);
	run_for(rig, 3 * SECOND);
	for (int i = 0; i < N_NODES; i++) {
		cr_assert_not(rig->nodes[i].fatal);
		if (!rig->nodes[i].up)
			continue;
		store_group(rig->nodes[i].store, 0, &g[i]);
		cr_assert(g[i].here, "node %d has no replica", i + 1);
		cr_assert_eq(g[i].applied, g[i].last, "node %d", i + 1);
	}
}

/* --- histories ------------------------------------------------------------ */

Test(replicas, learners_are_filled_promoted_and_get_what_is_written)
{
	struct rig *rig = rig_new();

	put_many(rig, 1, 300);
	join_all(rig);
	put_many(rig, 301, 50);
	check_all(rig, 350);
}

Test(replicas, another_leads_when_the_leader_dies_and_nothing_is_lost)
{
	struct rig *rig = rig_new();
	struct node *old;
	int r;

	put_many(rig, 1, 20);
	join_all(rig);
	put_many(rig, 21, 80);
	for (int i = 0; i < 4; i++) {
		old = leader_of(rig, 0);
		kill_it(old);
		put_many(rig, 101 + 50 * (uint32_t)i, 25);
		start(old, old == &rig->nodes[0]);
		put_many(rig, 126 + 50 * (uint32_t)i, 25);
		cr_assert_eq(
		    newest(rig, leader_of(rig, 0), &r), 150 + 50 * (uint64_t)i);
	}
	check_all(rig, 300);
}

Test(replicas, one_that_was_away_for_long_is_filled_again)
{
	struct rig *rig = rig_new();
	struct node *away;

	join_all(rig);
	put_many(rig, 1, 10);
	away = leader_of(rig, 0) == &rig->nodes[2] ? &rig->nodes[1]
						   : &rig->nodes[2];
	kill_it(away);
	put_many(rig, 11, 1500);
	run_for(rig, 100 * SECOND); /* checkpoints let the log go */
	put_many(rig, 1511, 10);
	run_for(rig, 100 * SECOND);
	start(away, 0);
	run_for(rig, 20 * SECOND);
	check_all(rig, 1520);
	/* What it was filled with outlives it. */
	kill_it(away);
	start(away, 0);
	run_for(rig, 5 * SECOND);
	check_all(rig, 1520);
}

Test(replicas, a_node_cut_off_answers_no_reads_and_acknowledges_nothing)
{
	struct rig *rig = rig_new();
	struct node *old;
	int r;

	join_all(rig);
	put_many(rig, 1, 10);
	old = leader_of(rig, 0);
	old->cut = 1;
	put_many(rig, 11, 10); /* at the new leader */
	newest(rig, old, &r);
	cr_assert_lt(r, 0);
	cr_assert_lt(put(rig, old, 999, NULL), 0);
	old->cut = 0;
	run_for(rig, 5 * SECOND);
	check_all(rig, 20);
}

Test(replicas, removed_and_added_again_is_a_new_life)
{
	struct rig *rig = rig_new();
	struct store_group g;
	uint64_t before;

	join_all(rig);
	put_many(rig, 1, 50);
	for (int i = 0; i < 3; i++) {
		struct node *n = leader_of(rig, 0) == &rig->nodes[2]
				     ? &rig->nodes[1]
				     : &rig->nodes[2];

		store_group(n->store, 0, &g);
		before = g.generation;
		if (i == 1)
			kill_it(n); /* does not hear of it */
		change_soon(rig, VNODE_REMOVE, n);
		put_many(rig, 51 + 10 * (uint32_t)i, 5);
		if (i == 1)
			start(n, 0);
		run_for(rig, 10 * SECOND);
		store_group(n->store, 0, &g);
		cr_assert(!g.here, "round %d", i);
		kill_it(n); /* nor is it missed at the next start */
		start(n, 0);
		change_soon(rig, VNODE_ADD, n);
		change_soon(rig, VNODE_PROMOTE, n);
		store_group(n->store, 0, &g);
		cr_assert_gt(g.generation, before);
		put_many(rig, 56 + 10 * (uint32_t)i, 5);
	}
	check_all(rig, 80);
}

Test(replicas, leadership_is_handed_over)
{
	struct rig *rig = rig_new();

	join_all(rig);
	for (uint32_t i = 0; i < 6; i++) {
		struct node *to = &rig->nodes[i % N_NODES];

		if (leader_of(rig, 0) != to) {
			cr_assert_eq(change(rig, VNODE_TRANSFER, to), 0);
			run_for(rig, 2 * SECOND);
		}
		cr_assert_eq(leader_of(rig, 0), to);
		put_many(rig, 1 + 10 * i, 10);
	}
	check_all(rig, 60);
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
	    b.p[2 * 4096 + 20] == b.p[24] && /* of this life of the file */
	    strcmp(path, f->path) > 0)
		snprintf(f->path, sizeof(f->path), "%s", path);
	buf_deinit(&b);
}

static struct node *
some_follower(struct rig *rig)
{
	return leader_of(rig, 0) == &rig->nodes[2] ? &rig->nodes[1]
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
	struct rig *rig = rig_new();
	struct node *n;
	int r;

	join_all(rig);
	put_many(rig, 1, 200);
	n = some_follower(rig);
	kill_it(n);
	start(n, 0); /* a fresh segment */
	put_many(rig, 201, 40);
	kill_it(n);
	flip_journal(n);
	put_many(rig, 241, 10);
	start(n, 0);
	run_for(rig, 10 * SECOND);
	check_all(rig, 250);
	/* It counts again: without another one the group goes on. */
	for (int i = 0; i < N_NODES; i++)
		if (&rig->nodes[i] != n && &rig->nodes[i] != leader_of(rig, 0))
			kill_it(&rig->nodes[i]);
	put_many(rig, 251, 10);
	cr_assert_eq(newest(rig, leader_of(rig, 0), &r), 260);
}

Test(replicas, two_of_three_damaged_do_not_elect_a_leader_that_lacks_something)
{
	struct rig *rig = rig_new();
	struct store_group g;
	struct node *whole;

	join_all(rig);
	put_many(rig, 1, 100);
	whole = leader_of(rig, 0);
	for (int i = 0; i < N_NODES; i++) {
		struct node *n = &rig->nodes[i];

		kill_it(n);
		start(n, i == 0);
	}
	put_many(rig, 101, 30);
	for (int i = 0; i < N_NODES; i++) {
		struct node *n = &rig->nodes[i];

		kill_it(n);
		if (n != whole)
			flip_journal(n);
	}
	for (int i = 0; i < N_NODES; i++)
		if (&rig->nodes[i] != whole)
			start(&rig->nodes[i], i == 0);
	run_for(rig, 20 * SECOND);
	for (int i = 0; i < N_NODES; i++) {
		if (&rig->nodes[i] == whole)
			continue;
		store_group(rig->nodes[i].store, 0, &g);
		cr_assert(g.here && !g.leads);
	}
}

Test(replicas, alone_with_a_damaged_journal_a_node_refuses_to_start)
{
	struct rig *rig = rig_new();
	struct node *n = &rig->nodes[0];
	struct store_config c = {.env = simenv_env(n->sim),
	    .dir = "c",
	    .cluster_id = "0123456789abcde",
	    .n_groups = 2,
	    .found = 1,
	    .segment_bytes = SEGMENT,
	    .journal_max_bytes = 8 * SEGMENT};
	char why[512];

	put_many(rig, 1, 6); /* all in one segment, which is needed */
	kill_it(n);
	flip_journal(n);
	memcpy(c.node_id, n->id, 16);
	cr_assert_eq(store_open(&n->store, &c, why, sizeof(why)), -ERR_CORRUPT);
	cr_assert(strstr(why, ".journal") && strstr(why, "offset"), "%s", why);
}
