/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * placement - where the replicas of a group should be, and the next step of its
 * leader towards that (cluster.md 7.1).
 *
 * The ring says who should hold a group; the group's own configuration says who
 * does.  The leader closes the gap one change at a time: all new replicas are
 * learners first and are filled; when the last of them has caught up they get
 * their votes, one after the other; then the ones that are not wanted go.
 *
 * Owns:    nothing; a pure function of what it is given.
 * Thread:  the worker of the group.
 */
#ifndef VNODE_PLACEMENT_H
#define VNODE_PLACEMENT_H

#include <stdint.h>

#include "src/consensus/raft.h"

/* Where a group should be, as of a ring. */
struct placement {
	uint64_t epoch;        /* of that ring */
	uint8_t preferred[16]; /* who should lead */
	uint32_t n;            /* >= 1 */
	struct placement_replica {
		uint8_t node[16];
		int voter; /* else a learner for good */
	} at[];
};

enum placement_move {
	PLACEMENT_REST,     /* all is as it should be, and committed */
	PLACEMENT_WAIT,     /* for a commit, or for a replica to catch up */
	PLACEMENT_ADD,      /* a learner on `node` */
	PLACEMENT_PROMOTE,  /* `id` */
	PLACEMENT_REMOVE,   /* `id` */
	PLACEMENT_TRANSFER, /* leadership to `id`; the group is where it should
			       be, or this leader is to go */
};

struct placement_step {
	enum placement_move move;
	uint8_t node[16];
	raft_id id;
	int placed; /* TRANSFER: all the rest is as it should be */
};

/* What leader SELF of R does next. */
struct placement_step placement_next(
    const struct placement *p, const struct raft *r, raft_id self);

#endif
