/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * beat - what a member tells of itself.
 *
 * Behind the header of a gossip beat (ring/gossip.c), format 1, little endian:
 *
 *	 0  u8   format = 1
 *	 1  u8   flags: 1 leads the root
 *	 2  u16  slots Q
 *	 4  u32  0
 *	 8  u64  term of the root group there
 *	16       Q bits: groups that the sender leads and that are where its
 *		 ring wants them; bits from Q on are 0
 *
 * One that is lost or late changes nothing; one that lies about a group flips
 * its owner early, which misleads people, not data: the group's own
 * configuration says who holds it.
 */
#include "src/node/beat.h"

#include "src/base/err.h"
#include "src/base/le.h"

#define FORMAT       1
#define FLAG_LEADS   1
#define HEADER_BYTES 16

static uint32_t
bitmap_bytes(uint16_t q)
{
	return (q + 7u) / 8;
}

void
beat_encode(const struct beat *b, struct buf *out)
{
	uint8_t head[HEADER_BYTES] = {FORMAT, b->leads ? FLAG_LEADS : 0};

	le_put16(head + 2, b->q);
	le_put64(head + 8, b->root_term);
	buf_add(out, head, sizeof(head));
	buf_add(out, b->placed, bitmap_bytes(b->q));
}

int
beat_decode(struct slice in, struct beat *out)
{
	uint32_t bits;

	if (in.n < HEADER_BYTES)
		return -ERR_CORRUPT;
	if (in.p[0] != FORMAT)
		return -ERR_FORMAT;
	*out = (struct beat){
	    .q = le_get16(in.p + 2),
	    .leads = in.p[1] & FLAG_LEADS,
	    .root_term = le_get64(in.p + 8),
	};
	bits = bitmap_bytes(out->q);
	if (in.p[1] > FLAG_LEADS || le_get32(in.p + 4) || out->q == 0 ||
	    out->q > RING_SIZE_MAX || in.n != HEADER_BYTES + bits)
		return -ERR_CORRUPT;
	memcpy(out->placed, in.p + HEADER_BYTES, bits);
	if (out->q % 8 && out->placed[bits - 1] >> out->q % 8)
		return -ERR_CORRUPT;
	return 0;
}
