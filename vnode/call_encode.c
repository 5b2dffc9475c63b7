/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* call_encode - requests and answers to bytes; payloads are lent, not copied. */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "vnode/call.h"
#include "vnode/call_impl.h"
#include "vnode/news.h"

#define HEADS_MAX (64u << 20)

static void
add8(struct buf *b, uint8_t v)
{
	buf_add_byte(b, v);
}

static void
add16(struct buf *b, uint16_t v)
{
	uint8_t p[2];

	le_put16(p, v);
	buf_add(b, p, sizeof(p));
}

static void
add32(struct buf *b, uint32_t v)
{
	uint8_t p[4];

	le_put32(p, v);
	buf_add(b, p, sizeof(p));
}

static void
add64s(struct buf *b, uint32_t n, const uint64_t *v)
{
	for (uint32_t i = 0; i < n; i++) {
		uint8_t p[8];

		le_put64(p, v[i]);
		buf_add(b, p, sizeof(p));
	}
}

static int
room_for(struct call_out *out, uint32_t n)
{
	out->iov = mem_calloc(n + 1, sizeof(*out->iov));
	out->n_iov = 1; /* the heads */
	return out->iov ? 0 : -ERR_NOMEM;
}

static void
lend(struct call_out *out, struct slice s)
{
	if (s.n)
		out->iov[out->n_iov++] =
		    (struct iovec){(void *)(uintptr_t)s.p, s.n};
}

static int
put_request(struct call_out *out, const struct vnode_put *p)
{
	struct buf *b = &out->head;
	int r = room_for(out, p->n_events);

	add32(b, p->group);
	add32(b, p->n_events);
	add64s(b, 1, &p->expect);
	add8(b, (uint8_t)((p->has_expect ? PUT_EXPECT : 0) |
			  (p->patch_of ? PUT_PATCH : 0) |
			  (p->has_key ? PUT_KEY : 0)));
	add8(b, (uint8_t)p->bucket.n);
	add8(b, (uint8_t)p->stream.n);
	add8(b, 0);
	if (p->has_key) {
		buf_add(b, p->key, sizeof(p->key));
		buf_add(b, p->key_body, sizeof(p->key_body));
	}
	for (uint32_t i = 0; i < p->n_events; i++) {
		add16(b, p->events[i].flags);
		add8(b, (uint8_t)p->events[i].type.n);
		add8(b, 0);
		add32(b, (uint32_t)p->events[i].data.n);
	}
	if (p->patch_of)
		add64s(b, 1, &p->patch_of);
	buf_add_slice(b, p->bucket);
	buf_add_slice(b, p->stream);
	for (uint32_t i = 0; i < p->n_events; i++)
		buf_add_slice(b, p->events[i].type);
	for (uint32_t i = 0; r == 0 && i < p->n_events; i++)
		lend(out, p->events[i].data);
	return r;
}

static int
read_request(struct call_out *out, const struct vnode_read *p)
{
	struct buf *b = &out->head;
	int waits = p->op == VNODE_READ_WAIT;

	add32(b, p->group);
	add8(b, (uint8_t)p->op);
	add8(b, (uint8_t)((p->desc ? READ_DESC : 0) | (p->any ? READ_ANY : 0)));
	add8(b, (uint8_t)p->bucket.n);
	add8(b, (uint8_t)p->stream.n);
	add64s(b, 5,
	    (uint64_t[]){p->from, p->to, waits ? p->known : p->last_n, p->limit,
		waits ? p->wait_ms : p->seek_ms});
	add32(b, p->max_bytes);
	buf_add_slice(b, p->bucket);
	buf_add_slice(b, p->stream);
	return room_for(out, 0);
}

static int
list_request(struct call_out *out, const struct vnode_list *p)
{
	struct buf *b = &out->head;

	if (p->prefix.n > UINT16_MAX || p->after.n > UINT16_MAX)
		return -ERR_LIMIT;
	add32(b, p->group);
	add32(b, p->limit);
	add8(b,
	    (uint8_t)((p->detail ? LIST_DETAIL : 0) | (p->any ? READ_ANY : 0)));
	add8(b, (uint8_t)p->bucket.n);
	add16(b, (uint16_t)p->prefix.n);
	add16(b, (uint16_t)p->after.n);
	buf_add_slice(b, p->bucket);
	buf_add_slice(b, p->prefix);
	buf_add_slice(b, p->after);
	return room_for(out, 0);
}

static int
delete_request(struct call_out *out, const struct vnode_delete *p)
{
	struct buf *b = &out->head;

	add32(b, p->group);
	add8(b, (uint8_t)p->bucket.n);
	add8(b, (uint8_t)p->stream.n);
	buf_add_slice(b, p->bucket);
	buf_add_slice(b, p->stream);
	return room_for(out, 0);
}

static int
put_answer(struct call_out *out, const struct vnode_put *p)
{
	add64s(
	    &out->head, 4, (uint64_t[]){p->first, p->last, p->t_ms, p->newest});
	add16(&out->head, (uint16_t)p->n_replicas);
	add8(&out->head, p->replayed ? PUT_REPLAYED : 0);
	add8(&out->head, 0);
	return room_for(out, 0);
}

static int
read_answer(struct call_out *out, const struct vnode_read *p)
{
	struct buf *b = &out->head;
	int r = room_for(out, p->page.n_parts);

	add64s(b, 10,
	    (uint64_t[]){p->incarnation, p->kept_first, p->newest,
		p->range_first, p->range_last, p->seek, p->damaged_first,
		p->damaged_last, p->page.first, p->page.last});
	add32(b, p->page.n_parts);
	for (uint32_t i = 0; i < p->page.n_parts; i++)
		add32(b, (uint32_t)p->page.parts[i].records.n);
	for (uint32_t i = 0; r == 0 && i < p->page.n_parts; i++)
		lend(out, p->page.parts[i].records);
	return r;
}

static int
list_answer(struct call_out *out, const struct vnode_list *p)
{
	struct buf *b = &out->head;

	add8(b, p->more != 0);
	add32(b, p->n_items);
	for (uint32_t i = 0; i < p->n_items; i++) {
		const struct vnode_list_item *it = &p->items[i];

		add8(b, (uint8_t)it->name.n);
		add64s(b, 5,
		    (uint64_t[]){
			it->first, it->last, it->count, it->bytes, it->t_ms});
	}
	for (uint32_t i = 0; i < p->n_items; i++)
		buf_add_slice(b, p->items[i].name);
	return room_for(out, 0);
}

static int
body(struct call_out *out, const struct msg *m)
{
	switch (m->kind) {
	case MSG_PUT:
		return m->answer ? put_answer(out, REQUEST_OF(m, vnode_put))
				 : put_request(out, REQUEST_OF(m, vnode_put));
	case MSG_DELETE:
		return m->answer
			   ? room_for(out, 0)
			   : delete_request(out, REQUEST_OF(m, vnode_delete));
	case MSG_READ:
		return m->answer ? read_answer(out, REQUEST_OF(m, vnode_read))
				 : read_request(out, REQUEST_OF(m, vnode_read));
	case MSG_NEWS:
		if (m->answer)
			news_add_answer(&out->head, REQUEST_OF(m, vnode_news));
		else
			news_add_request(&out->head, REQUEST_OF(m, vnode_news));
		return room_for(out, 0);
	case MSG_LIST:
		return m->answer ? list_answer(out, REQUEST_OF(m, vnode_list))
				 : list_request(out, REQUEST_OF(m, vnode_list));
	default:
		ASSERT_UNREACHED();
	}
}

static uint8_t
wire_kind(const struct msg *m)
{
	switch (m->kind) {
	case MSG_PUT:
		return WIRE_PUT;
	case MSG_DELETE:
		return WIRE_DELETE;
	case MSG_READ:
		return WIRE_READ;
	case MSG_NEWS:
		return WIRE_NEWS;
	default:
		return WIRE_LIST;
	}
}

static int
is_stale(const struct msg *m)
{
	switch (m->kind) {
	case MSG_READ:
		return REQUEST_OF(m, vnode_read)->stale;
	case MSG_LIST:
		return REQUEST_OF(m, vnode_list)->stale;
	default:
		return 0;
	}
}

int
call_encode(struct call_out *out, uint64_t id, const struct msg *m)
{
	struct msg *mut = (struct msg *)(uintptr_t)m; /* only looked at */
	size_t bytes = 0;
	int r;

	*out = (struct call_out){0};
	buf_init(&out->head, HEADS_MAX);
	add32(&out->head, CALL_MAGIC);
	add16(&out->head, CALL_FORMAT);
	add8(&out->head, wire_kind(m));
	add8(&out->head, m->answer  ? ANSWER | (is_stale(m) ? STALE : 0)
			 : m->relay ? RELAY
				    : 0);
	add64s(&out->head, 1, &id);
	if (m->answer) {
		add32(&out->head, (uint32_t)*request_result(mut));
		buf_add(&out->head, request_leader(mut), 16);
	}
	r = body(out, m);
	if (r == 0)
		r = buf_error(&out->head);
	if (r)
		return r;
	out->iov[0] = (struct iovec){out->head.p, out->head.n};
	for (uint32_t i = 0; i < out->n_iov; i++)
		bytes += out->iov[i].iov_len;
	return bytes > NET_FRAME_MAX ? -ERR_LIMIT : 0;
}

void
call_out_deinit(struct call_out *out)
{
	buf_deinit(&out->head);
	out->iov = mem_free(out->iov);
}
