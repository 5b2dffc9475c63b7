/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * merge - the events of a bucket in one group, in the order of the group's log.
 *
 * A round asks which streams have something new, reads them side by side and
 * gives out the event that comes next in the log, until all is given out that
 * there was when it asked; then the position is where the log was.  Whoever
 * comes back with the position of any event gets exactly what comes after it.
 * That events of a stream are not visible any more is told before anything that
 * may come after them.
 * That a stream was deleted stands among them, where the log has it.  Of a
 * position from before the oldest deletion that is remembered (vnode/ended.h) a
 * stream that begins is taken for one that was deleted and made again.
 *
 * Owns:    names and pages until the next batch is asked for.
 * Bound:   a batch is MERGE_EVENTS and about MERGE_BYTES; the pages that are
 *          held are about HELD_BYTES together.
 * Errors:  in `ready`: -ERR_CORRUPT, or the round could not be ended: asked
 *          again, it goes on behind what was given out.
 * Thread:  the worker of the server; `ready` never runs inside a call.
 */
#ifndef HTTP_MERGE_H
#define HTTP_MERGE_H

#include "http/listen.h"

#define MERGE_EVENTS LISTEN_FRAME_EVENTS

/* An event in a log: what comes after it is not given out yet. */
struct position {
	uint64_t index, t_ms; /* t: at most that of what comes after it */
	uint32_t ordinal;
};

static inline int
position_before(struct position a, struct position b)
{
	return a.index < b.index ||
	       (a.index == b.index && a.ordinal < b.ordinal);
}

struct batch_item {
	/* Who has had it stands there, or further on already. */
	struct position at;
	/* It is for those who stand before that: `at`, but of a notice that is
	 * told before what comes next. */
	struct position of;
	uint8_t notice; /* no event */
};

struct batch {
	struct position from, to; /* all that is between them */
	uint32_t n;
	struct batch_item items[MERGE_EVENTS];
	/* As JSON objects on one line, with commas between them. */
	struct block *text;
	uint32_t begin[MERGE_EVENTS], end[MERGE_EVENTS];
};

/* Behind TEXT, as the next of B. */
void batch_add_event(struct batch *b, struct buf *text,
    const struct listen_names *names, const struct event *e);
void batch_add_gap(struct batch *b, struct buf *text,
    const struct listen_names *names, uint64_t first);
void batch_add_deleted(
    struct batch *b, struct buf *text, const struct listen_names *names);
/* TEXT is whole: it becomes that of B.  -ERR_NOMEM. */
int batch_finish(struct batch *b, struct buf *text);

struct merge; /* opaque */

/* READY(arg, b, r): B is the merge's until the next merge_next. */
typedef void (*merge_ready_fn)(void *arg, const struct batch *b, int r);

/* BUCKET: names without a stream.  NULL: no memory. */
struct merge *merge_new(struct http_server *s, struct listen_names *bucket,
    uint32_t group, struct position at, merge_ready_fn ready, void *arg);
/* READY does not run again.  Takes NULL and returns NULL. */
struct merge *merge_close(struct merge *m);
/* The next batch; an empty one when there is nothing new for WAIT_MS. */
void merge_next(struct merge *m, uint32_t wait_ms);

#endif
