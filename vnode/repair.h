/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * repair - a damaged chunk file is made whole with the events of another replica.
 *
 * Whoever meets the damage notes it: a read, a flush, a fill that goes out, a
 * peer that was sent what it could not verify.  The chunk is looked at, and what
 * cannot be read is asked of the voters of its group, the leader first.  Reads
 * of it wait for a moment, and a leader lets another lead.  A replica that is
 * alone in its group has nobody to ask: nothing changes for it.
 *
 * Owns:    a table of REPAIR_CHUNKS chunks for each worker; what finds no room
 *          is found again.
 * Bound:   one chunk of a worker at a time, twice in memory.  What does not
 *          succeed, or does not last, is tried again later and later.
 * Thread:  the worker of the group; the file is read and written on LANE_FLUSH,
 *          for others on LANE_READ.
 * Source:  cluster.md 6.10, 7.2.
 */
#ifndef VNODE_REPAIR_H
#define VNODE_REPAIR_H

#include "vnode/chunk_read.h"
#include "vnode/fill.h"
#include "vnode/store_impl.h"

#define REPAIR_CHUNKS 64

struct repairs; /* of a worker; opaque */

/* The chunk of V's stream ID that begins with FIRST may be damaged.  1: it may be
 * whole in a moment; 0: it is not worth waiting for. */
int repair_note(
    struct store_worker *w, struct vnode *v, uint64_t id, uint64_t first);
/* The same, if it were noted now: a flush can wait for it. */
int repair_may_help(
    struct store_worker *w, const struct vnode *v, uint64_t id, uint64_t first);

/* chunk_read.damaged: takes REQ over, to be answered when it is known whether
 * the file can be read again. */
int repair_read_failed(
    void *store, const struct chunk_read *r, struct vnode_read *req);
/* Reads of V that wait are tried again: role or file have changed. */
void repair_retry(struct store_worker *w, struct vnode *v);
/* They are answered with R. */
void repair_refuse_all(struct store_worker *w, struct vnode *v, int r);

/* FM from replica m->from on NODE is about a repair, perhaps. */
void repair_message(struct store_worker *w, struct vnode *v,
    const uint8_t node[16], const struct wire_message *m,
    const struct fill_message *fm);

/* Time has passed. */
void repair_tick(struct store_worker *w);
/* No flush is under way: files that are written to can be looked at. */
void repair_after_flush(struct store_worker *w);
/* V gives nothing any more. */
void repair_serve_end(struct store *s, struct vnode *v);
/* No lane runs any more. */
void repair_forget_all(struct store_worker *w);

/* What a crash has left of one in DIR goes.  LANE_FLUSH. */
void repair_remove_rest(const struct env_disk *d, const char *dir);

#endif
