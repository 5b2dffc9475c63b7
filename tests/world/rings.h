/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * rings - a world whose nodes become one database and change who is in it: what
 * the operator asks for (rings.c), and what must be true of rings (watch.c).
 */
#ifndef TESTS_WORLD_RINGS_H
#define TESTS_WORLD_RINGS_H

#include "src/node/core.h"
#include "tests/world/world.h"
#include "vnode/policy_doc.h"

#define RINGS_Q          8
#define RINGS_NAME_BYTES 32
#define RINGS_COPIES     4 /* 3, and none */
#define RINGS_REQUESTS   4

enum ring_op {
	RING_OP_JOIN,
	RING_OP_PLAN,
	RING_OP_COMMIT,
	RING_OP_CLEAR,
	RING_OP_LEAVE,
	RING_OP_REMOVE,
	RING_OP_DOWN,
};

/* Something that a node was asked for. */
struct ring_request {
	struct world *world;
	struct node *node; /* NULL: free */
	enum ring_op op;
	char name[RINGS_NAME_BYTES];
	struct msg msg;
	struct cluster_edit edit;
	struct join_call join;
};

/* The policy that is being set, or was. */
struct ring_policy {
	struct world *world;
	struct node *node; /* NULL: free */
	int in_force;
	struct policy_request req;
};

/* What the operator is about to do, when it can be done. */
enum ring_wish {
	RING_WISH_NOTHING,
	RING_WISH_LEAVE,
	RING_WISH_REMOVE,
	RING_WISH_LOSE, /* a disk */
	RING_WISH_DOWN,
};

struct rings {
	int begun; /* world.cluster is known */
	int calm;
	struct ring_request requests[RINGS_REQUESTS];
	struct ring_policy policy;
	enum ring_wish wish;
	int replan;
	/* Until then an edit of unknown outcome may be committed, so that the
	 * newest ring is not known. */
	uint64_t doubt_us;
	uint8_t lost[16]; /* the id whose disk it was; zeros: nobody's */
	/* By group, as its leader had it last; and when the newest ring wanted
	 * so many copies. */
	uint8_t voters[RINGS_Q];
	struct led { /* the same, and who that was, by which ring */
		uint32_t slot;
		uint64_t life, term, epoch;
		uint32_t voters;
	} led[RINGS_Q];
	uint64_t wanted_us[RINGS_COPIES];
	struct ring *newest; /* that anybody has gone by */
	uint64_t *hashes;    /* by epoch; 0: not seen */
	uint64_t n_hashes;
};

/* Of node SLOT. */
void rings_name(uint32_t slot, char out[RINGS_NAME_BYTES]);

/* What N has is no more: its process goes, and comes back without it. */
void rings_lose_disk(struct node *n);

/* --- ring_requests.c ------------------------------------------------------ */

/* OP at N, of the member NAME or NULL. */
void rings_ask(struct node *n, enum ring_op op, const char *name);
void rings_ask_to_join(struct node *n, struct node *contact);
/* Something is asked of N; of anybody, but to join, if N is NULL. */
int rings_are_busy(const struct rings *rs, const struct node *n);

/* --- ring_policies.c -------------------------------------------------------- */

/* The process of N has died: it answers no more. */
void ring_policies_forget(struct node *n);

/* --- watch.c ---------------------------------------------------------------- */

/* All groups are where the newest ring wants them, and nobody else is. */
int rings_are_placed(struct world *w);

#endif
