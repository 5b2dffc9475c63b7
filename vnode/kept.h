/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * kept - from where on the events of one stream are visible (http-api.md 4.6).
 *
 * Three limits hide events for good, and each only grows: a seqnum, an amount of
 * payload that stands before the event, a time.  They follow from the log alone
 * (retain.h), so every replica hides the same.  Which event is the first that
 * none of them hides is looked for when somebody asks: chunk by chunk by what is
 * known of chunks, within a chunk by its events in memory, and only if those are
 * not there in its file (edge.h).
 *
 * Owns:    nothing but itself; a stream has one once a policy applies to it.
 * Bound:   128 bytes a stream.
 * Thread:  the worker of the vnode.
 */
#ifndef VNODE_KEPT_H
#define VNODE_KEPT_H

#include <stdint.h>

#include "src/base/hash.h"
#include "src/base/list.h"
#include "vnode/policy.h"

struct stream;
struct vnode;
struct chunk_info;

/* An event is hidden when its seqnum is below SEQ, less than BEFORE bytes of
 * payload stand before it, or its t is not above T. */
struct limits {
	uint64_t seq, before, t;
};

struct kept {
	struct stream *stream;
	struct policy own;    /* HAS_OWN: it counts, not that of the bucket */
	struct limits hidden; /* T: as of the last change of policy */
	/* Of event stream->first, below which all is known to be hidden: the
	 * payload before it, its t, the offset of its record in its chunk; 0:
	 * not known. */
	uint64_t before, first_t;
	uint32_t offset;
	uint32_t heap_at; /* 1 + place in retain.heap; 0: not there */
	uint64_t due;     /* group clock at which time hides something next */
	struct list cut;  /* in retain.cuttable, or alone */
	struct hash128 chain; /* of the chunk before chunks[0] */
	uint8_t has_own;
	uint8_t expires; /* due is the end of a chunk whose beginning is
			    hidden: something may go each second */
};

/* What S has, or gets; NULL: no memory. */
struct kept *kept_of(struct stream *s);

/* What counts for S now; of a dead one nothing does. */
const struct policy *kept_policy(const struct stream *s);

/* What is hidden of S when the group clock is CLOCK_MS. */
struct limits kept_limits(const struct stream *s, uint64_t clock_ms);

/* The limits of S grow to what its policy says of it as it is.  1: they did. */
int kept_raise(struct stream *s);

/* Nothing of S is visible any more: an event that comes begins a chunk of its own
 * (stream_apply), on every replica, whether or not the files are gone. */
int kept_is_over(const struct stream *s, uint64_t clock_ms);

/* L hides all of C, a chunk of S, as far as can be known without reading it. */
int kept_hides(
    const struct stream *s, const struct limits *l, const struct chunk_info *c);

/*
 * stream->first and what is known of it go as far as that is possible without
 * reading a file.  1: it is the first visible event, or last + 1; 0: it may be
 * hidden, and is in the file of its chunk alone.
 */
int kept_settle(struct vnode *v, struct stream *s);

/* The same, when the seqnum alone is wanted: 1 and *FIRST. */
int kept_first(struct vnode *v, struct stream *s, uint64_t *first);

/* What a look into the file found: FIRST and what stands beside it in KEPT. */
void kept_move(struct vnode *v, struct stream *s, uint64_t first,
    uint64_t before, uint64_t t_ms, uint32_t offset);

/* Payload of the stream up to the end of C, a chunk of it. */
uint64_t kept_end(const struct stream *s, const struct chunk_info *c);

/* Payload before stream->first. */
uint64_t kept_before(const struct stream *s);

#endif
