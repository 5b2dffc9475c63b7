/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * render - the tables of cluster.md section 4 and the objects of section 9,
 * from values.
 *
 * Pure: equal values, equal bytes.  Each adds to OUT; see buf_error there.
 */
#ifndef ADMIN_RENDER_H
#define ADMIN_RENDER_H

#include "admin/host.h"

/* member-status (4.2); for JSON OUT begins an object of its own. */
void render_members(struct buf *out, const struct ring *r);
void render_members_json(struct buf *out, const struct admin_view *v);

/* cluster plan (4.3): BEFORE holds what is staged.  0 or -ERR_NOMEM. */
int render_plan(
    struct buf *out, const struct ring *before, const struct ring_plan *p);
int render_plan_json(
    struct buf *out, const struct ring *before, const struct ring_plan *p);

/* ring-status (4.4). */
void render_ring(struct buf *out, const struct admin_view *v);
void render_ring_json(struct buf *out, const struct admin_view *v);

/* transfers (4.5), at wall time NOW_US; transfer-limit (4.6). */
void render_transfers(
    struct buf *out, const struct admin_view *v, uint64_t now_us);
void render_transfers_json(struct buf *out, const struct admin_view *v);
void render_transfer_limit(struct buf *out, const struct admin_view *v);

/* ringready (4.7): 1 when all agree, else 0. */
int render_ringready(struct buf *out, const struct admin_view *v);

/* cluster status (4.9). */
void render_cluster(struct buf *out, const struct admin_view *v);

/* GET /cluster: members, ring and transfers in one object. */
void render_all_json(struct buf *out, const struct admin_view *v);

#endif
