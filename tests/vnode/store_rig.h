/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * store_rig - a store of one worker on a disk in memory, and appends to one
 * stream of each of its two groups.
 *
 * Owns:    disk, env and store.  A test may change CONFIG before sr_start.
 */
#ifndef TESTS_VNODE_STORE_RIG_H
#define TESTS_VNODE_STORE_RIG_H

#include "tests/lib/memdisk.h"
#include "tests/lib/simenv.h"
#include "vnode/store.h"
#include "vnode/vnode_msg.h"

#define SR_SEGMENT  (32u << 10)
#define SR_GROUPS   2
#define SR_CAPACITY (64ull << 20) /* of the disk */
#define SR_SECOND   1000000ull
#define SR_STEPS    200000

struct sr {
	struct memdisk *md;
	struct simenv *sim;
	struct store *store;
	struct store_config config;
	int fatal; /* how often the store said so */
	uint32_t n_pending, n_acked;
	int last_r; /* of the append that was answered last */
};

void sr_init(struct sr *rig);
void sr_deinit(struct sr *rig);
void sr_start(struct sr *rig);
/* The process dies; its memory is nobody's. */
void sr_kill(struct sr *rig);
void sr_run_for(struct sr *rig, uint64_t us);

void sr_append(struct sr *rig, uint32_t group, size_t bytes);
/* Also when the store or the disk has failed. */
void sr_append_and_wait(struct sr *rig, uint32_t group, size_t bytes);
/* A condition for simenv_run_until. */
int sr_none_pending(void *rig);
/* REQ says from where and how much; its page is the caller's. */
void sr_read(struct sr *rig, struct vnode_read *req, uint32_t group);
/* Every event of GROUP can be read; how many there are. */
uint64_t sr_count_events(struct sr *rig, uint32_t group);

#endif
