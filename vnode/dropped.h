/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * dropped - chunk files on their way out: those of deleted streams, and of the
 * chunks that retention has cut off (retain_cut.c), as streams without a name.
 *
 *	dead  --checkpoint--> gone --(no fill, no reader)--> unlinked
 *
 * A stream that was deleted is in vnode.dead until a manifest without it is
 * durable, then in vnode.gone until nobody can want its files: a fill that was
 * begun with an older manifest, or a read that was begun before.
 *
 * Owns:    the streams of both lists, and which files are unlinked now.
 * Bound:   a few hundred files at a time.
 * Thread:  the worker; the work is done on LANE_FLUSH.
 */
#ifndef VNODE_DROPPED_H
#define VNODE_DROPPED_H

#include "vnode/store_impl.h"

struct dropped; /* of a worker; opaque */

/* STREAMS, dead ones that a manifest of V captured at INDEX does not have: it is
 * durable; or, not SAVED, it could not be written, and the next one will say it
 * again. */
void dropped_booked(
    struct vnode *v, struct list *streams, uint64_t index, int saved);

/* Time has passed: the next files go. */
void dropped_tick(struct store_worker *w);
/* No lane runs any more: the next start finds the files. */
void dropped_forget_all(struct store_worker *w);

#endif
