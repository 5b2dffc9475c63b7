/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * attic - what a replica held that has left this node, for handoff.grace.
 *
 * Its files are dispensable from the moment they are here: a majority of others
 * has them.  They stay for a person who finds out that something went wrong.
 *
 * Owns:    directories vnodes/<group>-<generation>.<life>.left-<wall ms>, which
 *          no start takes for replicas.
 * Thread:  LANE_FLUSH, but for attic_tick: worker 0.
 */
#ifndef VNODE_ATTIC_H
#define VNODE_ATTIC_H

#include "vnode/store_impl.h"

/* The files in DIR, but for BUT, go there; what cannot be moved stays. */
int attic_take(struct store *s, const char *dir, const char *but);
/* Now and then removes what is older than the grace; when the disk is full, all
 * of it. */
void attic_tick(struct store *s);

#endif
