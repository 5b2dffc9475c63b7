/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * listen_encode - events as listeners get them.
 *
 * What comes live is encoded once for all who listen to a stream in the same way
 * and goes to their sockets by reference.  The size is known before anything is
 * written, so each encoding is one block.
 */
#include "http/base64.h"
#include "http/merge.h"
#include "http/text.h"
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define META_MAX 128 /* of an item, without names and type */
#define SSE_MAX  64  /* id and data around an item */

/* --- one event ------------------------------------------------------------ */

static size_t
item_max(const struct listen_names *n, const struct event *e)
{
	size_t data =
	    e->flags & EVENT_JSON ? e->data.n : BASE64_BYTES(e->data.n);

	return META_MAX + n->meta.n + 2 * e->type.n + data;
}

/* A content type, which is printable ASCII, as a JSON string. */
static char *
put_type(char *at, struct slice s)
{
	*at++ = '"';
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			*at++ = '\\';
		*at++ = (char)s.p[i];
	}
	*at++ = '"';
	return at;
}

static char *
put_bytes(char *at, struct slice s)
{
	if (s.n)
		memcpy(at, s.p, s.n);
	return at + s.n;
}

static char *
put_item(
    char *at, const struct listen_names *n, const struct event *e, int one_line)
{
	at = text_add(at, "{\"meta\":{\"id\":");
	at = text_add_u64(at, e->seq);
	at = text_add(at, ",\"t\":");
	at = text_add_u64(at, e->t_ms);
	at = put_bytes(at, n->meta);
	if (e->flags & EVENT_JSON) {
		at = text_add(at, "},\"data\":");
		at = put_bytes(at, e->data);
		if (one_line && (e->flags & EVENT_NEWLINE))
			text_break_no_line(at - e->data.n, e->data.n);
		return text_add(at, "}");
	}
	at = text_add(at, ",\"type\":");
	at = put_type(at, e->type);
	at = text_add(at, "},\"data64\":\"");
	at = base64_put(at, e->data);
	return text_add(at, "\"}");
}

static char *
put_streamed(char *at, const struct listen_page *p, const struct event *e)
{
	at = text_add(at, "id: ");
	at = text_add_u64(at, p->incarnation);
	at = text_add(at, "-");
	at = text_add_u64(at, e->seq);
	at = text_add(at, "\ndata: [");
	at = put_item(at, p->names, e, 1);
	return text_add(at, "]\n\n");
}

/* --- batches -------------------------------------------------------------- */

static void
begin_item(struct batch *b, struct buf *text)
{
	if (b->n)
		buf_add_byte(text, ',');
	b->begin[b->n] = (uint32_t)text->n;
}

void
batch_add_event(struct batch *b, struct buf *text,
    const struct listen_names *names, const struct event *e)
{
	char *at;

	begin_item(b, text);
	at = (char *)buf_reserve(text, item_max(names, e));
	if (at)
		text->n += (size_t)(put_item(at, names, e, 1) - at);
	b->end[b->n++] = (uint32_t)text->n;
}

void
batch_add_gap(struct batch *b, struct buf *text,
    const struct listen_names *names, uint64_t first)
{
	begin_item(b, text);
	buf_add_str(text, "{\"notice\":\"gap\"");
	buf_add_slice(text, names->meta);
	buf_printf(text, ",\"first\":%llu}", (unsigned long long)first);
	b->end[b->n++] = (uint32_t)text->n;
}

void
batch_add_deleted(
    struct batch *b, struct buf *text, const struct listen_names *names)
{
	begin_item(b, text);
	buf_add_str(text, "{\"notice\":\"deleted\"");
	buf_add_slice(text, names->meta);
	buf_add_byte(text, '}');
	b->end[b->n++] = (uint32_t)text->n;
}

int
batch_finish(struct batch *b, struct buf *text)
{
	if (buf_error(text))
		return buf_error(text);
	b->text = block_new((uint32_t)text->n);
	if (!b->text)
		return -ERR_NOMEM;
	if (text->n)
		memcpy(b->text->p, text->p, text->n);
	b->text->n = (uint32_t)text->n;
	return 0;
}

/* --- frames --------------------------------------------------------------- */

/* RFC 6455 section 5.2. */
uint8_t *
listen_frame_head(uint8_t *end, uint8_t opcode, uint64_t n)
{
	unsigned bytes = n < 126 ? 0 : n < 65536 ? 2 : 8;
	uint8_t *p = end - bytes - 2;

	p[0] = 0x80 | opcode;
	p[1] = (uint8_t)(bytes == 0 ? n : bytes == 2 ? 126 : 127);
	for (unsigned i = 0; i < bytes; i++)
		p[2 + i] = (uint8_t)(n >> (8 * (bytes - 1 - i)));
	return p;
}

/* --- pages ---------------------------------------------------------------- */

int
listen_walk_next(struct listen_walk *w, uint64_t from, struct event *e)
{
	do {
		uint32_t bytes;

		while (w->in.n == 0) {
			if (w->part == w->page->n_parts)
				return 0;
			w->in = w->page->parts[w->part++].records;
		}
		if (event_decode(w->in, 0, e, &bytes))
			return 0;
		w->in = SLICE(w->in.p + bytes, w->in.n - bytes);
	} while (e->seq < from);
	return 1;
}

/* Room for MAX events from FROM on. */
static size_t
measure(const struct listen_page *p, uint64_t from, uint32_t max)
{
	struct listen_walk w = {.page = p->page};
	size_t n = LISTEN_FRAME_HEAD_MAX + 2;
	uint32_t k = 0;
	struct event e;

	while (k < max && listen_walk_next(&w, from, &e)) {
		n += item_max(p->names, &e) + SSE_MAX;
		k++;
	}
	return k ? n : 0;
}

uint32_t
listen_fit(
    const struct listen_page *p, uint64_t from, uint32_t max, uint64_t bytes)
{
	struct listen_walk w = {.page = p->page};
	uint64_t room = 0;
	uint32_t n = 0;
	struct event e;

	while (n < max && listen_walk_next(&w, from, &e)) {
		room += item_max(p->names, &e) + 1;
		if (room > bytes)
			break;
		n++;
	}
	return n;
}

static struct block *
encode(enum listen_encoding how, const struct listen_page *p, uint64_t from,
    uint32_t max, struct slice *bytes, uint32_t *n)
{
	struct listen_walk w = {.page = p->page};
	size_t room = measure(p, from, max);
	struct block *b;
	struct event e;
	char *begin, *at;

	*n = 0;
	b = room && room < UINT32_MAX ? block_new((uint32_t)room) : NULL;
	if (!b)
		return NULL;
	begin = at = (char *)b->p + LISTEN_FRAME_HEAD_MAX;
	if (how == LISTEN_FRAMES)
		*at++ = '[';
	while (*n < max && listen_walk_next(&w, from, &e)) {
		if (how == LISTEN_STREAMED) {
			at = put_streamed(at, p, &e);
		} else {
			if (*n)
				*at++ = ',';
			at = put_item(at, p->names, &e, 0);
		}
		++*n;
	}
	if (how == LISTEN_FRAMES) {
		*at++ = ']';
		begin = (char *)listen_frame_head(
		    (uint8_t *)begin, 1, (uint64_t)(at - begin));
	}
	b->n = (uint32_t)(at - (char *)b->p);
	ASSERT(b->n <= b->cap);
	*bytes = SLICE(begin, (size_t)(at - begin));
	return b;
}

/* How many events of PAGE there are from FROM on. */
static uint64_t
count_from(const struct vnode_page *page, uint64_t from)
{
	if (page->n_parts == 0 || from > page->last)
		return 0;
	return page->last - (from > page->first ? from : page->first) + 1;
}

uint32_t
listen_encode(struct out *to, enum listen_encoding how,
    const struct listen_page *p, uint64_t from, uint32_t max)
{
	struct listen_shared *s = p->shared;
	uint64_t all = count_from(p->page, from);
	struct slice bytes;
	struct block *b;
	uint32_t n;

	if (how == LISTEN_FRAMES && max > LISTEN_FRAME_EVENTS)
		max = LISTEN_FRAME_EVENTS;
	if (all == 0 || max == 0)
		return 0;
	if (all > max || from > p->page->first)
		s = NULL; /* it wants a part of its own */
	if (s && s->block[how]) {
		out_block(to, s->bytes[how], s->block[how]);
		return (uint32_t)all;
	}
	b = encode(how, p, from, max, &bytes, &n);
	if (!b) {
		to->error = -ERR_NOMEM;
		return 0;
	}
	out_block(to, bytes, b);
	if (s) {
		s->block[how] = b;
		s->bytes[how] = bytes;
	} else {
		block_unref(b);
	}
	return n;
}

void
listen_encode_one(
    struct out *to, const struct listen_page *p, const struct event *e)
{
	struct block *b = block_new((uint32_t)item_max(p->names, e));

	if (!b) {
		to->error = -ERR_NOMEM;
		return;
	}
	b->n =
	    (uint32_t)(put_item((char *)b->p, p->names, e, 1) - (char *)b->p);
	ASSERT(b->n <= b->cap);
	out_block(to, SLICE(b->p, b->n), b);
	block_unref(b);
}

void
listen_shared_deinit(struct listen_shared *s)
{
	for (int i = 0; i < LISTEN_ENCODINGS; i++)
		s->block[i] = block_unref(s->block[i]);
}
