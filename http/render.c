/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * render - events as JSON, NDJSON, and as themselves.
 *
 * A large payload goes from the page to the socket by reference; small ones are
 * copied once, next to each other, which is cheaper than an iovec each.
 */
#include "http/render.h"

#include "http/base64.h"
#include "http/cache.h"
#include "http/read.h"
#include "http/text.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define BY_REFERENCE 2048
#define GATHER_BYTES (64u << 10)

static void
add_base64(struct buf *b, struct slice s)
{
	uint8_t *at = buf_reserve(b, BASE64_BYTES(s.n));

	if (at)
		b->n += (size_t)(base64_put((char *)at, s) - (char *)at);
}

static void
add(struct out *to, const void *p, size_t n)
{
	uint8_t *at = out_reserve(to, n, (uint32_t)n);

	if (at)
		memcpy(at, p, n);
}

#define META_BYTES 96

/* What stands before the payload; of a binary event, before its type. */
static size_t
meta_text(char text[META_BYTES], const char *before, const struct event *e)
{
	char *at = text;

	at = text_add(at, before);
	at = text_add(at, "{\"meta\":{\"id\":");
	at = text_add_u64(at, e->seq);
	at = text_add(at, ",\"t\":");
	at = text_add_u64(at, e->t_ms);
	if (e->flags & EVENT_JSON)
		at = text_add(at, "}, \"data\":");
	return (size_t)(at - text);
}

static int
render_binary(struct out *to, const char *before, const char *after,
    const struct event *e)
{
	char meta[META_BYTES];
	struct buf b;

	buf_init(&b, 4 * e->data.n + 4096);
	buf_add(&b, meta, meta_text(meta, before, e));
	buf_add_str(&b, ",\"type\":");
	buf_add_json_string(&b, e->type);
	buf_add_str(&b, "}, \"data64\":\"");
	add_base64(&b, e->data);
	buf_add_byte(&b, '"');
	buf_add_str(&b, after);
	if (buf_error(&b))
		to->error = -ERR_NOMEM;
	else
		add(to, b.p, b.n);
	buf_deinit(&b);
	return to->error;
}

static int
render_event(struct request *rq, struct out *to, const struct event *e,
    struct block *block, uint32_t room)
{
	const char *before = rq->ndjson ? "" : to->bytes ? "," : "[";
	const char *after = rq->ndjson ? "}\n" : "}";
	int newline = rq->ndjson && (e->flags & EVENT_NEWLINE);
	size_t n_meta, n_after = strlen(after);
	char meta[META_BYTES];
	uint8_t *p;

	if (!(e->flags & EVENT_JSON))
		return render_binary(to, before, after, e);
	n_meta = meta_text(meta, before, e);
	if (e->data.n >= BY_REFERENCE && !newline) {
		add(to, meta, n_meta);
		out_block(to, e->data, block);
		add(to, after, n_after);
		return to->error;
	}
	p = out_reserve(to, n_meta + e->data.n + n_after, room);
	if (!p)
		return to->error;
	memcpy(p, meta, n_meta);
	memcpy(p + n_meta, e->data.p, e->data.n);
	if (newline)
		text_break_no_line(p + n_meta, e->data.n);
	memcpy(p + n_meta + e->data.n, after, n_after);
	return 0;
}

/* Not less than render_event adds. */
static uint64_t
bytes_at_most(const struct event *e)
{
	if (e->flags & EVENT_JSON)
		return META_BYTES + e->data.n;
	return META_BYTES + 2 * e->type.n + (e->data.n + 2) / 3 * 4;
}

/* Whether E is one more than a JSON answer may have. */
static int
is_surplus(
    const struct request *rq, const struct out *to, const struct event *e)
{
	return !rq->ndjson && to->bytes &&
	       to->bytes + bytes_at_most(e) >= READ_BYTES_MAX;
}

/* How large a block of text to begin with, for all of PAGE if it is small. */
static uint32_t
room_for(const struct vnode_page *page)
{
	uint64_t n = (page->last - page->first + 1) * META_BYTES;

	for (uint32_t i = 0; i < page->n_parts; i++)
		n += page->parts[i].records.n;
	return n < GATHER_BYTES ? (uint32_t)n : GATHER_BYTES;
}

static int
render_forward(struct request *rq, struct out *to,
    const struct vnode_page *page, uint64_t *n)
{
	uint32_t room = room_for(page);
	int r = 0;

	for (uint32_t i = 0; i < page->n_parts; i++) {
		struct slice in = page->parts[i].records;
		struct event e;
		uint32_t bytes;

		while (r == 0 && in.n && event_decode(in, 0, &e, &bytes) == 0) {
			if (is_surplus(rq, to, &e))
				return 0;
			r = render_event(
			    rq, to, &e, page->parts[i].block, room);
			in = SLICE(in.p + bytes, in.n - bytes);
			++*n;
		}
	}
	return r;
}

/* A page stands in ascending order; the newest first means from its end. */
static int
render_reversed(struct request *rq, struct out *to,
    const struct vnode_page *page, uint64_t *n_out)
{
	uint64_t n = page->last - page->first + 1, k = 0;
	uint32_t room = room_for(page);
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
		if (is_surplus(rq, to, &e))
			break;
		r = render_event(rq, to, &e, at[k].block, room);
		++*n_out;
	}
	mem_free(at);
	return r;
}

int
render_page(struct request *rq, struct out *to, const struct vnode_page *page,
    uint64_t *n)
{
	*n = 0;
	if (page->n_parts == 0)
		return 0;
	return rq->desc ? render_reversed(rq, to, page, n)
			: render_forward(rq, to, page, n);
}

void
render_array_end(struct out *to)
{
	if (to->bytes == 0)
		add(to, "[", 1);
	add(to, "]", 1);
}

/* It may come to be: no cache may think that it knows. */
#define NO_STORE "Cache-Control: no-store\r\n"

static void
raw_missing(struct request *rq)
{
	const struct vnode_read *r = &rq->read;
	char fields[48];

	if (r->from > r->newest) {
		respond_error(rq, 404, "not-found", NO_STORE, NULL,
		    "this event does not exist yet");
		return;
	}
	snprintf(fields, sizeof(fields), ",\"first\":%llu",
	    (unsigned long long)(r->kept_first ? r->kept_first
					       : r->newest + 1));
	respond_error(
	    rq, 410, "gone", NO_STORE, fields, "this event was evicted");
}

static void
respond_event(struct request *rq, const char *type, const struct buf *extra,
    const struct event *e)
{
	rq->n_read = 1;
	respond_with(rq, 200, type, (const char *)extra->p, e->data,
	    rq->read.page.parts[0].block);
}

void
render_raw(struct request *rq)
{
	struct vnode_page *page = &rq->read.page;
	struct event e;
	uint32_t bytes;
	char type[EVENT_TYPE_MAX + 1] = "application/json";
	struct buf extra;

	if (page->n_parts == 0 ||
	    event_decode(page->parts[0].records, 0, &e, &bytes)) {
		raw_missing(rq);
		return;
	}
	if (!(e.flags & EVENT_JSON))
		snprintf(type, sizeof(type), "%.*s", (int)e.type.n,
		    (const char *)e.type.p);
	if (!rq->problem && accept_q(rq->accept, type) == 0) {
		respond_error(rq, 406, "not-acceptable", NULL, NULL,
		    "this event is %s", type);
		return;
	}
	rq->incarnation = rq->read.incarnation;
	buf_init(&extra, 1024);
	buf_printf(&extra, "Iorio-Seq: %llu\r\nIorio-Time: %llu\r\n%s",
	    (unsigned long long)e.seq, (unsigned long long)e.t_ms,
	    rq->read.stale ? "Iorio-Stale: true\r\n" : "");
	cache_add_headers(rq, &extra, e.seq, e.seq);
	buf_add(&extra, "", 1);
	if (buf_error(&extra))
		respond_store_error(rq, -ERR_NOMEM);
	else if (cache_has_it(rq, e.seq, e.seq))
		respond(rq, 304, NULL, (char *)extra.p, SLICE(NULL, 0));
	else
		respond_event(rq, type, &extra, &e);
	buf_deinit(&extra);
}
