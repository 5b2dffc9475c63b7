/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * targets - who votes for the root, and where a group belongs (cluster.md
 * sections 2.1 and 7.1).
 *
 * Shape:   places in members, of the ring given.
 * Thread:  any.
 */
#ifndef RING_TARGETS_H
#define RING_TARGETS_H

#include "ring/ring.h"

#define RING_VOTERS_MAX 5

/*
 * The voters of the root group, by name: 1, 2, 3 (of 3 and 4) or 5 of the valid
 * members; of all that may own slots when none of them is valid.  The other
 * members are learners.  How many there are, at least 1.
 */
uint32_t ring_root_voters(const struct ring *r, uint16_t out[RING_VOTERS_MAX]);

/* REPLICAS(g, next_owners), the preferred leader first; how many. */
uint32_t ring_targets(
    const struct ring *r, uint16_t g, uint16_t out[RING_COPIES_MAX]);

#endif
