/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* out - bytes on their way to a socket. */
#include "http/out.h"

#include "src/base/err.h"
#include "src/base/mem.h"

#define OUT_IOV       256
#define PIECES_KEPT   64
#define TEXT_KEPT     (64u << 10)
#define PIECES_AT_ONE 8

void
out_deinit(struct out *o)
{
	for (; o->at < o->n; o->at++)
		block_unref(o->pieces[o->at].block);
	o->text = block_unref(o->text);
	o->pieces = mem_free(o->pieces);
	o->at = o->n = o->cap = 0;
	o->bytes = 0;
}

static struct piece *
add_piece(struct out *o)
{
	if (o->n == o->cap) {
		uint32_t cap = o->cap ? o->cap * 2 : PIECES_AT_ONE;
		void *p = mem_realloc(o->pieces, cap * sizeof(*o->pieces));

		if (!p) {
			o->error = -ERR_NOMEM;
			return NULL;
		}
		o->pieces = p;
		o->cap = cap;
	}
	return &o->pieces[o->n++];
}

uint8_t *
out_reserve(struct out *o, size_t n, uint32_t first)
{
	struct piece *last = o->n > o->at ? &o->pieces[o->n - 1] : NULL;
	struct block *t = o->text;

	if (o->error)
		return NULL;
	if (!t || t->cap - t->n < n) {
		block_unref(t);
		t = o->text = block_new(n > first ? (uint32_t)n : first);
		if (!t) {
			o->error = -ERR_NOMEM;
			return NULL;
		}
	}
	if (!last || last->block != t || last->at + last->n != t->n) {
		last = add_piece(o);
		if (!last)
			return NULL;
		*last = (struct piece){block_ref(t), t->n, 0};
	}
	last->n += (uint32_t)n;
	t->n += (uint32_t)n;
	o->bytes += n;
	return t->p + t->n - n;
}

void
out_block(struct out *o, struct slice s, struct block *block)
{
	struct piece *piece = s.n && !o->error ? add_piece(o) : NULL;

	if (!piece)
		return;
	*piece = (struct piece){
	    block_ref(block), (uint32_t)(s.p - block->p), (uint32_t)s.n};
	o->bytes += s.n;
}

void
out_splice(struct out *to, struct out *from)
{
	for (; from->at < from->n && !to->error; from->at++) {
		struct piece *piece = add_piece(to);

		if (!piece)
			break;
		*piece = from->pieces[from->at];
		to->bytes += piece->n;
	}
	if (from->error)
		to->error = from->error;
	if (from->at < from->n || from->cap > PIECES_AT_ONE) {
		out_deinit(from);
		return;
	}
	/* Small: who had these has as much again soon. */
	from->text = block_unref(from->text);
	from->at = from->n = 0;
	from->bytes = 0;
}

static void
drop_sent(struct out *o, size_t n)
{
	o->bytes -= n;
	while (n > 0) {
		struct piece *p = &o->pieces[o->at];
		uint32_t k = n < p->n ? (uint32_t)n : p->n;

		p->at += k;
		p->n -= k;
		n -= k;
		if (p->n == 0) {
			block_unref(p->block);
			o->at++;
		}
	}
}

static void
rewind_empty(struct out *o)
{
	o->at = o->n = 0;
	if (o->text && o->text->cap > TEXT_KEPT)
		o->text = block_unref(o->text);
	if (o->text && atomic_load(&o->text->refs) == 1)
		o->text->n = 0;
	if (o->cap > PIECES_KEPT) {
		o->pieces = mem_free(o->pieces);
		o->cap = 0;
	}
}

int
out_send(struct out *o, struct tcp *tcp)
{
	while (!o->error && o->bytes) {
		struct iovec iov[OUT_IOV];
		size_t put = 0;
		int n = 0, r;

		for (uint32_t i = o->at; i < o->n && n < OUT_IOV; i++)
			iov[n++] = (struct iovec){
			    o->pieces[i].block->p + o->pieces[i].at,
			    o->pieces[i].n};
		r = tcp_writev(tcp, iov, n, &put);
		if (r)
			return r;
		drop_sent(o, put);
	}
	if (o->error)
		return o->error;
	rewind_empty(o);
	return 0;
}
