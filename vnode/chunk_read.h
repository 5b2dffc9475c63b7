/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * chunk_read - one page of events from one chunk file, on a reading lane.
 *
 * Owns:    the job; it fills the request and posts it to who asked.
 * Shape:   the file is trusted for nothing: header, identity, every CRC and
 *          every seqnum are checked, and nothing behind what the vnode said is
 *          looked at.
 * Thread:  chunk_read_start: the worker of the vnode; the rest: LANE_READ.
 */
#ifndef VNODE_CHUNK_READ_H
#define VNODE_CHUNK_READ_H

#include <stdatomic.h>
#include <stdint.h>

#include "src/base/env.h"
#include "vnode/chunk.h"
#include "vnode/files.h"
#include "vnode/kept.h"
#include "vnode/vnode_msg.h"

/* Not a page, but the first event of a chunk that is not hidden. */
struct chunk_edge {
	struct limits hidden;
	/* From this event on, with this much payload before it and its record
	 * there (0: not known).  Answer: the event found, or behind all. */
	uint64_t from, before, t_ms;
	uint32_t offset;
};

struct chunk_read {
	const struct env *env;
	struct files *files;
	const char *dir;    /* of the vnode; copied */
	struct chunk_id id; /* bucket and stream borrowed from the request */
	struct chunk_info info;
	uint64_t from, to; /* within the chunk and flushed */
	uint64_t stop_t;   /* seek: the first event with t >= this; 0: a page */
	struct chunk_edge *edge; /* NULL: a page, or a seek */
	/* Goes up when DIR is the vnode's no more, and before its files go: what
	 * is missing then is not damaged, but elsewhere, and the answer
	 * -ERR_UNAVAILABLE.  NULL: it never does. */
	const atomic_uint *moves;
	atomic_uint
	    *reads; /* goes up until it has ended; NULL: nobody counts */
	/* Told on the lane that the file is damaged; REQ: the read whose answer
	 * says so, or NULL.  1: it has taken REQ over.  NULL: nobody is. */
	int (*damaged)(
	    void *owner, const struct chunk_read *r, struct vnode_read *req);
	void *owner;
};

/*
 * Reads what R says into REQ and answers it.  -ERR_NOMEM: nothing was started
 * and REQ is still the caller's.
 */
int chunk_read_start(const struct chunk_read *r, struct vnode_read *req);

#endif
