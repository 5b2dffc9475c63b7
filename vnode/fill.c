/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fill - codec of its messages.
 *
 * Behind the header of a message of type WIRE_FILL (wire.c), little endian:
 *
 *	 0  u32  op, u32 bytes that follow the header
 *	 8  u64  transfer
 *	16  u64  a, u64 b, u64 c, u64 d: fill.h says what of
 *	48       bytes of a page
 *
 * A chunk that is asked for:
 *
 *	 0  u64  stream, u64 first seqnum
 *	16  u32  offset, u32 bytes in all or 0
 */
#include "vnode/fill.h"

#include "src/base/err.h"
#include "src/base/le.h"

void
fill_encode(uint8_t out[FILL_HEADER_BYTES], const struct fill_message *m)
{
	uint8_t *p = le_put32(out, (uint32_t)m->op);

	p = le_put32(p, (uint32_t)m->bytes.n);
	p = le_put64(p, m->transfer);
	p = le_put64(p, m->a);
	p = le_put64(p, m->b);
	p = le_put64(p, m->c);
	le_put64(p, m->d);
}

int
fill_decode(struct slice in, struct fill_message *out)
{
	const uint8_t *p = in.p;
	uint32_t n;

	if (in.n < FILL_HEADER_BYTES)
		return -ERR_CORRUPT;
	n = le_get32(p + 4);
	if (n > in.n - FILL_HEADER_BYTES || n > FILL_PAGE_BYTES)
		return -ERR_CORRUPT;
	*out = (struct fill_message){
	    .op = (enum fill_op)le_get32(p),
	    .transfer = le_get64(p + 8),
	    .a = le_get64(p + 16),
	    .b = le_get64(p + 24),
	    .c = le_get64(p + 32),
	    .d = le_get64(p + 40),
	    .bytes = SLICE(p + FILL_HEADER_BYTES, n),
	};
	return 0;
}

void
fill_encode_chunk(uint8_t out[FILL_CHUNK_BYTES], const struct fill_chunk *c)
{
	uint8_t *p = le_put64(le_put64(out, c->stream), c->first);

	le_put32(le_put32(p, c->offset), c->bytes);
}

void
fill_decode_chunk(const uint8_t in[FILL_CHUNK_BYTES], struct fill_chunk *out)
{
	*out = (struct fill_chunk){
	    .stream = le_get64(in),
	    .first = le_get64(in + 8),
	    .offset = le_get32(in + 16),
	    .bytes = le_get32(in + 20),
	};
}

/*
 * Pages, and what asks for them, go by the bulk channel, so that no heartbeat
 * waits behind one.  It is the receiver that begins: its first question opens the
 * connection to the sender, over which the answers come.
 */
static int
goes_bulk(const struct fill_message *m)
{
	return m->op == FILL_GET_MANIFEST || m->op == FILL_MANIFEST ||
	       m->op == FILL_GET_CHUNKS || m->op == FILL_CHUNKS ||
	       m->op == FILL_GET_PART || m->op == FILL_PART;
}

static int
say_bulk(struct store_worker *w, const uint8_t node[16],
    const struct wire_message *m, const struct fill_message *fm)
{
	static const uint8_t zeros[8];
	const struct env_net *net = &w->store->env->net;
	uint32_t n = FILL_HEADER_BYTES + (uint32_t)fm->bytes.n;
	uint8_t head[WIRE_FRAME_BYTES + WIRE_MESSAGE_BYTES + FILL_HEADER_BYTES];
	struct iovec iov[3] = {
	    {head, sizeof(head)},
	    {(void *)(uintptr_t)fm->bytes.p, fm->bytes.n},
	    {(void *)(uintptr_t)zeros, wire_round(n) - n},
	};

	wire_put_frame(head);
	wire_put_message(
	    head + WIRE_FRAME_BYTES, m, WIRE_MESSAGE_BYTES + wire_round(n));
	fill_encode(head + WIRE_FRAME_BYTES + WIRE_MESSAGE_BYTES, fm);
	return net->send(net->ctx, w->id, node, NET_BULK, iov, 3);
}

int
fill_say(struct store_worker *w, uint16_t group, raft_id from, raft_id to,
    const uint8_t node[16], uint64_t term, const struct fill_message *m)
{
	struct wire_message out = {
	    .type = WIRE_FILL,
	    .group = group,
	    .from = from,
	    .to = to,
	    .term = term,
	};
	uint8_t head[FILL_HEADER_BYTES];

	if (goes_bulk(m))
		return say_bulk(w, node, &out, m);
	fill_encode(head, m);
	outbox_add_bytes(&w->outbox, node, &out, SLICE(head, sizeof(head)), 0);
	return 0;
}
