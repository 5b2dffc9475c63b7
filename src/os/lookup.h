/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * lookup - the address of a host, found by a thread of its own, since asking a
 * resolver may take many seconds.
 *
 * Owns:    a thread until the resolver has answered, also when nobody waits for
 *          it any more.
 * Shape:   IPv6 for an address in brackets, else IPv4, as nanomsg does.
 * Thread:  one caller.
 */
#ifndef SRC_OS_LOOKUP_H
#define SRC_OS_LOOKUP_H

#include <netdb.h>

struct lookup; /* opaque */

/* Of host:port.  NULL: no memory, or no thread. */
struct lookup *lookup_start(const char *address);
/* 0: not yet.  1: *OUT is the first address, borrowed until lookup_free, or NULL:
 * there is no such host. */
int lookup_done(const struct lookup *l, const struct addrinfo **out);
/* Takes NULL, returns NULL. */
struct lookup *lookup_free(struct lookup *l);

#endif
