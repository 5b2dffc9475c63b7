/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * cluster_rig - some nodes, whole but for sockets and HTTP, on one virtual time:
 * store, router, ring, joins.  What does not work fails the test.
 *
 * Each node begins as a cluster of its own.
 */
#ifndef TESTS_NODE_CLUSTER_RIG_H
#define TESTS_NODE_CLUSTER_RIG_H

#include "ring/plan.h"
#include "src/node/core.h"
#include "tests/lib/memdisk.h"
#include "tests/lib/simenv.h"

#define RIG_NODES 4
#define RIG_Q     16
#define RIG_NONE  (-1) /* slots of one that is no member */
#define RIG_ANY   (-2) /* a member, however many it has */
#define SECOND    1000000ull

struct rig;

struct member {
	struct rig *rig;
	uint32_t i;
	char name[64];
	struct memdisk *md;
	struct simenv *sim;
	struct identity identity;
	struct core *core; /* NULL: not running */
	uint64_t segment;  /* of its journal; from its next start on */
	int cut;           /* no frame comes or goes */
	uint32_t deaf_to;  /* no frame comes from these, by bit */
	int fatal;
	uint32_t n_policies; /* workers were told policies since its start */
	int moves;           /* to another cluster, once it has stopped */
	int exited;          /* it left, and its process ended */
	int removed;         /* by force, and it knows */
	struct ring *to;     /* ... that it joins; NULL: back, or out */
	enum ring_state was;
	uint64_t next_at; /* of its sim */
};

struct rig {
	struct member at[RIG_NODES];
	uint32_t n_frames;
};

struct rig *rig_new(void);
void rig_run_for(struct rig *rig, uint64_t us);
/* Runs until COND(ARG); fails after SECONDS. */
void rig_run_until(struct rig *rig, int (*cond)(struct rig *rig, void *arg),
    void *arg, unsigned seconds);

/* Runs until *DONE; the same. */
void rig_wait_for(struct rig *rig, const int *done, unsigned seconds);

/* FN(m) on worker 0 of MEMBER. */
void rig_on_worker_0(
    struct member *member, struct msg *m, void (*fn)(struct msg *m));

void rig_start(struct member *m);
void rig_kill(struct member *m);
/* M ends, and goes on in the cluster of TO (NULL: back in its own, or nowhere),
 * having been WAS. */
void rig_move(struct member *m, struct ring *to, enum ring_state was);

/* --- cluster_asks.c ------------------------------------------------------- */

/* A joins the cluster of B: what it was told. */
enum admin_result rig_join(struct member *a, struct member *b);

/* One change, asked of M: RING_OK, ..., or -1 when there was no majority. */
int rig_plan(struct member *m);
int rig_commit(struct member *m);
int rig_leave(struct member *m, const char *name);
int rig_remove(struct member *m, const char *name);
int rig_down(struct member *m, const char *name);
int rig_clear(struct member *m);

/* Event NTH to stream STREAM through M; the seqnum, or the error. */
int64_t rig_put(struct member *m, const char *stream, uint32_t nth);
/* Events of STREAM, read through M one page; each must be what was put: the
 * newest seqnum, or the error. */
int64_t rig_read(struct member *m, const char *stream);

/* --- cluster_rig.c -------------------------------------------------------- */

/* The ring that M goes by. */
struct ring *rig_ring(struct member *m);
/* All running members have the same ring, all slots and groups are where they
 * should be, and each has so many slots. */
void rig_wait_settled(struct rig *rig, const int owned[RIG_NODES]);

#endif
