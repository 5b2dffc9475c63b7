/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * entry - codec of log entries.
 *
 * Format 1, little endian.  Length and CRC are those of the journal record or
 * frame around it; term and index too.
 *
 *	entry    0  u16  format = 1
 *		 2  u16  0
 *		 4  u32  commands
 *		 8  u64  group clock, ms: never decreases from entry to entry
 *		16       the commands
 *
 *	command  0  u8   type
 *		 1  u8[3] 0
 *		 4  u32  bytes of the body
 *		 8       the body
 *
 *	NOOP     empty; the first and only command of its entry
 *	MEMBERS  u32 members, u32 0, then for each u64 id, u8 1: a voter, u8[7] 0,
 *		 [16] node id; the first and only command of its entry
 *	CREATE   u64 stream id, u16 bytes of bucket, u16 bytes of stream, both
 *	APPEND   u64 stream id, u64 first seqnum, u32 events, event records
 *	DELETE   u64 stream id
 *	POLICIES a table of policies (policy.c): of all buckets, and of the streams
 *		 of this group; the only command of its entry
 *	TICK     empty; the only command of its entry, whose clock is what it says
 *
 * The stream id is the group's counter at creation: never used twice in a
 * group, so it tells a stream from its successor of the same name.  DELETE names
 * the stream by it, not by name: what is deleted is what the leader saw, however
 * often the name has been used.
 *
 * Crash argument of DELETE.  The stream is gone when the entry is applied, which
 * is in memory only.  Replayed over a manifest that still has the stream it does
 * the same again: all entries before it that name the stream are replayed before
 * it, and none behind it can (another CREATE gives another id).  A manifest
 * whose applied index is that of the entry or later has no stream of this id;
 * only when it is durable may the chunk files go (dropped.c).
 */
#include "vnode/entry.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/le.h"
#include "vnode/policy.h"

#define ENTRY_FORMAT      1
#define CREATE_FIXED      12
#define APPEND_FIXED      20
#define DELETE_BYTES      8
#define ENTRY_NAME_MAX    255
#define ENTRY_COMMAND_MAX (1u << 20) /* commands of one entry */
#define MEMBERS_FIXED     8
#define MEMBER_BYTES      32

void
entry_put_header(
    uint8_t out[ENTRY_HEADER_BYTES], uint32_t n_commands, uint64_t clock_ms)
{
	uint8_t *p = out;

	p = le_put16(p, ENTRY_FORMAT);
	p = le_put16(p, 0);
	p = le_put32(p, n_commands);
	le_put64(p, clock_ms);
}

/* The header of a command and room for FIXED bytes of its body; NULL: error. */
static uint8_t *
add_command(struct buf *b, enum entry_command_type type, uint32_t fixed,
    uint32_t body_bytes)
{
	uint8_t *p = buf_reserve(b, ENTRY_COMMAND_BYTES + fixed);

	if (!p)
		return NULL;
	b->n += ENTRY_COMMAND_BYTES + fixed;
	p = le_put32(p, (uint32_t)type);
	return le_put32(p, body_bytes);
}

void
entry_add_noop(struct buf *b)
{
	add_command(b, ENTRY_NOOP, 0, 0);
}

int
entry_members_copy(struct entry_members *out, const struct raft_members *from)
{
	if (from->n > RAFT_MEMBERS_MAX)
		return -ERR_LIMIT;
	out->n = from->n;
	if (from->n)
		memcpy(out->at, from->at, from->n * sizeof(*from->at));
	return 0;
}

uint32_t
entry_members_bytes(const struct raft_members *m)
{
	return MEMBERS_FIXED + m->n * MEMBER_BYTES;
}

void
entry_encode_members(const struct raft_members *m, uint8_t *p)
{
	p = le_put32(p, m->n);
	p = le_put32(p, 0);
	for (uint32_t i = 0; i < m->n; i++) {
		p = le_put64(p, m->at[i].id);
		p = le_put64(p, m->at[i].voter != 0);
		memcpy(p, m->at[i].node, 16);
		p += 16;
	}
}

void
entry_add_members(struct buf *b, const struct raft_members *m)
{
	uint32_t n = entry_members_bytes(m);
	uint8_t *p = add_command(b, ENTRY_MEMBERS, n, n);

	if (p)
		entry_encode_members(m, p);
}

void
entry_add_create(
    struct buf *b, uint64_t stream_id, struct slice bucket, struct slice stream)
{
	uint8_t *p = add_command(b, ENTRY_CREATE, CREATE_FIXED,
	    (uint32_t)(CREATE_FIXED + bucket.n + stream.n));

	ASSERT(bucket.n <= ENTRY_NAME_MAX && stream.n <= ENTRY_NAME_MAX);
	if (!p)
		return;
	p = le_put64(p, stream_id);
	p = le_put16(p, (uint16_t)bucket.n);
	le_put16(p, (uint16_t)stream.n);
	buf_add_slice(b, bucket);
	buf_add_slice(b, stream);
}

void
entry_add_append(struct buf *b, uint64_t stream_id, uint64_t first_seq,
    uint32_t n_events, uint32_t records_bytes)
{
	uint8_t *p = add_command(
	    b, ENTRY_APPEND, APPEND_FIXED, APPEND_FIXED + records_bytes);

	if (!p)
		return;
	p = le_put64(p, stream_id);
	p = le_put64(p, first_seq);
	le_put32(p, n_events);
}

void
entry_add_delete(struct buf *b, uint64_t stream_id)
{
	uint8_t *p = add_command(b, ENTRY_DELETE, DELETE_BYTES, DELETE_BYTES);

	if (p)
		le_put64(p, stream_id);
}

void
entry_add_policies(struct buf *b, struct slice table)
{
	if (add_command(b, ENTRY_POLICIES, 0, (uint32_t)table.n))
		buf_add_slice(b, table);
}

void
entry_add_tick(struct buf *b)
{
	add_command(b, ENTRY_TICK, 0, 0);
}

int
entry_open(struct entry_reader *r, struct slice payload)
{
	if (payload.n < ENTRY_HEADER_BYTES)
		return -ERR_CORRUPT;
	if (le_get16(payload.p) != ENTRY_FORMAT)
		return -ERR_FORMAT;
	r->n_left = le_get32(payload.p + 4);
	r->clock_ms = le_get64(payload.p + 8);
	r->in = SLICE(
	    payload.p + ENTRY_HEADER_BYTES, payload.n - ENTRY_HEADER_BYTES);
	return r->n_left > ENTRY_COMMAND_MAX ? -ERR_CORRUPT : 0;
}

static int
decode_create(struct slice body, struct entry_command *c)
{
	size_t bucket_n, stream_n;

	if (body.n < CREATE_FIXED)
		return -ERR_CORRUPT;
	c->stream_id = le_get64(body.p);
	bucket_n = le_get16(body.p + 8);
	stream_n = le_get16(body.p + 10);
	if (bucket_n < 1 || bucket_n > ENTRY_NAME_MAX || stream_n < 1 ||
	    stream_n > ENTRY_NAME_MAX ||
	    body.n != CREATE_FIXED + bucket_n + stream_n)
		return -ERR_CORRUPT;
	c->bucket = SLICE(body.p + CREATE_FIXED, bucket_n);
	c->stream = SLICE(c->bucket.p + bucket_n, stream_n);
	return 0;
}

static int
decode_append(struct slice body, struct entry_command *c)
{
	if (body.n < APPEND_FIXED)
		return -ERR_CORRUPT;
	c->stream_id = le_get64(body.p);
	c->first_seq = le_get64(body.p + 8);
	c->n_events = le_get32(body.p + 16);
	c->records = SLICE(body.p + APPEND_FIXED, body.n - APPEND_FIXED);
	return c->n_events == 0 || c->first_seq == 0 ? -ERR_CORRUPT : 0;
}

int
entry_decode_members(struct slice body, struct entry_members *out)
{
	const uint8_t *p = body.p;

	if (body.n < MEMBERS_FIXED || le_get32(p) > RAFT_MEMBERS_MAX ||
	    le_get32(p + 4) != 0 ||
	    body.n != MEMBERS_FIXED + le_get32(p) * MEMBER_BYTES)
		return -ERR_CORRUPT;
	out->n = le_get32(p);
	p += MEMBERS_FIXED;
	for (uint32_t i = 0; i < out->n; i++, p += MEMBER_BYTES) {
		struct raft_member *m = &out->at[i];

		m->id = le_get64(p);
		m->voter = le_get64(p + 8) == 1;
		memcpy(m->node, p + 16, 16);
		if (m->id == 0 || le_get64(p + 8) > 1)
			return -ERR_CORRUPT;
	}
	return 0;
}

int
entry_next(struct entry_reader *r, struct entry_command *out)
{
	struct entry_members members;
	struct slice body;
	uint32_t n;

	if (r->n_left == 0)
		return r->in.n == 0 ? ENTRY_E_END : -ERR_CORRUPT;
	if (r->in.n < ENTRY_COMMAND_BYTES)
		return -ERR_CORRUPT;
	n = le_get32(r->in.p + 4);
	if (n > r->in.n - ENTRY_COMMAND_BYTES)
		return -ERR_CORRUPT;
	body = SLICE(r->in.p + ENTRY_COMMAND_BYTES, n);
	*out = (struct entry_command){.type = r->in.p[0]};
	r->in = SLICE(body.p + n, r->in.n - ENTRY_COMMAND_BYTES - n);
	r->n_left--;
	switch (out->type) {
	case ENTRY_NOOP:
	case ENTRY_TICK:
		return n == 0 ? 0 : -ERR_CORRUPT;
	case ENTRY_CREATE:
		return decode_create(body, out);
	case ENTRY_APPEND:
		return decode_append(body, out);
	case ENTRY_DELETE:
		if (n != DELETE_BYTES)
			return -ERR_CORRUPT;
		out->stream_id = le_get64(body.p);
		return 0;
	case ENTRY_POLICIES:
		out->policies = body;
		return n <= POLICIES_BYTES_MAX ? 0 : -ERR_CORRUPT;
	case ENTRY_MEMBERS:
		out->members = body;
		return entry_decode_members(body, &members);
	}
	return -ERR_FORMAT;
}

int
entry_kind(struct slice payload, struct entry_members *members)
{
	struct entry_reader reader;
	struct entry_command c;
	int r = entry_open(&reader, payload);

	if (r == 0)
		r = entry_next(&reader, &c);
	if (r)
		return r < 0 ? r : -ERR_CORRUPT;
	if (c.type == ENTRY_NOOP)
		return RAFT_NOOP;
	if (c.type != ENTRY_MEMBERS)
		return RAFT_DATA;
	r = entry_decode_members(c.members, members);
	return r ? r : RAFT_MEMBERS;
}
