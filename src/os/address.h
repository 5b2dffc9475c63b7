/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * address - from the name of a node, name@host[:port], to host:port, and the
 * runtime directory through which nodes of one machine find each other
 * (cluster.md section 2.4).
 *
 * Thread:  any.
 *
 * A file of the runtime directory has the name of a node, and its port and
 * process id as text: `10012 4711`.
 */
#ifndef SRC_OS_ADDRESS_H
#define SRC_OS_ADDRESS_H

#include <stddef.h>
#include <stdint.h>

#define ADDRESS_BYTES        320  /* with the NUL */
#define ADDRESS_DEFAULT_PORT 8099 /* cluster.port where nothing else is said */

/* "host:port" of NAME.  -ERR_INVAL: not a name with a host.  -ERR_NOTFOUND: a
 * node of this machine that does not run. */
int address_of(
    const char *runtime_dir, const char *name, char out[ADDRESS_BYTES]);
/* The host of NAME with PORT, whatever port NAME has. */
int address_with_port(const char *name, uint16_t port, char out[ADDRESS_BYTES]);

/* Where a process of this machine runs as NAME, or did until it was killed:
 * host:port.  -ERR_NOTFOUND: none. */
int runtime_before(const char *dir, const char *name, char out[ADDRESS_BYTES]);
/* Makes the directory, 0700, and the file of the node NAME; replaces. */
int runtime_announce(const char *dir, const char *name, uint16_t port);
/* Removes that file if it is this process's. */
void runtime_forget(const char *dir, const char *name);

#endif
