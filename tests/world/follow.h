/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * follow - listeners of the world: the code of http/ that catches up, hangs on
 * feeds and merges buckets, with transports that hold what comes against what
 * came before.
 *
 * follow.c has the transports and what must be true; follow_server.c stands for
 * server and connections; follow_way.c takes requests
 * to some node and answers back, as the router of a node does that has none of
 * the groups itself.
 */
#ifndef TESTS_WORLD_FOLLOW_H
#define TESTS_WORLD_FOLLOW_H

#include "http/bucket.h"
#include "tests/world/world.h"

#define FOLLOWERS 6

/* What one has had of a stream. */
struct follow_seen {
	uint64_t last; /* 0: nothing */
	int deleted;   /* it was told so, since */
};

struct follower {
	struct follow *follow;
	uint32_t number;
	struct listener *listener; /* NULL: away */
	struct request rq;         /* of the listener, with */
	struct conn conn;
	int kicked, full, failed;
	int was_damaged; /* some events could not be read for it */
	int wide;        /* it follows the bucket of its stream */
	uint32_t stream;
	struct follow_seen seen[MODEL_STREAMS];
	/* Where it can go on. */
	uint64_t incarnation, next;
	struct position at[WORLD_GROUPS];
};

struct follow {
	struct world *world;
	struct http_server server;
	struct env env;
	struct chance chance; /* the others' choices stay the same */
	struct list errands;
	uint32_t n_on_way; /* requests, answers and calls, until they arrive */
	uint32_t leaders[WORLD_GROUPS]; /* by slot, as far as was told */
	struct follower followers[FOLLOWERS];
	uint32_t n_followers;
	int stopped;
};

/* --- follow_server.c -------------------------------------------------------- */

void follow_server_init(struct follow *f);
void follow_server_deinit(struct follow *f);

/* --- follow_way.c ----------------------------------------------------------- */

/* Of vnode_route: CTX is the struct follow. */
void follow_send(void *ctx, uint32_t group, struct msg *m);
/* The process of N has died: what it was asked is answered for it. */
void follow_way_forget(struct follow *f, struct node *n);

#endif
