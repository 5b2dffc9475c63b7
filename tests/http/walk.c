/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* walk - bytes of a connection through the parser. */
#include "tests/http/walk.h"

#include "http/parser.h"
#include "src/base/assert.h"
#include "src/base/mem.h"

/* Bytes that arrived and are not consumed. */
struct input {
	struct slice in;
	size_t from, to;
	walk_cut_fn cut;
	void *arg;
};

void
walk_init(struct walk *w)
{
	*w = (struct walk){0};
	buf_init(&w->text, 16u << 20);
	buf_init(&w->extra, 16u << 20);
}

void
walk_deinit(struct walk *w)
{
	buf_deinit(&w->text);
	buf_deinit(&w->extra);
}

/* 0 when there is nothing more. */
static int
arrive(struct input *i)
{
	size_t n = i->cut(i->arg), left = i->in.n - i->to;

	ASSERT(n > 0);
	i->to += n < left ? n : left;
	return left > 0;
}

static uint8_t *
copy(const struct input *i)
{
	size_t n = i->to - i->from;
	uint8_t *p = mem_alloc(n ? n : 1);

	ASSERT(p);
	if (n)
		memcpy(p, i->in.p + i->from, n);
	return p;
}

static enum parser_result
step_head(struct parser_head *h, const struct input *i)
{
	uint8_t *p = copy(i);
	enum parser_result r = parser_head_step(h, SLICE(p, i->to - i->from));

	mem_free(p);
	return r;
}

static void
add_head(struct walk *w, const struct parser_head *h, const uint8_t *base)
{
	buf_add_slice(&w->text, parser_slice(base, h->method));
	buf_add_byte(&w->text, ' ');
	buf_add_slice(&w->text, parser_slice(base, h->target));
	buf_add_byte(&w->text, '\n');
	for (uint32_t i = 0; i < h->n_headers; i++) {
		buf_add_slice(&w->text, parser_slice(base, h->headers[i].name));
		buf_add_byte(&w->text, ':');
		buf_add_slice(
		    &w->text, parser_slice(base, h->headers[i].value));
		buf_add_byte(&w->text, '\n');
	}
	buf_add_byte(&w->text, '\n');
	buf_printf(&w->extra, "%d.%u length %d:%llu %d%d%d%d%d\n", h->minor,
	    h->bytes, h->has_length, (unsigned long long)h->content_length,
	    h->chunked, h->has_host, h->keep_alive, h->expect_continue,
	    h->upgrade);
	ASSERT(h->started && h->bytes >= 4);
	ASSERT(!(h->chunked && h->has_length));
}

static enum parser_result
fixed_body(struct walk *w, const struct parser_head *h, struct input *i)
{
	uint64_t n = h->content_length;

	while (i->to - i->from < n)
		if (!arrive(i))
			return PARSER_MORE;
	buf_add(&w->text, i->in.p + i->from, (size_t)n);
	i->from += (size_t)n;
	return PARSER_DONE;
}

static enum parser_result
chunked_body(struct walk *w, struct input *i)
{
	struct parser_chunked c;

	parser_chunked_init(&c);
	for (;;) {
		uint8_t *p = copy(i);
		size_t n = i->to - i->from, used = n + 1;
		struct slice data;
		enum parser_result r =
		    parser_chunked_step(&c, SLICE(p, n), &used, &data);

		ASSERT(used <= n && data.n <= used);
		ASSERT(r != PARSER_MORE || used > 0 || n == 0);
		buf_add_slice(&w->text, data);
		mem_free(p);
		i->from += used;
		if (r != PARSER_MORE)
			return r;
		if (i->from == i->to && !arrive(i))
			return PARSER_MORE;
	}
}

static enum parser_result
request(struct walk *w, struct input *i)
{
	struct parser_head h;
	enum parser_result r;

	parser_head_init(&h);
	while ((r = step_head(&h, i)) == PARSER_MORE)
		if (!arrive(i))
			return PARSER_MORE;
	if (r == PARSER_ERROR) {
		ASSERT(h.status >= 400 && h.reason);
		w->status = h.status;
		buf_printf(&w->extra, "%d %s\n", h.status, h.reason);
		return r;
	}
	add_head(w, &h, i->in.p + i->from);
	i->from += h.bytes;
	w->keep_alive = h.keep_alive;
	w->upgrade = h.upgrade;
	r = h.chunked ? chunked_body(w, i) : fixed_body(w, &h, i);
	if (r == PARSER_ERROR)
		w->status = 400;
	if (r == PARSER_DONE) {
		w->n_requests++;
		buf_add_byte(&w->text, '\n');
		w->whole_n = w->text.n;
	}
	return r;
}

void
walk_run(struct walk *w, struct slice in, walk_cut_fn cut, void *arg)
{
	struct input i = {.in = in, .cut = cut, .arg = arg};

	buf_reset(&w->text);
	buf_reset(&w->extra);
	w->whole_n = 0;
	w->n_requests = w->status = w->upgrade = 0;
	while (i.from < in.n)
		if (request(w, &i) != PARSER_DONE || !w->keep_alive)
			break;
	buf_printf(
	    &w->extra, "%d requests, status %d\n", w->n_requests, w->status);
	ASSERT(!buf_error(&w->text) && !buf_error(&w->extra));
}

static size_t
cut_by(void *arg)
{
	return *(size_t *)arg;
}

void
walk_by(struct walk *w, struct slice in, size_t n)
{
	walk_run(w, in, cut_by, &n);
}

int
walk_equal(const struct walk *a, const struct walk *b)
{
	return slice_equal(buf_slice(&a->text), buf_slice(&b->text)) &&
	       slice_equal(buf_slice(&a->extra), buf_slice(&b->extra));
}
