/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Three whole nodes on one virtual time: chunk files that are damaged on one of
 * them, or more, and are made whole by the others. */
#include <criterion/criterion.h>

#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "tests/vnode/mutant.h"
#include "tests/vnode/nodes_rig.h"
#include "vnode/chunk.h"
#include "vnode/event.h"
#include "vnode/fill.h"

TestSuite(repair, .timeout = 120, .init = mutant_take);

#define NTH_MANY 4500 /* events: the first chunk is sealed with 4096 */

/* --- files ---------------------------------------------------------------- */

struct find {
	const char *begins, *ends;
	char name[128]; /* the first in their order */
};

static void
note_name(void *arg, const char *name)
{
	struct find *f = arg;
	size_t n = strlen(name), e = strlen(f->ends);

	if (strncmp(name, f->begins, strlen(f->begins)) == 0 && n >= e &&
	    strcmp(name + n - e, f->ends) == 0 &&
	    (!f->name[0] || strcmp(name, f->name) < 0))
		snprintf(f->name, sizeof(f->name), "%s", name);
}

/* The first chunk file that N has of group 0. */
static void
first_chunk(struct node *n, char path[FILES_PATH_BYTES])
{
	const struct env_disk *d = memdisk_disk(n->md);
	struct find dir = {.begins = "0-", .ends = ""};
	struct find file = {.begins = "", .ends = ".chunk"};
	char at[256];

	d->list(d->ctx, "c/vnodes", note_name, &dir);
	snprintf(at, sizeof(at), "c/vnodes/%s", dir.name);
	d->list(d->ctx, at, note_name, &file);
	cr_assert(file.name[0], "no chunk in %s", at);
	snprintf(path, FILES_PATH_BYTES, "%s/%s", at, file.name);
}

static struct buf
content(struct node *n)
{
	char path[FILES_PATH_BYTES];
	struct buf b;

	first_chunk(n, path);
	buf_init(&b, 32u << 20);
	cr_assert_eq(memdisk_read_all(n->md, path, &b), 0);
	return b;
}

/* Where event SEQ begins in the first chunk of N. */
static uint64_t
place_of(struct node *n, uint64_t seq)
{
	struct buf b = content(n);
	struct chunk_id id;
	struct event e;
	uint32_t at, len;

	cr_assert_eq(chunk_decode_header(buf_slice(&b), &id, &at), 0);
	for (uint64_t s = id.first; s < seq; s++, at += len)
		cr_assert_eq(
		    event_decode(SLICE(b.p + at, b.n - at), 0, &e, &len), 0);
	buf_deinit(&b);
	return at;
}

static void
flip(struct node *n, uint64_t at)
{
	char path[FILES_PATH_BYTES];

	first_chunk(n, path);
	cr_assert_eq(memdisk_flip(n->md, path, at, 2), 0);
}

static void
flip_event(struct node *n, uint64_t seq)
{
	flip(n, place_of(n, seq) + EVENT_HEADER_BYTES + 1);
}

/* As much of the first chunk of N as A has, is the same as A. */
static int
is_same(struct node *n, const struct buf *a)
{
	struct buf b = content(n);
	int same = b.n >= a->n && memcmp(a->p, b.p, a->n) == 0;

	buf_deinit(&b);
	return same;
}

/* --- reading -------------------------------------------------------------- */

/* A page from FROM on at N, its replica's own with ANY; its last seqnum, or 0 and
 * *R, *BAD say why. */
static uint64_t
read_page(struct nodes *rig, struct node *n, uint64_t from, int any, int *r,
    uint64_t *bad)
{
	struct ask *a = nodes_read(rig, n, from, any);
	uint64_t last = a->read.page.last;

	*r = a->read.r;
	*bad = a->read.damaged_first;
	nodes_read_done(a);
	return *r ? 0 : last;
}

/* All N events at NODE, nothing of it damaged. */
static void
read_all_here(struct nodes *rig, struct node *node, uint64_t n)
{
	uint64_t next = 1, bad;
	int r;

	while (next <= n) {
		next = read_page(rig, node, next, 1, &r, &bad) + 1;
		cr_assert_eq(r, 0, "%s, event %llu", err_text(r),
		    (unsigned long long)bad);
	}
}

/* Whoever leads has all N events; who knows what it is that he has to read for
 * that. */
static void
read_all(struct nodes *rig, uint64_t n)
{
	uint64_t next = 1, bad;
	int r;

	while (next <= n) {
		uint64_t last =
		    read_page(rig, nodes_leader(rig), next, 0, &r, &bad);

		if (r == -ERR_NOTLEADER) {
			nodes_run_for(rig, SECOND / 100);
			continue;
		}
		cr_assert_eq(r, 0, "%s, event %llu", err_text(r),
		    (unsigned long long)bad);
		next = last + 1;
	}
}

/* Three nodes with N events in chunk files, not in memory. */
static struct nodes *
written(uint32_t n)
{
	struct nodes *rig = nodes_new();

	nodes_join_all(rig);
	nodes_put_many(rig, 1, n);
	nodes_run_for(rig, 100 * SECOND);
	return rig;
}

static struct node *
follower(struct nodes *rig)
{
	return nodes_leader(rig) == &rig->nodes[2] ? &rig->nodes[1]
						   : &rig->nodes[2];
}

static void
check_mended(struct nodes *rig, struct node *n, struct buf *whole)
{
	struct store_stats st;

	cr_assert(is_same(n, whole));
	cr_assert_not(n->fatal);
	nodes_run_for(rig, SECOND);
	store_stats(n->store, &st);
	cr_assert_eq(st.n_damaged, 0);
	buf_deinit(whole);
}

/* --- one bit -------------------------------------------------------------- */

Test(repair, a_leader_lets_another_lead_and_nobody_hears_of_the_damage)
{
	struct nodes *rig = written(200);
	struct node *n = nodes_leader(rig);
	struct buf whole = content(n);

	flip_event(n, 100);
	cr_assert_not(is_same(n, &whole));
	read_all(rig, 200);
	cr_assert_neq(nodes_leader(rig), n);
	nodes_run_for(rig, SECOND);
	check_mended(rig, n, &whole);
	nodes_put_many(rig, 201, 10);
	nodes_check_all(rig, 210);
}

Test(repair, a_follower_that_is_read_is_whole_when_it_answers)
{
	struct nodes *rig = written(200);
	struct node *n = follower(rig), *leader = nodes_leader(rig);
	struct buf whole = content(n);

	flip_event(n, 1);
	flip_event(n, 77);
	flip_event(n, 200);
	read_all_here(rig, n, 200);
	cr_assert_eq(nodes_leader(rig), leader);
	check_mended(rig, n, &whole);
}

/* The chain says that it is what it was. */
Test(repair, a_sealed_chunk_is_what_it_was_to_the_last_byte)
{
	struct nodes *rig = written(NTH_MANY);
	struct node *n = follower(rig);
	struct buf whole = content(n);

	flip_event(n, 4096);
	flip(n, 50);          /* the header */
	flip(n, whole.n - 6); /* the footer */
	read_all_here(rig, n, NTH_MANY);
	check_mended(rig, n, &whole);
	/* Of a footer alone no read says anything. */
	whole = content(n);
	nodes_kill(n);
	flip(n, whole.n - 20);
	nodes_start(n, n == &rig->nodes[0]);
	nodes_run_for(rig, 5 * SECOND);
	read_all_here(rig, n, NTH_MANY);
	nodes_run_for(rig, SECOND);
	check_mended(rig, n, &whole);
}

Test(repair, a_file_that_is_gone_or_short_comes_back)
{
	struct nodes *rig = written(300);
	struct node *n = follower(rig);
	const struct env_disk *d = memdisk_disk(n->md);
	struct buf whole = content(n);
	struct disk_file *file;
	char path[FILES_PATH_BYTES];

	first_chunk(n, path);
	cr_assert_eq(d->open(d->ctx, path, DISK_WRITE, &file), 0);
	cr_assert_eq(d->truncate(d->ctx, file, whole.n / 2), 0);
	d->close(d->ctx, file);
	read_all_here(rig, n, 300);
	cr_assert(is_same(n, &whole));
	nodes_kill(n);
	cr_assert_eq(d->unlink(d->ctx, path), 0);
	nodes_start(n, n == &rig->nodes[0]);
	nodes_run_for(rig, 5 * SECOND);
	read_all_here(rig, n, 300);
	check_mended(rig, n, &whole);
}

/* A flush finds it, and what is written meanwhile comes behind it. */
Test(repair, an_open_chunk_goes_on_behind_what_was_repaired)
{
	struct nodes *rig = written(200);
	struct node *n = follower(rig);
	struct buf whole = content(n);

	flip(n, 20); /* the header: a flush would give it up */
	nodes_put_many(rig, 201, 400);
	nodes_run_for(rig, 60 * SECOND);
	cr_assert(is_same(n, &whole));
	whole.n = 0;
	buf_deinit(&whole);
	whole = content(nodes_leader(rig));
	read_all_here(rig, n, 600);
	check_mended(rig, n, &whole);
}

/* It is found when it is full, before it gets a chain. */
Test(repair, a_chunk_is_repaired_before_it_is_sealed)
{
	struct nodes *rig = written(300);
	struct node *n = follower(rig);
	struct buf whole;

	flip_event(n, 150);
	nodes_put_many(rig, 301, NTH_MANY - 300);
	nodes_run_for(rig, 100 * SECOND);
	whole = content(nodes_leader(rig));
	read_all_here(rig, n, NTH_MANY);
	check_mended(rig, n, &whole);
}

/* --- more than one -------------------------------------------------------- */

Test(repair, what_no_replica_has_whole_is_put_together)
{
	struct nodes *rig = written(200);
	struct buf whole = content(&rig->nodes[0]);

	flip_event(&rig->nodes[0], 50);
	flip_event(&rig->nodes[1], 100);
	flip_event(&rig->nodes[2], 150);
	for (int i = 0; i < N_NODES; i++)
		read_all_here(rig, &rig->nodes[i], 200);
	nodes_run_for(rig, 10 * SECOND);
	for (int i = 0; i < N_NODES; i++)
		cr_assert(is_same(&rig->nodes[i], &whole), "node %d", i + 1);
	check_mended(rig, &rig->nodes[0], &whole);
}

struct asked {
	uint32_t n;
	/* May change a page on its way: 1. */
	int (*then)(struct asked *a, struct node *to, uint8_t *p, size_t n);
	struct node *victim;
};

/* Questions of a repair are counted, what is given shown to THEN. */
static int
see(void *arg, struct node *from, struct node *to, const struct iovec *iov,
    int count)
{
	struct asked *a = arg;
	uint8_t frame[FILL_PAGE_BYTES + 4096];
	struct wire_message m;
	struct wire_reader r;
	struct fill_message fm;
	size_t n = 0;

	for (int i = 0; i < count; i++) {
		if (n + iov[i].iov_len > sizeof(frame))
			return 0;
		if (iov[i].iov_len)
			memcpy(frame + n, iov[i].iov_base, iov[i].iov_len);
		n += iov[i].iov_len;
	}
	if (wire_open(&r, SLICE(frame, n)) || wire_next(&r, &m) ||
	    m.type != WIRE_FILL || fill_decode(m.rest, &fm))
		return 0;
	a->n += fm.op == FILL_GET_PART;
	if (fm.op != FILL_PART || !a->then ||
	    !a->then(a, to, frame + (fm.bytes.p - frame), fm.bytes.n))
		return 0;
	nodes_frame(to, from->id, &(struct iovec){frame, n}, 1);
	return 1;
}

Test(repair, what_is_lost_everywhere_is_told_and_not_asked_for_all_the_time)
{
	struct nodes *rig = written(200);
	struct asked a = {0};
	struct store_stats st;
	uint64_t bad, last;
	int r;

	for (int i = 0; i < N_NODES; i++)
		flip_event(&rig->nodes[i], 100);
	rig->hook = see;
	rig->arg = &a;
	for (int i = 0; i < 40; i++) {
		last = read_page(rig, nodes_leader(rig), 100, 0, &r, &bad);
		nodes_run_for(rig, SECOND / 2);
	}
	last = read_page(rig, follower(rig), 100, 1, &r, &bad);
	cr_assert_eq(last, 0);
	cr_assert_eq(r, -ERR_CORRUPT);
	cr_assert_eq(bad, 100);
	cr_assert_eq(read_page(rig, follower(rig), 101, 1, &r, &bad), 200);
	cr_assert_eq(r, 0);
	store_stats(follower(rig)->store, &st);
	cr_assert_eq(st.n_damaged, 1);
	a.n = 0;
	nodes_run_for(rig, 600 * SECOND);
	cr_assert_gt(a.n, 0);
	cr_assert_lt(a.n, 100, "%u questions in ten minutes", a.n);
	nodes_put_many(rig, 201, 10);
	nodes_check_all(rig, 210);
}

/* The page that was asked for is not there. */
static int
let_go(struct asked *a, struct node *to, uint8_t *p, size_t n)
{
	(void)a;
	(void)to;
	(void)n;
	le_put32(p - FILL_HEADER_BYTES, FILL_FAILED);
	le_put64(p - FILL_HEADER_BYTES + 16, ERR_NOTFOUND);
	return 1;
}

/* A flush waits for its repair, but not for ever: nobody has it any more. */
Test(repair, a_chunk_that_all_others_have_let_go_of_is_given_up)
{
	struct nodes *rig = written(200);
	struct node *n = follower(rig);
	struct asked a = {.then = let_go};
	struct store_stats st;

	rig->hook = see;
	rig->arg = &a;
	flip_event(n, 100);
	flip(n, 20); /* the header, so that a flush finds it */
	nodes_put_many(rig, 201, 400);
	nodes_run_for(rig, 60 * SECOND);
	store_stats(n->store, &st);
	cr_assert_eq(st.dirty_bytes, 0);
	cr_assert_gt(a.n, 0);
	cr_assert_lt(a.n, 60, "%u questions in a minute", a.n);
}

/* --- who lies ------------------------------------------------------------- */

/* The record at P has other data and a right CRC. */
static void
forge_record(uint8_t *p, size_t n)
{
	struct event e;
	uint8_t head[1024];
	uint32_t len, k;

	cr_assert_eq(event_decode(SLICE(p, n), 1, &e, &len), 0);
	p[len - 1] ^= 1;
	k = event_encode_head(&e, head);
	memcpy(p, head, k);
	cr_assert_eq(event_decode(SLICE(p, n), 1, &e, &len), 0);
}

/* So the first of what comes, */
static int
forge(struct asked *a, struct node *to, uint8_t *p, size_t n)
{
	struct event e;
	uint32_t len;

	if (to != a->victim || event_decode(SLICE(p, n), 1, &e, &len))
		return 0; /* the middle of one */
	forge_record(p, n);
	return 1;
}

/* or the second. */
static int
forge_next(struct asked *a, struct node *to, uint8_t *p, size_t n)
{
	struct event e;
	uint32_t len;

	if (to != a->victim)
		return 0;
	cr_assert_eq(event_decode(SLICE(p, n), 1, &e, &len), 0);
	forge_record(p + len, n - len);
	return 1;
}

Test(repair, nobody_can_give_a_sealed_chunk_another_event)
{
	struct nodes *rig = written(NTH_MANY);
	struct node *n = follower(rig);
	struct asked a = {.then = forge, .victim = n};
	struct buf whole = content(n);
	struct buf now;
	uint64_t bad;
	int r;

	flip_event(n, 1000);
	now = content(n);
	rig->hook = see;
	rig->arg = &a;
	read_page(rig, n, 1000, 1, &r, &bad);
	nodes_run_for(rig, 30 * SECOND);
	cr_assert_gt(a.n, 0);
	cr_assert(is_same(n, &now), "something was written");
	read_page(rig, n, 1000, 1, &r, &bad);
	cr_assert_eq(r, -ERR_CORRUPT);
	rig->hook = NULL;
	nodes_run_for(rig, 600 * SECOND);
	read_all_here(rig, n, NTH_MANY);
	check_mended(rig, n, &whole);
	buf_deinit(&now);
}

/* There is no chain yet that would say so: what is here counts. */
Test(repair, nobody_can_change_an_event_that_is_intact)
{
	struct nodes *rig = written(300);
	struct node *n = follower(rig);
	struct asked a = {.then = forge_next, .victim = n};
	struct buf whole = content(n);

	flip_event(n, 100);
	rig->hook = see;
	rig->arg = &a;
	read_all_here(rig, n, 300);
	cr_assert_gt(a.n, 0);
	check_mended(rig, n, &whole);
}

/* --- alone ---------------------------------------------------------------- */

Test(repair, alone_a_replica_says_what_is_damaged_and_serves_the_rest)
{
	struct nodes *rig = nodes_new();
	struct node *n = &rig->nodes[0];
	uint64_t bad;
	int r;

	nodes_put_many(rig, 1, 200);
	nodes_run_for(rig, 100 * SECOND);
	flip_event(n, 100);
	for (int i = 0; i < 3; i++) {
		read_page(rig, n, 100, 0, &r, &bad);
		cr_assert_eq(r, -ERR_CORRUPT);
		cr_assert_eq(bad, 100);
		cr_assert_eq(read_page(rig, n, 101, 0, &r, &bad), 200);
		nodes_run_for(rig, 10 * SECOND);
	}
}

/* --- what happens meanwhile ------------------------------------------------ */

/* Nothing is written over before all of it is synced. */
Test(repair, a_power_cut_leaves_the_damaged_file_or_the_whole_one)
{
	for (uint64_t op = 1; op <= 6; op++) {
		struct nodes *rig = written(200);
		struct node *n = follower(rig);
		struct buf whole = content(n), damaged, after;
		uint64_t bad;
		int r;

		flip_event(n, 100);
		damaged = content(n);
		memdisk_fail_at(
		    n->md, memdisk_ops(n->md) + op, MEMDISK_CRASH_MIDDLE);
		for (int i = 0; i < 100 && !memdisk_is_down(n->md); i++) {
			struct ask *a = mem_zalloc(sizeof(*a));

			a->read = (struct vnode_read){.msg = {.kind = MSG_READ},
			    .bucket = SLICE_LIT("b"),
			    .stream = SLICE_LIT("s"),
			    .from = 100,
			    .to = UINT64_MAX,
			    .limit = 1000,
			    .any = 1,
			    .max_bytes = 1u << 20};
			nodes_post(n, 0, &a->read.msg);
			nodes_run_for(rig, SECOND / 10); /* A may be left */
		}
		nodes_kill(n);
		memdisk_crash(n->md, MEMDISK_RANDOM, op);
		memdisk_restart(n->md);
		memdisk_fail_clear(n->md);
		after = content(n);
		cr_assert((after.n == whole.n &&
			      memcmp(after.p, whole.p, after.n) == 0) ||
			      (after.n == damaged.n &&
				  memcmp(after.p, damaged.p, after.n) == 0),
		    "a third file, op %llu", (unsigned long long)op);
		nodes_start(n, n == &rig->nodes[0]);
		nodes_run_for(rig, 5 * SECOND);
		read_all_here(rig, n, 200);
		read_page(rig, n, 100, 1, &r, &bad);
		cr_assert_eq(r, 0);
		cr_assert(is_same(n, &whole));
		buf_deinit(&whole);
		buf_deinit(&damaged);
		buf_deinit(&after);
	}
}
