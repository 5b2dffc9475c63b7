/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * socket - listeners over WebSocket (RFC 6455): handshake, frames to the peer,
 * its silence, and the end.
 */
#include "http/socket.h"

#include "http/bucket.h"
#include "http/cors.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define PING_US       20000000ull
#define SILENT_US     60000000ull
#define CURSOR_EVENTS 1000
#define CURSOR_US     30000000ull
#define OUT_HIGH      (1u << 20)

enum { TEXT = 1, CLOSE = 8, PING = 9, PONG = 10 };

/* --- the handshake: section 4.2.1 ----------------------------------------- */

static int
refuse(struct request *rq, const char *why)
{
	respond_error(rq, 400, "bad-request", NULL, NULL, "%s", why);
	return -ERR_INVAL;
}

int
socket_handshake(struct request *rq, char accept[WEBSOCKET_ACCEPT_BYTES])
{
	const struct cors *cors = rq->server->config.cors;

	if (rq->http10 || !rq->conn->head.upgrade)
		return refuse(rq, "Connection: Upgrade is missing");
	if (!slice_equal(
		request_header(rq, "sec-websocket-version"), SLICE_LIT("13"))) {
		respond_error(rq, 426, "bad-request",
		    "Sec-WebSocket-Version: 13\r\n", NULL,
		    "the version of WebSocket here is 13");
		return -ERR_INVAL;
	}
	if (request_header_count(rq, "sec-websocket-key") != 1 ||
	    websocket_accept(request_header(rq, "sec-websocket-key"), accept))
		return refuse(rq, "Sec-WebSocket-Key is malformed");
	if (cors && cors_is_list(cors) && rq->origin.n &&
	    !cors_allows(cors, rq->origin)) {
		respond_error(rq, 403, "no-perm", NULL, NULL,
		    "pages of this origin may not listen");
		return -ERR_PERM;
	}
	return 0;
}

/* --- to the peer ---------------------------------------------------------- */

static void
send_frame(struct listener *l, uint8_t opcode, struct slice payload)
{
	uint8_t head[LISTEN_FRAME_HEAD_MAX];
	uint8_t *end = head + sizeof(head);
	uint8_t *p = listen_frame_head(end, opcode, payload.n);
	size_t n = (size_t)(end - p);
	uint8_t *at = out_reserve(&l->out, n + payload.n, 256);

	if (!at)
		return;
	memcpy(at, p, n);
	if (payload.n)
		memcpy(at + n, payload.p, payload.n);
	conn_kick(l->rq->conn);
}

void
socket_text(struct listener *l, struct slice text)
{
	send_frame(l, TEXT, text);
}

static void
flush(struct listener *l)
{
	if (l->out.bytes)
		respond_more(l->rq, &l->out);
}

static void
end(struct listener *l, uint16_t code)
{
	uint8_t payload[2] = {(uint8_t)(code >> 8), (uint8_t)code};

	if (l->ended)
		return;
	send_frame(l, CLOSE, SLICE(payload, code ? 2 : 0));
	flush(l);
	l->ended = 1;
	respond_abort(l->rq);
}

void
socket_close(struct listener *l, enum websocket_code code)
{
	end(l, (uint16_t)code);
}

/* --- events --------------------------------------------------------------- */

/* Who has one subscription knows where it stands by what it got. */
static int
wants_cursor(const struct listener *l)
{
	return l->n_subs > 1 || l->n_buckets > 0;
}

static void
say_cursor(struct listener *l)
{
	struct buf b;

	buf_init(&b, 2 * CURSOR_TEXT_MAX);
	buf_add_str(&b, "[{\"notice\":\"cursor\",\"cursor\":\"");
	listener_cursor(l, &b);
	buf_add_str(&b, "\"}]");
	if (!buf_error(&b))
		socket_text(l, buf_slice(&b));
	buf_deinit(&b);
	l->socket->n_events = 0;
	l->socket->cursor_at = server_now(l->server);
}

static uint32_t
page(struct sub *s, const struct listen_page *p)
{
	struct listener *l = s->listener;
	uint32_t n =
	    listen_encode(&l->out, LISTEN_FRAMES, p, s->next, UINT32_MAX);

	s->next += n;
	l->socket->n_events += n;
	if (wants_cursor(l) && l->socket->n_events >= CURSOR_EVENTS)
		say_cursor(l);
	return n;
}

static uint32_t
batch(struct lane *x, const struct batch *b, uint32_t first)
{
	struct listener *l = x->bucket->listener;
	uint32_t at = b->begin[first], n = b->end[b->n - 1] - at;
	uint8_t head[LISTEN_FRAME_HEAD_MAX + 1], *end = head + sizeof(head) - 1;
	uint8_t *p = listen_frame_head(end, TEXT, n + 2u), *to;

	*end = '[';
	to = out_reserve(&l->out, (size_t)(end + 1 - p), 64);
	if (!to)
		return 0;
	memcpy(to, p, (size_t)(end + 1 - p));
	out_block(&l->out, SLICE(b->text->p + at, n), b->text);
	to = out_reserve(&l->out, 1, 64);
	if (!to)
		return 0;
	*to = ']';
	l->socket->n_events += b->n - first;
	if (l->socket->n_events >= CURSOR_EVENTS) {
		lane_had(x, b->items[b->n - 1].at);
		say_cursor(l);
	}
	return b->n - first;
}

static void
notice(struct sub *s, struct slice text)
{
	struct listener *l = s->listener;
	struct buf b;

	buf_init(&b, 32768);
	buf_add_byte(&b, '[');
	buf_add_slice(&b, text);
	buf_add_byte(&b, ']');
	if (buf_error(&b))
		l->out.error = -ERR_NOMEM;
	else
		socket_text(l, buf_slice(&b));
	buf_deinit(&b);
}

static int
has_room(const struct listener *l)
{
	return listener_queued(l) < l->server->config.listen_max_queue;
}

static void
tick(struct listener *l, struct mono now)
{
	struct socket *s = l->socket;

	if (mono_diff_us(s->heard, now) >= SILENT_US) {
		socket_close(l, WEBSOCKET_GOING_AWAY);
		return;
	}
	listener_set_due(l, mono_add_us(now, PING_US));
	send_frame(l, PING, SLICE(NULL, 0));
	if (wants_cursor(l) && s->n_events &&
	    mono_diff_us(s->cursor_at, now) >= CURSOR_US)
		say_cursor(l);
}

static void
stop(struct listener *l)
{
	socket_close(l, WEBSOCKET_GOING_AWAY);
}

static void
fail(struct listener *l, int r)
{
	socket_close(l, r == -ERR_NOMEM ? WEBSOCKET_OVERLOAD : WEBSOCKET_BUG);
}

static void
expire(struct listener *l)
{
	socket_text(l, SLICE_LIT("[{\"notice\":\"auth-expired\"}]"));
	socket_close(l, WEBSOCKET_POLICY);
}

const struct listen_transport listen_socket = {
    page, batch, notice, has_room, flush, tick, stop, expire, fail};

/* --- from the peer -------------------------------------------------------- */

int
socket_may_read(const struct listener *l)
{
	return !l->ended && listener_queued(l) < OUT_HIGH &&
	       l->socket->n_puts < SOCKET_PUTS_MAX;
}

/* The message that comes is charged like a body.  0: there is no room for it. */
static int
charge(struct listener *l)
{
	struct socket *s = l->socket;
	uint64_t before = s->charged;

	s->charged = s->in.message.cap;
	if (s->charged > before)
		return server_charge(l->server, s->charged - before);
	server_uncharge(l->server, before - s->charged);
	return 1;
}

int
socket_input(struct listener *l, struct slice in, size_t *used)
{
	struct socket *s = l->socket;
	enum websocket_event event;

	*used = 0;
	if (in.n == 0 || !socket_may_read(l))
		return 0;
	s->heard = server_now(l->server);
	event = websocket_step(&s->in, in, used);
	if (!charge(l)) {
		socket_close(l, WEBSOCKET_OVERLOAD);
		return 1;
	}
	switch (event) {
	case WEBSOCKET_MORE:
	case WEBSOCKET_PONG:
		break;
	case WEBSOCKET_TEXT:
		socket_command(l, s->in.payload);
		websocket_forget(&s->in);
		charge(l);
		break;
	case WEBSOCKET_PING:
		send_frame(l, PONG, s->in.payload);
		break;
	case WEBSOCKET_CLOSE: /* answered in kind: section 5.5.1 */
	case WEBSOCKET_ERROR:
		end(l, s->in.code);
		break;
	}
	return 1;
}

/* --- life ----------------------------------------------------------------- */

int
socket_init(struct listener *l)
{
	struct socket *s = mem_zalloc(sizeof(*s));

	if (!s)
		return -ERR_NOMEM;
	websocket_init(&s->in, l->server->config.max_body);
	list_init(&s->puts);
	l->socket = s;
	return 0;
}

void
socket_free(struct listener *l)
{
	struct socket *s = l->socket;

	if (!s)
		return;
	socket_forget_puts(s);
	websocket_deinit(&s->in);
	server_uncharge(l->server, s->charged);
	l->socket = mem_free(s);
}

void
socket_start(struct listener *l, const char *accept)
{
	struct mono now = server_now(l->server);
	char extra[256];

	snprintf(extra, sizeof(extra),
	    "Connection: Upgrade\r\nUpgrade: websocket\r\n"
	    "Sec-WebSocket-Accept: %s\r\n",
	    accept);
	l->rq->keep_alive = 1; /* as far as the head is concerned */
	respond_upgrade(l->rq, extra);
	l->socket->heard = l->socket->cursor_at = now;
	listener_set_due(l, mono_add_us(now, PING_US));
}
