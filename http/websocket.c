/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * websocket - frames of a client, RFC 6455.
 *
 *	head (2 bytes, then its length and mask) -> payload -> head ...
 *
 * A control frame may stand between the frames of a message (section 5.4); it
 * has memory of its own.
 */
#include "http/websocket.h"

#include <openssl/sha.h>
#include <string.h>

#include "http/base64.h"
#include "src/base/err.h"
#include "src/base/utf8.h"

enum { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

void
websocket_init(struct websocket *w, size_t max)
{
	*w = (struct websocket){.max = max, .head_want = 2};
	buf_init(&w->message, max);
}

void
websocket_deinit(struct websocket *w)
{
	buf_deinit(&w->message);
}

void
websocket_forget(struct websocket *w)
{
	buf_deinit(&w->message);
	buf_init(&w->message, w->max);
}

static enum websocket_event
fail(struct websocket *w, enum websocket_code code)
{
	w->code = (uint16_t)code;
	return WEBSOCKET_ERROR;
}

/* --- heads ---------------------------------------------------------------- */

static int
is_control(const struct websocket *w)
{
	return w->opcode >= CLOSE;
}

/* The first two bytes: what can be wrong with them is seen at once. */
static int
check_start(struct websocket *w)
{
	uint8_t a = w->head[0], n = w->head[1] & 0x7f;

	w->fin = a >> 7;
	w->opcode = a & 15;
	if ((a & 0x70) || !(w->head[1] & 0x80)) /* an extension; no mask */
		return WEBSOCKET_PROTOCOL;
	if ((w->opcode > BINARY && w->opcode < CLOSE) || w->opcode > PONG)
		return WEBSOCKET_PROTOCOL;
	if (is_control(w))
		return !w->fin || n > WEBSOCKET_CONTROL_MAX ? WEBSOCKET_PROTOCOL
							    : 0;
	if ((w->opcode == CONTINUATION) != w->in_message)
		return WEBSOCKET_PROTOCOL;
	return w->opcode == BINARY ? WEBSOCKET_NOT_TEXT : 0;
}

static uint64_t
length(const struct websocket *w)
{
	uint8_t n = w->head[1] & 0x7f;
	unsigned bytes = n == 126 ? 2 : n == 127 ? 8 : 0;
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v = v << 8 | w->head[2 + i];
	return bytes ? v : n;
}

static int
check_length(struct websocket *w)
{
	uint8_t n = w->head[1] & 0x7f;

	w->left = length(w);
	w->at = 0;
	w->control_n = 0;
	if ((n == 126 && w->left < 126) ||
	    (n == 127 && (w->left < 65536 || w->left >> 63)))
		return WEBSOCKET_PROTOCOL;
	if (!is_control(w) && w->left > w->max - w->message.n)
		return WEBSOCKET_TOO_LARGE;
	return 0;
}

/* Bytes of the head as far as they are there; 0, or a close code. */
static int
take_head(struct websocket *w, struct slice *in)
{
	while (in->n && w->head_n < w->head_want) {
		w->head[w->head_n++] = *in->p;
		*in = SLICE(in->p + 1, in->n - 1);
		if (w->head_n == 2) {
			uint8_t n = w->head[1] & 0x7f;
			int code = check_start(w);

			if (code)
				return code;
			w->head_want = (uint8_t)(6 + (n == 126      ? 2
							 : n == 127 ? 8
								    : 0));
		}
	}
	if (w->head_n < w->head_want)
		return 0;
	w->in_frame = 1;
	return check_length(w);
}

/* --- payloads ------------------------------------------------------------- */

static int
take_payload(struct websocket *w, struct slice *in)
{
	const uint8_t *mask = w->head + w->head_want - 4;
	size_t n = in->n < w->left ? in->n : (size_t)w->left;
	uint8_t *to;

	if (is_control(w)) {
		to = w->control + w->control_n;
		w->control_n = (uint8_t)(w->control_n + n);
	} else {
		to = n ? buf_reserve(&w->message, n) : w->message.p;
		if (n && !to)
			return WEBSOCKET_BUG;
		w->message.n += n;
	}
	for (size_t i = 0; i < n; i++)
		to[i] = in->p[i] ^ mask[(w->at + i) & 3];
	w->at += n;
	w->left -= n;
	*in = SLICE(in->p + n, in->n - n);
	return 0;
}

int
websocket_code_is_good(uint16_t code)
{
	if (code >= 3000)
		return code < 5000;
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}

static int
is_utf8(struct slice s)
{
	return s.n == 0 || utf8_check(s.p, s.n) == s.n;
}

static enum websocket_event
closed(struct websocket *w)
{
	struct slice p = SLICE(w->control, w->control_n);

	w->code = 0;
	if (p.n == 0)
		return WEBSOCKET_CLOSE;
	if (p.n == 1)
		return fail(w, WEBSOCKET_PROTOCOL);
	w->code = (uint16_t)(p.p[0] << 8 | p.p[1]);
	if (!websocket_code_is_good(w->code))
		return fail(w, WEBSOCKET_PROTOCOL);
	w->payload = SLICE(p.p + 2, p.n - 2);
	return is_utf8(w->payload) ? WEBSOCKET_CLOSE
				   : fail(w, WEBSOCKET_NOT_UTF8);
}

/* A frame is whole. */
static enum websocket_event
whole(struct websocket *w)
{
	w->in_frame = 0;
	w->head_n = 0;
	w->head_want = 2;
	w->payload = SLICE(w->control, w->control_n);
	switch (w->opcode) {
	case CLOSE:
		return closed(w);
	case PING:
		return WEBSOCKET_PING;
	case PONG:
		return WEBSOCKET_PONG;
	default:
		w->in_message = !w->fin;
		if (!w->fin)
			return WEBSOCKET_MORE;
		w->payload = buf_slice(&w->message);
		return is_utf8(w->payload) ? WEBSOCKET_TEXT
					   : fail(w, WEBSOCKET_NOT_UTF8);
	}
}

enum websocket_event
websocket_step(struct websocket *w, struct slice in, size_t *used)
{
	size_t all = in.n;
	enum websocket_event e = WEBSOCKET_MORE;
	int code = 0;

	if (!w->in_message && !w->in_frame && w->message.n)
		websocket_forget(w); /* of the event before */
	while (code == 0 && e == WEBSOCKET_MORE &&
	       (in.n || (w->in_frame && w->left == 0))) {
		if (!w->in_frame)
			code = take_head(w, &in);
		else if (w->left)
			code = take_payload(w, &in);
		if (code == 0 && w->in_frame && w->left == 0)
			e = whole(w);
	}
	*used = all - in.n;
	return code ? fail(w, (enum websocket_code)code) : e;
}

/* --- the handshake -------------------------------------------------------- */

static int
is_base64(uint8_t c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c >= '0' && c <= '9') || c == '+' || c == '/';
}

/* RFC 6455 section 4.2.2. */
int
websocket_accept(struct slice key, char out[WEBSOCKET_ACCEPT_BYTES])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	uint8_t all[WEBSOCKET_KEY_BYTES + sizeof(guid) - 1], sha[20];

	if (key.n != WEBSOCKET_KEY_BYTES || key.p[22] != '=' ||
	    key.p[23] != '=')
		return -ERR_INVAL;
	for (size_t i = 0; i < 22; i++)
		if (!is_base64(key.p[i]))
			return -ERR_INVAL;
	memcpy(all, key.p, key.n);
	memcpy(all + key.n, guid, sizeof(guid) - 1);
	SHA1(all, sizeof(all), sha);
	*base64_put(out, SLICE(sha, sizeof(sha))) = '\0';
	return 0;
}
