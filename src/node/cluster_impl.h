/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* cluster_impl - what cluster.c, cluster_edit.c and cluster_beat.c share. */
#ifndef SRC_NODE_CLUSTER_IMPL_H
#define SRC_NODE_CLUSTER_IMPL_H

#include <string.h>

#include "ring/gossip.h"
#include "src/base/hash.h"
#include "src/node/beat.h"
#include "src/node/cluster.h"

#define ROOT_STREAM "ring"

/* What a member's last beat said. */
struct member_beat {
	uint8_t id[RING_ID_BYTES];
	uint64_t epoch;                /* of its ring; 0: not heard yet */
	uint8_t hash[RING_HASH_BYTES]; /* the same */
	struct beat told;
};

/* Who has just left. */
struct departed {
	struct ring_member member;
	uint64_t until_us; /* 0: free */
};

/* The edit that is under way. */
struct editing {
	struct cluster_edit *edit; /* NULL: none */
	uint32_t tries;
	uint64_t seq;      /* of the ring that it was made of */
	struct ring *made; /* proposed, or committed and not known to all */
	uint64_t until_us; /* ... and not waited for any longer */
	enum ring_refusal refusal;
	struct buf bytes;
	struct vnode_put_event event;
};

struct cluster {
	struct cluster_config config;
	const struct env *env;
	struct gossip gossip;      /* its ring is the one in use */
	uint64_t targets_since;    /* epoch since when owners-to-be are these */
	struct member_beat *beats; /* by place in the ring's members */
	struct departed departed[CLUSTER_DEPARTED_MAX];
	struct { /* the last beat that was sent */
		uint64_t at_us, epoch;
		struct hash128 hash;
	} said;
	uint64_t told_us;   /* they were, last */
	uint64_t pulled_us; /* somebody was asked for a newer ring, last */
	uint64_t forked_at; /* the epoch of a fork that was told of */
	struct cluster_edit *first, **last; /* waiting */
	struct editing editing;
	struct cluster_edit flip; /* the claimant's own */
	int flipping;
	struct saving *saving; /* the ring, to the disk; NULL: not now */
	struct ring *unsaved;  /* the next to save */
	atomic_int looking;    /* a look at the root's newest is on its way */
	/* Of each document, in force here. */
	uint64_t in_force[ROOT_COUNT];
	int stopping, gone;
	uint32_t n_out; /* messages of ours that will come back */
};

/* --- cluster.c ------------------------------------------------------------ */

uint64_t cluster_now(const struct cluster *c);
/* RING is the newest that is known. */
void cluster_publish(struct cluster *c, struct ring *ring);
/* The newest event in REQ's page, an answered read of a stream of the root;
 * nothing when there is none. */
struct slice cluster_newest_in(const struct vnode_read *req);
/* The ring in it; NULL: there is none, or it is damaged. */
struct ring *cluster_ring_in(const struct vnode_read *req);
/* A read of the newest event of STREAM of the root. */
void cluster_fill_read(
    const struct cluster *c, const char *stream, struct vnode_read *req);

/* --- cluster_edit.c ------------------------------------------------------- */

void editing_tick(struct cluster *c);
void editing_stop(struct cluster *c);

/* --- cluster_beat.c ------------------------------------------------------- */

void beats_tick(struct cluster *c);
/* To all, if it is new. */
void beats_send(struct cluster *c);
/* The beats that were heard, in the order of NEW's members. */
struct member_beat *beats_of(const struct cluster *c, const struct ring *new);

#endif
