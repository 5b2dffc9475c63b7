/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * join - a node asks a member of another cluster to be let in, and how such a
 * member answers (cluster.md sections 2.2 and 3).
 *
 * What is said here travels under cluster id 0, between nodes that are not
 * members of the same cluster (yet, or any more).
 *
 * Owns:    calls until they are done.
 * Thread:  worker 0.
 * Format:  top of join.c.
 */
#ifndef SRC_NODE_JOIN_H
#define SRC_NODE_JOIN_H

#include "admin/host.h"
#include "src/node/cluster.h"
#include "src/node/hold.h"

struct join; /* opaque */

struct join_config {
	const struct env *env;
	struct log *log;
	struct cluster *cluster;
	struct hold *hold;
	const struct identity *identity;
	const char *nodename;
	/* To whoever listens at NAME; to a NODE that has spoken. */
	int (*tell)(
	    void *arg, const char *name, const struct iovec *iov, int n);
	int (*tell_back)(
	    void *arg, const uint8_t node[16], const struct iovec *iov, int n);
	void *arg;
};

struct join *join_new(const struct join_config *config);
struct join *join_free(struct join *j); /* takes NULL, returns NULL */
void join_tick(struct join *j);         /* some times a second */
void join_stop(struct join *j);

/* A frame of a stranger; takes it over. */
void join_frame(struct join *j, struct net_frame *f);

/* Asks the member CONTACT; one call at a time. */
struct join_call {
	char contact[RING_NAME_MAX + 1];
	uint64_t n_streams; /* ADMIN_HOLDS_STREAMS: so many */
	/* RING: that of the cluster, in which this node is joining; borrowed;
	 * only with ADMIN_OK, and no write is taken here any more then.  KNOWN:
	 * admin_change.known_other_id. */
	void (*done)(struct join_call *call, enum admin_result result,
	    struct ring *ring, int known);
};

/* -ERR_BUSY: another one is under way.  The call is the caller's, until DONE. */
int join_ask(struct join *j, struct join_call *call);

#endif
