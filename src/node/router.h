/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * router - a request to the replica that leads its group, on whatever node that
 * is, and its answer back (cluster.md 1.4, 6.2, 7.4).
 *
 * It goes to the leader as far as that is known, else to the replicas that the
 * ring names, in turn.  Only an explicit refusal lets a write be tried
 * elsewhere: once it may have been proposed, no answer means that the outcome is
 * unknown.  A write with an idempotency key is tried again all the same, since
 * it is done once at most; that it may have been done stays with it.
 *
 * When this node does not hear who leads, another that does passes the request
 * on: forwarded twice, never more often.
 *
 * Owns:    requests between router_send and their answer; their slices stay the
 *          asker's.
 * Errors:  the request's own (vnode_msg.h), but never -ERR_NOTLEADER.
 *          -ERR_UNAVAILABLE: nobody took it before its deadline.
 *          -ERR_UNKNOWN: of a write that was sent to a node which then fell
 *          silent, or led no more.  Who is no member any more may refuse it
 *          for a second still.
 * Thread:  each function on the worker that it is told; state is a worker's.
 */
#ifndef SRC_NODE_ROUTER_H
#define SRC_NODE_ROUTER_H

#include "ring/ring.h"
#include "src/base/env.h"
#include "src/node/peers.h"
#include "vnode/call.h"

struct router; /* opaque */

struct router_config {
	const struct env *env;
	const struct peers *peers;
	uint8_t self[16];
	uint32_t n_groups; /* Q, and the root */
	uint64_t timeout_us;
};

struct router *router_new(const struct router_config *config);
/* Nothing is on its way.  Takes NULL, returns NULL. */
struct router *router_free(struct router *r);

/* The send of vnode_route, CTX a router; on worker m->from. */
void router_send(void *ctx, uint32_t group, struct msg *m);

/* The ring that WORKER goes by; a reference is taken. */
void router_set_ring(struct router *r, uint32_t worker, struct ring *ring);

/* timeout_us of what is asked from now on. */
void router_set_timeout(struct router *r, uint32_t worker, uint64_t us);

/* F holds the call IN; takes F over. */
void router_frame(struct router *r, uint32_t worker, struct net_frame *f,
    const struct call_in *in);

/* ON: writes to streams that are asked of this node are refused, not those to
 * the root.  Any thread. */
void router_hold(struct router *r, int on);
/* Writes to streams that were taken and are not answered yet; while held, 0 stays
 * so.  Any thread. */
uint32_t router_writes(const struct router *r);

/* From now on nothing waits: what is out elsewhere is given up, what would be
 * tried again is refused. */
void router_stop(struct router *r, uint32_t worker);

#endif
