/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * clocks - how far the wall clocks of other nodes are from this one's, and who
 * should not stamp time (cluster.md 6.2).
 *
 * Time does not decrease in a group, so a leader whose clock is ahead takes it
 * along for all who come after.  One that is more than 10 s off the median of the
 * voters hands over, to one that is not.
 *
 * Owns:    nothing outside itself; nodes that were not heard of lately may be
 *          forgotten for others.
 * Shape:   milliseconds, as of when an answer came: behind by its way here.
 * Thread:  the worker it belongs to.
 */
#ifndef VNODE_CLOCKS_H
#define VNODE_CLOCKS_H

#include <stdint.h>

#include "src/consensus/raft.h"

#define CLOCKS_MAX    64
#define CLOCKS_OFF_MS 10000

struct clocks {
	uint32_t n, next; /* to be forgotten */
	struct clock_of {
		uint8_t node[16];
		int32_t ahead_ms;
	} at[CLOCKS_MAX];
};

/* NODE's clock was AHEAD_MS ahead of this one's. */
void clocks_hear(struct clocks *c, const uint8_t node[16], int32_t ahead_ms);
/*
 * How far the clock of member ID of R is from the median of the voters, of whom
 * SELF is here: 0 when it is not off.  Of less than three, or when more than half
 * of them are not known, nobody can tell who is wrong: 0.
 */
int32_t clocks_off(
    const struct clocks *c, const struct raft *r, raft_id self, raft_id id);
/* How far this node's clock is ahead of the median of all that are known. */
int32_t clocks_offset(const struct clocks *c);
/* A voter that has caught up and is not off; 0: none. */
raft_id clocks_heir(const struct clocks *c, const struct raft *r, raft_id self);

#endif
