/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * journal - format, codec, and the calls of any worker.
 *
 * Directory `<cluster>/journal`, files `<generation>.journal` of 8 hex digits,
 * all of segment_bytes, written with zeros and synced before their first use.
 * Little endian.
 *
 *	segment    0  u32  magic "IOSG"
 *		   4  u16  format = 1, u16 0
 *		   8  [16] cluster id
 *		  24  u32  generation
 *		  28  u32  generation of the segment before; 0: none
 *		  32  u64  bytes of this file
 *		  40  u64  LSN where the batches of the segment before end
 *		  48  u32  oldest generation that a replay needed then
 *		  52  u32  CRC32C of bytes 0..51
 *		4096       batches
 *
 *	batch	  starts at a multiple of 4096, is padded with zeros to the
 *		  next; records, each at a multiple of 8
 *
 *	record	   0  u32  magic "IOR1": the format is part of it
 *		   4  u8   type, u8 0, u16 group
 *		   8  u32  bytes of payload
 *		  12  u32  CRC32C of the payload
 *		  16  u64  LSN: generation << 32 | offset of this header
 *		  24  u64  highest durable LSN when it was written
 *		  32  [16] cluster id (with the group: the group's uid)
 *		  48  u64  generation of the replica
 *		  56  u64  term
 *		  64  u64  index
 *		  72  u64  commit index of the group when it was written
 *		  80  u32  records that follow in this batch
 *		  84  u32  CRC32C of bytes 0..83
 *		  88       payload
 *
 * Crash argument.
 *  1. One batch is written and synced at a time, at blocks that no synced batch
 *     lies in, so a torn write can only hurt records that nobody was told of.
 *     A batch counts up to its first record that is not whole: each says how
 *     many follow it, so none is skipped.
 *  2. A record found at any place but that of its LSN, which includes the
 *     generation, is none: what a recycled segment held before never counts.
 *  3. In the newest segment the first thing that is no record is the end,
 *     unless an intact record behind it says that more was durable: then it is
 *     damage.
 *  4. Writing never goes on behind such an end: each start begins a fresh
 *     segment, whose header says where the one before ended.  Leftovers behind
 *     an end are therefore never looked at again, and are no damage.
 *  5. In all older segments every record up to the known end must be intact.
 *  6. The header of a segment goes out with its first batch, under one sync:
 *     without it no record of the segment was acknowledged.  Should it be
 *     damaged later, an intact record of the generation with a durable LSN in
 *     it tells.
 *  7. A segment is recycled by renaming it to the next generation, the
 *     directory synced, before use.  If the rename is lost, the old name holds
 *     what it held: a segment before the oldest that is needed, which is
 *     ignored.
 *  8. Segments from `oldest` on must all be there, linked by their headers.
 *     One that was released after the newest header was written may have been
 *     renamed already: it is found under its new name, with its old header.
 *  9. Whoever goes on without what is damaged may be cut off before it has said
 *     so.  So the damage stays to be found: its files are not recycled, and
 *     `oldest` does not go beyond them, before all that they could have held is
 *     released.
 *
 * What the journal cannot tell: the loss of its newest batch to damage after
 * the crash, when nothing was written behind it; then it looks torn.
 */
#include "vnode/journal.h"

#include "src/base/assert.h"
#include "src/base/crc32c.h"
#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "vnode/journal_impl.h"
#include "vnode/mutants.h"

#define SEGMENT_MAGIC  0x47534f49u /* "IOSG" */
#define SEGMENT_FORMAT 1
#define SEGMENT_CRC_AT 52
#define RECORD_MAGIC   0x31524f49u /* "IOR1" */
#define RECORD_FAMILY  0x00524f49u /* "IOR" and any format */
#define RECORD_CRC_AT  84

void
segment_header_encode(uint8_t out[JOURNAL_BLOCK], const uint8_t cluster_id[16],
    const struct segment_header *h)
{
	uint8_t *p = out;

	memset(out, 0, JOURNAL_BLOCK);
	p = le_put32(p, SEGMENT_MAGIC);
	p = le_put32(p, SEGMENT_FORMAT);
	memcpy(p, cluster_id, 16);
	p = le_put32(p + 16, h->generation);
	p = le_put32(p, h->previous);
	p = le_put64(p, h->bytes);
	p = le_put64(p, h->previous_end);
	p = le_put32(p, h->oldest);
	le_put32(p, crc32c(0, out, SEGMENT_CRC_AT));
}

int
segment_header_decode(const uint8_t in[JOURNAL_BLOCK],
    const uint8_t cluster_id[16], struct segment_header *out)
{
	if (le_get32(in) != SEGMENT_MAGIC ||
	    le_get32(in + SEGMENT_CRC_AT) != crc32c(0, in, SEGMENT_CRC_AT))
		return -ERR_CORRUPT;
	if (le_get16(in + 4) != SEGMENT_FORMAT)
		return -ERR_FORMAT;
	if (memcmp(in + 8, cluster_id, 16) != 0)
		return -ERR_IDENTITY;
	out->generation = le_get32(in + 24);
	out->previous = le_get32(in + 28);
	out->bytes = le_get64(in + 32);
	out->previous_end = le_get64(in + 40);
	out->oldest = le_get32(in + 48);
	return 0;
}

void
journal_record_encode(uint8_t out[JOURNAL_RECORD_BYTES],
    const uint8_t cluster_id[16], const struct journal_head *head, lsn_t lsn,
    lsn_t durable, uint32_t payload_bytes, uint32_t payload_crc, uint32_t left)
{
	uint8_t *p = out;

	p = le_put32(p, RECORD_MAGIC);
	*p++ = head->type;
	*p++ = 0;
	p = le_put16(p, head->group);
	p = le_put32(p, payload_bytes);
	p = le_put32(p, payload_crc);
	p = le_put64(p, lsn);
	p = le_put64(p, durable);
	memcpy(p, cluster_id, 16);
	p = le_put64(p + 16, head->generation);
	p = le_put64(p, head->term);
	p = le_put64(p, head->index);
	p = le_put64(p, head->commit);
	p = le_put32(p, left);
	le_put32(p, crc32c(0, out, RECORD_CRC_AT));
}

int
journal_record_decode(struct slice in, const uint8_t cluster_id[16], lsn_t lsn,
    struct journal_record *out)
{
	const uint8_t *p = in.p;
	uint32_t n;

	if (in.n < JOURNAL_RECORD_BYTES ||
	    (le_get32(p) & 0xffffff) != RECORD_FAMILY ||
	    le_get32(p + RECORD_CRC_AT) != crc32c(0, p, RECORD_CRC_AT) ||
	    (le_get64(p + 16) != lsn &&
		(!VNODE_MUTANT(SEGMENT_GENERATION_NOT_CHECKED) ||
		    le_get32(p + 16) != (uint32_t)lsn)))
		return JOURNAL_E_NONE;
	n = le_get32(p + 8);
	if (n > JOURNAL_PAYLOAD_MAX || n > in.n - JOURNAL_RECORD_BYTES ||
	    (le_get32(p + 12) != crc32c(0, p + JOURNAL_RECORD_BYTES, n) &&
		!VNODE_MUTANT(TORN_RECORD_ACCEPTED)))
		return JOURNAL_E_NONE;
	if (le_get32(p) != RECORD_MAGIC)
		return -ERR_FORMAT;
	if (memcmp(p + 32, cluster_id, 16) != 0)
		return -ERR_IDENTITY;
	*out = (struct journal_record){
	    .head = {.type = p[4],
		.group = le_get16(p + 6),
		.generation = le_get64(p + 48),
		.term = le_get64(p + 56),
		.index = le_get64(p + 64),
		.commit = le_get64(p + 72)},
	    .lsn = lsn,
	    .durable = le_get64(p + 24),
	    .payload = SLICE(p + JOURNAL_RECORD_BYTES, n),
	    .bytes = JOURNAL_RECORD_BYTES + n,
	    .left = le_get32(p + 80),
	};
	return 0;
}

void
segment_path(
    const struct journal *j, uint32_t generation, char out[JOURNAL_PATH])
{
	snprintf(out, JOURNAL_PATH, "%s/%08x.journal", j->dir, generation);
}

void
journal_lock(struct journal *j)
{
	while (
	    atomic_flag_test_and_set_explicit(&j->lock, memory_order_acquire))
		;
}

void
journal_unlock(struct journal *j)
{
	atomic_flag_clear_explicit(&j->lock, memory_order_release);
}

/* --- any worker ----------------------------------------------------------- */

/*
 * At most one lane job is queued.  The job clears `scheduled` before it takes
 * the inbox, and who submits pushes before looking at `scheduled`: either the
 * job sees the record, or another job is queued.
 */
void
journal_schedule(struct journal *j)
{
	if (atomic_exchange(&j->scheduled, 1) == 0)
		j->env->post.to_lane(j->env->post.ctx, LANE_JOURNAL, &j->job);
}

void
journal_submit(struct journal *j, struct journal_append *list)
{
	struct journal_append *first = NULL, *last = list, *next;

	for (struct journal_append *a = list; a; a = next) {
		next = a->next; /* the inbox is newest first */
		a->next = first;
		first = a;
	}
	ASSERT(first);
	last->next = atomic_load(&j->inbox);
	while (!atomic_compare_exchange_weak(&j->inbox, &last->next, first))
		;
	journal_schedule(j);
}

void
journal_beat(struct journal *j)
{
	if (atomic_load(&j->stalled) || atomic_load(&j->unsynced))
		journal_schedule(j);
}

int
journal_has_room(const struct journal *j)
{
	return !atomic_load_explicit(&j->no_room, memory_order_relaxed);
}

void
journal_give_up(struct journal *j)
{
	atomic_store(&j->given_up, 1);
	journal_schedule(j);
}

void
journal_stats(const struct journal *j, struct journal_stats *out)
{
	*out = (struct journal_stats){
	    .n_records = atomic_load(&j->n_records),
	    .n_syncs = atomic_load(&j->n_syncs),
	    .n_bytes = atomic_load(&j->n_bytes),
	    .used_bytes = atomic_load(&j->used),
	    .max_bytes = j->config.max_bytes,
	    .durable = atomic_load(&j->durable),
	    .oldest = atomic_load(&j->oldest),
	    .error = atomic_load(&j->error),
	};
}

int
journal_is_crowded(const struct journal *j)
{
	return atomic_load(&j->used) > j->config.max_bytes / 2;
}

struct journal *
journal_close(struct journal *j)
{
	if (!j)
		return NULL;
	if (j->file)
		j->env->disk.close(j->env->disk.ctx, j->file);
	for (uint32_t i = 0; j->done && i < j->env->post.n_workers; i++)
		mem_free(j->done[i]);
	buf_deinit(&j->heads);
	mem_free(j->iov);
	mem_free(j->zeros);
	mem_free(j->header);
	mem_free(j->done);
	mem_free(j->tails);
	mem_free(j->segments);
	mem_free(j->free_files);
	return mem_free(j);
}
