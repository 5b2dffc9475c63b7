/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * admin_view - what iorio-admin is shown of the cluster: the ring here, and what
 * members have told with their last beats.
 *
 * Thread:  worker 0.
 */
#ifndef SRC_NODE_ADMIN_VIEW_H
#define SRC_NODE_ADMIN_VIEW_H

#include "admin/host.h"
#include "src/node/core.h"

/* What a view points into. */
struct admin_seen {
	uint8_t *up, *agrees, *complete;
	uint32_t *counts; /* limit, sending, queued, receiving */
	struct admin_transfer *transfers;
};

/* Fills in V, as node SELF sees it, until admin_seen_clear.  Its ring is NULL
 * without memory. */
void admin_see(struct admin_seen *a, struct core *core, const char *self,
    struct admin_view *v);
void admin_seen_clear(struct admin_seen *a);

#endif
