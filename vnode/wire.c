/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * wire - codec of frames.
 *
 * Format 1, little endian; everything is aligned to 8 bytes.  Cluster, sender
 * and receiver stand in the seal around a frame, and are verified before it is
 * looked at; a replica is told by its group and its generation (its id in the
 * core), so a message to a former life of it finds nobody.
 *
 *	frame	 0  u32  magic "IOFR"
 *		 4  u32  format = 1
 *		 8       messages
 *
 *	message	 0  u32  bytes of the message, this header included
 *		 4  u8   type: 1..63 of the core, from 64 on of its host
 *		 5  u8   flags: 1 reject, 2 transfer, 4 uncounted, 8 heal
 *		 6  u16  group
 *		 8  u64  replica it is from, u64 replica it is for
 *		24  u64  term, u64 index, u64 log term, u64 commit, u64 round
 *		64  u32  entries, of an append
 *		68  u32  wall clock of the sender, ms, low bits; 0: not said
 *		72  u64  which run of a damaged replica: uncounted, heal
 *		80       entries
 *
 *	entry	 0  u64  term
 *		 8  u32  bytes of payload, u32 CRC32C of the payload
 *		16       payload (entry.c), zeros to the next multiple of 8
 */
#include "vnode/wire.h"

#include "src/base/crc32c.h"
#include "src/base/err.h"
#include "src/base/le.h"

#define FRAME_MAGIC  0x52464f49u /* "IOFR" */
#define FRAME_FORMAT 1

enum {
	FLAG_REJECT = 1,
	FLAG_TRANSFER = 2,
	FLAG_UNCOUNTED = 4,
	FLAG_HEAL = 8,
};

void
wire_put_frame(uint8_t out[WIRE_FRAME_BYTES])
{
	le_put32(le_put32(out, FRAME_MAGIC), FRAME_FORMAT);
}

void
wire_put_message(uint8_t out[WIRE_MESSAGE_BYTES], const struct wire_message *m,
    uint32_t bytes)
{
	uint8_t *p = le_put32(out, bytes);

	*p++ = m->type;
	*p++ = (uint8_t)((m->reject ? FLAG_REJECT : 0) |
			 (m->transfer ? FLAG_TRANSFER : 0) |
			 (m->uncounted ? FLAG_UNCOUNTED : 0) |
			 (m->heal ? FLAG_HEAL : 0));
	p = le_put16(p, m->group);
	p = le_put64(p, m->from);
	p = le_put64(p, m->to);
	p = le_put64(p, m->term);
	p = le_put64(p, m->index);
	p = le_put64(p, m->log_term);
	p = le_put64(p, m->commit);
	p = le_put64(p, m->round);
	p = le_put32(p, m->n);
	p = le_put32(p, m->wall);
	le_put64(p, m->uncounted ? m->uncounted : m->heal);
}

void
wire_put_entry(uint8_t out[WIRE_ENTRY_BYTES], uint64_t term,
    uint32_t payload_bytes, uint32_t payload_crc)
{
	le_put32(le_put32(le_put64(out, term), payload_bytes), payload_crc);
}

int
wire_open(struct wire_reader *r, struct slice frame)
{
	if (frame.n < WIRE_FRAME_BYTES || le_get32(frame.p) != FRAME_MAGIC)
		return -ERR_CORRUPT;
	if (le_get32(frame.p + 4) != FRAME_FORMAT)
		return -ERR_FORMAT;
	r->in = SLICE(frame.p + WIRE_FRAME_BYTES, frame.n - WIRE_FRAME_BYTES);
	return 0;
}

int
wire_next(struct wire_reader *r, struct wire_message *out)
{
	const uint8_t *p = r->in.p;
	uint64_t run;
	uint32_t n;

	if (r->in.n == 0)
		return WIRE_E_END;
	if (r->in.n < WIRE_MESSAGE_BYTES)
		return -ERR_CORRUPT;
	n = le_get32(p);
	if (n < WIRE_MESSAGE_BYTES || n > r->in.n || n % 8)
		return -ERR_CORRUPT;
	run = le_get64(p + 72);
	if (run == 0 && p[5] & (FLAG_UNCOUNTED | FLAG_HEAL))
		return -ERR_CORRUPT;
	*out = (struct wire_message){
	    .type = p[4],
	    .reject = (p[5] & FLAG_REJECT) != 0,
	    .transfer = (p[5] & FLAG_TRANSFER) != 0,
	    .uncounted = p[5] & FLAG_UNCOUNTED ? run : 0,
	    .heal = p[5] & FLAG_HEAL ? run : 0,
	    .group = le_get16(p + 6),
	    .from = le_get64(p + 8),
	    .to = le_get64(p + 16),
	    .term = le_get64(p + 24),
	    .index = le_get64(p + 32),
	    .log_term = le_get64(p + 40),
	    .commit = le_get64(p + 48),
	    .round = le_get64(p + 56),
	    .n = le_get32(p + 64),
	    .wall = le_get32(p + 68),
	    .rest = SLICE(p + WIRE_MESSAGE_BYTES, n - WIRE_MESSAGE_BYTES),
	};
	r->in = SLICE(p + n, r->in.n - n);
	return out->n > WIRE_ENTRIES_MAX ||
		       out->n > out->rest.n / WIRE_ENTRY_BYTES
		   ? -ERR_CORRUPT
		   : 0;
}

int
wire_next_entry(struct wire_message *m, struct wire_entry *out)
{
	const uint8_t *p = m->rest.p;
	size_t left = m->rest.n;
	uint32_t n;

	if (left < WIRE_ENTRY_BYTES)
		return -ERR_CORRUPT;
	n = le_get32(p + 8);
	if (n > left - WIRE_ENTRY_BYTES ||
	    wire_round(n) > left - WIRE_ENTRY_BYTES)
		return -ERR_CORRUPT;
	out->term = le_get64(p);
	out->crc = le_get32(p + 12);
	out->payload = SLICE(p + WIRE_ENTRY_BYTES, n);
	if (crc32c(0, out->payload.p, n) != out->crc)
		return -ERR_CORRUPT;
	n = WIRE_ENTRY_BYTES + wire_round(n);
	m->rest = SLICE(p + n, left - n);
	return 0;
}
