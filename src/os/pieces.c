/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* pieces - long frames in pieces. */
#include "src/os/pieces.h"

#include "src/base/err.h"
#include "src/base/le.h"

void
piece_put_head(uint8_t out[PIECE_HEAD_BYTES], const struct piece_head *h)
{
	le_put64(out, h->number);
	le_put32(out + 8, h->total);
	le_put32(out + 12, h->at);
}

void
pieces_drop(struct pieces *p, struct pieces_budget *budget)
{
	if (!p->block)
		return;
	budget->bytes -= p->block->cap;
	p->block = block_unref(p->block);
}

static void
begin(
    struct pieces *p, struct pieces_budget *budget, const struct piece_head *h)
{
	pieces_drop(p, budget);
	if (h->total > budget->max - budget->bytes)
		return;
	p->block = block_new(h->total);
	if (!p->block)
		return;
	budget->bytes += p->block->cap;
	p->number = h->number;
}

int
pieces_add(struct pieces *p, struct pieces_budget *budget, uint32_t max,
    struct slice body, struct mono now, struct block **out)
{
	struct piece_head h;
	struct block *b;

	if (body.n <= PIECE_HEAD_BYTES)
		return -ERR_CORRUPT;
	h.number = le_get64(body.p);
	h.total = le_get32(body.p + 8);
	h.at = le_get32(body.p + 12);
	body = SLICE(body.p + PIECE_HEAD_BYTES, body.n - PIECE_HEAD_BYTES);
	if (h.total > max || h.at > h.total || body.n > h.total - h.at)
		return -ERR_CORRUPT;
	if (h.at == 0)
		begin(p, budget, &h);
	b = p->block;
	if (!b)
		return PIECES_E_MORE;
	if (h.number != p->number || h.total != b->cap || h.at != b->n) {
		pieces_drop(p, budget);
		return PIECES_E_MORE;
	}
	memcpy(b->p + b->n, body.p, body.n);
	b->n += (uint32_t)body.n;
	p->since = now;
	if (b->n < b->cap)
		return PIECES_E_MORE;
	budget->bytes -= b->cap;
	p->block = NULL;
	*out = b;
	return 0;
}
