/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* The journal alone on a disk in memory: what a start finds after the files
 * were recycled, and how many there are. */
#include <criterion/criterion.h>

#include "src/base/assert.h"
#include "src/base/crc32c.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/lib/memdisk.h"
#include "tests/lib/simenv.h"
#include "vnode/journal.h"

TestSuite(journal);

#define SEGMENT (32u << 10)
#define PAYLOAD 3000

struct world {
	struct memdisk *md;
	struct simenv *sim;
	struct journal *journal;
	struct journal_append append;
	struct iovec iov;
	uint8_t payload[PAYLOAD];
	int back;
	uint64_t first, last, n; /* indexes replayed */
	struct journal_damage damage;
};

static void
dispatch(void *arg, uint32_t worker, struct msg *m)
{
	struct world *w = arg;
	struct journal_done *done = CONTAINER_OF(m, struct journal_done, msg);

	(void)worker;
	w->back = done->r == 0 ? 1 : done->r;
	mem_free(done);
}

static int
replay(
    void *arg, const struct journal_head *head, lsn_t lsn, struct slice payload)
{
	struct world *w = arg;

	(void)lsn;
	cr_assert_eq(payload.n, PAYLOAD);
	cr_assert(w->n == 0 || head->index == w->last + 1, "%llu after %llu",
	    (unsigned long long)head->index, (unsigned long long)w->last);
	if (w->n++ == 0)
		w->first = head->index;
	w->last = head->index;
	return 0;
}

static int
open_journal(struct world *w, uint64_t segment_bytes)
{
	struct journal_config c = {
	    .env = simenv_env(w->sim),
	    .dir = "journal",
	    .cluster_id = "0123456789abcde",
	    .segment_bytes = segment_bytes,
	    .max_bytes = 8 * SEGMENT,
	};
	uint64_t cut;

	w->n = w->first = w->last = 0;
	return journal_open(&w->journal, &c, replay, w, &w->damage, &cut);
}

static struct world *
world_new(struct memdisk *md)
{
	struct world *w = mem_zalloc(sizeof(*w));
	const struct env_disk *d = memdisk_disk(md);
	struct simenv_config sc = {.seed = 1, .n_workers = 1, .disk = d};

	d->mkdir(d->ctx, "journal");
	d->sync_dir(d->ctx, "");
	w->md = md;
	w->sim = simenv_new(&sc);
	simenv_set_dispatch(w->sim, dispatch, w);
	return w;
}

static void
world_free(struct world *w)
{
	w->journal = journal_close(w->journal);
	simenv_free(w->sim);
	memdisk_free(w->md);
	mem_free(w);
}

/* Appends entry INDEX and waits for it; where it stands. */
static lsn_t
append(struct world *w, uint64_t index)
{
	w->iov = (struct iovec){w->payload, PAYLOAD};
	w->append = (struct journal_append){
	    .head = {.type = JOURNAL_ENTRY, .index = index},
	    .n_iov = 1,
	    .iov = &w->iov,
	    .payload_bytes = PAYLOAD,
	    .payload_crc = crc32c(0, w->payload, PAYLOAD),
	};
	w->back = 0;
	journal_submit(w->journal, &w->append);
	simenv_run_idle(w->sim, 10000);
	cr_assert_eq(w->back, 1);
	return w->append.lsn;
}

static uint32_t
generation(lsn_t lsn)
{
	return (uint32_t)(lsn >> 32);
}

/* A journal in segment N that needs nothing before it, with the next file
 * made of the first one; *INDEX is the last entry's. */
static struct world *
recycled(uint32_t n, uint64_t *index)
{
	struct world *w = world_new(memdisk_new(NULL));
	lsn_t lsn = 0;

	cr_assert_eq(open_journal(w, SEGMENT), 0);
	for (*index = 0; generation(lsn) < n;)
		lsn = append(w, ++*index);
	journal_release(w->journal, lsn);
	/* One more has the next file prepared when a quarter is full. */
	while ((uint32_t)lsn < SEGMENT / 4)
		lsn = append(w, ++*index);
	cr_assert_eq(generation(lsn), n);
	return w;
}

static struct world *
after_power_cut(struct world *w, enum memdisk_outcome outcome, uint64_t seed)
{
	struct memdisk *md = memdisk_clone(w->md);

	memdisk_crash(md, outcome, seed);
	memdisk_restart(md);
	return world_new(md);
}

Test(journal, a_file_that_was_recycled_ahead_of_use_is_not_missed)
{
	static const enum memdisk_outcome outcomes[] = {
	    MEMDISK_KEEP_ALL, MEMDISK_LOSE_ALL, MEMDISK_RANDOM};

	for (uint32_t n = 2; n <= 4; n++) {
		uint64_t index;
		struct world *w = recycled(n, &index);

		for (size_t i = 0; i < 3; i++) {
			struct world *after =
			    after_power_cut(w, outcomes[i], n);

			cr_assert_eq(open_journal(after, SEGMENT), 0,
			    "%u: %s at %s", n, after->damage.what,
			    after->damage.file);
			cr_assert_eq(after->last, index);
			append(after, index + 1);
			world_free(after);
		}
		world_free(w);
	}
}

/* Ended again and again before anything was written, and with another size of
 * segments, for which the recycled file is of no use. */
Test(journal, it_is_not_missed_after_several_starts_either)
{
	uint64_t index;
	struct world *w = recycled(3, &index);

	for (int i = 0; i < 6; i++) {
		struct world *after =
		    after_power_cut(w, MEMDISK_KEEP_ALL, (uint64_t)i);

		cr_assert_eq(open_journal(after, i % 2 ? SEGMENT : 2 * SEGMENT),
		    0, "%d: %s at %s", i, after->damage.what,
		    after->damage.file);
		cr_assert_eq(after->last, index);
		world_free(w);
		w = after;
	}
	for (int i = 0; i < 40; i++)
		append(w, ++index);
	world_free(w);
}

Test(journal, a_file_that_is_missing_is_told)
{
	uint64_t index;
	struct world *w = world_new(memdisk_new(NULL)), *after;
	const struct env_disk *d = memdisk_disk(w->md);
	lsn_t lsn = 0;

	cr_assert_eq(open_journal(w, SEGMENT), 0);
	for (index = 0; generation(lsn) < 3;)
		lsn = append(w, ++index);
	cr_assert_eq(d->unlink(d->ctx, "journal/00000002.journal"), 0);
	after = after_power_cut(w, MEMDISK_KEEP_ALL, 1);
	cr_assert_eq(open_journal(after, SEGMENT), -ERR_CORRUPT);
	cr_assert_str_eq(after->damage.file, "00000002.journal");
	world_free(after);
	world_free(w);
}

static void
count_file(void *arg, const char *name)
{
	*(uint32_t *)arg += strstr(name, ".journal") != NULL;
}

static uint32_t
n_files(struct world *w)
{
	const struct env_disk *d = memdisk_disk(w->md);
	uint32_t n = 0;

	cr_assert_eq(d->list(d->ctx, "journal", count_file, &n), 0);
	return n;
}

/* What waits in the lane was admitted: it must get its segment. */
Test(journal, one_beyond_its_limit_goes_on_and_shrinks_again)
{
	struct world *w = world_new(memdisk_new(NULL));
	uint64_t index = 0;
	lsn_t lsn = 0;

	cr_assert_eq(open_journal(w, SEGMENT), 0);
	for (int i = 1; i <= 5; i++) {
		uint32_t from = generation(lsn);

		while (generation(lsn) < from + 12)
			lsn = append(w, ++index);
		cr_expect_geq(n_files(w), 12);
		/* Killed at any time it must open. */
		for (int k = 0; k < 100; k++) {
			struct world *after;

			journal_release(w->journal, lsn);
			lsn = append(w, ++index);
			if (k % 7)
				continue;
			after = after_power_cut(
			    w, k % 2 ? MEMDISK_KEEP_ALL : MEMDISK_RANDOM, k);
			cr_assert_eq(open_journal(after, SEGMENT), 0);
			cr_assert_eq(after->last, index);
			world_free(after);
		}
		cr_expect_leq(n_files(w), 8, "%u files", n_files(w));
	}
	world_free(w);
}

Test(journal, a_start_gets_a_segment_of_a_full_one_too)
{
	struct world *w = world_new(memdisk_new(NULL)), *after;
	uint64_t index = 0;
	lsn_t lsn = 0;

	for (int i = 0; i < 20; i++) {
		cr_assert_eq(open_journal(w, SEGMENT), 0);
		cr_assert_eq(w->last, index);
		lsn = append(w, ++index);
		after = after_power_cut(w, MEMDISK_KEEP_ALL, 1);
		world_free(w);
		w = after;
	}
	cr_assert_eq(open_journal(w, SEGMENT), 0);
	cr_expect_eq(n_files(w), 20);
	append(w, ++index);
	journal_release(w->journal, lsn);
	for (int i = 0; i < 200; i++)
		journal_release(w->journal, append(w, ++index));
	cr_expect_leq(n_files(w), 8, "%u files", n_files(w));
	world_free(w);
}
