/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * tcp - listeners and connections of one worker.
 *
 * Owns:    the sockets.  A connection is freed by tcp_close; no callback comes
 *          after it.
 * Shape:   non-blocking, TCP_NODELAY; the caller reads and writes as much as it
 *          likes when it is told that it may (level-triggered).
 * Thread:  the worker that it was made for, but for tcp_listen before os_start.
 * Errors:  0; TCP_E_*; -ERR_* when the connection is broken.
 *
 * A listener may be given TLS: its connections behave the same.
 */
#ifndef SRC_OS_TCP_H
#define SRC_OS_TCP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "src/base/buf.h"

struct os;
struct tcp;
struct tcp_listener;
struct tls_context;

enum { TCP_READABLE = 1, TCP_WRITABLE = 2 };

/* Conditions of tcp_read and tcp_writev. */
enum {
	TCP_E_AGAIN = 1, /* nothing now: watch, and come back when called */
	TCP_E_EOF,       /* the peer has sent all it will send */
};

#define TCP_PEER_BYTES 64

struct tcp_events {
	void (*readable)(void *arg);
	void (*writable)(void *arg);
};

/*
 * Listens on IP:PORT for WORKER; every worker has its own listener there.  Port
 * 0: any free one, see tcp_listener_port; the others pass that number.
 * ACCEPTED(arg, c) owns C.  -ERR_INUSE when another process listens there, also
 * one of ours: only listeners of one os share a port.  -ERR_INVAL: not an
 * address.
 */
int tcp_listen(struct os *os, uint32_t worker, const char *ip, uint16_t port,
    struct tcp_listener **out, void (*accepted)(void *arg, struct tcp *c),
    void *arg);
/*
 * The same on a unix socket NAME in the disk's root, for nobody but our own
 * user (mode 0600).  One that a killed process left is replaced: only after
 * os_lock.  tcp_listener_close removes it.
 */
int tcp_listen_local(struct os *os, uint32_t worker, const char *name,
    struct tcp_listener **out, void (*accepted)(void *arg, struct tcp *c),
    void *arg);
uint16_t tcp_listener_port(const struct tcp_listener *l);
/* Connections that are accepted from now on speak TLS; a reference is taken.
 * Before os_start, or on its worker. */
void tcp_listener_set_tls(struct tcp_listener *l, struct tls_context *context);
/* Stops accepting.  Takes NULL, returns NULL. */
struct tcp_listener *tcp_listener_close(struct tcp_listener *l);

/* Who hears of C; ARG is handed to EVENTS.  Before anything else. */
void tcp_set_events(struct tcp *c, const struct tcp_events *events, void *arg);
/* What C waits for: TCP_READABLE | TCP_WRITABLE, or 0.  Cheap when unchanged.
 */
void tcp_watch(struct tcp *c, unsigned what);

/* *GOT > 0 with 0. */
int tcp_read(struct tcp *c, void *out, size_t n, size_t *got);
/* *PUT may be less than all with 0; TCP_E_AGAIN: nothing was taken. */
int tcp_writev(struct tcp *c, const struct iovec *iov, int n, size_t *put);
/* No more will be sent: the peer sees the end. */
void tcp_shutdown_write(struct tcp *c);
/* "ip:port" of the peer, or "local". */
const char *tcp_peer(const struct tcp *c);
/* The peer's address as bytes, to tell peers apart by: of IPv6 the network, 64
 * bits; empty: local. */
struct slice tcp_peer_key(const struct tcp *c);
void tcp_close(struct tcp *c);
/* The same, but the peer gets an error instead of an end. */
void tcp_reset(struct tcp *c);

#endif
