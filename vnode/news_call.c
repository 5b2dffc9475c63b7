/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * news_call - codec of calls that ask what is new in a bucket.
 *
 * Little endian; the head is in call.c:
 *
 *	request	u32 group, u8 flags (1: now), u8 bytes of bucket, u16 0,
 *		u64 index, u32 ordinal, u32 wait ms, u64 t; bucket
 *	answer	i32 result, [16] leader (call.c); u64 index, u64 t, u32 items,
 *		u32 ended, u32 flags (1: more ended than are said);
 *		per item u8 bytes of name, u64 incarnation, last, from;
 *		per ended u8 bytes of name, u64 incarnation, index, t,
 *			u32 ordinal;
 *		names in this order
 */
#include "vnode/news.h"

#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "vnode/watch.h"

#define REQUEST_BYTES 32
#define ANSWER_BYTES  28
#define ITEM_BYTES    25
#define ENDED_BYTES   29
#define NOW           1
#define FORGOT        1

/* --- the request ---------------------------------------------------------- */

void
news_add_request(struct buf *b, const struct vnode_news *n)
{
	uint8_t fixed[REQUEST_BYTES], *p = fixed;

	p = le_put32(p, n->group);
	*p++ = n->now ? NOW : 0;
	*p++ = (uint8_t)n->bucket.n;
	p = le_put16(p, 0);
	p = le_put64(p, n->after_index);
	p = le_put32(p, n->after_ordinal);
	p = le_put32(p, n->wait_ms);
	le_put64(p, n->after_t);
	buf_add(b, fixed, sizeof(fixed));
	buf_add_slice(b, n->bucket);
}

int
news_take_request(struct slice in, struct msg **out)
{
	struct vnode_news *n;

	if (in.n < REQUEST_BYTES || in.p[5] == 0 || in.p[4] > NOW ||
	    le_get16(in.p + 6) || in.n != REQUEST_BYTES + (size_t)in.p[5] ||
	    le_get32(in.p + 20) > WATCH_WAIT_MAX_MS)
		return -ERR_CORRUPT;
	n = mem_alloc(sizeof(*n));
	if (!n)
		return -ERR_NOMEM;
	*n = (struct vnode_news){
	    .msg = {.kind = MSG_NEWS},
	    .group = le_get32(in.p),
	    .now = in.p[4] & NOW,
	    .bucket = SLICE(in.p + REQUEST_BYTES, in.p[5]),
	    .after_index = le_get64(in.p + 8),
	    .after_ordinal = le_get32(in.p + 16),
	    .wait_ms = le_get32(in.p + 20),
	    .after_t = le_get64(in.p + 24),
	};
	*out = &n->msg;
	return 0;
}

/* --- the answer ----------------------------------------------------------- */

void
news_add_answer(struct buf *b, const struct vnode_news *n)
{
	uint8_t fixed[ENDED_BYTES], *p = fixed;

	p = le_put64(p, n->index);
	p = le_put64(p, n->t_ms);
	p = le_put32(p, n->n_items);
	p = le_put32(p, n->n_ended);
	le_put32(p, n->forgot ? FORGOT : 0);
	buf_add(b, fixed, ANSWER_BYTES);
	for (uint32_t i = 0; i < n->n_items; i++) {
		const struct vnode_news_item *it = &n->items[i];

		fixed[0] = (uint8_t)it->name.n;
		le_put64(fixed + 1, it->incarnation);
		le_put64(fixed + 9, it->last);
		le_put64(fixed + 17, it->from);
		buf_add(b, fixed, ITEM_BYTES);
	}
	for (uint32_t i = 0; i < n->n_ended; i++) {
		const struct vnode_news_ended *e = &n->ended[i];

		fixed[0] = (uint8_t)e->name.n;
		le_put64(fixed + 1, e->incarnation);
		le_put64(fixed + 9, e->index);
		le_put64(fixed + 17, e->t_ms);
		le_put32(fixed + 25, e->ordinal);
		buf_add(b, fixed, ENDED_BYTES);
	}
	for (uint32_t i = 0; i < n->n_items; i++)
		buf_add_slice(b, n->items[i].name);
	for (uint32_t i = 0; i < n->n_ended; i++)
		buf_add_slice(b, n->ended[i].name);
}

/* The next N bytes of NAMES, at least one. */
static int
take_name(struct slice *names, uint8_t n, struct slice *out)
{
	if (n == 0 || n > names->n)
		return -ERR_CORRUPT;
	*out = SLICE(names->p, n);
	*names = SLICE(names->p + n, names->n - n);
	return 0;
}

static int
take_items(struct vnode_news *n, const uint8_t *p, struct slice *names)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < n->n_items; i++, p += ITEM_BYTES) {
		struct vnode_news_item *it = &n->items[i];

		it->incarnation = le_get64(p + 1);
		it->last = le_get64(p + 9);
		it->from = le_get64(p + 17);
		r = it->incarnation ? take_name(names, p[0], &it->name)
				    : -ERR_CORRUPT;
	}
	return r;
}

/* They stand in the order of the log. */
static int
take_ended(struct vnode_news *n, const uint8_t *p, struct slice *names)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < n->n_ended; i++, p += ENDED_BYTES) {
		struct vnode_news_ended *e = &n->ended[i];

		e->incarnation = le_get64(p + 1);
		e->index = le_get64(p + 9);
		e->t_ms = le_get64(p + 17);
		e->ordinal = le_get32(p + 25);
		r = e->incarnation ? take_name(names, p[0], &e->name)
				   : -ERR_CORRUPT;
		if (i && (e->index < e[-1].index ||
			     (e->index == e[-1].index &&
				 e->ordinal <= e[-1].ordinal)))
			r = -ERR_CORRUPT;
	}
	return r;
}

/* All that comes behind the fixed part, N bytes of it names. */
static int
take_rest(struct vnode_news *n, const uint8_t *p, size_t bytes)
{
	const uint8_t *ended = p + (size_t)n->n_items * ITEM_BYTES;
	struct slice names;
	int r;

	n->items = mem_calloc(n->n_items + 1u, sizeof(*n->items));
	n->ended = mem_calloc(n->n_ended + 1u, sizeof(*n->ended));
	n->names = mem_alloc(bytes + 1);
	if (!n->items || !n->ended || !n->names)
		return -ERR_NOMEM;
	memcpy(n->names, ended + (size_t)n->n_ended * ENDED_BYTES, bytes);
	names = SLICE(n->names, bytes);
	r = take_items(n, p, &names);
	if (r == 0)
		r = take_ended(n, ended, &names);
	return r == 0 && names.n ? -ERR_CORRUPT : r;
}

int
news_take_answer(struct slice in, struct vnode_news *n)
{
	struct vnode_news got = *n;
	size_t fixed;
	int r;

	if (in.n < ANSWER_BYTES)
		return -ERR_CORRUPT;
	got.index = le_get64(in.p);
	got.t_ms = le_get64(in.p + 8);
	got.n_items = le_get32(in.p + 16);
	got.n_ended = le_get32(in.p + 20);
	got.forgot = le_get32(in.p + 24) == FORGOT;
	if (got.n_items > NEWS_ITEMS_MAX || got.n_ended > NEWS_ENDED_MAX ||
	    le_get32(in.p + 24) > FORGOT)
		return -ERR_CORRUPT;
	fixed = ANSWER_BYTES + (size_t)got.n_items * ITEM_BYTES +
		(size_t)got.n_ended * ENDED_BYTES;
	if (fixed > in.n)
		return -ERR_CORRUPT;
	r = take_rest(&got, in.p + ANSWER_BYTES, in.n - fixed);
	vnode_news_deinit(r ? &got : n);
	if (r == 0)
		*n = got;
	return r;
}
