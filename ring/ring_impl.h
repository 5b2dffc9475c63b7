/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * ring_impl - how a new ring is made of an old one, for the files of this
 * folder.  A ring is changed only before anyone else has it.
 */
#ifndef RING_RING_IMPL_H
#define RING_RING_IMPL_H

#include "ring/ring.h"

/* Owners are all 0; NULL without memory. */
struct ring *ring_alloc(uint16_t q, uint32_t n_members, uint32_t n_staged);
/* NOW with epoch + 1, and room for one more member and a change for each. */
struct ring *ring_copy(const struct ring *now);

/* Its place; no member has M's id, and there is room. */
uint16_t ring_add_member(struct ring *r, const struct ring_member *m);
/* What was staged with it goes too; it owns nothing. */
void ring_drop_member(struct ring *r, uint16_t member);

/* The change staged for MEMBER; with which MEMBER replaces another; or NULL. */
struct ring_change *ring_staged(const struct ring *r, uint16_t member);
struct ring_change *ring_staged_with(const struct ring *r, uint16_t member);
void ring_stage(struct ring *r, struct ring_change c);
/* Nothing is staged for or with MEMBER; what was to replace it joins. */
void ring_unstage(struct ring *r, uint16_t member);

void ring_forget_plan(struct ring *r);
/* Its member is gone with commit. */
int ring_is_forced(const struct ring_change *c);

/* In the order of names, then of ids; < 0, 0, > 0. */
int ring_compare(const struct ring *r, uint16_t a, uint16_t b);

/* Someone may own slots when all that is staged is done (rule 5). */
int ring_keeps_somebody(const struct ring *r);
/* Rules 1 to 6 of ring.h; places are in bounds. */
int ring_is_possible(const struct ring *r);

/* Parts of the encoding. */
void ring_encode_owners(struct buf *b, const uint16_t *owners, uint16_t q);
void ring_encode_staged(const struct ring *r, struct buf *b);

#endif
