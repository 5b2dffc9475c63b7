/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* render_impl - what the files render_*.c share. */
#ifndef ADMIN_RENDER_IMPL_H
#define ADMIN_RENDER_IMPL_H

#include "admin/layout.h"
#include "admin/render.h"
#include "ring/plan.h"

/* What the objects of section 9 hold, without their braces. */
void render_members_fields(struct buf *out, const struct admin_view *v);
void render_ring_fields(struct buf *out, const struct admin_view *v);
void render_transfers_fields(struct buf *out, const struct admin_view *v);

const char *render_state(enum ring_state s);
/* Places of R's members by status word, then name. */
void render_order(const struct ring *r, uint16_t *order);
int render_up(const struct admin_view *v, uint16_t member);
void render_json_hex(struct buf *out, const uint8_t *p, size_t n);
/* The members of R as in member-status; V: whether up, and who the claimant
 * is, or NULL. */
void render_member_array(
    struct buf *out, const struct ring *r, const struct admin_view *v);

#endif
