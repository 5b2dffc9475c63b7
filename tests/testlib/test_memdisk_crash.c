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

TestSuite(memdisk_crash, .init = setup, .fini = teardown);

#define CREATE  (DISK_WRITE | DISK_CREATE)
#define N_SEEDS 300

/* Many power cuts of the same disk; each is looked at and forgotten. */
static void
each_cut(void (*look)(struct memdisk *after, unsigned *seen), unsigned *seen)
{
	for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
		struct memdisk *after = memdisk_clone(md);

		cut_and_restart(after, MEMDISK_RANDOM, seed);
		look(after, seen);
		memdisk_free(after);
	}
}

static void
fill(struct disk_file *f, char c, size_t n, uint64_t offset)
{
	static char bytes[16384];

	cr_assert_leq(n, sizeof(bytes));
	memset(bytes, c, n);
	cr_assert_eq(write_at(md, f, bytes, n, offset), 0);
}

static void
finish_file(struct disk_file *f)
{
	cr_assert_eq(sync_file(md, f), 0);
	cr_assert_eq(sync_dir(md, ""), 0);
}

Test(memdisk_crash, a_synced_file_without_a_synced_name_may_be_gone)
{
	struct disk_file *f = must_open(md, "f", CREATE);

	fill(f, 'a', 100, 0);
	cr_assert_eq(sync_file(md, f), 0);
	cut_and_restart(md, MEMDISK_LOSE_ALL, 1);
	cr_expect_not(exists(md, "f"));
	hang_up(md, f);
}

Test(memdisk_crash, a_synced_name_without_a_synced_file_may_be_empty)
{
	struct disk_file *f = must_open(md, "f", CREATE);

	fill(f, 'a', 100, 0);
	cr_assert_eq(sync_dir(md, ""), 0);
	cut_and_restart(md, MEMDISK_LOSE_ALL, 1);
	cr_expect_str_eq(content(md, "f"), "");
	hang_up(md, f);
}

Test(memdisk_crash, what_was_synced_survives_every_cut)
{
	struct disk_file *f = must_open(md, "f", CREATE);
	uint64_t hash;

	fill(f, 'a', 10000, 0);
	finish_file(f);
	cr_expect_eq(memdisk_unsynced(md), 0);
	hash = memdisk_hash(md);
	for (uint64_t seed = 0; seed < 20; seed++) {
		cut_and_restart(md, MEMDISK_RANDOM, seed);
		cr_expect_eq(memdisk_hash(md), hash);
	}
	hang_up(md, f);
}

Test(memdisk_crash, sync_all_covers_files_and_names_everywhere)
{
	struct disk_file *f;
	uint64_t hash;

	cr_assert_eq(d->mkdir(d->ctx, "d"), 0);
	cr_assert_eq(d->mkdir(d->ctx, "d/e"), 0);
	f = must_open(md, "d/e/f", CREATE);
	fill(f, 'a', 600, 0);
	cr_assert_eq(d->sync_all(d->ctx), 0);
	hash = memdisk_hash(md);
	cut_and_restart(md, MEMDISK_LOSE_ALL, 1);
	cr_expect_eq(memdisk_hash(md), hash);
	hang_up(md, f);
}

Test(memdisk_crash, a_name_in_a_directory_whose_own_name_is_lost_is_lost)
{
	cr_assert_eq(d->mkdir(d->ctx, "d"), 0);
	put(md, "d/f", "abc");
	cut_and_restart(md, MEMDISK_LOSE_ALL, 1);
	cr_expect_eq(d->sync_dir(d->ctx, "d"), -ERR_NOTFOUND);
}

Test(memdisk_crash, a_process_that_dies_leaves_all_it_has_written)
{
	struct disk_file *f = must_open(md, "f", CREATE);
	uint64_t hash;

	fill(f, 'a', 5000, 0);
	fill(f, 'b', 5000, 2000);
	hash = memdisk_hash(md);
	cut_and_restart(md, MEMDISK_KEEP_ALL, 1);
	cr_expect_eq(memdisk_hash(md), hash);
	hang_up(md, f);
}

enum { OLD, NEW, MIXED, TORN, KINDS };

/* 'o' was synced in all sectors, 'n' was written to 2 to 5 since then. */
static void
look_at_overwritten(struct memdisk *after, unsigned *seen)
{
	const char *text = content(after, "f");
	size_t n_old = 0, n_new = 0;

	cr_assert_eq(strlen(text + 6 * 512) + 6 * 512, 8 * 512);
	for (size_t s = 0; s < 8; s++) {
		size_t o = 0, n = 0;

		for (size_t i = 0; i < 512; i++) {
			o += text[s * 512 + i] == 'o';
			n += text[s * 512 + i] == 'n';
		}
		n_old += o == 512;
		n_new += n == 512;
		if (s < 2 || s > 5)
			cr_assert_eq(o, 512, "sector %zu was not written", s);
	}
	if (n_old + n_new < 8)
		seen[TORN]++;
	else if (n_new == 0 || n_old == 4)
		seen[n_new ? NEW : OLD]++;
	else
		seen[MIXED]++;
}

Test(memdisk_crash, each_unsynced_sector_is_old_new_or_torn_and_no_other)
{
	struct disk_file *f = must_open(md, "f", CREATE);
	unsigned seen[KINDS] = {0};

	fill(f, 'o', 8 * 512, 0);
	finish_file(f);
	fill(f, 'n', 4 * 512, 2 * 512);
	each_cut(look_at_overwritten, seen);
	for (int i = 0; i < KINDS; i++)
		cr_expect_gt(seen[i], 10, "%d: %u", i, seen[i]);
	cr_expect_lt(seen[TORN], N_SEEDS / 2);
	hang_up(md, f);
}

static void
look_for_later_without_earlier(struct memdisk *after, unsigned *seen)
{
	const char *text = content(after, "f");

	seen[0] += text[0] == 'o' && text[512] == 'n';
	seen[1] += text[0] == 'n' && text[512] == 'o';
}

Test(memdisk_crash, a_later_write_may_survive_without_an_earlier_one)
{
	struct disk_file *f = must_open(md, "f", CREATE);
	unsigned seen[2] = {0};

	fill(f, 'o', 1024, 0);
	finish_file(f);
	fill(f, 'n', 512, 0);
	fill(f, 'n', 512, 512);
	each_cut(look_for_later_without_earlier, seen);
	cr_expect_gt(seen[0], 10);
	cr_expect_gt(seen[1], 10);
	hang_up(md, f);
}

static void
look_at_4k_sectors(struct memdisk *after, unsigned *seen)
{
	const char *text = content(after, "f");
	int destroyed = 0;

	cr_assert_eq(text[4096], 'o');
	for (size_t i = 0; i < 3584; i++)
		destroyed |= text[i] != 'o';
	seen[0] += destroyed;
}

Test(memdisk_crash, a_torn_4k_sector_takes_synced_bytes_beside_the_write)
{
	struct memdisk_config config = {.sector_bytes = 4096};
	struct disk_file *f;
	unsigned seen[1] = {0};

	memdisk_free(md);
	md = memdisk_new(&config);
	f = must_open(md, "f", CREATE);
	fill(f, 'o', 8192, 0);
	finish_file(f);
	fill(f, 'n', 512, 3584);
	each_cut(look_at_4k_sectors, seen);
	cr_expect_gt(seen[0], 0);
	hang_up(md, f);
}

static void
look_at_size(struct memdisk *after, unsigned *seen)
{
	struct disk_file *f = must_open(after, "f", DISK_READ);
	const struct env_disk *disk = memdisk_disk(after);
	uint64_t size = 0;

	cr_assert_eq(disk->size(disk->ctx, f, &size), 0);
	cr_assert(size >= 1000 && size <= 3000);
	seen[0] += size == 1000;
	seen[1] += size == 3000;
	seen[2] += size > 1000 && size < 3000;
	hang_up(after, f);
}

Test(memdisk_crash, the_size_lies_between_the_synced_and_the_last_one)
{
	struct disk_file *f = must_open(md, "f", CREATE);
	unsigned seen[3] = {0};

	fill(f, 'o', 1000, 0);
	finish_file(f);
	fill(f, 'n', 2000, 1000);
	each_cut(look_at_size, seen);
	for (int i = 0; i < 3; i++)
		cr_expect_gt(seen[i], 10, "%d: %u", i, seen[i]);
	hang_up(md, f);
}

Test(memdisk_crash, a_prefix_of_a_directorys_operations_survives)
{
	unsigned seen[4] = {0};

	put(md, "x", "");
	put(md, "a", "");
	hang_up(md, must_open(md, "b", CREATE));
	hang_up(md, must_open(md, "c", CREATE));
	cr_assert_eq(rename_to(md, "a", "x"), 0);
	/* a and x, then b too, then c too, then a over x: x is always there. */
	for (uint64_t seed = 1; seed <= N_SEEDS; seed++) {
		struct memdisk *after = memdisk_clone(md);
		int a, b, c;

		cut_and_restart(after, MEMDISK_RANDOM, seed);
		a = exists(after, "a");
		b = exists(after, "b");
		c = exists(after, "c");
		cr_assert(exists(after, "x"));
		cr_assert(!c || b);
		cr_assert(a || c);
		seen[!a ? 3 : b + c]++;
		memdisk_free(after);
	}
	for (int i = 0; i < 4; i++)
		cr_expect_gt(seen[i], 10, "%d: %u", i, seen[i]);
}

static void
look_at_moved(struct memdisk *after, unsigned *seen)
{
	int there = exists(after, "d/f"), here = exists(after, "e/f");

	cr_assert_eq(there + here, 1, "in both or in none");
	cr_assert(!here || exists(after, "d/before"));
	cr_assert(here || !exists(after, "d/after"), "a later one");
	seen[here]++;
}

Test(memdisk_crash, a_rename_between_directories_is_whole_or_not_at_all)
{
	unsigned seen[2] = {0};

	cr_assert_eq(d->mkdir(d->ctx, "d"), 0);
	cr_assert_eq(d->mkdir(d->ctx, "e"), 0);
	put(md, "d/f", "");
	put(md, "e/g", "");
	cr_assert_eq(d->sync_all(d->ctx), 0);
	hang_up(md, must_open(md, "d/before", CREATE));
	hang_up(md, must_open(md, "e/before", CREATE));
	cr_assert_eq(rename_to(md, "d/f", "e/f"), 0);
	hang_up(md, must_open(md, "d/after", CREATE));
	each_cut(look_at_moved, seen);
	cr_expect_gt(seen[0], 10);
	cr_expect_gt(seen[1], 10);
	cr_assert_eq(sync_dir(md, "e"), 0);
	cut_and_restart(md, MEMDISK_LOSE_ALL, 1);
	cr_expect(exists(md, "e/f"));
	cr_expect(exists(md, "d/before"), "it came before the rename");
	cr_expect_not(exists(md, "d/f"));
	cr_expect_not(exists(md, "d/after"));
}

Test(memdisk_crash, a_rename_over_a_file_leaves_the_old_one_or_the_new_one)
{
	int old = 0;

	put(md, "f", "old");
	put(md, "f.tmp", "new");
	cr_assert_eq(rename_to(md, "f.tmp", "f"), 0);
	for (uint64_t seed = 1; seed <= 100; seed++) {
		struct memdisk *after = memdisk_clone(md);

		cut_and_restart(after, MEMDISK_RANDOM, seed);
		if (strcmp(content(after, "f"), "old") == 0) {
			cr_expect(exists(after, "f.tmp"));
			old++;
		} else {
			cr_expect_str_eq(content(after, "f"), "new");
			cr_expect_not(exists(after, "f.tmp"));
		}
		memdisk_free(after);
	}
	cr_expect(old > 10 && old < 90, "%d", old);
}

Test(memdisk_crash, handles_from_before_a_cut_are_dead_also_after_the_restart)
{
	struct disk_file *f = must_open(md, "f", CREATE), *g;
	uint64_t size;

	finish_file(f);
	memdisk_crash(md, MEMDISK_RANDOM, 1);
	cr_expect(memdisk_is_down(md));
	cr_expect_eq(sync_file(md, f), -ERR_IO);
	cr_expect_eq(d->open(d->ctx, "f", DISK_READ, &g), -ERR_IO);
	cr_expect_eq(d->free_bytes(d->ctx, &size), -ERR_IO);
	memdisk_restart(md);
	cr_expect_eq(d->size(d->ctx, f, &size), -ERR_IO);
	hang_up(md, must_open(md, "f", DISK_READ));
	hang_up(md, f);
}

Test(memdisk_crash, a_cut_before_a_call_leaves_nothing_of_it)
{
	struct disk_file *f = must_open(md, "f", CREATE);

	fill(f, 'o', 100, 0);
	finish_file(f);
	memdisk_fail_at(md, memdisk_ops(md) + 1, MEMDISK_CRASH_BEFORE);
	cr_expect_eq(write_at(md, f, "n", 1, 0), -ERR_IO);
	cr_expect(memdisk_is_down(md));
	cr_expect_eq(sync_file(md, f), -ERR_IO);
	cut_and_restart(md, MEMDISK_KEEP_ALL, 1);
	cr_expect_eq(content(md, "f")[0], 'o');
	hang_up(md, f);
}

static void
look_at_half_synced(struct memdisk *after, unsigned *seen)
{
	const char *text = content(after, "f");
	size_t n_new = 0;

	for (size_t s = 0; s < 16; s++)
		n_new += text[s * 512] == 'n' && text[s * 512 + 511] == 'n';
	seen[n_new == 0 ? 0 : n_new == 16 ? 1 : 2]++;
}

Test(memdisk_crash, a_cut_in_the_middle_of_a_sync_has_synced_any_part)
{
	struct disk_file *f = must_open(md, "f", CREATE);
	unsigned seen[3] = {0};

	fill(f, 'o', 8192, 0);
	finish_file(f);
	fill(f, 'n', 8192, 0);
	memdisk_fail_at(md, memdisk_ops(md) + 1, MEMDISK_CRASH_MIDDLE);
	cr_expect_eq(sync_file(md, f), -ERR_IO);
	each_cut(look_at_half_synced, seen);
	for (int i = 0; i < 3; i++)
		cr_expect_gt(seen[i], 10, "%d: %u", i, seen[i]);
	hang_up(md, f);
}

Test(memdisk_crash, a_short_write_then_a_cut_leaves_at_most_its_front)
{
	struct disk_file *f = must_open(md, "f", CREATE);
	const char *text;
	size_t n_new = 0;

	fill(f, 'o', 8192, 0);
	finish_file(f);
	memdisk_fail_at(md, memdisk_ops(md) + 1, MEMDISK_CRASH_SHORT);
	cr_expect_eq(write_at(md, f, "nnnnnnnnnn", 10, 4090), -ERR_IO);
	cut_and_restart(md, MEMDISK_KEEP_ALL, 1);
	text = content(md, "f");
	while (text[4090 + n_new] == 'n')
		n_new++;
	cr_expect_lt(n_new, 10);
	cr_expect_eq(text[4090 + n_new], 'o');
	hang_up(md, f);
}

Test(memdisk_crash, a_failed_sync_is_not_made_up_for_by_the_next_one)
{
	unsigned lost = 0;

	for (int i = 0; i < 40; i++) {
		struct disk_file *f;
		char path[8];

		snprintf(path, sizeof(path), "f%d", i);
		put(md, path, "old");
		f = must_open(md, path, DISK_WRITE);
		cr_assert_eq(write_at(md, f, "new", 3, 0), 0);
		memdisk_fail_clear(md);
		memdisk_fail_at(md, memdisk_ops(md) + 1, MEMDISK_EIO);
		cr_expect_eq(sync_file(md, f), -ERR_IO);
		cr_expect_str_eq(content(md, path), "new");
		cr_expect_eq(sync_file(md, f), 0);
		hang_up(md, f);
	}
	cut_and_restart(md, MEMDISK_KEEP_ALL, 1);
	for (int i = 0; i < 40; i++) {
		char path[8];

		snprintf(path, sizeof(path), "f%d", i);
		lost += strcmp(content(md, path), "new") != 0;
	}
	cr_expect(lost > 5 && lost < 40, "%u", lost);
}

Test(memdisk_crash, a_seed_decides_alike_for_a_disk_and_its_clone)
{
	struct disk_file *gone = must_open(md, "gone", CREATE);
	struct disk_file *f = must_open(md, "f", CREATE);
	struct memdisk *other;

	cr_assert_eq(d->unlink(d->ctx, "gone"), 0);
	fill(gone, 'x', 5000, 0);
	fill(f, 'o', 8192, 0);
	finish_file(f);
	fill(f, 'n', 8192, 100);
	cr_assert_eq(rename_to(md, "f", "g"), 0);
	other = memdisk_clone(md);
	memdisk_crash(md, MEMDISK_RANDOM, 7);
	memdisk_crash(other, MEMDISK_RANDOM, 7);
	cr_expect_eq(memdisk_hash(md), memdisk_hash(other));
	memdisk_free(other);
	hang_up(md, f);
	hang_up(md, gone);
}

Test(memdisk_crash, what_a_dead_process_wrote_can_be_read_and_still_be_lost)
{
	struct disk_file *f = must_open(md, "f", DISK_WRITE | DISK_CREATE);

	cr_expect_eq(sync_dir(md, "."), 0);
	cr_expect_eq(write_at(md, f, "abc", 3, 0), 0);
	memdisk_close_all(md);
	cr_expect_str_eq(content(md, "f"), "abc");
	cr_expect_eq(memdisk_unsynced(md), 1);
	cut_and_restart(md, MEMDISK_LOSE_ALL, 1);
	cr_expect_str_eq(content(md, "f"), "");
}

Test(memdisk_crash, a_fresh_handle_shows_what_a_failed_sync_has_lost)
{
	struct disk_file *f = must_open(md, "f", DISK_WRITE | DISK_CREATE);
	int lost = 0;

	for (uint64_t i = 0; i < 20 && !lost; i++) {
		char text[2] = {(char)('a' + i), '\0'};

		cr_expect_eq(write_at(md, f, text, 1, 0), 0);
		memdisk_fail_at(md, memdisk_ops(md) + 1, MEMDISK_EIO);
		cr_expect_eq(sync_file(md, f), -ERR_IO);
		cr_expect_eq(sync_file(md, f), 0, "the pages are clean");
		cr_expect_str_eq(content(md, "f"), text);
		hang_up(md, must_open(md, "f", DISK_READ | DISK_FRESH));
		lost = strcmp(content(md, "f"), text) != 0;
	}
	cr_expect(lost);
	cr_expect_eq(write_at(md, f, "z", 1, 0), 0);
	hang_up(md, must_open(md, "f", DISK_READ | DISK_FRESH));
	cr_expect_str_eq(content(md, "f"), "z", "dirty pages stay");
	hang_up(md, f);
}
