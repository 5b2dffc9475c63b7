/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * render - events as JSON, NDJSON, and as themselves.
 *
 * A large payload goes from the page to the socket by reference; small ones are
 * copied next to each other, which is cheaper than an iovec each.
 */
#include "http/render.h"

#include "src/base/err.h"
#include "src/base/mem.h"

#define BY_REFERENCE 2048
#define GATHER_BYTES (64u << 10)

static void
add_base64(struct buf *b, struct slice s)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t i;

	for (i = 0; i + 2 < s.n; i += 3) {
		uint32_t v = (uint32_t)s.p[i] << 16 |
			     (uint32_t)s.p[i + 1] << 8 | s.p[i + 2];
		uint8_t out[4] = {(uint8_t)digits[v >> 18],
		    (uint8_t)digits[v >> 12 & 63], (uint8_t)digits[v >> 6 & 63],
		    (uint8_t)digits[v & 63]};

		buf_add(b, out, 4);
	}
	if (i < s.n) {
		uint32_t v = (uint32_t)s.p[i] << 16 |
			     (i + 1 < s.n ? (uint32_t)s.p[i + 1] << 8 : 0);

		buf_add_byte(b, (uint8_t)digits[v >> 18]);
		buf_add_byte(b, (uint8_t)digits[v >> 12 & 63]);
		buf_add_byte(
		    b, i + 1 < s.n ? (uint8_t)digits[v >> 6 & 63] : '=');
		buf_add_byte(b, '=');
	}
}

/* Everything before the payload, and, for a binary event, all of it. */
static void
add_meta(struct buf *b, const struct event *e)
{
	buf_add(b, "{\"meta\":{\"id\":", 14);
	buf_add_u64(b, e->seq);
	buf_add(b, ",\"t\":", 5);
	buf_add_u64(b, e->t_ms);
	if (e->flags & EVENT_JSON) {
		buf_add(b, "}, \"data\":", 10);
		return;
	}
	buf_add_str(b, ",\"type\":");
	buf_add_json_string(b, e->type);
	buf_add_str(b, "}, \"data64\":\"");
	add_base64(b, e->data);
	buf_add_byte(b, '"');
}

static void
add_payload(struct request *rq, struct buf *b, const struct event *e)
{
	size_t at = b->n;

	if (!(e->flags & EVENT_JSON))
		return;
	buf_add_slice(b, e->data);
	if (!rq->ndjson || !(e->flags & EVENT_NEWLINE) || buf_error(b))
		return;
	for (; at < b->n; at++)
		if (b->p[at] == '\n' || b->p[at] == '\r')
			b->p[at] = ' ';
}

static void
flush_items(struct request *rq)
{
	respond_chunk(rq, buf_slice(&rq->items));
	buf_reset(&rq->items);
}

static void
render_large(struct request *rq, const struct event *e, struct block *block)
{
	struct buf *b = &rq->items;

	flush_items(rq);
	add_meta(b, e);
	respond_chunk_begin(rq, b->n + e->data.n + 2);
	conn_out(rq->conn, b->p, b->n);
	conn_out_block(rq->conn, e->data, block);
	conn_out(rq->conn, "}\n", 2);
	respond_chunk_end(rq);
	buf_reset(b);
}

static int
render_event(struct request *rq, const struct event *e, struct block *block)
{
	struct buf *b = &rq->items;

	if (rq->ndjson && e->data.n >= BY_REFERENCE &&
	    (e->flags & (EVENT_JSON | EVENT_NEWLINE)) == EVENT_JSON) {
		render_large(rq, e, block);
		return 0;
	}
	if (!rq->ndjson && b->n > 1)
		buf_add_byte(b, ',');
	add_meta(b, e);
	add_payload(rq, b, e);
	buf_add_byte(b, '}');
	if (rq->ndjson) {
		buf_add_byte(b, '\n');
		if (b->n >= GATHER_BYTES)
			flush_items(rq);
	}
	return buf_error(b);
}

/* A page stands in ascending order; the newest first means from its end. */
static int
render_reversed(struct request *rq, const struct vnode_page *page)
{
	uint64_t n = page->last - page->first + 1, k = 0;
	struct at {
		const uint8_t *p;
		struct block *block;
	} *at = mem_calloc(n, sizeof(*at));
	int r = at ? 0 : -ERR_NOMEM;

	for (uint32_t i = 0; r == 0 && i < page->n_parts; i++) {
		struct slice in = page->parts[i].records;
		struct event e;
		uint32_t bytes;

		while (in.n && k < n && event_decode(in, 0, &e, &bytes) == 0) {
			at[k++] = (struct at){in.p, page->parts[i].block};
			in = SLICE(in.p + bytes, in.n - bytes);
		}
	}
	while (r == 0 && k > 0) {
		struct event e;
		uint32_t bytes;

		k--;
		event_decode(SLICE(at[k].p, UINT32_MAX), 0, &e, &bytes);
		r = render_event(rq, &e, at[k].block);
	}
	mem_free(at);
	return r;
}

int
render_page(struct request *rq, const struct vnode_page *page)
{
	int r = 0;

	if (rq->ndjson)
		buf_reset(&rq->items);
	if (rq->desc)
		r = render_reversed(rq, page);
	for (uint32_t i = 0; !rq->desc && i < page->n_parts; i++) {
		struct slice in = page->parts[i].records;
		struct event e;
		uint32_t bytes;

		while (r == 0 && in.n && event_decode(in, 0, &e, &bytes) == 0) {
			r = render_event(rq, &e, page->parts[i].block);
			in = SLICE(in.p + bytes, in.n - bytes);
		}
	}
	if (rq->ndjson)
		flush_items(rq);
	return r;
}

static void
raw_missing(struct request *rq)
{
	const struct vnode_read *r = &rq->read;
	char fields[48];

	if (r->from > r->newest) {
		respond_error(rq, 404, "not-found", NULL, NULL,
		    "this event does not exist yet");
		return;
	}
	snprintf(fields, sizeof(fields), ",\"first\":%llu",
	    (unsigned long long)(r->kept_first ? r->kept_first
					       : r->newest + 1));
	respond_error(rq, 410, "gone", NULL, fields, "this event was evicted");
}

void
render_raw(struct request *rq)
{
	struct vnode_page *page = &rq->read.page;
	struct event e;
	uint32_t bytes;
	char type[EVENT_TYPE_MAX + 1] = "application/json", extra[160];

	if (page->n_parts == 0 ||
	    event_decode(page->parts[0].records, 0, &e, &bytes)) {
		raw_missing(rq);
		return;
	}
	if (!(e.flags & EVENT_JSON))
		snprintf(type, sizeof(type), "%.*s", (int)e.type.n,
		    (const char *)e.type.p);
	snprintf(extra, sizeof(extra),
	    "Iorio-Seq: %llu\r\nIorio-Time: %llu\r\n"
	    "Cache-Control: private, no-cache\r\n"
	    "Vary: Accept, Authorization, X-Session\r\n",
	    (unsigned long long)e.seq, (unsigned long long)e.t_ms);
	respond(rq, 200, type, extra, e.data);
}
