/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * nodes_rig - three whole nodes on one virtual time, for tests that let
 * something happen to them step by step.  What does not work fails the test.
 *
 * Node 1 founds the groups; the others have none of them until they are added.
 * All that is asked is about group rig->group, and stream "s" there.
 */
#ifndef TESTS_VNODE_NODES_RIG_H
#define TESTS_VNODE_NODES_RIG_H

#include "tests/lib/memdisk.h"
#include "tests/lib/simenv.h"
#include "vnode/store.h"
#include "vnode/vnode_msg.h"

#define N_NODES  3
#define N_GROUPS 5
#define SEGMENT  (64u << 10) /* of the journals */
#define SECOND   1000000ull

struct nodes;

struct node {
	struct nodes *rig;
	uint8_t id[16];
	struct memdisk *md;
	struct simenv *sim;
	struct store *store;
	int up, cut, fatal;
	char told[32]; /* by others, newest */
	uint32_t n_told;
};

struct nodes {
	struct node nodes[N_NODES];
	uint32_t group;
	uint32_t n_frames;
	/* Sees each frame before it goes; 1: it does not go.  May be NULL. */
	int (*hook)(void *arg, struct node *from, struct node *to,
	    const struct iovec *iov, int count);
	void *arg;
	int bulk_error; /* what NET_BULK says, whose frames do not go then */
};

struct ask {
	struct vnode_put put;
	struct vnode_put_event event;
	struct vnode_read read;
	struct vnode_change change;
	int done;
	char data[2048];
};

struct nodes *nodes_new(void);
/* FOUND: as the first node of a cluster. */
void nodes_start(struct node *n, int found);
void nodes_kill(struct node *n);

/* 0: nothing is left to do. */
int nodes_step(struct nodes *rig);
void nodes_run_for(struct nodes *rig, uint64_t us);

/* M to NODE's worker of GROUP; it comes back in the ask that it is in. */
void nodes_post(struct node *n, uint32_t group, struct msg *m);
void nodes_wait_for(struct nodes *rig, struct ask *a);
/* IOV as a frame from FROM, to a worker of NODE. */
void nodes_frame(struct node *to, const uint8_t from[16],
    const struct iovec *iov, int count);

/* The node that leads and is ready. */
struct node *nodes_leader(struct nodes *rig);
/* Event NTH at NODE; the caller waits, and frees it. */
struct ask *nodes_begin_put(struct nodes *rig, struct node *n, uint32_t nth);
/* Event NTH at NODE; its seqnum to SEQ.  What the node answered. */
int nodes_put(struct nodes *rig, struct node *n, uint32_t nth, uint64_t *seq);
/* N events from the FIRST on, numbered by their seqnums, at the leader. */
void nodes_put_many(struct nodes *rig, uint32_t first, uint32_t n);
int nodes_change(struct nodes *rig, enum vnode_change_op op, struct node *who);
/* The same, tried again while the group is busy. */
void nodes_change_soon(
    struct nodes *rig, enum vnode_change_op op, struct node *who);
/* Asks NODE for events from FROM on, of its own replica with ANY.  The answer is
 * in the ask: for nodes_read_done. */
struct ask *nodes_read(
    struct nodes *rig, struct node *n, uint64_t from, int any);
void nodes_read_done(struct ask *a);
/* The newest seqnum that NODE reads; its answer to *R. */
uint64_t nodes_newest(struct nodes *rig, struct node *n, int *r);
/* Exactly N events are read, and each is what was put. */
void nodes_check_events(struct nodes *rig, uint64_t n);
/* Nodes 2 and 3 become voters. */
void nodes_join_all(struct nodes *rig);
/* N events are read, and all replicas have applied them. */
void nodes_check_all(struct nodes *rig, uint64_t n);

#endif
