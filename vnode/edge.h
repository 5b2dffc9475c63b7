/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * edge - looking for the first visible event of a stream in its chunk file, for
 * those who wait to know it.
 *
 * Owns:    the looks under way, and the requests that wait for them.
 * Bound:   one page of one file at a time for a read, EDGE_LOOKS for a list.
 * Thread:  the worker of the vnode; the file is read on LANE_READ.
 */
#ifndef VNODE_EDGE_H
#define VNODE_EDGE_H

#include "vnode/store_impl.h"

#define EDGE_LOOKS 32

/* What was visible of a stream at one moment, between question and answer. */
struct edge_view {
	uint64_t incarnation; /* 0: nothing is known */
	uint64_t first, last; /* first > last: nothing */
};

/* Of S kept_settle is 0: REQ, a MSG_READ, goes on with store_read when that is
 * known.  -ERR_NOMEM: nothing happened. */
int edge_look(
    struct store_worker *w, struct vnode *v, struct stream *s, struct msg *m);

/* What is applied here is fresh enough for REQ: answers it. */
void edge_list(struct store_worker *w, struct vnode *v, struct vnode_list *req);

#endif
