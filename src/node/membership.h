/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * membership - a node asks members that it does not hear whether it still is
 * one (cluster.md section 3).
 *
 * Who was removed while it was down knows nothing of that when it returns: its
 * frames are refused, and nobody sends it any.  So it asks as a stranger does,
 * one member after the other, and is told by those who have a newer ring.
 *
 * Thread:  worker 0.
 * Format:  top of membership.c.
 */
#ifndef SRC_NODE_MEMBERSHIP_H
#define SRC_NODE_MEMBERSHIP_H

#include "src/node/cluster.h"

struct membership; /* opaque */

struct membership_config {
	const struct env *env;
	struct cluster *cluster;
	const struct identity *identity;
	/* To a NODE that is a peer, or has spoken. */
	int (*tell_back)(
	    void *arg, const uint8_t node[16], const struct iovec *iov, int n);
	void *arg;
};

struct membership *membership_new(const struct membership_config *config);
/* Takes NULL, returns NULL. */
struct membership *membership_free(struct membership *m);

void membership_tick(struct membership *m); /* some times a second */
/* Whether the frame BYTES of a stranger is for membership_frame; any thread. */
int membership_is_frame(struct slice bytes);
/* Takes F over. */
void membership_frame(struct membership *m, struct net_frame *f);

#endif
