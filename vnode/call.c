/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * call - codec of requests between nodes.
 *
 * Format 1, little endian, nothing is aligned.  Cluster, sender and receiver
 * stand in the seal around a frame.
 *
 *	call	 0  u32  magic "IOCA"
 *		 4  u16  format = 1
 *		 6  u8   kind: 1 put, 2 read, 3 list, 4 news (news.c),
 *		      5 delete
 *		 7  u8   0 request, 1 answer, 3 answer that may be stale,
 *		      4 request that is to be passed on to who leads
 *		 8  u64  id, of the caller
 *		16       body
 *
 *	put	u32 group, u32 events, u64 expected seqnum, u8 flags (1: expected
 *		counts, 2: a patch, 4: there is a key), u8 bytes of bucket, u8 of
 *		stream, u8 0; with a key [16] its hash, [16] hash of the body; per
 *		event u16 flags, u8 bytes of type, u8 0, u32 bytes of data; of a patch
 *		u64 incarnation; bucket, stream; types; data
 *	  answer  i32 result, [16] leader, u64 first, last, t, newest,
 *		u16 replicas, u8 flags (1: replayed), u8 0
 *	read	u32 group, u8 op, u8 flags (1 descending, 2 any), u8 bytes of
 *		bucket, u8 of stream, u64 from, to, last n, limit, t to seek,
 *		u32 bytes; bucket, stream.  Op 2, to wait: the incarnation
 *		for last n, milliseconds for t to seek
 *	  answer  i32 result, [16] leader, u64 incarnation, kept first, newest,
 *		range first, range last, seek, damaged first, damaged last, page
 *		first, page last, u32 parts; per part u32 bytes; event records
 *	list	u32 group, u32 limit, u8 flags (1 detail, 2 any), u8 bytes of
 *		bucket, u16 of prefix, u16 of after; bucket, prefix, after
 *	  answer  i32 result, [16] leader, u8 more, u32 items; per item u8 bytes
 *		of name, u64 first, last, count, bytes, t; names
 *	delete	u32 group, u8 bytes of bucket, u8 of stream; bucket, stream
 *	  answer  i32 result, [16] leader
 *
 * A call that is lost or answered twice is the caller's affair: it knows the
 * id, and hears each answer once.
 */
#include "vnode/call.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "src/base/name.h"
#include "vnode/event.h"
#include "vnode/news.h"
#include "vnode/watch.h"

#define CALL_MAGIC  0x41434f49u /* "IOCA" */
#define CALL_FORMAT 1
#define CALL_BYTES  16
#define HEADS_MAX   (64u << 20)

enum { WIRE_PUT = 1, WIRE_READ, WIRE_LIST, WIRE_NEWS, WIRE_DELETE };
enum { ANSWER = 1, STALE = 2, RELAY = 4 };
enum { PUT_EXPECT = 1, PUT_PATCH = 2, PUT_KEY = 4, PUT_REPLAYED = 1 };
enum { READ_DESC = 1, READ_ANY = 2, LIST_DETAIL = 1 };

#define PUT_EVENT_BYTES 8
#define KEY_BYTES       32 /* its hash, and that of the body */
#define ITEM_BYTES      41

/* --- the fields that all requests have -------------------------------------- */

#define OF(m, type) CONTAINER_OF(m, struct type, msg)

uint32_t
request_group(const struct msg *m)
{
	switch (m->kind) {
	case MSG_PUT:
		return OF(m, vnode_put)->group;
	case MSG_DELETE:
		return OF(m, vnode_delete)->group;
	case MSG_READ:
		return OF(m, vnode_read)->group;
	case MSG_NEWS:
		return OF(m, vnode_news)->group;
	case MSG_LIST:
		return OF(m, vnode_list)->group;
	case MSG_CHANGE:
		return OF(m, vnode_change)->group;
	default:
		ASSERT_UNREACHED();
	}
}

int *
request_result(struct msg *m)
{
	switch (m->kind) {
	case MSG_PUT:
		return &OF(m, vnode_put)->r;
	case MSG_DELETE:
		return &OF(m, vnode_delete)->r;
	case MSG_READ:
		return &OF(m, vnode_read)->r;
	case MSG_NEWS:
		return &OF(m, vnode_news)->r;
	case MSG_LIST:
		return &OF(m, vnode_list)->r;
	case MSG_CHANGE:
		return &OF(m, vnode_change)->r;
	default:
		ASSERT_UNREACHED();
	}
}

uint8_t *
request_leader(struct msg *m)
{
	switch (m->kind) {
	case MSG_PUT:
		return OF(m, vnode_put)->leader;
	case MSG_DELETE:
		return OF(m, vnode_delete)->leader;
	case MSG_READ:
		return OF(m, vnode_read)->leader;
	case MSG_NEWS:
		return OF(m, vnode_news)->leader;
	case MSG_LIST:
		return OF(m, vnode_list)->leader;
	case MSG_CHANGE:
		return OF(m, vnode_change)->leader;
	default:
		ASSERT_UNREACHED();
	}
}

int
request_is_write(const struct msg *m)
{
	return m->kind == MSG_PUT || m->kind == MSG_DELETE;
}

/* --- writing -------------------------------------------------------------- */

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
		return m->answer ? put_answer(out, OF(m, vnode_put))
				 : put_request(out, OF(m, vnode_put));
	case MSG_DELETE:
		return m->answer ? room_for(out, 0)
				 : delete_request(out, OF(m, vnode_delete));
	case MSG_READ:
		return m->answer ? read_answer(out, OF(m, vnode_read))
				 : read_request(out, OF(m, vnode_read));
	case MSG_NEWS:
		if (m->answer)
			news_add_answer(&out->head, OF(m, vnode_news));
		else
			news_add_request(&out->head, OF(m, vnode_news));
		return room_for(out, 0);
	case MSG_LIST:
		return m->answer ? list_answer(out, OF(m, vnode_list))
				 : list_request(out, OF(m, vnode_list));
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
		return OF(m, vnode_read)->stale;
	case MSG_LIST:
		return OF(m, vnode_list)->stale;
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

/* --- reading -------------------------------------------------------------- */

/* What is left; BAD once something was missing. */
struct cursor {
	struct slice in;
	int bad;
};

static struct slice
take(struct cursor *c, size_t n)
{
	struct slice s = c->in;

	if (c->bad || n > c->in.n) {
		c->bad = 1;
		return SLICE(NULL, 0);
	}
	c->in = SLICE(c->in.p + n, c->in.n - n);
	return SLICE(s.p, n);
}

static uint64_t
take_uint(struct cursor *c, unsigned bytes)
{
	struct slice s = take(c, bytes);
	uint64_t v = 0;

	for (size_t i = 0; i < s.n; i++)
		v |= (uint64_t)s.p[i] << (8 * i);
	return v;
}

int
call_open(struct slice bytes, struct call_in *out)
{
	static const enum msg_kind kinds[] = {[WIRE_PUT] = MSG_PUT,
	    [WIRE_READ] = MSG_READ,
	    [WIRE_LIST] = MSG_LIST,
	    [WIRE_NEWS] = MSG_NEWS,
	    [WIRE_DELETE] = MSG_DELETE};
	uint8_t kind;

	if (bytes.n < CALL_BYTES || le_get32(bytes.p) != CALL_MAGIC ||
	    le_get16(bytes.p + 4) != CALL_FORMAT)
		return -ERR_FORMAT;
	kind = bytes.p[6];
	if (kind < WIRE_PUT || kind > WIRE_DELETE || bytes.p[7] > RELAY ||
	    bytes.p[7] == STALE)
		return -ERR_FORMAT;
	*out = (struct call_in){
	    .kind = kinds[kind],
	    .answer = bytes.p[7] & ANSWER,
	    .stale = (bytes.p[7] & STALE) != 0,
	    .relay = (bytes.p[7] & RELAY) != 0,
	    .id = le_get64(bytes.p + 8),
	    .rest = SLICE(bytes.p + CALL_BYTES, bytes.n - CALL_BYTES),
	};
	return 0;
}

/* What vnode_msg.h wants of one. */
static int
is_patch(const struct vnode_put *p, size_t stream_n)
{
	return p->patch_of && p->has_expect && p->expect && p->n_events > 1 &&
	       stream_n + NAME_PATCH_BYTES <= NAME_MAX_BYTES;
}

static int
take_put(struct cursor *c, struct msg **out)
{
	uint32_t group = (uint32_t)take_uint(c, 4);
	uint32_t n = (uint32_t)take_uint(c, 4);
	uint64_t expect = take_uint(c, 8);
	uint8_t flags = (uint8_t)take_uint(c, 1);
	size_t bucket_n = (size_t)take_uint(c, 1);
	size_t stream_n = (size_t)take_uint(c, 1);
	struct vnode_put_event *e;
	struct vnode_put *p;
	struct slice key;

	take(c, 1);
	key = take(c, flags & PUT_KEY ? KEY_BYTES : 0);
	if (c->bad || n == 0 || n > c->in.n / PUT_EVENT_BYTES || !bucket_n ||
	    !stream_n || flags > (PUT_EXPECT | PUT_PATCH | PUT_KEY))
		return -ERR_CORRUPT;
	p = mem_zalloc(sizeof(*p) + n * sizeof(*e));
	if (!p)
		return -ERR_NOMEM;
	*out = &p->msg;
	e = (struct vnode_put_event *)(p + 1);
	*p = (struct vnode_put){
	    .msg = {.kind = MSG_PUT},
	    .group = group,
	    .n_events = n,
	    .events = e,
	    .has_expect = flags & PUT_EXPECT,
	    .expect = expect,
	    .has_key = (flags & PUT_KEY) != 0,
	};
	if (p->has_key) {
		memcpy(p->key, key.p, sizeof(p->key));
		memcpy(
		    p->key_body, key.p + sizeof(p->key), sizeof(p->key_body));
	}
	for (uint32_t i = 0; i < n; i++) {
		e[i].flags = (uint16_t)take_uint(c, 2);
		e[i].type.n = (size_t)take_uint(c, 2) & 0xff;
		e[i].data.n = (size_t)take_uint(c, 4);
		if (e[i].type.n > EVENT_TYPE_MAX ||
		    e[i].data.n > EVENT_DATA_MAX ||
		    (e[i].flags & ~(EVENT_JSON | EVENT_NEWLINE)))
			return -ERR_CORRUPT;
	}
	if (flags & PUT_PATCH)
		p->patch_of = take_uint(c, 8);
	if ((flags & PUT_PATCH) && !is_patch(p, stream_n))
		return -ERR_CORRUPT;
	p->bucket = take(c, bucket_n);
	p->stream = take(c, stream_n);
	for (uint32_t i = 0; i < n; i++)
		e[i].type = take(c, e[i].type.n);
	for (uint32_t i = 0; i < n; i++)
		e[i].data = take(c, e[i].data.n);
	return 0;
}

static int
take_read(struct cursor *c, struct msg **out)
{
	struct vnode_read *p = mem_zalloc(sizeof(*p));
	uint8_t flags;
	size_t bucket_n, stream_n;

	if (!p)
		return -ERR_NOMEM;
	*out = &p->msg;
	p->msg.kind = MSG_READ;
	p->group = (uint32_t)take_uint(c, 4);
	p->op = (enum vnode_read_op)take_uint(c, 1);
	flags = (uint8_t)take_uint(c, 1);
	bucket_n = (size_t)take_uint(c, 1);
	stream_n = (size_t)take_uint(c, 1);
	p->from = take_uint(c, 8);
	p->to = take_uint(c, 8);
	p->last_n = take_uint(c, 8);
	p->limit = take_uint(c, 8);
	p->seek_ms = take_uint(c, 8);
	p->max_bytes = (uint32_t)take_uint(c, 4);
	p->desc = flags & READ_DESC;
	p->any = (flags & READ_ANY) != 0;
	p->bucket = take(c, bucket_n);
	p->stream = take(c, stream_n);
	if (p->op > VNODE_READ_WAIT || p->max_bytes > NET_FRAME_MAX / 2)
		return -ERR_CORRUPT;
	if (p->op == VNODE_READ_WAIT) {
		if (p->seek_ms > WATCH_WAIT_MAX_MS)
			return -ERR_CORRUPT;
		p->known = p->last_n;
		p->wait_ms = (uint32_t)p->seek_ms;
		p->last_n = p->seek_ms = 0;
	}
	return 0;
}

static int
take_list(struct cursor *c, struct msg **out)
{
	struct vnode_list *p = mem_zalloc(sizeof(*p));
	uint8_t flags;
	size_t bucket_n, prefix_n, after_n;

	if (!p)
		return -ERR_NOMEM;
	*out = &p->msg;
	p->msg.kind = MSG_LIST;
	p->group = (uint32_t)take_uint(c, 4);
	p->limit = (uint32_t)take_uint(c, 4);
	flags = (uint8_t)take_uint(c, 1);
	bucket_n = (size_t)take_uint(c, 1);
	prefix_n = (size_t)take_uint(c, 2);
	after_n = (size_t)take_uint(c, 2);
	p->detail = flags & LIST_DETAIL;
	p->any = (flags & READ_ANY) != 0;
	p->bucket = take(c, bucket_n);
	p->prefix = take(c, prefix_n);
	p->after = take(c, after_n);
	return 0;
}

static int
take_delete(struct cursor *c, struct msg **out)
{
	struct vnode_delete *p = mem_zalloc(sizeof(*p));
	size_t bucket_n, stream_n;

	if (!p)
		return -ERR_NOMEM;
	*out = &p->msg;
	p->msg.kind = MSG_DELETE;
	p->group = (uint32_t)take_uint(c, 4);
	bucket_n = (size_t)take_uint(c, 1);
	stream_n = (size_t)take_uint(c, 1);
	p->bucket = take(c, bucket_n);
	p->stream = take(c, stream_n);
	return bucket_n && stream_n ? 0 : -ERR_CORRUPT;
}

int
call_request(const struct call_in *in, struct msg **out)
{
	struct cursor c = {.in = in->rest};
	struct msg *m = NULL;
	int r;

	ASSERT(!in->answer);
	switch (in->kind) {
	case MSG_PUT:
		r = take_put(&c, &m);
		break;
	case MSG_DELETE:
		r = take_delete(&c, &m);
		break;
	case MSG_READ:
		r = take_read(&c, &m);
		break;
	case MSG_NEWS:
		return news_take_request(in->rest, out);
	default:
		r = take_list(&c, &m);
	}
	if (r == 0 && (c.bad || c.in.n))
		r = -ERR_CORRUPT;
	if (r && m)
		call_free_request(m);
	else if (r == 0)
		*out = m;
	return r;
}

void
request_drop_answer(struct msg *m)
{
	if (m->kind == MSG_READ)
		vnode_page_deinit(&OF(m, vnode_read)->page);
	else if (m->kind == MSG_LIST)
		vnode_list_deinit(OF(m, vnode_list));
	else if (m->kind == MSG_NEWS)
		vnode_news_deinit(OF(m, vnode_news));
}

void
call_free_request(struct msg *m)
{
	request_drop_answer(m);
	switch (m->kind) {
	case MSG_PUT:
		mem_free(OF(m, vnode_put));
		break;
	case MSG_DELETE:
		mem_free(OF(m, vnode_delete));
		break;
	case MSG_READ:
		mem_free(OF(m, vnode_read));
		break;
	case MSG_LIST:
		mem_free(OF(m, vnode_list));
		break;
	case MSG_NEWS:
		mem_free(OF(m, vnode_news));
		break;
	default:
		ASSERT_UNREACHED();
	}
}

/* --- answers -------------------------------------------------------------- */

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
take_page(struct cursor *c, struct block *block, struct vnode_page *page)
{
	uint64_t first = take_uint(c, 8), last = take_uint(c, 8), next = first;
	uint32_t n = (uint32_t)take_uint(c, 4);
	struct cursor sizes = *c;
	struct vnode_part *parts;
	int r = 0;

	if (c->bad || n > c->in.n / 4 || first > last)
		return -ERR_CORRUPT;
	*page = (struct vnode_page){0};
	if (n == 0)
		return first || last ? -ERR_CORRUPT : 0;
	take(c, 4 * (size_t)n);
	parts = mem_calloc(n, sizeof(*parts));
	if (!parts)
		return -ERR_NOMEM;
	for (uint32_t i = 0; r == 0 && i < n; i++) {
		parts[i].records = take(c, (size_t)take_uint(&sizes, 4));
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
answer_read(struct cursor *c, struct block *block, struct vnode_read *p)
{
	struct vnode_page page;
	uint64_t v[8];
	int r;

	for (int i = 0; i < 8; i++)
		v[i] = take_uint(c, 8);
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
answer_list(struct cursor *c, struct vnode_list *p)
{
	int more = (int)take_uint(c, 1);
	uint32_t n = (uint32_t)take_uint(c, 4);
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

		it->name.n = (size_t)take_uint(c, 1);
		it->first = take_uint(c, 8);
		it->last = take_uint(c, 8);
		it->count = take_uint(c, 8);
		it->bytes = take_uint(c, 8);
		it->t_ms = take_uint(c, 8);
	}
	for (uint32_t i = 0; i < n; i++) {
		struct slice name = take(c, items[i].name.n);

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
	struct cursor c = {.in = in->rest};
	int result = (int)(int32_t)take_uint(&c, 4);
	struct slice leader = take(&c, 16);
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
			v[i] = take_uint(&c, 8);
		n = (uint32_t)take_uint(&c, 2);
		flags = (uint8_t)take_uint(&c, 1);
		take(&c, 1);
		if (c.bad)
			return -ERR_CORRUPT;
		OF(m, vnode_put)->first = v[0];
		OF(m, vnode_put)->last = v[1];
		OF(m, vnode_put)->t_ms = v[2];
		OF(m, vnode_put)->newest = v[3];
		OF(m, vnode_put)->n_replicas = n;
		OF(m, vnode_put)->replayed = (flags & PUT_REPLAYED) != 0;
		break;
	case MSG_DELETE:
		break;
	case MSG_READ:
		r = answer_read(&c, block, OF(m, vnode_read));
		OF(m, vnode_read)->stale = in->stale;
		break;
	case MSG_NEWS:
		r = news_take_answer(c.in, OF(m, vnode_news));
		break;
	default:
		r = answer_list(&c, OF(m, vnode_list));
		OF(m, vnode_list)->stale = in->stale;
	}
	if (r)
		return r;
	*request_result(m) = result;
	memcpy(request_leader(m), leader.p, 16);
	return 0;
}
