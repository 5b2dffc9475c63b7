/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* manifest_read - what a manifest says, up to its last whole commit. */
#include "src/base/err.h"
#include "src/base/le.h"
#include "vnode/entry.h"
#include "vnode/manifest.h"
#include "vnode/manifest_impl.h"

struct record {
	uint8_t type;
	struct slice body;
	uint32_t crc;
};

/* The record at *AT behind one whose CRC was BEFORE; 0 and *AT moved on, or
 * -ERR_CORRUPT. */
static int
next_record(
    struct slice file, uint64_t *at, uint32_t before, struct record *out)
{
	uint64_t left = *at < file.n ? file.n - *at : 0;
	const uint8_t *p;
	uint32_t n;

	if (left < RECORD_HEADER)
		return -ERR_CORRUPT;
	p = file.p + *at;
	n = le_get32(p);
	if (n > BODY_MAX || n > left - RECORD_HEADER)
		return -ERR_CORRUPT;
	out->crc = manifest_crc(before, p, n);
	if (le_get32(p + 4) != out->crc)
		return -ERR_CORRUPT;
	out->type = p[8];
	out->body = SLICE(p + RECORD_HEADER, n);
	*at += RECORD_HEADER + n;
	return 0;
}

static int
check_head(struct slice b, const struct manifest_id *id)
{
	if (b.n != HEAD_BYTES || le_get32(b.p) != MANIFEST_MAGIC)
		return -ERR_CORRUPT;
	if (le_get16(b.p + 4) != MANIFEST_FORMAT)
		return -ERR_FORMAT;
	if (le_get16(b.p + 6) != id->group ||
	    memcmp(b.p + 8, id->cluster_id, 16) != 0 ||
	    le_get64(b.p + 24) != id->generation ||
	    le_get32(b.p + 32) != id->number)
		return -ERR_IDENTITY;
	return 0;
}

/* Finds the last COMMIT that follows an unbroken run of records. */
static int
find_end(
    struct slice file, const struct manifest_id *id, struct manifest_end *end)
{
	struct record rec;
	uint64_t at = 0;
	uint32_t crc;
	int r = next_record(file, &at, 0, &rec);

	if (r)
		return r;
	if (rec.type != TYPE_HEAD)
		return -ERR_CORRUPT;
	r = check_head(rec.body, id);
	if (r)
		return r;
	end->bytes = 0;
	for (crc = rec.crc; next_record(file, &at, crc, &rec) == 0;
	     crc = rec.crc) {
		if (rec.type == TYPE_COMMIT) {
			end->bytes = at;
			end->crc = rec.crc;
			at = manifest_next(at);
		}
	}
	return end->bytes ? 0 : -ERR_CORRUPT;
}

static int
read_stream(struct slice b, const struct manifest_reader_ops *ops, void *arg)
{
	struct manifest_stream s;
	const uint8_t *p = b.p;

	if (b.n < STREAM_FIXED)
		return -ERR_CORRUPT;
	s.id = le_get64(p);
	s.first = le_get64(p + 8);
	s.last = le_get64(p + 16);
	s.last_t = le_get64(p + 24);
	s.total = le_get64(p + 32);
	s.last_bytes = le_get32(p + 40);
	s.bucket = SLICE(p + STREAM_FIXED, le_get16(p + 44));
	s.stream = SLICE(s.bucket.p + s.bucket.n, le_get16(p + 46));
	if (b.n != STREAM_FIXED + s.bucket.n + s.stream.n ||
	    s.bucket.n > NAME_MAX_BYTES || s.stream.n > NAME_MAX_BYTES ||
	    (s.bucket.n == 0) != (s.stream.n == 0))
		return -ERR_CORRUPT;
	return ops->stream(arg, &s);
}

static int
read_chunk(struct slice b, const struct manifest_reader_ops *ops, void *arg)
{
	struct chunk_info c;
	const uint8_t *p = b.p;

	if (b.n != CHUNK_BYTES)
		return -ERR_CORRUPT;
	c.first = le_get64(p + 8);
	c.last = le_get64(p + 16);
	c.first_t = le_get64(p + 24);
	c.last_t = le_get64(p + 32);
	c.before = le_get64(p + 40);
	c.bytes = le_get32(p + 48);
	if (le_get32(p + 52) > EVENT_DATA_MAX ||
	    le_get32(p + 56) > (CHUNK_SEALED | CHUNK_APART))
		return -ERR_CORRUPT;
	c.last_bytes = le_get32(p + 52) & (EVENT_DATA_MAX * 2 - 1);
	c.sealed = (le_get32(p + 56) & CHUNK_SEALED) != 0;
	c.apart = (le_get32(p + 56) & CHUNK_APART) != 0;
	c.chain = hash128_get(p + 60);
	return ops->chunk(arg, le_get64(p), &c);
}

static int
read_key(struct slice b, const struct manifest_reader_ops *ops, void *arg)
{
	struct manifest_key k;

	if (b.n != KEY_BYTES ||
	    event_key_decode(SLICE(b.p + 24, EVENT_KEY_BYTES), &k.id))
		return -ERR_CORRUPT;
	k.stream_id = le_get64(b.p);
	k.first = le_get64(b.p + 8);
	k.t_ms = le_get64(b.p + 16);
	return ops->key(arg, &k);
}

static int
read_dropped(struct slice b, const struct manifest_reader_ops *ops, void *arg)
{
	if (b.n != DROPPED_BYTES)
		return -ERR_CORRUPT;
	return ops->dropped(arg, le_get64(b.p));
}

static int
read_ended(struct slice b, const struct manifest_reader_ops *ops, void *arg)
{
	struct manifest_ended e;

	if (b.n < ENDED_FIXED)
		return -ERR_CORRUPT;
	e.id = le_get64(b.p);
	e.index = le_get64(b.p + 8);
	e.t_ms = le_get64(b.p + 16);
	e.ordinal = le_get32(b.p + 24);
	e.bucket = SLICE(b.p + ENDED_FIXED, le_get16(b.p + 28));
	e.stream = SLICE(e.bucket.p + e.bucket.n, le_get16(b.p + 30));
	if (b.n != ENDED_FIXED + e.bucket.n + e.stream.n ||
	    e.bucket.n > NAME_MAX_BYTES || e.stream.n > NAME_MAX_BYTES ||
	    (e.bucket.n == 0) != (e.stream.n == 0))
		return -ERR_CORRUPT;
	return ops->ended(arg, &e);
}

static int
read_kept(struct slice b, const struct manifest_reader_ops *ops, void *arg)
{
	struct manifest_kept k;
	const uint8_t *p = b.p;

	if (b.n != KEPT_BYTES)
		return -ERR_CORRUPT;
	k.id = le_get64(p);
	k.hidden.seq = le_get64(p + 8);
	k.hidden.before = le_get64(p + 16);
	k.hidden.t = le_get64(p + 24);
	k.before = le_get64(p + 32);
	k.from = le_get64(p + 40);
	k.chain = hash128_get(p + 48);
	return ops->kept(arg, &k);
}

static int
read_policies(struct slice b, const struct manifest_reader_ops *ops, void *arg)
{
	uint32_t at, total;

	if (b.n <= PIECE_FIXED)
		return -ERR_CORRUPT;
	at = le_get32(b.p);
	total = le_get32(b.p + 4);
	if (total > POLICIES_BYTES_MAX || at >= total ||
	    b.n - PIECE_FIXED > total - at)
		return -ERR_CORRUPT;
	return ops->policies(
	    arg, SLICE(b.p + PIECE_FIXED, b.n - PIECE_FIXED), at, total);
}

static int
read_commit(struct slice b, struct manifest_state *s,
    const struct manifest_reader_ops *ops, void *arg)
{
	const uint8_t *p = b.p;

	if (b.n != COMMIT_BYTES)
		return -ERR_CORRUPT;
	s->checkpoint = le_get64(p);
	s->term = le_get64(p + 8);
	s->vote = le_get64(p + 16);
	s->applied_index = le_get64(p + 24);
	s->applied_term = le_get64(p + 32);
	s->next_stream_id = le_get64(p + 40);
	s->clock_ms = le_get64(p + 48);
	s->policy_version = le_get64(p + 56);
	s->journal_floor = le_get64(p + 64);
	s->damaged = (le_get32(p + 72) & FLAG_DAMAGED) != 0;
	return ops->commit(arg, s);
}

int
manifest_read(struct slice file, const struct manifest_id *id,
    const struct manifest_reader_ops *ops, void *arg, struct manifest_end *end)
{
	struct manifest_state state = {0};
	struct record rec;
	uint64_t at = 0;
	uint32_t crc = 0;
	int r = find_end(file, id, end);

	while (r == 0 && at < end->bytes) {
		r = next_record(file, &at, crc, &rec);
		if (r)
			return r;
		crc = rec.crc;
		switch (rec.type) {
		case TYPE_HEAD:
			break;
		case TYPE_STREAM:
			r = read_stream(rec.body, ops, arg);
			break;
		case TYPE_CHUNK:
			r = read_chunk(rec.body, ops, arg);
			break;
		case TYPE_COMMIT:
			at = manifest_next(at);
			r = read_commit(rec.body, &state, ops, arg);
			break;
		case TYPE_KEY:
			r = read_key(rec.body, ops, arg);
			break;
		case TYPE_MEMBERS:
			r = entry_decode_members(rec.body, &state.members);
			break;
		case TYPE_DROPPED:
			r = read_dropped(rec.body, ops, arg);
			break;
		case TYPE_ENDED:
			r = read_ended(rec.body, ops, arg);
			break;
		case TYPE_KEPT:
			r = read_kept(rec.body, ops, arg);
			break;
		case TYPE_POLICIES:
			r = read_policies(rec.body, ops, arg);
			break;
		default:
			r = -ERR_FORMAT;
		}
	}
	return r;
}
