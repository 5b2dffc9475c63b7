/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * plan_room - whether those that get replicas by a plan have room for them
 * (cluster.md 7.3).
 *
 * An estimate: so many replicas as a member is to get, each of the size that
 * replicas have on average, against the room that the beats tell of.  Who was not
 * heard is not judged.
 *
 * Thread:  worker 0.
 */
#ifndef SRC_NODE_PLAN_ROOM_H
#define SRC_NODE_PLAN_ROOM_H

#include "ring/plan.h"
#include "src/node/cluster.h"

struct plan_lack {
	char name[RING_NAME_MAX + 1];
	uint64_t needed, room; /* bytes */
};

/* 1: OUT is who lacks most. */
int plan_room_lacks(
    const struct cluster *c, const struct ring_plan *p, struct plan_lack *out);
/* As ring_commit, but RING_SAME and *LACKS 1, LACK filled in, when there is no
 * room: who joins may not have been heard yet when it was planned. */
enum ring_refusal plan_room_commit(const struct cluster *c, struct ring *now,
    const char *text, struct ring **out, int *lacks, struct plan_lack *lack);

#endif
