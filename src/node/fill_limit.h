/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fill_limit - transfer_limit, of this node and of others, as an operator sets
 * it while they run.
 *
 * A member is told until its beats say that it has the new limit.
 *
 * Owns:    calls until they are done.
 * Thread:  worker 0.
 * Format:  top of fill_limit.c.
 */
#ifndef SRC_NODE_FILL_LIMIT_H
#define SRC_NODE_FILL_LIMIT_H

#include "src/node/cluster.h"

#define FILL_LIMIT_MAX 1000

struct fill_limit; /* opaque */

struct fill_limit_config {
	const struct env *env;
	struct log *log;
	struct cluster *cluster;
	const struct identity *identity;
	struct store **store;
};

struct fill_limit_call {
	uint32_t limit;
	const char *node; /* its name; NULL: all members */
	/* FAILED, by place in RING, those that do not have it; both borrowed.
	 * N_FAILED of them; -1: NODE is no member. */
	void (*done)(struct fill_limit_call *call, struct ring *ring,
	    uint8_t *failed, int n_failed);
	struct fill_limit_call *next;
	uint64_t since_us, told_us;
};

struct fill_limit *fill_limit_new(const struct fill_limit_config *config);
/* Takes NULL, returns NULL. */
struct fill_limit *fill_limit_free(struct fill_limit *l);

/* CALL is the caller's, until DONE, on a later turn. */
void fill_limit_set(struct fill_limit *l, struct fill_limit_call *call);

void fill_limit_tick(struct fill_limit *l); /* some times a second */
void fill_limit_stop(struct fill_limit *l);
/* Whether the frame BYTES is for fill_limit_frame; any thread. */
int fill_limit_is_frame(struct slice bytes);
/* Takes F over. */
void fill_limit_frame(struct fill_limit *l, struct net_frame *f);

#endif
