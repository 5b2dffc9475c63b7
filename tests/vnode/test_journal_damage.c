/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * The journal alone, as its crash argument is attacked: what is released and
 * used again, what a power cut leaves of several segments, and files that are
 * not as they were left.
 */
#include <criterion/criterion.h>

#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/golden/golden.h"
#include "tests/vnode/journal_rig.h"
#include "vnode/journal_impl.h"

TestSuite(journal_damage);

#define N_BATCHES 7 /* of a block each: what a segment holds */
#define SMALL     1000

static struct jr jr;

/* Fills what is left of the current segment; the indexes go on from *INDEX. */
static void
fill_segment(uint64_t *index)
{
	for (int i = 0; i < N_BATCHES; i++)
		cr_assert_eq(jr_append(&jr, (*index)++, SMALL)->r, 0);
}

Test(journal_damage, a_segment_that_was_not_synced_is_synced_before_the_next)
{
	for (uint64_t seed = 0; seed < 50; seed++) {
		uint64_t index = 1;

		jr_init(&jr, 8 * JR_SEGMENT);
		jr.config.sync = JOURNAL_SYNC_NEVER;
		cr_assert_eq(jr_open(&jr), 0);
		fill_segment(&index);
		/* In the next segment, and synced whatever the setting. */
		jr_put(&jr, JOURNAL_HARDSTATE, index, 16);
		jr_submit(&jr);
		jr_crash(&jr, MEMDISK_RANDOM, seed);
		cr_assert_eq(
		    jr_open(&jr), 0, "%s: %s", jr.damage.file, jr.damage.what);
		cr_assert_eq(jr.n_seen, N_BATCHES + 1);
		jr_deinit(&jr);
	}
}

Test(journal_damage, a_file_that_became_shorter_is_damage)
{
	static const uint64_t sizes[] = {0, 100, 4096, 8192, JR_SEGMENT - 1};

	for (int newest = 0; newest < 2; newest++) {
		/* Without its header the newest looks like one in the making. */
		for (size_t i = newest ? 2 : 0; i < 5; i++) {
			const struct env_disk *d;
			struct disk_file *f;
			uint64_t index = 1;

			jr_init(&jr, 8 * JR_SEGMENT);
			d = memdisk_disk(jr.md);
			cr_assert_eq(jr_open(&jr), 0);
			fill_segment(&index);
			jr_append(&jr, index++, SMALL);
			jr_append(&jr, index++, SMALL);
			jr_kill(&jr);
			cr_assert_eq(d->open(d->ctx,
					 newest ? JR_DIR "/00000002.journal"
						: JR_DIR "/00000001.journal",
					 DISK_WRITE, &f),
			    0);
			cr_assert_eq(d->truncate(d->ctx, f, sizes[i]), 0);
			d->close(d->ctx, f);
			cr_assert_eq(jr_open(&jr), -ERR_CORRUPT, "%d: %d",
			    newest, (int)sizes[i]);
			cr_assert(jr.damage.what[0] && jr.damage.file[0]);
			jr_deinit(&jr);
		}
	}
}

/* --- files that no journal of ours left ----------------------------------- */

struct made {
	uint32_t name;
	struct segment_header header;
};

/* Segments of one record each, on a disk of their own. */
static void
make_segments(const struct made *v, size_t n)
{
	uint8_t *p = mem_zalloc(JR_SEGMENT);
	struct journal_head head = {.type = JOURNAL_ENTRY, .index = 1};

	jr_init(&jr, 8 * JR_SEGMENT);
	for (size_t i = 0; i < n; i++) {
		char path[64];

		segment_header_encode(p, jr.config.cluster_id, &v[i].header);
		journal_record_encode(p + JOURNAL_BLOCK, jr.config.cluster_id,
		    &head, lsn_make(v[i].header.generation, JOURNAL_BLOCK), 0,
		    0, 0, 0);
		snprintf(path, sizeof(path), JR_DIR "/%08x.journal", v[i].name);
		cr_assert_eq(memdisk_put(jr.md, path, SLICE(p, JR_SEGMENT)), 0);
	}
	mem_free(p);
}

Test(journal_damage, headers_that_lead_nowhere_are_refused)
{
	static const struct {
		struct made v[2];
		const char *what;
	} rows[] = {
	    {{{2, {2, 3, 1, JR_SEGMENT, (uint64_t)3 << 32 | 8192}},
		 {3, {3, 2, 1, JR_SEGMENT, (uint64_t)2 << 32 | 8192}}},
		"makes no sense"},
	    {{{2, {2, 0, 2, JR_SEGMENT, 0}},
		 {3, {3, 3, 1, JR_SEGMENT, (uint64_t)3 << 32 | 8192}}},
		"makes no sense"},
	    {{{2, {2, 0, 2, JR_SEGMENT, 0}},
		 {3, {3, 2, 2, JR_SEGMENT, (uint64_t)1 << 32 | 8192}}},
		"makes no sense"},
	    {{{2, {2, 0, 2, JR_SEGMENT, 0}},
		 {3, {3, 2, 2, JR_SEGMENT, (uint64_t)2 << 32}}},
		"makes no sense"},
	    {{{2, {2, 0, 2, JR_SEGMENT, 0}},
		 {3, {3, 2, 2, JR_SEGMENT, (uint64_t)2 << 32 | 1u << 31}}},
		"damaged record"},
	    {{{2, {2, 0, 2, JR_SEGMENT, 0}},
		 {3, {3, 2, 2, JR_SEGMENT + 1, (uint64_t)2 << 32 | 8192}}},
		"too short"},
	    {{{2, {2, 0, 2, JR_SEGMENT, 0}},
		 {UINT32_MAX, {1, 0, 1, JR_SEGMENT, 0}}},
		"no generation is left"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		make_segments(rows[i].v, 2);
		cr_expect_lt(jr_open(&jr), 0, "row %zu", i);
		cr_expect(strstr(jr.damage.what, rows[i].what), "row %zu: %s",
		    i, jr.damage.what);
		jr_deinit(&jr);
	}
}

Test(journal_damage, files_that_are_too_many_are_not_left_out)
{
	static const struct made first = {1, {1, 0, 1, JR_SEGMENT, 0}};

	make_segments(&first, 1);
	for (uint32_t g = 2; g < JOURNAL_SEGMENTS_MAX + 2; g++) {
		char path[64];

		snprintf(path, sizeof(path), JR_DIR "/%08x.journal", g);
		cr_assert_eq(memdisk_put(jr.md, path, SLICE_LIT("x")), 0);
	}
	cr_assert_eq(jr_open(&jr), -ERR_LIMIT);
	cr_assert_not_null(strstr(jr.damage.what, "too many"));
	jr_deinit(&jr);
}

/* --- bits that turned ----------------------------------------------------- */

#define FIRST  JR_DIR "/00000001.journal"
#define SECOND JR_DIR "/00000003.journal" /* the file of the second */

/* Two segments, the second behind a start; how many records there are. */
static uint32_t
make_two_segments(void)
{
	jr_init(&jr, 8 * JR_SEGMENT);
	cr_assert_eq(jr_open(&jr), 0);
	jr_append(&jr, 1, 40);
	jr_put(&jr, JOURNAL_HARDSTATE, 0, 8);
	jr_put(&jr, JOURNAL_ENTRY, 2, 33);
	jr_put(&jr, JOURNAL_CHECKPOINT, 0, 32);
	jr_submit(&jr);
	jr_append(&jr, 3, 0);
	jr_kill(&jr);
	cr_assert_eq(jr_open(&jr), 0);
	jr_append(&jr, 4, 100);
	jr_append(&jr, 5, 1);
	jr_kill(&jr);
	return 7;
}

/* A start is refused, or replays all that was written, but for at most LOST
 * records at the end. */
static void
check_what_is_left(uint32_t n, uint32_t lost, const char *path, uint64_t at)
{
	struct list *node = jr.records.next;
	int r = jr_open(&jr);

	if (r) {
		cr_assert(r == -ERR_CORRUPT && jr.damage.what[0],
		    "%s: %d at %llu", path, r, (unsigned long long)at);
		return;
	}
	cr_assert(jr.n_seen <= n && jr.n_seen >= n - lost,
	    "%s, byte %llu: %u of %u", path, (unsigned long long)at, jr.n_seen,
	    n);
	for (uint32_t i = 0; i < jr.n_seen; i++, node = node->next)
		cr_assert(
		    jr_is(&jr, i, LIST_ENTRY(node, struct jr_record, all)));
	jr_kill(&jr);
}

static void
flip_bits(const char *path, uint32_t n, uint32_t lost)
{
	struct buf b;

	buf_init(&b, JR_SEGMENT);
	cr_assert_eq(memdisk_read_all(jr.md, path, &b), 0);
	for (uint64_t at = 0; at < b.n; at++) {
		/* Where there are zeros, now and then is enough. */
		if (b.p[at] == 0 && at % 4096 > 600 && at % 64)
			continue;
		for (unsigned bit = at % 3; bit < 8; bit += 3) {
			cr_assert_eq(memdisk_flip(jr.md, path, at, bit), 0);
			check_what_is_left(n, lost, path, at);
			cr_assert_eq(memdisk_flip(jr.md, path, at, bit), 0);
		}
	}
	buf_deinit(&b);
}

Test(journal_damage, no_flipped_bit_changes_or_hides_what_was_acknowledged)
{
	uint32_t n = make_two_segments();

	flip_bits(FIRST, n, 0);
	flip_bits(SECOND, n, 1); /* the newest batch may look torn */
	check_what_is_left(n, 0, SECOND, 0);
	jr_deinit(&jr);
}

/* --- damage that is not needed ---------------------------------------------- */

static uint32_t n_told;

static int
go_on(void *arg, const struct journal_damage *damage)
{
	(void)arg;
	(void)damage;
	n_told++;
	return 1;
}

/* How often a start tells of damage. */
static uint32_t
start_and_count(void)
{
	n_told = 0;
	cr_assert_eq(jr_open(&jr), 0);
	return n_told;
}

/* Who went on without what was lost may die before it has noted that. */
Test(journal_damage, is_told_at_each_start_until_what_was_lost_is_released)
{
	static const char *const paths[] = {FIRST, SECOND};

	for (int i = 0; i < 2; i++) {
		uint64_t index = 6;
		lsn_t floor = 0;

		make_two_segments();
		jr.config.damaged = go_on;
		cr_assert_eq(memdisk_flip(jr.md, paths[i], 24, 0), 0);
		for (int again = 0; again < 4; again++) {
			cr_expect_gt(start_and_count(), 0, "%s", paths[i]);
			fill_segment(&index);
			floor = jr_append(&jr, index++, SMALL)->append.lsn;
			if (again == 3)
				journal_release(jr.journal, floor);
			fill_segment(&index); /* and a header that says so */
			jr_kill(&jr);
		}
		cr_expect_eq(start_and_count(), 0, "%s", paths[i]);
		cr_expect_geq(jr.seen[0].lsn, lsn_make(floor >> 32, 0));
		jr_deinit(&jr);
	}
}

Test(journal_damage, a_segment_is_the_same_for_good)
{
	struct buf b;

	make_two_segments();
	buf_init(&b, JR_SEGMENT);
	cr_assert_eq(memdisk_read_all(jr.md, FIRST, &b), 0);
	cr_assert_eq(b.n, JR_SEGMENT);
	while (b.n && b.p[b.n - 1] == 0)
		b.n--;
	golden("segment.bin", buf_slice(&b));
	buf_deinit(&b);
	jr_deinit(&jr);
}
