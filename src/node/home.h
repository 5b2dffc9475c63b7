/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * home - in which cluster's directory this node lives, when that changes.
 *
 * Nothing of the old cluster is open, and nothing of the new one yet.  Each
 * function is done once it returns 0; a crash before leaves the node where it
 * was: the rename of node.id decides.
 *
 * Thread:  one; blocks on the disk.
 */
#ifndef SRC_NODE_HOME_H
#define SRC_NODE_HOME_H

#include "ring/identity.h"
#include "ring/ring.h"

/* Into the cluster of RING, which has this node as a member. */
int home_join(const struct env *env, const char *nodename, struct identity *id,
    const struct ring *ring);
/* Back to the cluster of its own that it left for this one. */
int home_go_back(
    const struct env *env, const char *nodename, struct identity *id);
/* Out of a cluster for good: its directory is kept as `<cluster>.left-<time>`,
 * the next start founds a cluster of its own. */
int home_leave(
    const struct env *env, const char *nodename, struct identity *id);

#endif
