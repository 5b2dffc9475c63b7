/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * way - the few calls of nanomsg that the transport uses; nothing else sees
 * that library.
 *
 * Owns:    sockets, by number, until way_close; messages, until they are sent or
 *          freed.
 * Shape:   one PULL, bound; a PUSH for each way to a peer.  Never blocking.
 * Thread:  any; one that closes a socket knows that no other uses it.
 *
 * The first socket starts the library's thread, which does not survive a fork:
 * not before the process has become a daemon.
 */
#ifndef SRC_OS_WAY_H
#define SRC_OS_WAY_H

#include <stddef.h>
#include <stdint.h>

/* The longest message that is received; the connection of a longer one is
 * closed. */
#define WAY_MESSAGE_MAX (256u << 10)

struct way {
	int socket; /* -1: none */
	int fd;     /* readable: there is something (in), there is room (out) */
};

/* Conditions. */
enum {
	WAY_E_AGAIN = 1, /* nothing there, or no room */
};

/* Binds IP:PORT; *PORT 0: to some free one, which is stored there.
 * -ERR_INUSE: another listens there.  -ERR_INVAL: not an address of this
 * machine. */
int way_in(struct way *out, const char *ip, uint16_t *port);
/* Connects to ADDRESS (host:port), now or whenever it can. */
int way_out(struct way *out, const char *address);
void way_close(struct way *w);
int way_has_room(const struct way *w);

void *way_message_new(size_t n); /* NULL: no memory */
void way_message_free(void *m);
/* 0: M belongs to the library. */
int way_send(struct way *w, void *m);
int way_receive(struct way *w, void **m, size_t *n);

#endif
