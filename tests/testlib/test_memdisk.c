/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "tests/lib/memdisk.h"

#include "tests/testlib/helpers.h"

static struct memdisk *md;
static const struct env_disk *d;

static void
setup(void)
{
	md = memdisk_new(NULL);
	d = memdisk_disk(md);
}

static void
teardown(void)
{
	md = memdisk_free(md);
}

TestSuite(memdisk, .init = setup, .fini = teardown);

#define CREATE (DISK_WRITE | DISK_CREATE)

Test(memdisk, open_flags_decide_whether_a_file_is_made_kept_or_emptied)
{
	struct disk_file *f;
	uint64_t size;

	cr_expect_eq(d->open(d->ctx, "f", DISK_READ, &f), -ERR_NOTFOUND);
	cr_expect_eq(d->open(d->ctx, "f", DISK_WRITE, &f), -ERR_NOTFOUND);
	f = must_open(md, "f", CREATE | DISK_EXCL);
	cr_expect_eq(write_at(md, f, "abc", 3, 0), 0);
	hang_up(md, f);
	cr_expect_eq(d->open(d->ctx, "f", CREATE | DISK_EXCL, &f), -ERR_EXISTS);
	f = must_open(md, "f", CREATE);
	cr_expect_eq(d->size(d->ctx, f, &size), 0);
	cr_expect_eq(size, 3);
	hang_up(md, f);
	hang_up(md, must_open(md, "f", CREATE | DISK_TRUNC));
	cr_expect_str_eq(content(md, "f"), "");
}

Test(memdisk, paths_are_judged_as_on_the_real_disk)
{
	static const char *const bad[] = {"", "/f", "..", "a/../f", "../f"};
	struct disk_file *f;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		cr_expect_eq(d->open(d->ctx, bad[i], CREATE, &f), -ERR_INVAL,
		    "%s", bad[i]);
	cr_expect_eq(d->open(d->ctx, "no/f", CREATE, &f), -ERR_NOTFOUND);
	put(md, "f", "");
	cr_expect_eq(d->open(d->ctx, "f/g", CREATE, &f), -ERR_SYSTEM);
	cr_expect_eq(d->mkdir(d->ctx, "d"), 0);
	cr_expect_eq(d->mkdir(d->ctx, "d"), -ERR_EXISTS);
	cr_expect_eq(d->unlink(d->ctx, "d"), -ERR_SYSTEM);
	cr_expect_eq(d->unlink(d->ctx, "d/f"), -ERR_NOTFOUND);
	cr_expect_eq(rename_to(md, "x", "y"), -ERR_NOTFOUND);
	cr_expect_eq(rename_to(md, "f", "d"), -ERR_EXISTS);
	cr_expect_eq(rename_to(md, "f", "f"), 0);
}

Test(memdisk, slices_are_written_one_behind_the_other_and_holes_read_as_zeros)
{
	char ab[] = "ab", cd[] = "cd";
	struct iovec iov[] = {{ab, 2}, {NULL, 0}, {cd, 2}};
	struct disk_file *f = must_open(md, "f", CREATE);
	char out[8192];
	size_t got;

	cr_expect_eq(d->pwritev(d->ctx, f, iov, 3, 4094), 0);
	cr_expect_eq(d->pread(d->ctx, f, out, sizeof(out), 1, &got), 0);
	cr_expect_eq(got, 4097);
	cr_expect_eq(out[4092], 0);
	cr_expect_arr_eq(out + 4093, "abcd", 4);
	cr_expect_eq(d->pread(d->ctx, f, out, 4, 4098, &got), 0);
	cr_expect_eq(got, 0);
	cr_expect_eq(d->truncate(d->ctx, f, 4096), 0);
	cr_expect_eq(d->truncate(d->ctx, f, 4098), 0);
	cr_expect_eq(d->pread(d->ctx, f, out, 4, 4094, &got), 0);
	cr_expect_arr_eq(out, "ab\0\0", 4);
	hang_up(md, f);
}

static void
gather(void *arg, const char *name)
{
	buf_add_str(arg, name);
}

Test(memdisk, a_directory_lists_its_own_names)
{
	struct buf b;

	buf_init(&b, 100);
	cr_expect_eq(d->mkdir(d->ctx, "d"), 0);
	put(md, "d/f", "");
	cr_expect_eq(d->list(d->ctx, "d", gather, &b), 0);
	cr_expect_eq(d->list(d->ctx, "", gather, &b), 0);
	cr_expect(slice_equal(buf_slice(&b), SLICE_LIT("fd")));
	cr_expect_eq(d->list(d->ctx, "e", gather, &b), -ERR_NOTFOUND);
	buf_deinit(&b);
}

static void
remove_it(void *arg, const char *name)
{
	char path[32];

	++*(int *)arg;
	snprintf(path, sizeof(path), "d/%s", name);
	cr_assert_eq(d->unlink(d->ctx, path), 0);
}

Test(memdisk, what_is_listed_may_be_removed_meanwhile)
{
	int n = 0;

	cr_assert_eq(d->mkdir(d->ctx, "d"), 0);
	put(md, "d/a", "");
	put(md, "d/b", "");
	put(md, "d/c", "");
	cr_assert_eq(d->list(d->ctx, "d", remove_it, &n), 0);
	cr_assert_eq(n, 3);
	cr_assert_not(exists(md, "d/a") || exists(md, "d/b"));
}

Test(memdisk, a_removed_file_lives_as_long_as_its_handle)
{
	struct disk_file *f = must_open(md, "f", CREATE);
	char out[3];
	size_t got;

	cr_expect_eq(write_at(md, f, "abc", 3, 0), 0);
	cr_expect_eq(d->unlink(d->ctx, "f"), 0);
	put(md, "f", "other");
	cr_expect_eq(d->pread(d->ctx, f, out, 3, 0, &got), 0);
	cr_expect_arr_eq(out, "abc", 3);
	hang_up(md, f);
	cr_expect_str_eq(content(md, "f"), "other");
}

Test(memdisk, a_full_disk_takes_the_pages_it_has_room_for)
{
	static char big[3 * 4096];
	struct disk_file *f = must_open(md, "f", CREATE);
	uint64_t left;

	memdisk_set_capacity(md, 2 * 4096);
	cr_expect_eq(d->free_bytes(d->ctx, &left), 0);
	cr_expect_eq(left, 2 * 4096);
	cr_expect_eq(write_at(md, f, big, sizeof(big), 0), -ERR_NOSPC);
	cr_expect_eq(d->size(d->ctx, f, &left), 0);
	cr_expect_eq(left, 2 * 4096);
	cr_expect_eq(write_at(md, f, "x", 1, 0), 0, "what it has, it keeps");
	cr_expect_eq(write_at(md, f, "x", 1, 8192), -ERR_NOSPC);
	cr_expect_eq(d->unlink(d->ctx, "f"), 0);
	cr_expect_eq(d->free_bytes(d->ctx, &left), 0);
	cr_expect_eq(left, 0, "still open");
	hang_up(md, f);
	cr_expect_eq(d->free_bytes(d->ctx, &left), 0);
	cr_expect_eq(left, 2 * 4096);
}

Test(memdisk, a_clone_and_its_original_do_not_see_each_other)
{
	struct memdisk *other;
	struct disk_file *f;

	put(md, "f", "one");
	f = must_open(md, "f", DISK_WRITE);
	other = memdisk_clone(md);
	cr_expect_eq(memdisk_hash(other), memdisk_hash(md));
	cr_expect_eq(write_at(md, f, "two", 3, 0), 0);
	cr_expect_str_eq(content(other, "f"), "one");
	cr_expect_str_eq(content(md, "f"), "two");
	cr_expect_neq(memdisk_hash(other), memdisk_hash(md));
	put(other, "g", "new");
	cr_expect_not(exists(md, "g"));
	memdisk_free(other);
	cr_expect_str_eq(content(md, "f"), "two");
	hang_up(md, f);
}

Test(memdisk, a_flipped_bit_is_there_before_and_after_a_power_cut)
{
	put(md, "f", "abc");
	cr_expect_eq(memdisk_flip(md, "f", 1, 0), 0);
	cr_expect_str_eq(content(md, "f"), "acc");
	cut_and_restart(md, MEMDISK_LOSE_ALL, 1);
	cr_expect_str_eq(content(md, "f"), "acc");
	cr_expect_eq(memdisk_flip(md, "f", 3, 0), -ERR_EOF);
	cr_expect_eq(memdisk_flip(md, "g", 0, 0), -ERR_NOTFOUND);
}

Test(memdisk, each_changing_call_is_counted_and_reading_is_not)
{
	struct disk_file *f = must_open(md, "f", CREATE);
	uint64_t size;

	cr_expect_eq(memdisk_ops(md), 1);
	write_at(md, f, "x", 1, 0);
	d->size(d->ctx, f, &size);
	cr_expect_eq(memdisk_ops(md), 2);
	d->truncate(d->ctx, f, 0);
	sync_file(md, f);
	sync_dir(md, "");
	d->sync_all(d->ctx);
	rename_to(md, "f", "g");
	d->mkdir(d->ctx, "d");
	d->unlink(d->ctx, "g");
	cr_expect_eq(memdisk_ops(md), 9);
	hang_up(md, f);
}

static enum memdisk_fault
no_sync_of_g(void *arg, enum memdisk_op op, const char *path)
{
	(void)arg;
	return op == MEMDISK_SYNC && strcmp(path, "g") == 0 ? MEMDISK_EIO
							    : MEMDISK_OK;
}

Test(memdisk, a_hook_can_pick_its_victims_by_call_and_path)
{
	struct disk_file *f = must_open(md, "f", CREATE);
	struct disk_file *g = must_open(md, "g", CREATE);

	memdisk_set_hook(md, no_sync_of_g, NULL);
	cr_expect_eq(sync_file(md, f), 0);
	cr_expect_eq(sync_file(md, g), -ERR_IO);
	hang_up(md, f);
	hang_up(md, g);
}

Test(memdisk, a_failing_call_that_is_not_a_write_has_done_nothing)
{
	struct disk_file *f;

	memdisk_fail_at(md, 1, MEMDISK_ENOSPC);
	cr_expect_eq(d->open(d->ctx, "f", CREATE, &f), -ERR_NOSPC);
	cr_expect_not(exists(md, "f"));
	put(md, "f", "abc");
	memdisk_fail_at(md, 2, MEMDISK_EIO);
	cr_expect_eq(rename_to(md, "f", "g"), -ERR_IO);
	memdisk_fail_at(md, 3, MEMDISK_EIO);
	cr_expect_eq(d->unlink(d->ctx, "f"), -ERR_IO);
	cr_expect_str_eq(content(md, "f"), "abc");
	cr_expect_eq(d->unlink(d->ctx, "f"), 0);
}

Test(memdisk, a_failing_write_has_written_some_front_of_it)
{
	static char text[1000];
	struct disk_file *f = must_open(md, "f", CREATE);
	uint64_t size, before = 0, n_partial = 0;

	memset(text, 'x', sizeof(text));
	for (uint64_t op = 2; op < 16; op++) {
		memdisk_fail_at(md, op, MEMDISK_EIO);
		cr_expect_eq(
		    write_at(md, f, text, sizeof(text), before), -ERR_IO);
		cr_expect_eq(d->size(d->ctx, f, &size), 0);
		n_partial += size > before && size < before + sizeof(text);
		before = size;
	}
	cr_expect_gt(n_partial, 5);
	hang_up(md, f);
}
