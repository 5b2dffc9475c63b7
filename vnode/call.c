/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * call - codec of requests between nodes.
 *
 * Format 1, little endian, nothing is aligned.  Cluster, sender and receiver
 * stand in the seal around a frame.
 *
 *	call	 0  u32  magic "IOCA"
 *		 4  u16  format = 1
 *		 6  u8   kind: 1 put, 2 read, 3 list, 4 news (news.c),
 *		      5 delete
 *		 7  u8   0 request, 1 answer, 3 answer that may be stale,
 *		      4 request that is to be passed on to who leads
 *		 8  u64  id, of the caller
 *		16       body
 *
 *	put	u32 group, u32 events, u64 expected seqnum, u8 flags (1: expected
 *		counts, 2: a patch, 4: there is a key), u8 bytes of bucket, u8 of
 *		stream, u8 0; with a key [16] its hash, [16] hash of the body; per
 *		event u16 flags, u8 bytes of type, u8 0, u32 bytes of data; of a patch
 *		u64 incarnation; bucket, stream; types; data
 *	  answer  i32 result, [16] leader, u64 first, last, t, newest,
 *		u16 replicas, u8 flags (1: replayed), u8 0
 *	read	u32 group, u8 op, u8 flags (1 descending, 2 any), u8 bytes of
 *		bucket, u8 of stream, u64 from, to, last n, limit, t to seek,
 *		u32 bytes; bucket, stream.  Op 2, to wait: the incarnation
 *		for last n, milliseconds for t to seek
 *	  answer  i32 result, [16] leader, u64 incarnation, kept first, newest,
 *		range first, range last, seek, damaged first, damaged last, page
 *		first, page last, u32 parts; per part u32 bytes; event records
 *	list	u32 group, u32 limit, u8 flags (1 detail, 2 any), u8 bytes of
 *		bucket, u16 of prefix, u16 of after; bucket, prefix, after
 *	  answer  i32 result, [16] leader, u8 more, u32 items; per item u8 bytes
 *		of name, u64 first, last, count, bytes, t; names
 *	delete	u32 group, u8 bytes of bucket, u8 of stream; bucket, stream
 *	  answer  i32 result, [16] leader
 *
 * A call that is lost or answered twice is the caller's affair: it knows the
 * id, and hears each answer once.
 */
#include "vnode/call.h"

#include "src/base/err.h"
#include "src/base/le.h"
#include "vnode/call_impl.h"

int
call_open(struct slice bytes, struct call_in *out)
{
	static const enum msg_kind kinds[] = {[WIRE_PUT] = MSG_PUT,
	    [WIRE_READ] = MSG_READ,
	    [WIRE_LIST] = MSG_LIST,
	    [WIRE_NEWS] = MSG_NEWS,
	    [WIRE_DELETE] = MSG_DELETE};
	uint8_t kind;

	if (bytes.n < CALL_BYTES || le_get32(bytes.p) != CALL_MAGIC ||
	    le_get16(bytes.p + 4) != CALL_FORMAT)
		return -ERR_FORMAT;
	kind = bytes.p[6];
	if (kind < WIRE_PUT || kind > WIRE_DELETE || bytes.p[7] > RELAY ||
	    bytes.p[7] == STALE)
		return -ERR_FORMAT;
	*out = (struct call_in){
	    .kind = kinds[kind],
	    .answer = bytes.p[7] & ANSWER,
	    .stale = (bytes.p[7] & STALE) != 0,
	    .relay = (bytes.p[7] & RELAY) != 0,
	    .id = le_get64(bytes.p + 8),
	    .rest = SLICE(bytes.p + CALL_BYTES, bytes.n - CALL_BYTES),
	};
	return 0;
}

struct slice
call_take(struct call_cursor *c, size_t n)
{
	struct slice s = c->in;

	if (c->bad || n > c->in.n) {
		c->bad = 1;
		return SLICE(NULL, 0);
	}
	c->in = SLICE(c->in.p + n, c->in.n - n);
	return SLICE(s.p, n);
}

uint64_t
call_take_uint(struct call_cursor *c, unsigned bytes)
{
	struct slice s = call_take(c, bytes);
	uint64_t v = 0;

	for (size_t i = 0; i < s.n; i++)
		v |= (uint64_t)s.p[i] << (8 * i);
	return v;
}
