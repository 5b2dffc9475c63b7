/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* call_answer - the answer of another node, checked before it counts. */
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/call.h"
#include "vnode/call_impl.h"
#include "vnode/event.h"
#include "vnode/news.h"

/* Whole, sound records, seqnums ascending without a hole within FIRST..LAST. */
static int
check_records(struct slice in, uint64_t *next, uint64_t last)
{
	while (in.n) {
		struct event e;
		uint32_t bytes;

		if (event_decode(in, 1, &e, &bytes) || e.seq != *next ||
		    e.seq > last)
			return -ERR_CORRUPT;
		++*next;
		in = SLICE(in.p + bytes, in.n - bytes);
	}
	return 0;
}

static int
take_page(struct call_cursor *c, struct block *block, struct vnode_page *page)
{
	uint64_t first = call_take_uint(c, 8), last = call_take_uint(c, 8),
		 next = first;
	uint32_t n = (uint32_t)call_take_uint(c, 4);
	struct call_cursor sizes = *c;
	struct vnode_part *parts;
	int r = 0;

	if (c->bad || n > c->in.n / 4 || first > last)
		return -ERR_CORRUPT;
	*page = (struct vnode_page){0};
	if (n == 0)
		return first || last ? -ERR_CORRUPT : 0;
	call_take(c, 4 * (size_t)n);
	parts = mem_calloc(n, sizeof(*parts));
	if (!parts)
		return -ERR_NOMEM;
	for (uint32_t i = 0; r == 0 && i < n; i++) {
		parts[i].records =
		    call_take(c, (size_t)call_take_uint(&sizes, 4));
		parts[i].block = block;
		r = c->bad ? -ERR_CORRUPT
			   : check_records(parts[i].records, &next, last);
	}
	if (r == 0 && next != last + 1)
		r = -ERR_CORRUPT;
	if (r) {
		mem_free(parts);
		return r;
	}
	for (uint32_t i = 0; i < n; i++)
		block_ref(block);
	*page = (struct vnode_page){
	    .n_parts = n, .parts = parts, .first = first, .last = last};
	return 0;
}

static int
answer_read(struct call_cursor *c, struct block *block, struct vnode_read *p)
{
	struct vnode_page page;
	uint64_t v[8];
	int r;

	for (int i = 0; i < 8; i++)
		v[i] = call_take_uint(c, 8);
	r = take_page(c, block, &page);
	if (r)
		return r;
	p->incarnation = v[0];
	p->kept_first = v[1];
	p->newest = v[2];
	p->range_first = v[3];
	p->range_last = v[4];
	p->seek = v[5];
	p->damaged_first = v[6];
	p->damaged_last = v[7];
	p->page = page;
	return 0;
}

static int
answer_list(struct call_cursor *c, struct vnode_list *p)
{
	int more = (int)call_take_uint(c, 1);
	uint32_t n = (uint32_t)call_take_uint(c, 4);
	struct vnode_list_item *items;
	uint8_t *names, *at;
	size_t bytes;

	if (c->bad || n > c->in.n / ITEM_BYTES)
		return -ERR_CORRUPT;
	bytes = c->in.n - n * ITEM_BYTES;
	items = mem_calloc(n + 1, sizeof(*items));
	names = at = mem_alloc(bytes + 1);
	if (!items || !names) {
		mem_free(items);
		mem_free(names);
		return -ERR_NOMEM;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct vnode_list_item *it = &items[i];

		it->name.n = (size_t)call_take_uint(c, 1);
		it->first = call_take_uint(c, 8);
		it->last = call_take_uint(c, 8);
		it->count = call_take_uint(c, 8);
		it->bytes = call_take_uint(c, 8);
		it->t_ms = call_take_uint(c, 8);
	}
	for (uint32_t i = 0; i < n; i++) {
		struct slice name = call_take(c, items[i].name.n);

		if (name.n)
			memcpy(at, name.p, name.n);
		items[i].name.p = at;
		at += name.n;
	}
	if (c->bad) {
		mem_free(items);
		mem_free(names);
		return -ERR_CORRUPT;
	}
	p->more = more;
	p->n_items = n;
	p->items = items;
	p->names = names;
	return 0;
}

int
call_answer(const struct call_in *in, struct block *block, struct msg *m)
{
	struct call_cursor c = {.in = in->rest};
	int result = (int)(int32_t)call_take_uint(&c, 4);
	struct slice leader = call_take(&c, 16);
	uint64_t v[4];
	uint8_t flags;
	uint32_t n;
	int r = 0;

	if (c.bad || !in->answer || in->kind != m->kind || result > 0 ||
	    result <= -ERR_COUNT)
		return -ERR_CORRUPT;
	switch (m->kind) {
	case MSG_PUT:
		for (int i = 0; i < 4; i++)
			v[i] = call_take_uint(&c, 8);
		n = (uint32_t)call_take_uint(&c, 2);
		flags = (uint8_t)call_take_uint(&c, 1);
		call_take(&c, 1);
		if (c.bad)
			return -ERR_CORRUPT;
		REQUEST_OF(m, vnode_put)->first = v[0];
		REQUEST_OF(m, vnode_put)->last = v[1];
		REQUEST_OF(m, vnode_put)->t_ms = v[2];
		REQUEST_OF(m, vnode_put)->newest = v[3];
		REQUEST_OF(m, vnode_put)->n_replicas = n;
		REQUEST_OF(m, vnode_put)->replayed =
		    (flags & PUT_REPLAYED) != 0;
		break;
	case MSG_DELETE:
		break;
	case MSG_READ:
		r = answer_read(&c, block, REQUEST_OF(m, vnode_read));
		REQUEST_OF(m, vnode_read)->stale = in->stale;
		break;
	case MSG_NEWS:
		r = news_take_answer(c.in, REQUEST_OF(m, vnode_news));
		break;
	default:
		r = answer_list(&c, REQUEST_OF(m, vnode_list));
		REQUEST_OF(m, vnode_list)->stale = in->stale;
	}
	if (r)
		return r;
	*request_result(m) = result;
	memcpy(request_leader(m), leader.p, 16);
	return 0;
}
