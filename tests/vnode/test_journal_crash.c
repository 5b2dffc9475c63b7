/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * Histories of the journal alone, cut by the power again and again: what was
 * acknowledged and not let go is replayed after each cut, what was replayed
 * once stays, and what was not never comes back.
 *
 * IORIO_SEED=N runs one history only.
 */
#include <criterion/criterion.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/lib/chance.h"
#include "tests/vnode/journal_rig.h"

TestSuite(journal_crash, .timeout = 300);

#define N_SEEDS  400
#define N_CUTS   8 /* of a history */
#define N_BURSTS 40

/* What is known of each record; jr_record.r says whether it was heard of. */
enum fate {
	OPEN,   /* never seen by a start: it may be there or not */
	KEPT,   /* a start has replayed it */
	NOWHERE /* a start has not */
};

struct history {
	struct jr jr;
	struct chance chance;
	uint64_t next_index;
	lsn_t floor; /* what lies below may be gone */
	uint8_t fates[1u << 16];
	uint32_t n_states;
	uint64_t seed;
};

static uint64_t
below(struct history *h, uint64_t n)
{
	return chance_below(&h->chance, n);
}

/* --- what a start has to replay ------------------------------------------- */

static int
must_be_there(const struct history *h, const struct jr_record *r, enum fate f)
{
	if (r->append.lsn < h->floor)
		return 0;
	return f == KEPT || (f == OPEN && r->r == 0);
}

/* The replayed records are, in order, among those that were submitted. */
static void
check_replay(struct history *h)
{
	uint32_t i = 0, n = 0;

	LIST_FOREACH (node, &h->jr.records) {
		struct jr_record *r = LIST_ENTRY(node, struct jr_record, all);
		uint8_t *fate = &h->fates[n++];

		cr_assert_lt(n, sizeof(h->fates));
		if (jr_is(&h->jr, i, r)) {
			cr_assert(*fate != NOWHERE || r->append.lsn < h->floor,
			    "seed %llu: %llu came back",
			    (unsigned long long)h->seed,
			    (unsigned long long)r->append.head.index);
			*fate = KEPT;
			i++;
			continue;
		}
		cr_assert(!must_be_there(h, r, *fate),
		    "seed %llu: %llu at %llx is lost",
		    (unsigned long long)h->seed,
		    (unsigned long long)r->append.head.index,
		    (unsigned long long)r->append.lsn);
		*fate = NOWHERE;
	}
	cr_assert_eq(i, h->jr.n_seen, "seed %llu: a record was made up",
	    (unsigned long long)h->seed);
}

static void
start(struct history *h)
{
	int r = jr_open(&h->jr);

	cr_assert_eq(r, 0, "seed %llu: %s: %s at %llu",
	    (unsigned long long)h->seed, h->jr.damage.file, h->jr.damage.what,
	    (unsigned long long)h->jr.damage.offset);
	check_replay(h);
	h->n_states++;
}

/* --- what happens --------------------------------------------------------- */

static void
burst(struct history *h)
{
	static const enum journal_type types[] = {JOURNAL_ENTRY, JOURNAL_ENTRY,
	    JOURNAL_ENTRY, JOURNAL_HARDSTATE, JOURNAL_CHECKPOINT};

	for (uint64_t n = 1 + below(h, 4); n; n--) {
		uint32_t bytes = (uint32_t)below(h, below(h, 8) ? 600 : 12000);

		jr_put(&h->jr, types[below(h, 5)], h->next_index++, bytes);
	}
	jr_submit(&h->jr);
}

/* Lets go of all before one of the last records that are durable. */
static void
release(struct history *h)
{
	uint64_t skip = below(h, 20);

	for (struct list *node = h->jr.records.prev; node != &h->jr.records;
	     node = node->prev) {
		struct jr_record *r = LIST_ENTRY(node, struct jr_record, all);

		if (r->r || skip--)
			continue;
		if (r->append.lsn > h->floor)
			h->floor = r->append.lsn;
		journal_release(h->jr.journal, h->floor);
		jr_run(&h->jr);
		return;
	}
}

static void
run_history(struct history *h, uint64_t seed, enum journal_sync sync)
{
	static const enum memdisk_fault faults[] = {
	    MEMDISK_CRASH_BEFORE, MEMDISK_CRASH_MIDDLE, MEMDISK_CRASH_SHORT};

	*h = (struct history){.chance = {seed}, .next_index = 1, .seed = seed};
	jr_init(&h->jr, 6 * JR_SEGMENT);
	h->jr.config.sync = (int)sync;
	for (int cut = 0; cut < N_CUTS; cut++) {
		start(h);
		memdisk_fail_at(h->jr.md,
		    memdisk_ops(h->jr.md) + 1 + below(h, 60),
		    faults[below(h, 3)]);
		for (int i = 0; i < N_BURSTS; i++) {
			if (memdisk_is_down(h->jr.md))
				break;
			burst(h);
			if (below(h, 6) == 0)
				release(h);
		}
		if (below(h, 5) == 0 && !memdisk_is_down(h->jr.md))
			jr_kill(&h->jr);
		else
			jr_crash(&h->jr, MEMDISK_RANDOM, below(h, 1u << 30));
		memdisk_fail_clear(h->jr.md);
	}
	start(h);
	jr_deinit(&h->jr);
}

static void
run_histories(enum journal_sync sync)
{
	struct history *h = mem_alloc(sizeof(*h));
	const char *one = getenv("IORIO_SEED");
	uint32_t n = 0;

	cr_assert_not_null(h);
	for (uint64_t seed = 0; seed < N_SEEDS; seed++) {
		if (one && strtoull(one, NULL, 0) != seed)
			continue;
		run_history(h, seed, sync);
		n += h->n_states;
	}
	if (!one)
		cr_assert_geq(n, N_SEEDS * (N_CUTS + 1));
	mem_free(h);
}

Test(journal_crash, nothing_acknowledged_is_lost_and_nothing_comes_back)
{
	run_histories(JOURNAL_SYNC_ALWAYS);
}
