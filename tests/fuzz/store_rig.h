/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * store_rig - one whole store of one worker on a disk in memory, for seeds and
 * for the target that starts it over any files.
 */
#ifndef TESTS_FUZZ_STORE_RIG_H
#define TESTS_FUZZ_STORE_RIG_H

#include "tests/fuzz/rig.h"
#include "vnode/store.h"
#include "vnode/vnode_msg.h"

#define SR_DIR     "c" /* of the cluster */
#define SR_GROUPS  2
#define SR_SEGMENT (32u << 10)

struct store_rig {
	struct rig rig;
	struct store *store; /* NULL: closed */
	char why[512];
	int stopped, fatal;
	struct msg *waiting; /* for the answer to it */
};

void sr_init(struct store_rig *sr);
/* The store is closed. */
void sr_deinit(struct store_rig *sr);

/* 0, and the store runs; or why it does not open, with sr->why. */
int sr_open(struct store_rig *sr);
/* Stopped as by SIGTERM, and closed. */
void sr_stop(struct store_rig *sr);
/* Closed as it is; what is on its way is lost. */
void sr_kill(struct store_rig *sr);

/* Each waits for the answer; its code is in the request. */
void sr_put(struct store_rig *sr, struct vnode_put *req);
void sr_read(struct store_rig *sr, struct vnode_read *req);
void sr_list(struct store_rig *sr, struct vnode_list *req);

#endif
