/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * gossip - spreads the ring that the root has decided.
 *
 * Message, format 1, little endian; what seals a frame has made sure of its
 * sender and its receiver:
 *
 *	 0  u32   magic "IOGO"
 *	 4  u16   format = 1
 *	 6  u8    kind: 1 beat, 2 pull, 3 body
 *	 7  u8    0
 *	 8  [16]  cluster id
 *	24  u64   epoch of the sender's ring
 *	32  [32]  SHA-256 of the sender's ring
 *	64        body: that ring, as in ring.c; beat: what the caller adds
 *
 *	          sender has          receiver has    receiver answers
 *	beat      epoch 7             epoch 7         -
 *	          epoch 7             epoch 8         -, its own beat will do
 *	          epoch 8             epoch 7         pull 7
 *	pull      epoch 7             epoch 8         body 8
 *	body      epoch 8             epoch 7         -, and has a newer ring
 *
 * Only who is behind does anything about it, and it alone knows whom it has
 * asked: else it would be sent the ring by everybody ten times a second.
 */
#include "ring/gossip.h"

#include "ring/hash.h"
#include "ring/ring_file.h"
#include "src/base/err.h"
#include "src/base/le.h"

#define GOSSIP_MAGIC  0x4f474f49u /* "IOGO" */
#define GOSSIP_FORMAT 1

/* --- messages ------------------------------------------------------------- */

int
gossip_is(struct slice frame)
{
	return frame.n >= 4 && le_get32(frame.p) == GOSSIP_MAGIC;
}

void
gossip_encode(const struct gossip_message *m, struct buf *out)
{
	uint8_t head[GOSSIP_HEADER_BYTES] = {0};

	le_put32(head, GOSSIP_MAGIC);
	le_put16(head + 4, GOSSIP_FORMAT);
	head[6] = (uint8_t)m->kind;
	memcpy(head + 8, m->cluster_id, RING_ID_BYTES);
	le_put64(head + 24, m->epoch);
	memcpy(head + 32, m->hash, RING_HASH_BYTES);
	buf_add(out, head, sizeof(head));
	buf_add_slice(out, m->body);
}

int
gossip_decode(struct slice in, struct gossip_message *out)
{
	uint8_t kind;

	if (in.n < GOSSIP_HEADER_BYTES || in.n > GOSSIP_MAX || !gossip_is(in))
		return -ERR_CORRUPT;
	if (le_get16(in.p + 4) != GOSSIP_FORMAT)
		return -ERR_FORMAT;
	kind = in.p[6];
	if (kind < GOSSIP_BEAT || kind > GOSSIP_BODY || in.p[7] != 0 ||
	    (kind == GOSSIP_BODY && in.n == GOSSIP_HEADER_BYTES) ||
	    (kind == GOSSIP_PULL && in.n > GOSSIP_HEADER_BYTES))
		return -ERR_CORRUPT;
	out->kind = (enum gossip_kind)kind;
	memcpy(out->cluster_id, in.p + 8, RING_ID_BYTES);
	out->epoch = le_get64(in.p + 24);
	memcpy(out->hash, in.p + 32, RING_HASH_BYTES);
	out->body =
	    SLICE(in.p + GOSSIP_HEADER_BYTES, in.n - GOSSIP_HEADER_BYTES);
	return 0;
}

/* --- what we say ---------------------------------------------------------- */

static void
say(const struct gossip *g, enum gossip_kind kind, struct slice more,
    struct buf *out)
{
	struct gossip_message m = {
	    .kind = kind, .epoch = g->ring->epoch, .body = more};

	memcpy(m.cluster_id, g->ring->cluster_id, RING_ID_BYTES);
	memcpy(m.hash, g->hash, RING_HASH_BYTES);
	gossip_encode(&m, out);
}

int
gossip_init(struct gossip *g, struct ring *ring)
{
	*g = (struct gossip){.ring = NULL};
	if (ring_hash_of(ring, g->hash))
		return -ERR_NOMEM;
	g->ring = ring_ref(ring);
	return 0;
}

void
gossip_deinit(struct gossip *g)
{
	g->ring = ring_unref(g->ring);
}

int
gossip_set_ring(struct gossip *g, struct ring *ring)
{
	uint8_t hash[RING_HASH_BYTES];

	if (ring->epoch <= g->ring->epoch)
		return 0;
	if (ring_hash_of(ring, hash))
		return -ERR_NOMEM;
	ring_unref(g->ring);
	g->ring = ring_ref(ring);
	memcpy(g->hash, hash, RING_HASH_BYTES);
	return 0;
}

void
gossip_beat(const struct gossip *g, struct slice more, struct buf *out)
{
	say(g, GOSSIP_BEAT, more, out);
}

void
gossip_body(const struct gossip *g, struct buf *out)
{
	say(g, GOSSIP_BODY, SLICE(NULL, 0), out);
	ring_encode(g->ring, out);
}

/* --- what we hear --------------------------------------------------------- */

/* A ring that goes on from ours, and is what its message says. */
static int
take_body(
    const struct gossip *g, const struct gossip_message *m, struct ring **out)
{
	uint8_t hash[RING_HASH_BYTES];
	struct ring *r;
	int e;

	e = ring_digest(m->body, hash);
	if (e)
		return e;
	if (memcmp(hash, m->hash, RING_HASH_BYTES) != 0)
		return -ERR_CORRUPT;
	e = ring_decode(m->body, &r);
	if (e)
		return e == -ERR_FORMAT ? -ERR_CORRUPT : e;
	if (r->epoch != m->epoch || r->q != g->ring->q ||
	    r->n_copies != g->ring->n_copies ||
	    memcmp(r->cluster_id, m->cluster_id, RING_ID_BYTES) != 0) {
		ring_unref(r);
		return -ERR_CORRUPT;
	}
	*out = r;
	return 0;
}

int
gossip_receive(const struct gossip *g, struct slice in, struct buf *answer,
    struct gossip_news *news)
{
	struct gossip_message m;
	struct gossip_news got;
	int same, e = gossip_decode(in, &m);

	if (e)
		return e;
	if (memcmp(m.cluster_id, g->ring->cluster_id, RING_ID_BYTES) != 0)
		return GOSSIP_E_CLUSTER;
	same = memcmp(m.hash, g->hash, RING_HASH_BYTES) == 0;
	if ((m.epoch == g->ring->epoch) != same)
		return same ? -ERR_CORRUPT : GOSSIP_E_FORK;
	got = (struct gossip_news){.epoch = m.epoch};
	memcpy(got.hash, m.hash, sizeof(got.hash));
	if (m.kind == GOSSIP_BEAT)
		got.more = m.body;
	if (m.kind == GOSSIP_BODY && m.epoch > g->ring->epoch) {
		e = take_body(g, &m, &got.ring);
		if (e)
			return e;
	}
	if (m.kind == GOSSIP_BEAT && m.epoch > g->ring->epoch)
		say(g, GOSSIP_PULL, SLICE(NULL, 0), answer);
	if (m.kind == GOSSIP_PULL && m.epoch < g->ring->epoch)
		gossip_body(g, answer);
	e = buf_error(answer);
	if (e == 0)
		*news = got;
	return e;
}
