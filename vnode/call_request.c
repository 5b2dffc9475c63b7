/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* call_request - a request from the bytes of another node. */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/base/name.h"
#include "vnode/call.h"
#include "vnode/call_impl.h"
#include "vnode/event.h"
#include "vnode/news.h"
#include "vnode/watch.h"

/* What vnode_msg.h wants of one. */
static int
is_patch(const struct vnode_put *p, size_t stream_n)
{
	return p->patch_of && p->has_expect && p->expect && p->n_events > 1 &&
	       stream_n + NAME_PATCH_BYTES <= NAME_MAX_BYTES;
}

static int
take_put(struct call_cursor *c, struct msg **out)
{
	uint32_t group = (uint32_t)call_take_uint(c, 4);
	uint32_t n = (uint32_t)call_take_uint(c, 4);
	uint64_t expect = call_take_uint(c, 8);
	uint8_t flags = (uint8_t)call_take_uint(c, 1);
	size_t bucket_n = (size_t)call_take_uint(c, 1);
	size_t stream_n = (size_t)call_take_uint(c, 1);
	struct vnode_put_event *e;
	struct vnode_put *p;
	struct slice key;

	call_take(c, 1);
	key = call_take(c, flags & PUT_KEY ? KEY_BYTES : 0);
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
		e[i].flags = (uint16_t)call_take_uint(c, 2);
		e[i].type.n = (size_t)call_take_uint(c, 2) & 0xff;
		e[i].data.n = (size_t)call_take_uint(c, 4);
		if (e[i].type.n > EVENT_TYPE_MAX ||
		    e[i].data.n > EVENT_DATA_MAX ||
		    (e[i].flags & ~(EVENT_JSON | EVENT_NEWLINE | EVENT_BASE)))
			return -ERR_CORRUPT;
	}
	if (flags & PUT_PATCH)
		p->patch_of = call_take_uint(c, 8);
	if ((flags & PUT_PATCH) && !is_patch(p, stream_n))
		return -ERR_CORRUPT;
	p->bucket = call_take(c, bucket_n);
	p->stream = call_take(c, stream_n);
	for (uint32_t i = 0; i < n; i++)
		e[i].type = call_take(c, e[i].type.n);
	for (uint32_t i = 0; i < n; i++)
		e[i].data = call_take(c, e[i].data.n);
	return 0;
}

static int
take_read(struct call_cursor *c, struct msg **out)
{
	struct vnode_read *p = mem_zalloc(sizeof(*p));
	uint8_t flags;
	size_t bucket_n, stream_n;

	if (!p)
		return -ERR_NOMEM;
	*out = &p->msg;
	p->msg.kind = MSG_READ;
	p->group = (uint32_t)call_take_uint(c, 4);
	p->op = (enum vnode_read_op)call_take_uint(c, 1);
	flags = (uint8_t)call_take_uint(c, 1);
	bucket_n = (size_t)call_take_uint(c, 1);
	stream_n = (size_t)call_take_uint(c, 1);
	p->from = call_take_uint(c, 8);
	p->to = call_take_uint(c, 8);
	p->last_n = call_take_uint(c, 8);
	p->limit = call_take_uint(c, 8);
	p->seek_ms = call_take_uint(c, 8);
	p->max_bytes = (uint32_t)call_take_uint(c, 4);
	p->desc = flags & READ_DESC;
	p->any = (flags & READ_ANY) != 0;
	p->bucket = call_take(c, bucket_n);
	p->stream = call_take(c, stream_n);
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
take_list(struct call_cursor *c, struct msg **out)
{
	struct vnode_list *p = mem_zalloc(sizeof(*p));
	uint8_t flags;
	size_t bucket_n, prefix_n, after_n;

	if (!p)
		return -ERR_NOMEM;
	*out = &p->msg;
	p->msg.kind = MSG_LIST;
	p->group = (uint32_t)call_take_uint(c, 4);
	p->limit = (uint32_t)call_take_uint(c, 4);
	flags = (uint8_t)call_take_uint(c, 1);
	bucket_n = (size_t)call_take_uint(c, 1);
	prefix_n = (size_t)call_take_uint(c, 2);
	after_n = (size_t)call_take_uint(c, 2);
	p->detail = flags & LIST_DETAIL;
	p->any = (flags & READ_ANY) != 0;
	p->bucket = call_take(c, bucket_n);
	p->prefix = call_take(c, prefix_n);
	p->after = call_take(c, after_n);
	return 0;
}

static int
take_delete(struct call_cursor *c, struct msg **out)
{
	struct vnode_delete *p = mem_zalloc(sizeof(*p));
	size_t bucket_n, stream_n;

	if (!p)
		return -ERR_NOMEM;
	*out = &p->msg;
	p->msg.kind = MSG_DELETE;
	p->group = (uint32_t)call_take_uint(c, 4);
	bucket_n = (size_t)call_take_uint(c, 1);
	stream_n = (size_t)call_take_uint(c, 1);
	p->bucket = call_take(c, bucket_n);
	p->stream = call_take(c, stream_n);
	return bucket_n && stream_n ? 0 : -ERR_CORRUPT;
}

int
call_request(const struct call_in *in, struct msg **out)
{
	struct call_cursor c = {.in = in->rest};
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
call_free_request(struct msg *m)
{
	request_drop_answer(m);
	switch (m->kind) {
	case MSG_PUT:
		mem_free(REQUEST_OF(m, vnode_put));
		break;
	case MSG_DELETE:
		mem_free(REQUEST_OF(m, vnode_delete));
		break;
	case MSG_READ:
		mem_free(REQUEST_OF(m, vnode_read));
		break;
	case MSG_LIST:
		mem_free(REQUEST_OF(m, vnode_list));
		break;
	case MSG_NEWS:
		mem_free(REQUEST_OF(m, vnode_news));
		break;
	default:
		ASSERT_UNREACHED();
	}
}
