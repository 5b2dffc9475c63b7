/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * Histories that once went wrong, each as short as it can be.  The simulator of
 * whole nodes (tests/world) found them.
 */
#include <criterion/criterion.h>

#include "src/base/err.h"
#include "tests/vnode/store_rig.h"
#include "vnode/store_impl.h"

TestSuite(store_trouble, .timeout = 60);

/* Each start begins a segment of the journal. */
Test(store_trouble, a_node_that_was_killed_many_times_takes_writes_again)
{
	struct sr rig;

	sr_init(&rig);
	for (int i = 0; i < 12; i++) {
		sr_start(&rig);
		sr_run_for(&rig, SR_SECOND / 20);
		sr_kill(&rig);
	}
	sr_start(&rig);
	sr_append_and_wait(&rig, 0, 100);
	cr_expect_eq(rig.n_acked, 1);
	sr_deinit(&rig);
}

/* A segment that a checkpoint released may be named by the newest header. */
Test(store_trouble, a_node_starts_wherever_it_dies_between_checkpoints)
{
	struct sr rig;
	struct store_stats st;

	sr_init(&rig);
	rig.config.journal_max_bytes = 16 * SR_SEGMENT;
	sr_start(&rig);
	for (uint32_t i = 1; i <= 300; i++) {
		sr_append_and_wait(&rig, i % SR_GROUPS, 1000);
		sr_run_for(&rig, SR_SECOND / 50);
		if (i % 3)
			continue;
		store_stats(rig.store, &st);
		if (st.n_checkpoints < 2)
			continue;
		sr_kill(&rig);
		sr_start(&rig);
		cr_assert_eq(
		    sr_count_events(&rig, 0) + sr_count_events(&rig, 1), i);
	}
	sr_deinit(&rig);
}

static void
set_free(struct sr *rig, uint64_t bytes)
{
	const struct env_disk *d = memdisk_disk(rig->md);
	uint64_t room;

	memdisk_set_capacity(rig->md, 64u << 20);
	cr_assert_eq(d->free_bytes(d->ctx, &room), 0);
	memdisk_set_capacity(rig->md, (64u << 20) - room + bytes);
}

Test(store_trouble, what_waits_for_room_is_written_when_there_is_some)
{
	struct sr rig;

	sr_init(&rig);
	rig.config.checkpoint_bytes = 16 * SR_SEGMENT;
	sr_start(&rig);
	sr_append_and_wait(&rig, 0, 100);
	set_free(&rig, 0);
	for (int i = 0; i < 10; i++) {
		sr_append(&rig, 0, SR_SEGMENT / 4);
		sr_run_for(&rig, SR_SECOND / 10);
	}
	cr_assert_gt(rig.n_pending, 0, "the disk was not full");
	memdisk_set_capacity(rig.md, 64u << 20);
	simenv_run_until(rig.sim, sr_none_pending, &rig, 5000);
	cr_expect_eq(rig.n_pending, 0);
	sr_deinit(&rig);
}

/* Room runs out between the manifests of one checkpoint; the power is cut
 * before any chunk is synced again. */
struct half {
	int armed, failed;
};

static enum memdisk_fault
fail_half(void *arg, enum memdisk_op op, const char *path)
{
	struct half *h = arg;

	if (!h->armed)
		return MEMDISK_OK;
	if (op == MEMDISK_PWRITEV && strstr(path, "/1-1.0/manifest")) {
		h->failed = 1;
		return MEMDISK_ENOSPC;
	}
	if (h->failed && op == MEMDISK_SYNC && strstr(path, ".chunk"))
		return MEMDISK_CRASH_BEFORE;
	return MEMDISK_OK;
}

Test(store_trouble, what_one_manifest_of_a_failed_checkpoint_names_stays)
{
	struct sr rig;
	struct half half = {0};
	uint32_t n = 0;

	sr_init(&rig);
	memdisk_set_hook(rig.md, fail_half, &half);
	sr_start(&rig);
	for (; n < 4; n++)
		sr_append_and_wait(&rig, n % 2, 500);
	sr_run_for(&rig, 40 * SR_SECOND); /* one checkpoint as it should be */
	half.armed = 1;
	for (; n < 8; n++)
		sr_append_and_wait(&rig, n % 2, 500);
	sr_run_for(&rig, 100 * SR_SECOND);
	cr_assert(half.failed);
	sr_kill(&rig);
	half.armed = 0;
	memdisk_crash(rig.md, MEMDISK_LOSE_ALL, 1);
	memdisk_restart(rig.md);
	sr_start(&rig);
	cr_expect_eq(sr_count_events(&rig, 0), 4);
	cr_expect_eq(sr_count_events(&rig, 1), 4);
	sr_deinit(&rig);
}

/* --- effort -----------------------------------------------------------------
 */

static struct env_disk counted;
static uint32_t n_preads;

static int
count_pread(void *ctx, struct disk_file *f, void *out, size_t n,
    uint64_t offset, size_t *got)
{
	n_preads++;
	return counted.pread(ctx, f, out, n, offset, got);
}

Test(store_trouble, small_pages_and_seeks_do_not_read_a_chunk_over_and_over)
{
	struct sr rig;
	struct env_disk d;
	struct vnode_read req = {
	    .op = VNODE_READ_SEEK, .seek_ms = UINT64_MAX, .max_bytes = 1};

	sr_init(&rig);
	d = counted = *memdisk_disk(rig.md);
	d.pread = count_pread;
	simenv_set_disk(rig.sim, &d);
	sr_start(&rig);
	for (int i = 0; i < 1000; i++)
		sr_append_and_wait(&rig, 0, 40);
	sr_run_for(&rig, 40 * SR_SECOND);
	n_preads = 0;
	req.seek_ms = 1767225600000 + 20000;
	sr_read(&rig, &req, 0);
	cr_expect_eq(req.r, 0);
	req = (struct vnode_read){.from = 500, .max_bytes = 1};
	sr_read(&rig, &req, 0);
	cr_expect_eq(req.page.first, 500);
	vnode_page_deinit(&req.page);
	cr_expect_leq(n_preads, 60, "%u", n_preads);
	sr_deinit(&rig);
}

/* Of the journal only SEGMENT is left, as it once was. */
static void
put_back_segment(struct sr *rig, const char *segment, struct slice content)
{
	const struct env_disk *d = memdisk_disk(rig->md);
	char path[64];

	for (uint32_t g = 1; g < 16; g++) {
		snprintf(path, sizeof(path), "c/journal/%08x.journal", g);
		d->unlink(d->ctx, path);
	}
	cr_assert_eq(memdisk_put(rig->md, segment, content), 0);
}

/* A manifest never knows more than the journal, unless that was not synced. */
Test(store_trouble, a_journal_that_ends_before_the_manifest_is_refused)
{
	static const char first[] = "c/journal/00000001.journal";
	struct sr rig;
	struct buf old;
	char why[512];

	sr_init(&rig);
	sr_start(&rig);
	sr_append_and_wait(&rig, 0, 100);
	sr_kill(&rig);
	buf_init(&old, SR_SEGMENT);
	cr_assert_eq(memdisk_read_all(rig.md, first, &old), 0);
	sr_start(&rig);
	sr_append_and_wait(&rig, 0, 100);
	sr_run_for(&rig, 60 * SR_SECOND);
	sr_kill(&rig);
	put_back_segment(&rig, first, buf_slice(&old));
	cr_assert_eq(store_open(&rig.store, &rig.config, why, sizeof(why)),
	    -ERR_CORRUPT);
	cr_assert_not_null(
	    strstr(why, "newest segments are missing"), "%s", why);

	rig.config.sync = 2; /* never */
	for (uint64_t n = 2; n < 5; n++) {
		sr_start(&rig);
		cr_assert_eq(sr_count_events(&rig, 0), n);
		sr_append_and_wait(&rig, 0, 100);
		sr_kill(&rig);
	}
	buf_deinit(&old);
	sr_deinit(&rig);
}

/* The mark of a first start that came to its end. */
Test(store_trouble, a_lost_mark_does_not_begin_everything_anew)
{
	const struct env_disk *d;
	struct sr rig;
	char why[512];

	sr_init(&rig);
	d = memdisk_disk(rig.md);
	sr_start(&rig);
	sr_append_and_wait(&rig, 0, 100);
	sr_run_for(&rig, 60 * SR_SECOND);
	sr_kill(&rig);
	cr_assert_eq(d->unlink(d->ctx, "c/vnodes/founded"), 0);
	cr_assert_eq(store_open(&rig.store, &rig.config, why, sizeof(why)),
	    -ERR_CORRUPT);
	cr_assert_not_null(strstr(why, "founded is missing"), "%s", why);
	cr_assert_eq(memdisk_put(rig.md, "c/vnodes/founded", SLICE_LIT("")), 0);
	sr_start(&rig);
	cr_assert_eq(sr_count_events(&rig, 0), 1);
	sr_deinit(&rig);
}

/* It cannot be had from anywhere else, so the journal keeps what the next start
 * needs, and grows. */
Test(store_trouble, a_group_out_of_service_does_not_stop_the_others)
{
	struct sr rig;
	struct group *ill;

	sr_init(&rig);
	rig.config.request_timeout_us = SR_SECOND / 2;
	sr_start(&rig);
	for (int i = 0; i < 4; i++)
		sr_append_and_wait(&rig, i % 2, 1000);
	sr_run_for(&rig, 40 * SR_SECOND);
	sr_append_and_wait(&rig, 1, 1000);
	ill = &rig.store->vnodes[1].group;
	cr_assert_eq(ill->applied_index, raft_last(ill->raft));
	/* As if memory had run out in the middle of that last one. */
	ill->applied_index--;
	ill->failed = ill->half_applied = 1;
	for (int i = 0; i < 500; i++) {
		sr_append_and_wait(&rig, 0, 1000);
		sr_run_for(&rig, SR_SECOND / 50);
	}
	cr_expect_eq(rig.n_acked, 505, "%u", rig.n_acked);
	sr_kill(&rig);
	sr_start(&rig);
	cr_expect_eq(sr_count_events(&rig, 0), 502);
	cr_expect_eq(sr_count_events(&rig, 1), 3);
	sr_deinit(&rig);
}
