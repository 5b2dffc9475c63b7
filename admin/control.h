/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * control - the node's side of the control socket: commands come in, text and
 * exit codes go out.
 *
 * Owns:    listener, connections, the commands that they wait for.
 * Thread:  worker 0, but for control_open (before os_start) and control_close
 *          (after os_join).
 * Bound:   CONTROL_CONNECTIONS_MAX; more are closed at once.
 */
#ifndef ADMIN_CONTROL_H
#define ADMIN_CONTROL_H

#include "admin/host.h"
#include "src/base/env.h"

#define CONTROL_CONNECTIONS_MAX 32

struct control; /* opaque */
struct os;

/*
 * Listens on ADMIN_SOCKET in OS's root; the data directory is locked.  HOST is
 * borrowed until control_close.
 */
int control_open(
    struct control **out, struct os *os, const struct admin_host *host);
/* No new commands; those that run are told that the node stops.  REMOVED: it
 * has left its cluster, and a commit that waited for that succeeds. */
void control_stop(struct control *c, int removed);
/* Takes NULL, returns NULL. */
struct control *control_close(struct control *c);

#endif
