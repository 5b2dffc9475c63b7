/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * beat - what a member tells of itself.
 *
 * Behind the header of a gossip beat (ring/gossip.c), format 4, little endian:
 *
 *	 0  u8   format = 4
 *	 1  u8   flags: 1 leads the root
 *	 2  u16  slots Q
 *	 4  u16  transfer_limit
 *	 6  u16  fills that follow, at most STORE_FILLS_MAX
 *	 8  u64  term of the root group there
 *	16  u32  fills that are sent, u32 that are queued, u32 that are received
 *	28  u32  replicas that are there
 *	32  u64  event of the users in force there, u64 of the policies
 *	48  u64  bytes that its replicas hold, u64 that it has room for: about
 *	64       a bit a group: those that the sender leads and that are where
 *		 its ring wants them; bits from Q on are 0
 *	 +       fills that are sent, 72 bytes each
 *
 *	fill	 0  u16  group, u16 flags: 1 repair
 *		 4  u16  ERR_* of the last try, u16 0
 *		 8  [16] the node that it is for
 *		24  u64  bytes, u64 in all
 *		40  u64  events, u64 in all
 *		56  u64  began at, u64 last page at: wall ms there
 *
 * One that is lost or late changes nothing; one that lies about a group flips
 * its owner early, which misleads people, not data: the group's own
 * configuration says who holds it.
 */
#include "src/node/beat.h"

#include "src/base/err.h"
#include "src/base/le.h"

#define FORMAT      4
#define FLAG_LEADS  1
#define FLAG_REPAIR 1

static uint32_t
bitmap_bytes(uint16_t q)
{
	return (q + 7u) / 8;
}

/* --- writing -------------------------------------------------------------- */

static void
encode_fill(const struct store_fill *f, struct buf *out)
{
	uint8_t row[BEAT_FILL_BYTES] = {0}, *p = row;

	p = le_put16(p, (uint16_t)f->group);
	p = le_put16(p, f->repair ? FLAG_REPAIR : 0);
	le_put16(p, (uint16_t)f->error);
	memcpy(row + 8, f->to, 16);
	p = le_put64(row + 24, f->bytes);
	p = le_put64(p, f->total_bytes);
	p = le_put64(p, f->events);
	p = le_put64(p, f->total_events);
	p = le_put64(p, f->started_ms);
	le_put64(p, f->updated_ms);
	buf_add(out, row, sizeof(row));
}

void
beat_encode(const struct beat *b, struct buf *out)
{
	uint8_t head[BEAT_HEADER_BYTES] = {FORMAT, b->leads ? FLAG_LEADS : 0};
	uint8_t *p = le_put16(head + 2, b->q);

	p = le_put16(p, (uint16_t)b->limit);
	p = le_put16(p, (uint16_t)b->fills.n);
	p = le_put64(p, b->root_term);
	p = le_put32(p, b->fills.sending);
	p = le_put32(p, b->fills.queued);
	p = le_put32(p, b->fills.receiving);
	le_put32(p, b->n_replicas);
	p = head + 32;
	for (int i = 0; i < ROOT_COUNT; i++)
		p = le_put64(p, b->in_force[i]);
	le_put64(le_put64(p, b->held), b->room);
	buf_add(out, head, sizeof(head));
	buf_add(out, b->placed, bitmap_bytes(b->q));
	for (uint32_t i = 0; i < b->fills.n; i++)
		encode_fill(&b->fills.at[i], out);
}

/* --- reading -------------------------------------------------------------- */

static int
decode_fill(const uint8_t *p, uint16_t q, struct store_fill *out)
{
	*out = (struct store_fill){
	    .group = le_get16(p),
	    .repair = le_get16(p + 2) & FLAG_REPAIR,
	    .error = le_get16(p + 4),
	    .bytes = le_get64(p + 24),
	    .total_bytes = le_get64(p + 32),
	    .events = le_get64(p + 40),
	    .total_events = le_get64(p + 48),
	    .started_ms = le_get64(p + 56),
	    .updated_ms = le_get64(p + 64),
	};
	memcpy(out->to, p + 8, 16);
	if (out->group >= q || le_get16(p + 2) > FLAG_REPAIR ||
	    out->error >= ERR_COUNT || le_get16(p + 6))
		return -ERR_CORRUPT;
	return 0;
}

int
beat_decode(struct slice in, struct beat *out)
{
	const uint8_t *p = in.p;
	uint32_t bits, n;

	if (in.n < BEAT_HEADER_BYTES)
		return -ERR_CORRUPT;
	if (p[0] != FORMAT)
		return -ERR_FORMAT;
	n = le_get16(p + 6);
	*out = (struct beat){
	    .q = le_get16(p + 2),
	    .leads = p[1] & FLAG_LEADS,
	    .root_term = le_get64(p + 8),
	    .in_force = {le_get64(p + 32), le_get64(p + 40)},
	    .limit = le_get16(p + 4),
	    .n_replicas = le_get32(p + 28),
	    .held = le_get64(p + 48),
	    .room = le_get64(p + 56),
	    .fills = {.sending = le_get32(p + 16),
		.queued = le_get32(p + 20),
		.receiving = le_get32(p + 24),
		.n = n},
	};
	bits = bitmap_bytes(out->q);
	if (p[1] > FLAG_LEADS || out->q == 0 || out->q > RING_SIZE_MAX ||
	    n > STORE_FILLS_MAX ||
	    in.n != BEAT_HEADER_BYTES + bits + n * BEAT_FILL_BYTES)
		return -ERR_CORRUPT;
	memcpy(out->placed, p + BEAT_HEADER_BYTES, bits);
	if (out->q % 8 && out->placed[bits - 1] >> out->q % 8)
		return -ERR_CORRUPT;
	p += BEAT_HEADER_BYTES + bits;
	for (uint32_t i = 0; i < n; i++)
		if (decode_fill(
			p + i * BEAT_FILL_BYTES, out->q, &out->fills.at[i]))
			return -ERR_CORRUPT;
	return 0;
}
