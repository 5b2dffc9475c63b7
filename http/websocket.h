/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * websocket - what a client sends after its handshake, as a pure step function.
 *
 * Owns:    the message that is being put together.
 * Shape:   RFC 6455 section 5, strictly: masked frames, lengths in their
 *          shortest form, no extension, text only.  The same bytes in any pieces
 *          give the same events.
 * Errors:  a close code of section 7.4.1; nothing may follow it.
 * Bound:   one message of at most MAX bytes, and no memory between messages.
 */
#ifndef HTTP_WEBSOCKET_H
#define HTTP_WEBSOCKET_H

#include <stdint.h>

#include "src/base/buf.h"

#define WEBSOCKET_CONTROL_MAX 125

enum websocket_event {
	WEBSOCKET_MORE, /* all was used, nothing is whole yet */
	WEBSOCKET_TEXT, /* a message, valid UTF-8 */
	WEBSOCKET_PING, /* to be answered with its payload */
	WEBSOCKET_PONG,
	WEBSOCKET_CLOSE, /* `code`, or 0 without one */
	WEBSOCKET_ERROR, /* to be closed with `code` */
};

enum websocket_code {
	WEBSOCKET_GOING_AWAY = 1001,
	WEBSOCKET_PROTOCOL = 1002,
	WEBSOCKET_NOT_TEXT = 1003,
	WEBSOCKET_NOT_UTF8 = 1007,
	WEBSOCKET_POLICY = 1008,
	WEBSOCKET_TOO_LARGE = 1009,
	WEBSOCKET_BUG = 1011,
	WEBSOCKET_OVERLOAD = 1013,
};

struct websocket {
	size_t max;
	struct buf message;   /* of the frames so far */
	struct slice payload; /* of the event; until the next step */
	uint16_t code;
	/* the frame */
	uint8_t head[14], head_n, head_want;
	uint8_t opcode, fin, in_message, in_frame;
	uint8_t control_n, control[WEBSOCKET_CONTROL_MAX];
	uint64_t left, at; /* of its payload: to come, and unmasked */
};

void websocket_init(struct websocket *w, size_t max);
void websocket_deinit(struct websocket *w);
/* Takes from IN, *USED bytes of it; -ERR_NOMEM is WEBSOCKET_ERROR with 1011. */
enum websocket_event websocket_step(
    struct websocket *w, struct slice in, size_t *used);

/* Nobody needs the message of the last event any more: its memory goes now, not
 * with the next step. */
void websocket_forget(struct websocket *w);

/* Whether a peer may send CODE in a close frame. */
int websocket_code_is_good(uint16_t code);

#define WEBSOCKET_KEY_BYTES    24
#define WEBSOCKET_ACCEPT_BYTES 29 /* and its NUL */

/* What Sec-WebSocket-Accept says to KEY; -ERR_INVAL: it is none. */
int websocket_accept(struct slice key, char out[WEBSOCKET_ACCEPT_BYTES]);

#endif
