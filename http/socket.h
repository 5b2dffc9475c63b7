/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* socket - listeners over WebSocket: socket.c and socket_command.c. */
#ifndef HTTP_SOCKET_H
#define HTTP_SOCKET_H

#include "http/listen.h"
#include "http/websocket.h"

#define SOCKET_PUTS_MAX 16 /* under way, of one peer */

struct socket {
	struct websocket in;
	struct mono heard;     /* of the peer */
	struct mono cursor_at; /* when it was told where it stands */
	uint32_t n_events;     /* since then */
	uint64_t charged;      /* for the message that comes */
	struct list puts;      /* struct socket_put */
	uint32_t n_puts;
};

extern const struct listen_transport listen_socket;

/* Checks the handshake of RQ; else it has been answered. */
int socket_handshake(struct request *rq, char accept[WEBSOCKET_ACCEPT_BYTES]);
/* Of a listener that is to be one; -ERR_NOMEM. */
int socket_init(struct listener *l);
void socket_free(struct listener *l);
void socket_start(struct listener *l, const char *accept);
/* Bytes from the peer, of which *USED were taken; 0: no more for now. */
int socket_input(struct listener *l, struct slice in, size_t *used);
int socket_may_read(const struct listener *l);

/* A message TEXT to the peer. */
void socket_text(struct listener *l, struct slice text);
/* The end, with CODE. */
void socket_close(struct listener *l, enum websocket_code code);

/* --- socket_command.c ----------------------------------------------------- */

/* A message from the peer. */
void socket_command(struct listener *l, struct slice text);
/* Puts under way are nobody's any more. */
void socket_forget_puts(struct socket *s);

#endif
