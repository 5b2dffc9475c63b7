/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* seeds_journal - journals with a history, as the files they left. */
#include "src/base/assert.h"
#include "src/base/mem.h"
#include "tests/fuzz/reseal.h"
#include "tests/fuzz/rig.h"
#include "tests/fuzz/seeds.h"
#include "tests/vnode/journal_rig.h"

struct packing {
	struct jr *jr;
	struct buf out;
};

/* It finds nothing to do in what was written. */
static void
check_reseal(struct slice file)
{
	uint8_t *copy = mem_alloc(file.n);

	ASSERT(copy);
	memcpy(copy, file.p, file.n);
	reseal_segment(copy, file.n);
	ASSERT(slice_equal(SLICE(copy, file.n), file));
	mem_free(copy);
}

static void
pack_file(void *arg, const char *name)
{
	struct packing *p = arg;
	struct buf b;
	char path[128];

	snprintf(path, sizeof(path), JR_DIR "/%s", name);
	buf_init(&b, RIG_FILE_MAX);
	ASSERT(memdisk_read_all(p->jr->md, path, &b) == 0);
	check_reseal(buf_slice(&b));
	rig_pack(&p->out, name, buf_slice(&b));
	buf_deinit(&b);
}

static void
write_journal(struct jr *jr, const char *name)
{
	const struct env_disk *d = memdisk_disk(jr->md);
	struct packing p = {.jr = jr};

	buf_init(&p.out, 1u << 20);
	ASSERT(d->list(d->ctx, JR_DIR, pack_file, &p) == 0);
	ASSERT(buf_error(&p.out) == 0);
	seed_write("journal", name, buf_slice(&p.out), NULL);
	buf_deinit(&p.out);
}

static void
seed_first(struct jr *jr)
{
	struct buf b;

	jr_init(jr, 6 * JR_SEGMENT);
	jr->sparse = 1;
	ASSERT(jr_open(jr) == 0);
	for (uint64_t i = 1; i < 4; i++)
		jr_append(jr, i, (uint32_t)(40 * i));
	jr_put(jr, JOURNAL_HARDSTATE, 0, 16);
	jr_put(jr, JOURNAL_ENTRY, 4, 100);
	jr_put(jr, JOURNAL_CHECKPOINT, 0, 32);
	jr_submit(jr);
	write_journal(jr, "first");

	buf_init(&b, RIG_FILE_MAX);
	ASSERT(memdisk_read_all(jr->md, JR_DIR "/00000001.journal", &b) == 0);
	memmove(b.p + 56, b.p + 4096, 200);
	seed_write("record", "first", SLICE(b.p, 256), NULL);
	buf_deinit(&b);
}

void
seed_journals(void)
{
	static struct jr jr;

	seed_first(&jr);
	/* Killed, and a torn batch behind what was synced. */
	jr_kill(&jr);
	ASSERT(jr_open(&jr) == 0);
	jr_append(&jr, 5, 9000);
	memdisk_fail_at(jr.md, memdisk_ops(jr.md) + 1, MEMDISK_CRASH_MIDDLE);
	jr_append(&jr, 6, 9000);
	jr_crash(&jr, MEMDISK_RANDOM, 3);
	write_journal(&jr, "torn");
	/* Several segments, of which some were let go and used again. */
	ASSERT(jr_open(&jr) == 0);
	for (uint64_t i = 7; i < 30; i++) {
		struct jr_record *r = jr_append(&jr, i, 4000);

		ASSERT(r->r == 0);
		if (i % 7 == 0)
			journal_release(jr.journal, r->append.lsn);
	}
	write_journal(&jr, "recycled");
	jr_deinit(&jr);
}
