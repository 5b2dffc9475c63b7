/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * comet - listeners that get one answer: all that is there once there is
 * something, or nothing after a while.
 */
#include "http/bucket.h"
#include "src/base/err.h"

#define EVENTS_MAX 1000
#define OVERDUE_US 1000000
#define BYTES_MAX  (1u << 20)

static void
add(struct listener *l, struct slice s)
{
	uint8_t *at = out_reserve(&l->out, s.n, 64);

	if (at)
		memcpy(at, s.p, s.n);
}

static void
begin_item(struct listener *l)
{
	add(l, l->out.bytes ? SLICE_LIT(",") : SLICE_LIT("["));
}

static uint32_t
page(struct sub *s, const struct listen_page *p)
{
	struct listener *l = s->listener;
	uint32_t most = EVENTS_MAX - l->n_events;
	uint64_t room =
	    BYTES_MAX > l->out.bytes + 2 ? BYTES_MAX - l->out.bytes - 2 : 0;
	uint32_t n = listen_fit(p, s->next, most, room);

	if (n == 0 && l->n_events == 0)
		n = 1;
	if (n == 0) {
		l->n_events = EVENTS_MAX; /* full */
		return 0;
	}
	begin_item(l);
	n = listen_encode(&l->out, LISTEN_ITEMS, p, s->next, n);
	l->n_events += n;
	s->next += n;
	return n;
}

static uint32_t
batch(struct lane *x, const struct batch *b, uint32_t first)
{
	struct listener *l = x->bucket->listener;
	uint32_t n = 0;

	while (first + n < b->n && l->n_events < EVENTS_MAX) {
		struct slice item = SLICE(b->text->p + b->begin[first + n],
		    b->end[first + n] - b->begin[first + n]);

		if (l->n_events && l->out.bytes + item.n + 2 > BYTES_MAX) {
			l->n_events = EVENTS_MAX; /* full */
			break;
		}
		begin_item(l);
		out_block(&l->out, item, b->text);
		l->n_events++;
		n++;
	}
	return n;
}

static void
notice(struct sub *s, struct slice text)
{
	begin_item(s->listener);
	add(s->listener, text);
}

static int
has_room(const struct listener *l)
{
	return l->n_events < EVENTS_MAX;
}

static void
answer(struct listener *l)
{
	struct request *rq = l->rq;
	struct buf head;

	l->ended = 1;
	if (l->out.bytes == 0 && l->n_unknown) {
		respond_unavailable(
		    rq, "it is not known where the streams end now");
		return;
	}
	buf_init(&head, 2 * CURSOR_TEXT_MAX);
	buf_add_str(&head, "Cache-Control: no-store\r\nIorio-Cursor: ");
	listener_cursor(l, &head);
	buf_add_str(&head, "\r\n");
	buf_add(&head, "", 1);
	if (buf_error(&head))
		respond_store_error(rq, -ERR_NOMEM);
	else if (l->out.bytes == 0)
		respond(rq, 204, NULL, (char *)head.p, SLICE(NULL, 0));
	else {
		add(l, SLICE_LIT("]"));
		respond_out(
		    rq, 200, "application/json", (char *)head.p, &l->out);
	}
	buf_deinit(&head);
}

static void
flush(struct listener *l)
{
	if (l->ended)
		return;
	if ((l->out.bytes || l->overdue) &&
	    (listener_is_live(l) || !has_room(l)))
		answer(l);
}

/* What is asked already may still come; its answer ends this too.  Until then it
 * stays among those whose permission is looked at. */
static void
tick(struct listener *l, struct mono now)
{
	listener_set_due(l, mono_add_us(now, OVERDUE_US));
	l->overdue = 1;
	conn_kick(l->rq->conn);
}

static void
stop(struct listener *l)
{
	l->rq->keep_alive = 0;
	if (!l->ended)
		answer(l);
}

static void
fail(struct listener *l, int r)
{
	static const char why[] = "these events cannot be read here and now";

	if (l->out.bytes) { /* the next one will hear of it */
		answer(l);
		return;
	}
	l->ended = 1;
	if (r == -ERR_CORRUPT && l->rq->read.damaged_last)
		respond_damaged(l->rq);
	else if (r == -ERR_CORRUPT) /* in some stream of a bucket */
		respond_error(l->rq, 500, "damaged", NULL, NULL, why);
	else
		respond_unavailable(l->rq, why);
}

static void
expire(struct listener *l)
{
	begin_item(l);
	add(l, SLICE_LIT("{\"notice\":\"auth-expired\"}"));
	answer(l);
}

const struct listen_transport listen_comet = {
    page, batch, notice, has_room, flush, tick, stop, expire, fail};

void
comet_start(struct listener *l, uint64_t wait_us)
{
	listener_set_due(l, mono_add_us(server_now(l->server), wait_us));
}
