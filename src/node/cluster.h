/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * cluster - this node's part in deciding who is a member and who owns what
 * (cluster.md sections 2 and 3).
 *
 * The root group is group Q of the store.  Its stream `ring` of bucket `$root`
 * holds every ring there was, as one event each: a change reads the newest,
 * makes the next, and appends it under the condition that the newest is still
 * that one.  So any node may change the ring, and no two changes fork it.  What
 * the root's leader, the claimant, does on its own is to move owners once their
 * groups have arrived.
 *
 * Each member has a replica of the root group, and goes by the newest ring that
 * was applied there; a beat to each other member, ten times a second, says which
 * ring that is, and who lags pulls the newer one.
 *
 * Owns:    the ring in use, edits until they are done.
 * Thread:  worker 0, but for cluster_changed.
 */
#ifndef SRC_NODE_CLUSTER_H
#define SRC_NODE_CLUSTER_H

#include "ring/change.h"
#include "ring/identity.h"
#include "ring/liveness.h"
#include "src/base/env.h"
#include "src/base/log.h"
#include "src/node/beat.h"
#include "src/node/peers.h"
#include "src/node/router.h"
#include "vnode/store.h"

#define CLUSTER_BEAT_US LIVENESS_BEAT_US

#define ROOT_BUCKET "$root" /* of the streams of the root group */

struct cluster; /* opaque */

struct cluster_config {
	const struct env *env;
	struct log *log;
	const struct identity *identity;
	struct store **store; /* open once cluster_start is called */
	struct router *router;
	struct peers *peers;
	uint64_t timeout_us;
	/* Events were applied to the root's replica here, or may have been; a
	 * beat was heard; on worker 0. */
	void (*looked)(void *root_arg);
	void (*heard)(void *root_arg);
	void *root_arg;
	/* RING is in use from now on; on worker 0. */
	void (*published)(void *arg, struct ring *ring);
	/* A newer ring does not have this node any more, which was in state
	 * WAS; on worker 0, once. */
	void (*left)(void *arg, enum ring_state was);
	void *arg;
};

/* RING is what the disk has; a reference is taken. */
struct cluster *cluster_new(
    const struct cluster_config *config, struct ring *ring);
struct cluster *cluster_free(struct cluster *c); /* takes NULL, returns NULL */

/* Before the workers run: everybody goes by the ring there is. */
int cluster_start(struct cluster *c);
/* No edits from now on; those under way fail. */
void cluster_stop(struct cluster *c);

/* Events were applied to the root group; any thread.  ARG: a cluster. */
void cluster_changed(void *arg);
/* Every CLUSTER_BEAT_US. */
void cluster_tick(struct cluster *c);
/* A beat of another node, out of the store's frames.  ARG: a cluster. */
void cluster_told_by(void *arg, const uint8_t from[16], struct slice bytes);
/* A frame of another node, if it is one of ours: then it is taken over and 1
 * returned. */
int cluster_frame(struct cluster *c, struct net_frame *f);
/* There is a newer ring without this node. */
void cluster_lost(struct cluster *c);
/* Whether BYTES is for cluster_frame; any thread. */
int cluster_is_frame(struct slice bytes);

/* --- changes -------------------------------------------------------------- */

struct cluster_edit {
	/* Makes *OUT of NOW, which is the newest; asked again when another
	 * change was faster. */
	enum ring_refusal (*make)(
	    struct cluster_edit *e, struct ring *now, struct ring **out);
	/* The end.  R 0: REFUSAL says what became of it, AFTER is the newest
	 * ring then (borrowed), known to all members that are up.
	 * -ERR_UNAVAILABLE: no majority of the root's voters. */
	void (*done)(struct cluster_edit *e, int r, enum ring_refusal refusal,
	    struct ring *after);
	struct cluster_edit *next;
};

/* E is the caller's, until DONE. */
void cluster_edit(struct cluster *c, struct cluster_edit *e);

/* --- looking -------------------------------------------------------------- */

struct ring *cluster_ring(const struct cluster *c); /* borrowed */
/* This node is in the ring no more, and does nothing in it: config.left. */
int cluster_is_gone(const struct cluster *c);
/* The place of the member that leads the root; RING_NOBODY: not known. */
uint16_t cluster_claimant(const struct cluster *c);
/* Slot G is moving, and its group has arrived. */
int cluster_has_arrived(const struct cluster *c, uint16_t g);
/* Members that have just left, and are still told so; borrowed. */
#define CLUSTER_DEPARTED_MAX 16
uint32_t cluster_departed(const struct cluster *c,
    const struct ring_member *out[CLUSTER_DEPARTED_MAX]);
/* Member I is this node; is heard of; has the same ring. */
int cluster_is_self(const struct cluster *c, uint16_t i);
int cluster_is_up(const struct cluster *c, uint16_t i);
int cluster_agrees(const struct cluster *c, uint16_t i);
/* All of this node goes by event SEQ of document WHICH; told with the beats. */
void cluster_set_in_force(
    struct cluster *c, enum root_which which, uint64_t seq);
/* What member I told of itself last; zeros: nothing yet. */
void cluster_told(const struct cluster *c, uint16_t i, struct beat *out);

#endif
