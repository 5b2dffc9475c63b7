/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * A disk that fails (cluster.md 6.10): what the journal cannot write or sync is
 * the end of the node, what cannot be read is told for exactly those events, and
 * writes that find no room in the journal wait, are refused, and go on.
 */
#include <criterion/criterion.h>

#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/vnode/store_rig.h"
#include "vnode/journal.h"

TestSuite(store_disk, .timeout = 60);

/* --- writing -------------------------------------------------------------- */

/* The first OP on a file whose path has SUFFIX fails, once armed; what is done
 * to such files afterwards is counted. */
struct failing {
	enum memdisk_op op;
	const char *suffix;
	enum memdisk_fault fault;
	int armed, n_failed, n_syncs_after, n_writes_after;
};

static enum memdisk_fault
fail_one(void *arg, enum memdisk_op op, const char *path)
{
	struct failing *f = arg;

	if (!f->armed || !strstr(path, f->suffix))
		return MEMDISK_OK;
	if (op == f->op && f->n_failed == 0) {
		f->n_failed = 1;
		return f->fault;
	}
	if (f->n_failed) {
		f->n_syncs_after += op == MEMDISK_SYNC;
		f->n_writes_after += op == MEMDISK_PWRITEV;
	}
	return MEMDISK_OK;
}

static void
check_failed_journal(struct failing *f)
{
	struct vnode_read req = {.from = 1, .max_bytes = 4096};
	struct sr rig;
	uint32_t acked;

	sr_init(&rig);
	memdisk_set_hook(rig.md, fail_one, f);
	sr_start(&rig);
	for (uint32_t i = 0; i < 6; i++)
		sr_append_and_wait(&rig, i % 2, 700);
	acked = rig.n_acked;
	cr_assert_eq(acked, 6);
	f->armed = 1;
	for (uint32_t i = 0; i < 5; i++)
		sr_append(&rig, i % 2, 700);
	sr_run_for(&rig, SR_SECOND);
	cr_assert_eq(f->n_failed, 1);
	cr_expect_eq(rig.fatal, 1, "the node must stop, once: %d", rig.fatal);
	cr_expect_eq(rig.n_pending, 0, "%u are not answered", rig.n_pending);
	cr_expect_eq(rig.n_acked, acked, "acknowledged though not durable");
	sr_append(&rig, 0, 10);
	sr_run_for(&rig, 10 * SR_SECOND);
	cr_expect_eq(rig.n_pending, 0);
	cr_expect_neq(rig.last_r, 0);
	cr_expect_eq(f->n_syncs_after, 0, "a failed sync was tried again");
	cr_expect_eq(f->n_writes_after, 0);
	/* The machine loses power: what was acknowledged is there. */
	sr_kill(&rig);
	f->armed = 0;
	memdisk_crash(rig.md, MEMDISK_RANDOM, 7);
	memdisk_restart(rig.md);
	rig.fatal = 0;
	sr_start(&rig);
	cr_expect_geq(sr_count_events(&rig, 0) + sr_count_events(&rig, 1), 6);
	sr_append_and_wait(&rig, 0, 700);
	cr_expect_eq(rig.n_acked, acked + 1);
	cr_expect_eq(rig.fatal, 0);
	sr_read(&rig, &req, 0);
	cr_expect_eq(req.r, 0);
	vnode_page_deinit(&req.page);
	sr_deinit(&rig);
}

Test(store_disk, a_journal_that_cannot_be_written_is_the_end)
{
	struct failing f = {
	    .op = MEMDISK_PWRITEV, .suffix = ".journal", .fault = MEMDISK_EIO};

	check_failed_journal(&f);
}

Test(store_disk, a_sync_of_the_journal_that_failed_is_never_tried_again)
{
	struct failing f = {
	    .op = MEMDISK_SYNC, .suffix = ".journal", .fault = MEMDISK_EIO};

	check_failed_journal(&f);
}

/* The pages are marked clean then, too. */
Test(store_disk, nor_is_one_that_failed_for_want_of_room)
{
	struct failing f = {
	    .op = MEMDISK_SYNC, .suffix = ".journal", .fault = MEMDISK_ENOSPC};

	check_failed_journal(&f);
}

static void
check_failed_checkpoint(struct failing *f)
{
	struct sr rig;

	sr_init(&rig);
	memdisk_set_hook(rig.md, fail_one, f);
	sr_start(&rig);
	for (uint32_t i = 0; i < 6; i++)
		sr_append_and_wait(&rig, i % 2, 700);
	f->armed = 1;
	sr_run_for(&rig, 100 * SR_SECOND);
	cr_assert_eq(f->n_failed, 1);
	cr_expect_eq(rig.fatal, 1, "%d", rig.fatal);
	cr_expect_eq(f->n_syncs_after, 0, "a failed sync was tried again");
	sr_kill(&rig);
	f->armed = 0;
	memdisk_crash(rig.md, MEMDISK_LOSE_ALL, 7);
	memdisk_restart(rig.md);
	sr_start(&rig);
	cr_expect_eq(sr_count_events(&rig, 0), 3);
	cr_expect_eq(sr_count_events(&rig, 1), 3);
	sr_deinit(&rig);
}

Test(store_disk, a_sync_of_a_chunk_that_failed_is_the_end)
{
	struct failing eio = {
	    .op = MEMDISK_SYNC, .suffix = ".chunk", .fault = MEMDISK_EIO};
	struct failing full = {
	    .op = MEMDISK_SYNC, .suffix = ".chunk", .fault = MEMDISK_ENOSPC};

	check_failed_checkpoint(&eio);
	check_failed_checkpoint(&full);
}

Test(store_disk, a_sync_of_a_manifest_that_failed_is_the_end)
{
	struct failing f = {
	    .op = MEMDISK_SYNC, .suffix = "manifest", .fault = MEMDISK_EIO};

	check_failed_checkpoint(&f);
}

Test(store_disk, a_sync_of_names_that_failed_is_the_end)
{
	struct failing f = {
	    .op = MEMDISK_SYNC_DIR, .suffix = "/vnodes/", .fault = MEMDISK_EIO};

	check_failed_checkpoint(&f);
}

/* --- reading -------------------------------------------------------------- */

#define N_EVENTS 40
#define N_BAD    17

static void
note_name(void *arg, const char *name)
{
	char *out = arg;

	if (strstr(name, ".chunk"))
		snprintf(out, 64, "%s", name);
}

static void
chunk_of_group_0(struct sr *rig, char path[160])
{
	const struct env_disk *d = memdisk_disk(rig->md);
	char dir[64] = "", name[64] = "";

	for (int g = 0; g < 4 && !name[0]; g++) {
		snprintf(dir, sizeof(dir), "c/vnodes/0-1.%d", g);
		d->list(d->ctx, dir, note_name, name);
	}
	cr_assert(name[0], "no chunk");
	snprintf(path, 160, "%s/%s", dir, name);
}

/* A store with N_EVENTS in a chunk of each group and nothing in memory. */
static void
rig_with_chunks(struct sr *rig)
{
	sr_init(rig);
	sr_start(rig);
	for (uint32_t i = 0; i < 2 * N_EVENTS; i++)
		sr_append_and_wait(rig, i % 2, 300);
	sr_run_for(rig, 100 * SR_SECOND);
	sr_kill(rig);
	sr_start(rig);
	sr_append_and_wait(rig, 0, 10); /* leads */
	sr_append_and_wait(rig, 1, 10);
}

/* Reads one event after the other; BAD is how many cannot be, and each says so
 * of itself or of a range with it in. */
static uint64_t
count_damaged(struct sr *rig, uint32_t group)
{
	uint64_t bad = 0;

	for (uint64_t seq = 1; seq <= N_EVENTS + 1; seq++) {
		struct vnode_read req = {.from = seq, .max_bytes = 1};

		sr_read(rig, &req, group);
		if (req.r == 0) {
			cr_expect_eq(req.page.first, seq);
			vnode_page_deinit(&req.page);
			continue;
		}
		cr_expect_eq(req.r, -ERR_CORRUPT);
		cr_expect_leq(req.damaged_first, seq);
		cr_expect_geq(req.damaged_last, seq);
		bad++;
	}
	return bad;
}

Test(store_disk, a_flipped_bit_is_told_for_exactly_that_event)
{
	struct vnode_read req = {.from = 1, .max_bytes = 1u << 20};
	struct buf content;
	struct sr rig;
	char path[160];
	size_t at;

	rig_with_chunks(&rig);
	chunk_of_group_0(&rig, path);
	buf_init(&content, 1u << 20);
	cr_assert_eq(memdisk_read_all(rig.md, path, &content), 0);
	at = content.n / N_EVENTS * N_BAD;
	while (content.p[at] != 'a' || content.p[at + 99] != 'a')
		at++; /* in a payload */
	buf_deinit(&content);
	cr_assert_eq(memdisk_flip(rig.md, path, at, 3), 0);
	cr_expect_eq(count_damaged(&rig, 0), 1);
	cr_expect_eq(count_damaged(&rig, 1), 0);
	/* A page ends before it. */
	sr_read(&rig, &req, 0);
	cr_assert_eq(req.r, 0);
	cr_expect_lt(req.page.last, N_EVENTS);
	req.from = req.page.last + 1;
	vnode_page_deinit(&req.page);
	sr_read(&rig, &req, 0);
	cr_expect_eq(req.r, -ERR_CORRUPT);
	cr_expect_eq(req.damaged_first, req.from);
	cr_expect_eq(req.damaged_last, req.from);
	cr_expect_eq(rig.fatal, 0);
	sr_append_and_wait(&rig, 0, 100);
	cr_expect_eq(rig.last_r, 0);
	sr_deinit(&rig);
}

/* The disk of the rig, with files that cannot be read. */
struct bad_disk {
	struct env_disk disk; /* first */
	const struct env_disk *real;
	int bad;
};

static int
bad_pread(void *ctx, struct disk_file *f, void *out, size_t n, uint64_t offset,
    size_t *got)
{
	struct bad_disk *b = ctx;

	if (b->bad)
		return -ERR_IO;
	return b->real->pread(b->real->ctx, f, out, n, offset, got);
}

static int
pass_open(void *ctx, const char *path, unsigned flags, struct disk_file **out)
{
	struct bad_disk *b = ctx;

	return b->real->open(b->real->ctx, path, flags, out);
}

static void
pass_close(void *ctx, struct disk_file *f)
{
	struct bad_disk *b = ctx;

	b->real->close(b->real->ctx, f);
}

static int
pass_size(void *ctx, struct disk_file *f, uint64_t *out)
{
	struct bad_disk *b = ctx;

	return b->real->size(b->real->ctx, f, out);
}

/* Only reading happens while it is in place. */
static void
use_bad_disk(struct sr *rig, struct bad_disk *b)
{
	*b = (struct bad_disk){.real = memdisk_disk(rig->md)};
	b->disk = *b->real;
	b->disk.ctx = b;
	b->disk.pread = bad_pread;
	b->disk.open = pass_open;
	b->disk.close = pass_close;
	b->disk.size = pass_size;
	simenv_set_disk(rig->sim, &b->disk);
}

Test(store_disk, what_the_device_cannot_read_is_told_until_it_can)
{
	struct bad_disk b;
	struct sr rig;

	rig_with_chunks(&rig);
	cr_expect_eq(count_damaged(&rig, 0), 0);
	use_bad_disk(&rig, &b);
	b.bad = 1;
	cr_expect_eq(count_damaged(&rig, 0), N_EVENTS);
	b.bad = 0;
	cr_expect_eq(count_damaged(&rig, 0), 0);
	cr_expect_eq(rig.fatal, 0);
	simenv_set_disk(rig.sim, memdisk_disk(rig.md));
	sr_append_and_wait(&rig, 0, 100);
	cr_expect_eq(rig.last_r, 0);
	sr_deinit(&rig);
}

/* --- damaged, and written to ---------------------------------------------- */

/* More events for a stream whose open chunk is damaged, through a checkpoint
 * and a restart: all of them are there. */
static void
check_goes_on(struct sr *rig)
{
	struct vnode_read req = {.from = N_EVENTS + 1, .max_bytes = 1u << 20};

	for (int i = 0; i < 10; i++)
		sr_append_and_wait(rig, 0, 300);
	sr_run_for(rig, 100 * SR_SECOND);
	for (int i = 0; i < 5; i++)
		sr_append_and_wait(rig, 0, 300);
	cr_expect_eq(rig->fatal, 0);
	for (int restarts = 0; restarts < 3; restarts++) {
		sr_kill(rig);
		memdisk_crash(rig->md, MEMDISK_LOSE_ALL, 1);
		memdisk_restart(rig->md);
		sr_start(rig);
		sr_append_and_wait(rig, 0, 10);
		sr_append_and_wait(rig, 1, 10);
		for (req.from = N_EVENTS + 1; req.from < N_EVENTS + 16;) {
			sr_read(rig, &req, 0);
			cr_assert_eq(req.r, 0, "%llu: %s",
			    (unsigned long long)req.from, err_text(req.r));
			cr_assert_eq(req.page.first, req.from);
			req.from = req.page.last + 1;
			vnode_page_deinit(&req.page);
		}
		sr_run_for(rig, 100 * SR_SECOND);
	}
	cr_expect_eq(rig->fatal, 0);
	cr_expect_eq(count_damaged(rig, 1), 0);
}

Test(store_disk, a_chunk_with_a_damaged_header_gets_no_more_events)
{
	struct sr rig;
	char path[160];

	rig_with_chunks(&rig);
	chunk_of_group_0(&rig, path);
	cr_assert_eq(memdisk_flip(rig.md, path, 9, 3), 0);
	check_goes_on(&rig);
	cr_expect_eq(count_damaged(&rig, 0), N_EVENTS);
	sr_deinit(&rig);
}

Test(store_disk, a_chunk_that_is_gone_is_not_the_end_of_the_node)
{
	const struct env_disk *d;
	struct sr rig;
	char path[160];

	rig_with_chunks(&rig);
	d = memdisk_disk(rig.md);
	chunk_of_group_0(&rig, path);
	cr_assert_eq(d->unlink(d->ctx, path), 0);
	check_goes_on(&rig);
	cr_expect_eq(count_damaged(&rig, 0), N_EVENTS);
	sr_deinit(&rig);
}

Test(store_disk, a_chunk_that_was_cut_short_gets_no_more_events)
{
	const struct env_disk *d;
	struct disk_file *f;
	struct sr rig;
	char path[160];
	uint64_t size;

	rig_with_chunks(&rig);
	d = memdisk_disk(rig.md);
	chunk_of_group_0(&rig, path);
	cr_assert_eq(d->open(d->ctx, path, DISK_WRITE, &f), 0);
	cr_assert_eq(d->size(d->ctx, f, &size), 0);
	cr_assert_eq(d->truncate(d->ctx, f, size / 2), 0);
	cr_assert_eq(d->sync(d->ctx, f), 0);
	d->close(d->ctx, f);
	check_goes_on(&rig);
	size = count_damaged(&rig, 0);
	cr_expect(size > 0 && size < N_EVENTS, "%u", (unsigned)size);
	sr_deinit(&rig);
}

/* --- durability.sync = interval ------------------------------------------ */

Test(store_disk, what_was_acknowledged_before_a_pause_is_synced_in_it)
{
	struct sr rig;

	sr_init(&rig);
	rig.config.sync = JOURNAL_SYNC_INTERVAL;
	sr_start(&rig);
	sr_run_for(&rig, SR_SECOND);
	for (uint32_t i = 0; i < 5; i++)
		sr_append_and_wait(&rig, 0, 100);
	cr_assert_eq(rig.n_acked, 5);
	sr_run_for(&rig, SR_SECOND / 8);
	sr_kill(&rig);
	memdisk_crash(rig.md, MEMDISK_LOSE_ALL, 1);
	memdisk_restart(rig.md);
	sr_start(&rig);
	cr_expect_eq(sr_count_events(&rig, 0), 5);
	sr_deinit(&rig);
}

/* --- no room in the journal ----------------------------------------------- */

/* The next checkpoint, which releases segments, is due a second after the last
 * one at the soonest: time to fill the journal, and to be refused. */
Test(store_disk, writes_wait_for_the_journal_then_are_refused_then_go_on)
{
	struct sr rig;
	uint32_t acked;

	sr_init(&rig);
	rig.config.segment_bytes = 2u << 20; /* an entry has up to 1 MiB */
	rig.config.journal_max_bytes = 8u << 20;
	rig.config.request_timeout_us = SR_SECOND / 4;
	rig.config.checkpoint_bytes = 1u << 30;
	sr_start(&rig);
	sr_append_and_wait(&rig, 0, 100);
	for (uint32_t i = 0; i < 40; i++) {
		sr_append(&rig, i % 2, 300000);
		simenv_run_idle(rig.sim, SR_STEPS);
	}
	acked = rig.n_acked;
	cr_assert_gt(rig.n_pending, 5, "the journal has no limit");
	cr_assert_gt(acked, 10);
	sr_run_for(&rig, SR_SECOND / 2);
	cr_expect_eq(rig.n_pending, 0);
	cr_expect_eq(rig.n_acked, acked, "%u", rig.n_acked);
	cr_expect_eq(rig.last_r, -ERR_UNAVAILABLE);
	/* Until the checkpoint has made room. */
	sr_run_for(&rig, 3 * SR_SECOND);
	for (uint32_t i = 0; i < 60; i++)
		sr_append_and_wait(&rig, i % 2, 300000);
	cr_expect_gt(rig.n_acked, acked + 20);
	cr_expect_eq(rig.fatal, 0);
	cr_expect_eq(
	    sr_count_events(&rig, 0) + sr_count_events(&rig, 1), rig.n_acked);
	sr_deinit(&rig);
}

static void
on_stopped(void *arg)
{
	*(int *)arg = 1;
}

static int
is_set(void *arg)
{
	return *(int *)arg;
}

/* Nothing tries again and again to write what there is no room for. */
Test(store_disk, a_stop_without_room_for_the_journal_ends_soon)
{
	struct sr rig;
	int stopped = 0;
	uint64_t since;

	sr_init(&rig);
	rig.config.checkpoint_bytes = 1u << 30;
	sr_start(&rig);
	sr_append_and_wait(&rig, 0, 100);
	memdisk_set_capacity(rig.md, 1);
	for (int i = 0; i < 10; i++) {
		sr_append(&rig, 0, SR_SEGMENT / 4);
		sr_run_for(&rig, SR_SECOND / 10);
	}
	cr_assert_gt(rig.n_pending, 0, "the disk was not full");
	since = simenv_mono(rig.sim).us;
	store_stop(rig.store, on_stopped, &stopped);
	cr_assert(simenv_run_until(rig.sim, is_set, &stopped, 5000));
	cr_expect_lt(simenv_mono(rig.sim).us - since, 3 * SR_SECOND);
	cr_expect_eq(rig.n_pending, 0);
	cr_expect_neq(rig.last_r, 0);
	sr_deinit(&rig);
}
