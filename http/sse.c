/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * sse - listeners that read text/event-stream (WHATWG HTML, section 9.2).
 *
 * All that comes for a listener in a turn leaves as one chunk.
 */
#include "http/bucket.h"
#include "http/text.h"
#include "src/base/err.h"

#define QUIET_US 15000000ull

static void
add_text(struct listener *l, const char *s)
{
	size_t n = strlen(s);
	uint8_t *at = out_reserve(&l->out, n, 512);

	if (at)
		memcpy(at, s, n);
}

static void
add_slice(struct listener *l, struct slice s)
{
	uint8_t *at = out_reserve(&l->out, s.n, 512);

	if (at)
		memcpy(at, s.p, s.n);
}

static int
is_single(const struct listener *l)
{
	return l->n_subs == 1 && l->n_buckets == 0;
}

/* Where the listener stands. */
static void
add_id(struct listener *l)
{
	const struct sub *s;
	char text[64], *at = text;
	struct buf cursor;

	add_text(l, "id: ");
	if (is_single(l)) {
		s = LIST_ENTRY(l->subs.next, struct sub, link);
		at = text_add_u64(at, s->incarnation);
		at = text_add(at, "-");
		at = text_add_u64(at, s->next ? s->next - 1 : 0);
		add_slice(l, SLICE(text, (size_t)(at - text)));
	} else {
		buf_init(&cursor, 2 * CURSOR_TEXT_MAX);
		listener_cursor(l, &cursor);
		if (buf_error(&cursor))
			l->out.error = -ERR_NOMEM;
		else
			add_slice(l, buf_slice(&cursor));
		buf_deinit(&cursor);
	}
	add_text(l, "\ndata: [");
}

static void
renew(struct listener *l)
{
	listener_set_due(l, mono_add_us(server_now(l->server), QUIET_US));
}

/* Each event with a cursor that says where all stand after it. */
static uint32_t
page_of_many(struct sub *s, const struct listen_page *p)
{
	struct listener *l = s->listener;
	struct listen_walk w = {.page = p->page};
	uint32_t n = 0;
	struct event e;

	while (!l->out.error && listen_walk_next(&w, s->next, &e)) {
		s->next = e.seq + 1;
		add_id(l);
		listen_encode_one(&l->out, p, &e);
		add_text(l, "]\n\n");
		n++;
	}
	return n;
}

static uint32_t
page(struct sub *s, const struct listen_page *p)
{
	struct listener *l = s->listener;
	uint32_t n;

	renew(l);
	if (!is_single(l))
		return page_of_many(s, p);
	n = listen_encode(&l->out, LISTEN_STREAMED, p, s->next, UINT32_MAX);
	s->next += n;
	return n;
}

static uint32_t
batch(struct lane *x, const struct batch *b, uint32_t first)
{
	struct listener *l = x->bucket->listener;

	renew(l);
	for (uint32_t i = first; i < b->n; i++) {
		if (!b->items[i].notice) /* its id is of the position before */
			lane_had(x, b->items[i].at);
		add_id(l);
		lane_had(x, b->items[i].at);
		out_block(&l->out,
		    SLICE(b->text->p + b->begin[i], b->end[i] - b->begin[i]),
		    b->text);
		add_text(l, "]\n\n");
	}
	return b->n - first;
}

static void
notice(struct sub *s, struct slice text)
{
	struct listener *l = s->listener;

	add_id(l);
	add_slice(l, text);
	add_text(l, "]\n\n");
}

static int
has_room(const struct listener *l)
{
	return listener_queued(l) < l->server->config.listen_max_queue;
}

static void
flush(struct listener *l)
{
	if (l->out.bytes)
		respond_chunk(l->rq, &l->out);
}

/* A peer that does not read gets no comments: it has enough. */
static void
tick(struct listener *l, struct mono now)
{
	listener_set_due(l, mono_add_us(now, QUIET_US));
	if (listener_queued(l) == 0)
		add_text(l, ":\n\n");
	conn_kick(l->rq->conn);
}

static void
stop(struct listener *l)
{
	struct request *rq = l->rq;

	flush(l);
	l->ended = 1;
	rq->keep_alive = 0;
	respond_end(rq);
}

/* It comes again with the id that it got last. */
static void
fail(struct listener *l, int r)
{
	(void)r;
	flush(l);
	l->ended = 1;
	respond_abort(l->rq);
}

static void
expire(struct listener *l)
{
	add_id(l);
	add_text(l, "{\"notice\":\"auth-expired\"}]\n\n");
	stop(l);
}

const struct listen_transport listen_sse = {
    page, batch, notice, has_room, flush, tick, stop, expire, fail};

void
sse_start(struct listener *l)
{
	respond_begin(l->rq, 200, "text/event-stream",
	    "Cache-Control: no-cache, no-transform\r\nX-Accel-Buffering: "
	    "no\r\n");
	add_text(l, "retry: 2000\n\n");
	renew(l);
}
