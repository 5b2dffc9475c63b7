/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * watch - requests that wait until there is more of a stream.
 *
 * A request hangs on the names of its stream, so the stream need not exist.
 * What is applied to it marks the request; once the entry is whole it is
 * answered.  It is a replica that leads which lets requests wait: when it leads
 * no more they are refused, and look for who does.
 *
 * Owns:    the requests that wait, until they are answered.
 * Bound:   WATCH_MAX of a worker, each at most WATCH_WAIT_MAX_MS.
 * Thread:  the worker of the vnode.
 */
#ifndef VNODE_WATCH_H
#define VNODE_WATCH_H

#include "src/base/list.h"
#include "src/base/table.h"
#include "vnode/vnode_msg.h"

#define WATCH_MAX         100000
#define WATCH_WAIT_MAX_MS 60000

struct store_worker;
struct stream;
struct vnode;

/* Of a group. */
struct watches {
	struct table points; /* by hash of both names */
	struct list due;     /* points of streams that have more */
	uint64_t seed;
	uint64_t last; /* stream that was looked up last, in this entry */
};

/* Of a worker: all that wait, the first to be given up first. */
struct watch_times {
	struct list waiters;
	uint32_t n;
};

void watch_init(struct watches *ws, uint64_t seed);
/* Nobody waits. */
void watch_deinit(struct watches *ws);

/* M (MSG_READ, MSG_NEWS) waits for its stream or bucket.  -ERR_NOMEM;
 * -ERR_UNAVAILABLE: too many do; -ERR_STOPPING. */
int watch_wait(struct store_worker *w, struct vnode *v, struct msg *m);
/* Something was applied to S, or it is no more.  No answer is sent yet. */
void watch_touch(struct vnode *v, const struct stream *s);
/* All of the entry is applied: answers who has been waiting for it. */
void watch_wake(struct store_worker *w, struct vnode *v);
/* All that wait in V are refused. */
void watch_refuse_all(struct store_worker *w, struct vnode *v, int r);
/* Answers those whose time is over. */
void watch_tick(struct store_worker *w);

#endif
