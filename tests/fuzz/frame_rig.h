/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * frame_rig - one whole node on a disk in memory, for frames to come to.
 *
 * An input is frames, each behind a head of 8 bytes:
 *
 *	u8  who sends it: 0 the other member of group 0, else a stranger
 *	u8  tens of milliseconds until the next
 *	u16 0
 *	u32 bytes of the frame, little endian
 *
 * The last may be cut.
 */
#ifndef TESTS_FUZZ_FRAME_RIG_H
#define TESTS_FUZZ_FRAME_RIG_H

#include "src/base/buf.h"
#include "tests/lib/memdisk.h"
#include "tests/lib/simenv.h"
#include "vnode/store.h"
#include "vnode/vnode_msg.h"

#define FRAME_RIG_EVENTS 10 /* in groups 0 and 1, and 2 of a donor */
#define FRAME_RIG_HEAD   8
#define FRAME_RIG_MEMBER 2 /* id of the learner of group 0 */

struct frame_rig {
	struct memdisk *md;
	struct simenv *sim;
	struct store *store;
	int fatal, stopped;
};

/* A node that was founded with N_GROUPS groups, and stopped. */
struct memdisk *frame_rig_found(uint32_t n_groups);
/* A node on MD, which is borrowed; it has groups 0..N_GROUPS - 1, with replicas
 * of those it was founded with. */
void frame_rig_open(struct frame_rig *r, struct memdisk *md, uint32_t n_groups);
void frame_rig_close(struct frame_rig *r);
void frame_rig_run(struct frame_rig *r, uint64_t us);

/* 0, or what the node answered. */
int frame_rig_put(struct frame_rig *r, uint32_t group, uint32_t nth);
/* The first FRAME_RIG_EVENTS events are as they were put, or the error. */
int frame_rig_check(struct frame_rig *r, uint32_t group);
void frame_rig_frame(struct frame_rig *r, int who, struct slice bytes);

/* The next frame of IN: 1, or 0 at the end. */
struct frame_item {
	int who;
	uint64_t us;
	struct slice bytes;
};
int frame_item_next(struct slice *in, struct frame_item *out);

#endif
