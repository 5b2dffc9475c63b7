/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * manifest - codec of manifests.
 *
 * Format 1, little endian.  File `manifest.<number>`, 8 hex digits, in the
 * directory of the vnode.  The file is a run of records; behind each COMMIT it
 * goes on at the next multiple of 4096:
 *
 *	record	 0  u32  bytes of the body
 *		 4  u32  CRC32C over (CRC of the record before, 0 for the first),
 *			 bytes 0..3, type and body: a record is only right behind
 *			 the very records it was written behind
 *		 8  u8   type, u8[3] 0
 *		12       body
 *
 *	1 HEAD	    u32 magic "IOMF", u16 format = 1, u16 group, [16] cluster id,
 *		    u64 replica generation, u32 number; always the first record
 *	2 STREAM    u64 id, u64 first, u64 last, u64 last t, u64 payload of
 *		    1..last, u32 payload of last, u16 bytes of bucket, u16 bytes
 *		    of stream, both names; no names: the stream was named before
 *		    in this file
 *	3 CHUNK	    u64 stream id, u64 first, u64 last, u64 first t, u64 last t,
 *		    u64 payload of the stream before it, u32 bytes, u32 payload
 *		    of last (0: not known), u32 flags (1: sealed, 2: apart), [16]
 *		    chain; replaces the row of the same first
 *	4 COMMIT    u64 checkpoint, u64 term, u64 vote, u64 applied index,
 *		    u64 applied term, u64 next stream id, u64 group clock,
 *		    u64 policy version, u64 journal floor, u32 flags (1: damaged),
 *		    u32 0
 *	5 MEMBERS   as in an entry (entry.c), as of the applied index; stands
 *		    before each COMMIT
 *	6 KEY	    u64 stream id, u64 first, u64 t, [36] ext of the event (event.c):
 *		    an idempotency key that counts; in the order of the log.  A
 *		    snapshot has all, a delta those since the checkpoint before;
 *		    which of them count no more follows from group clock and
 *		    limits (dedup.h)
 *	7 DROPPED   u64 stream id: that stream, named before in this file, is no
 *		    more; its rows count no longer, and its id never comes again
 *	8 KEPT	    u64 stream id, u64 seqnum, u64 payload, u64 t: what hides its
 *		    events for good; u64 payload before its first, u64 from: rows
 *		    of chunks below it count no longer, [16] chain before that.
 *		    Stands behind the STREAM of a stream that retention has to do
 *		    with (retain.c)
 *	9 POLICIES  u32 at, u32 bytes of all, then a piece: the table that is in
 *		    force (policy.c), piece by piece
 *	16 ENDED    u64 stream id, u64 index, u64 t, u32 ordinal, u16 bytes of
 *		    bucket, u16 bytes of stream, both names: a stream that was
 *		    deleted by that entry, in the order of the log.  A snapshot has
 *		    all that are remembered, a delta those since the checkpoint
 *		    before; which are remembered follows from their bytes
 *		    (ended.h).  No names: all up to there are forgotten; stands
 *		    before the first of a snapshot, and of a delta if some of
 *		    its own are forgotten already
 *
 * Crash argument.  A checkpoint first syncs the chunk files, then appends a
 * delta (or writes a snapshot to `manifest.tmp`, syncs it, renames it to the
 * next number and syncs the directory), then syncs, and only then puts a
 * JOURNAL_CHECKPOINT record {number, length, checkpoint, applied index} in the
 * journal and, once that is durable, lets segments go and the old file be
 * removed.  So:
 *  - a delta is written to blocks of its own: a torn write cannot reach what
 *    was committed before;
 *  - a delta cut short has no COMMIT and does not count; the checkpoint before
 *    it does, and its journal is still there;
 *  - two files: the higher number was renamed whole; if it cannot be read the
 *    lower one is still good, unless the journal's mark says that more was
 *    durable;
 *  - a file shorter or of a lower number than the mark says has been damaged
 *    since: the group is refused, not opened at an older state (its journal may
 *    be gone);
 *  - what lies behind the last COMMIT is overwritten by the next delta, and
 *    stale bytes behind that do not chain to it;
 *  - term and vote may be newer than the last the journal has: the replica has
 *    told nobody of them, and keeps to them;
 *  - the chunk files of a stream go once a COMMIT is durable whose rows do not
 *    have it: DROPPED stands before it in a delta, a snapshot says nothing of
 *    it.  A crash before that leaves files and stream as they were, and the
 *    journal deletes it again; one after it leaves files that nothing names, and
 *    the next start removes them (dropped.c);
 *  - the same holds of chunk files that KEPT says are no more;
 *  - a replica is there once its first snapshot is renamed; a directory without
 *    one is of a creation cut short, and is removed;
 *  - a fill (fill.c) begins a new life of the log: `journal floor` voids what
 *    the journal had before, which may contradict what was filled in.
 */
#include "vnode/manifest.h"

#include "src/base/assert.h"
#include "src/base/crc32c.h"
#include "src/base/err.h"
#include "src/base/le.h"
#include "vnode/entry.h"
#include "vnode/manifest_impl.h"

void
manifest_file_name(char out[MANIFEST_NAME_BYTES], uint32_t number)
{
	snprintf(out, MANIFEST_NAME_BYTES, "manifest.%08x", number);
}

int
manifest_parse_name(const char *name, uint32_t *number)
{
	char again[MANIFEST_NAME_BYTES];
	unsigned n;

	if (strlen(name) != 17 || sscanf(name, "manifest.%8x", &n) != 1)
		return -ERR_INVAL;
	manifest_file_name(again, n);
	if (strcmp(again, name) != 0)
		return -ERR_INVAL;
	*number = n;
	return 0;
}

uint32_t
manifest_crc(uint32_t before, const uint8_t *p, uint32_t body_bytes)
{
	uint8_t seed[4];
	uint32_t crc;

	le_put32(seed, before);
	crc = crc32c(0, seed, 4);
	crc = crc32c(crc, p, 4);
	return crc32c(crc, p + 8, 4 + body_bytes);
}

/* Room for a record; NULL after an error of the buffer. */
static uint8_t *
begin(struct manifest_writer *w, uint32_t type, uint32_t body_bytes)
{
	uint8_t *p = buf_reserve(w->out, RECORD_HEADER + body_bytes);

	ASSERT(body_bytes <= BODY_MAX);
	if (!p)
		return NULL;
	le_put32(p, body_bytes);
	le_put32(p + 8, type);
	return p + RECORD_HEADER;
}

static void
finish(struct manifest_writer *w, uint8_t *body, uint32_t body_bytes)
{
	uint8_t *p = body - RECORD_HEADER;

	w->crc = manifest_crc(w->crc, p, body_bytes);
	le_put32(p + 4, w->crc);
	w->out->n += RECORD_HEADER + body_bytes;
}

void
manifest_add_head(struct manifest_writer *w, const struct manifest_id *id)
{
	uint8_t *body = begin(w, TYPE_HEAD, HEAD_BYTES);
	uint8_t *p = body;

	if (!p)
		return;
	p = le_put32(p, MANIFEST_MAGIC);
	p = le_put16(p, MANIFEST_FORMAT);
	p = le_put16(p, id->group);
	memcpy(p, id->cluster_id, 16);
	p = le_put64(p + 16, id->generation);
	le_put32(p, id->number);
	finish(w, body, HEAD_BYTES);
}

void
manifest_add_stream(struct manifest_writer *w, const struct manifest_stream *s)
{
	uint32_t n = (uint32_t)(STREAM_FIXED + s->bucket.n + s->stream.n);
	uint8_t *body = begin(w, TYPE_STREAM, n);
	uint8_t *p = body;

	if (!p)
		return;
	p = le_put64(p, s->id);
	p = le_put64(p, s->first);
	p = le_put64(p, s->last);
	p = le_put64(p, s->last_t);
	p = le_put64(p, s->total);
	p = le_put32(p, s->last_bytes);
	p = le_put16(p, (uint16_t)s->bucket.n);
	p = le_put16(p, (uint16_t)s->stream.n);
	if (s->bucket.n) {
		memcpy(p, s->bucket.p, s->bucket.n);
		memcpy(p + s->bucket.n, s->stream.p, s->stream.n);
	}
	finish(w, body, n);
}

void
manifest_add_chunk(
    struct manifest_writer *w, uint64_t stream_id, const struct chunk_info *c)
{
	uint8_t *body = begin(w, TYPE_CHUNK, CHUNK_BYTES);
	uint8_t *p = body;

	if (!p)
		return;
	p = le_put64(p, stream_id);
	p = le_put64(p, c->first);
	p = le_put64(p, c->last);
	p = le_put64(p, c->first_t);
	p = le_put64(p, c->last_t);
	p = le_put64(p, c->before);
	p = le_put32(p, c->bytes);
	p = le_put32(p, c->last_bytes);
	p = le_put32(
	    p, (c->sealed ? CHUNK_SEALED : 0) | (c->apart ? CHUNK_APART : 0));
	hash128_put(p, c->chain);
	finish(w, body, CHUNK_BYTES);
}

void
manifest_add_kept(struct manifest_writer *w, const struct manifest_kept *k)
{
	uint8_t *body = begin(w, TYPE_KEPT, KEPT_BYTES);
	uint8_t *p = body;

	if (!p)
		return;
	p = le_put64(p, k->id);
	p = le_put64(p, k->hidden.seq);
	p = le_put64(p, k->hidden.before);
	p = le_put64(p, k->hidden.t);
	p = le_put64(p, k->before);
	p = le_put64(p, k->from);
	hash128_put(p, k->chain);
	finish(w, body, KEPT_BYTES);
}

void
manifest_add_policies(struct manifest_writer *w, struct slice table)
{
	uint32_t total = (uint32_t)table.n, n;

	for (uint32_t at = 0; at < total; at += n) {
		uint8_t *body;

		n = total - at < BODY_MAX - PIECE_FIXED
			? total - at
			: BODY_MAX - PIECE_FIXED;
		body = begin(w, TYPE_POLICIES, PIECE_FIXED + n);
		if (!body)
			return;
		le_put32(le_put32(body, at), total);
		memcpy(body + PIECE_FIXED, table.p + at, n);
		finish(w, body, PIECE_FIXED + n);
	}
}

void
manifest_add_key(struct manifest_writer *w, const struct manifest_key *k)
{
	uint8_t *body = begin(w, TYPE_KEY, KEY_BYTES);
	uint8_t *p = body;

	if (!p)
		return;
	p = le_put64(p, k->stream_id);
	p = le_put64(p, k->first);
	p = le_put64(p, k->t_ms);
	event_key_encode(&k->id, p);
	finish(w, body, KEY_BYTES);
}

void
manifest_add_dropped(struct manifest_writer *w, uint64_t stream_id)
{
	uint8_t *body = begin(w, TYPE_DROPPED, DROPPED_BYTES);

	if (!body)
		return;
	le_put64(body, stream_id);
	finish(w, body, DROPPED_BYTES);
}

void
manifest_add_ended(struct manifest_writer *w, const struct manifest_ended *e)
{
	uint32_t n = (uint32_t)(ENDED_FIXED + e->bucket.n + e->stream.n);
	uint8_t *body = begin(w, TYPE_ENDED, n);
	uint8_t *p = body;

	if (!p)
		return;
	p = le_put64(p, e->id);
	p = le_put64(p, e->index);
	p = le_put64(p, e->t_ms);
	p = le_put32(p, e->ordinal);
	p = le_put16(p, (uint16_t)e->bucket.n);
	p = le_put16(p, (uint16_t)e->stream.n);
	if (e->bucket.n) {
		memcpy(p, e->bucket.p, e->bucket.n);
		memcpy(p + e->bucket.n, e->stream.p, e->stream.n);
	}
	finish(w, body, n);
}

static void
add_members(struct manifest_writer *w, const struct entry_members *set)
{
	struct raft_members view = entry_members_view(set), *m = &view;
	uint32_t n = entry_members_bytes(m);
	uint8_t *body = begin(w, TYPE_MEMBERS, n);

	if (!body)
		return;
	entry_encode_members(m, body);
	finish(w, body, n);
}

void
manifest_add_commit(struct manifest_writer *w, const struct manifest_state *s)
{
	uint8_t *body, *p;

	add_members(w, &s->members);
	p = body = begin(w, TYPE_COMMIT, COMMIT_BYTES);
	if (!p)
		return;
	p = le_put64(p, s->checkpoint);
	p = le_put64(p, s->term);
	p = le_put64(p, s->vote);
	p = le_put64(p, s->applied_index);
	p = le_put64(p, s->applied_term);
	p = le_put64(p, s->next_stream_id);
	p = le_put64(p, s->clock_ms);
	p = le_put64(p, s->policy_version);
	p = le_put64(p, s->journal_floor);
	p = le_put32(p, s->damaged ? FLAG_DAMAGED : 0);
	le_put32(p, 0);
	finish(w, body, COMMIT_BYTES);
}

void
manifest_encode_mark(
    const struct manifest_mark *m, uint8_t out[MANIFEST_MARK_BYTES])
{
	uint8_t *p = le_put32(out, m->number);

	p = le_put32(p, 0);
	p = le_put64(p, m->bytes);
	p = le_put64(p, m->checkpoint);
	le_put64(p, m->applied_index);
}

int
manifest_decode_mark(struct slice in, struct manifest_mark *out)
{
	if (in.n != MANIFEST_MARK_BYTES)
		return -ERR_CORRUPT;
	out->number = le_get32(in.p);
	out->bytes = le_get64(in.p + 8);
	out->checkpoint = le_get64(in.p + 16);
	out->applied_index = le_get64(in.p + 24);
	return 0;
}
