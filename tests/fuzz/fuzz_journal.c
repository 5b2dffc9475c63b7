/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_journal - a start over segment files as they are found (rig.h).
 *
 * It is refused with a word for a person, and nothing was changed; or every
 * record that is replayed stands in a file, whole, at the place that it names,
 * in order, the next start replays the same, and what is written then comes
 * behind it.
 */
#include "src/base/assert.h"
#include "src/base/crc32c.h"
#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/reseal.h"
#include "tests/fuzz/rig.h"
#include "tests/vnode/journal_rig.h"

#define FIXED_BYTES (2u << 20) /* what a journal of any size takes */

void
fuzz_reseal(uint8_t *p, size_t n)
{
	struct rig_files files;

	rig_unpack(&files, SLICE(p, n));
	for (uint32_t i = 0; i < files.n; i++)
		reseal_segment(files.v[i].p, files.v[i].n);
	rig_repack(&files, p, n);
	rig_files_deinit(&files);
}

/* --- what was replayed ---------------------------------------------------- */

static const struct rig_file *
find_file(const struct rig_files *files, uint32_t generation)
{
	const struct rig_file *found = NULL;
	char name[32];

	snprintf(name, sizeof(name), "%08x.journal", generation);
	for (uint32_t i = 0; i < files->n; i++)
		if (strcmp(files->v[i].name, name) == 0)
			found = &files->v[i];
	return found;
}

/* As the layout in journal.c says, without its decoder. */
static void
check_record(const struct rig_files *files, const struct jr_seen *s)
{
	const struct rig_file *f = find_file(files, (uint32_t)(s->lsn >> 32));
	uint32_t at = (uint32_t)s->lsn;
	const uint8_t *p;

	ASSERT(f && at >= 4096 && at % 8 == 0);
	ASSERT(f->n >= 88 && at <= f->n - 88 && s->bytes <= f->n - 88 - at);
	p = f->p + at;
	ASSERT(memcmp(p, "IOR1", 4) == 0 && le_get64(p + 16) == s->lsn);
	ASSERT(memcmp(p + 32, "0123456789abcde", 16) == 0);
	ASSERT(le_get32(p + 84) == crc32c(0, p, 84));
	ASSERT(le_get32(p + 8) == s->bytes && le_get32(p + 12) == s->crc);
	ASSERT(crc32c(0, p + 88, s->bytes) == s->crc);
	ASSERT(p[4] == s->head.type && le_get16(p + 6) == s->head.group);
	ASSERT(le_get64(p + 48) == s->head.generation);
	ASSERT(le_get64(p + 56) == s->head.term);
	ASSERT(le_get64(p + 64) == s->head.index);
	ASSERT(le_get64(p + 72) == s->head.commit);
}

static void
check_seen(const struct jr *jr, const struct rig_files *files)
{
	for (uint32_t i = 0; i < jr->n_seen; i++) {
		check_record(files, &jr->seen[i]);
		ASSERT(i == 0 || jr->seen[i].lsn > jr->seen[i - 1].lsn);
	}
}

/* --- starts --------------------------------------------------------------- */

static int
same(const struct jr_seen *a, const struct jr_seen *b)
{
	return a->head.type == b->head.type && a->head.group == b->head.group &&
	       a->head.generation == b->head.generation &&
	       a->head.term == b->head.term && a->head.index == b->head.index &&
	       a->head.commit == b->head.commit && a->lsn == b->lsn &&
	       a->bytes == b->bytes && a->crc == b->crc;
}

/* The same records again, and then those of MORE. */
static void
check_again(struct jr *jr, struct jr_record *const *more, uint32_t n_more)
{
	uint32_t n = jr->n_seen;
	struct jr_seen *before = mem_calloc(n + 1, sizeof(*before));

	ASSERT(before);
	memcpy(before, jr->seen, n * sizeof(*before));
	jr_kill(jr);
	ASSERT(jr_open(jr) == 0);
	ASSERT(jr->n_seen == n + n_more);
	for (uint32_t i = 0; i < n; i++)
		ASSERT(same(&before[i], &jr->seen[i]));
	for (uint32_t i = 0; i < n_more; i++)
		ASSERT(jr_is(jr, n + i, more[i]));
	mem_free(before);
}

static void
check_refused(struct jr *jr, int r, uint64_t hash)
{
	ASSERT(r == -ERR_CORRUPT || r == -ERR_FORMAT || r == -ERR_IDENTITY ||
	       r == -ERR_LIMIT);
	ASSERT(jr->damage.what[0] && jr->damage.file[0]);
	ASSERT(jr_open(jr) == r);
	ASSERT(memdisk_hash(jr->md) == hash);
}

static void
check_start(struct jr *jr, const struct rig_files *files, size_t all_bytes)
{
	uint64_t hash = memdisk_hash(jr->md);
	struct jr_record *more[3];
	struct fuzz_mem m;
	int r;

	fuzz_mem_start(&m, FIXED_BYTES + 4 * all_bytes);
	r = jr_open(jr);
	fuzz_mem_stop(&m);
	check_seen(jr, files);
	if (r) {
		check_refused(jr, r, hash);
		return;
	}
	if (jr->n_seen > JR_SEEN / 2)
		return;
	check_again(jr, NULL, 0);
	more[0] = jr_append(jr, 1, 100);
	more[1] = jr_append(jr, 2, 9000);
	ASSERT(more[0]->r == 0 && more[1]->r == 0);
	check_again(jr, more, 2);
	more[2] = jr_append(jr, 3, JR_SEGMENT - 5000);
	ASSERT(more[2]->r == 0);
	memdisk_crash(jr->md, MEMDISK_LOSE_ALL, 1);
	memdisk_restart(jr->md);
	check_again(jr, more + 2, 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static struct jr jr;
	struct rig_files files;
	size_t all_bytes = 0;

	rig_unpack(&files, SLICE(p, n));
	jr_init(&jr, 8 * JR_SEGMENT);
	for (uint32_t i = 0; i < files.n; i++) {
		char path[128];

		snprintf(path, sizeof(path), JR_DIR "/%s", files.v[i].name);
		/* It may be no name of a file. */
		memdisk_put(jr.md, path, SLICE(files.v[i].p, files.v[i].n));
		all_bytes += files.v[i].n;
	}
	check_start(&jr, &files, all_bytes);
	jr_deinit(&jr);
	rig_files_deinit(&files);
	return 0;
}
