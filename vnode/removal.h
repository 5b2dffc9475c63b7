/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * removal - files on their way out.
 *
 * A name that was removed may be back after a power cut, and with it a replica
 * that believes in a configuration of long ago.  Only the journal knows better,
 * so it keeps what it knows until the mark that stands for the replica is
 * durable (store_remove_replica).
 *
 * Owns:    the removals of a worker.
 * Thread:  the worker; the work is done on LANE_FLUSH.
 */
#ifndef VNODE_REMOVAL_H
#define VNODE_REMOVAL_H

#include "vnode/store_impl.h"

/*
 * The files in DIR go, those of a replica that has retired, and the journal
 * keeps what is at and above KEEP until then.  With KEEP 0 they are of no
 * replica and nothing depends on it; it is tried only once, since another may
 * come to use the name.  -ERR_NOMEM: nothing happened.
 */
int removal_start(struct store_worker *w, const char *dir, lsn_t keep);
/* Tries again what failed. */
void removal_tick(struct store_worker *w);
/* FLOOR, or lower: what the journal may forget. */
lsn_t removal_floor(const struct store_worker *w, lsn_t floor);
/* No lane runs any more: forgets them; the next start finds the files. */
void removal_forget_all(struct store_worker *w);

#endif
