/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * plan - from what is staged to who owns what (cluster.md sections 3, 4.3, 5
 * and 7.1).
 *
 * Planning starts from next_owners: a commit while slots still move sends them
 * elsewhere.  Owners stay as they are until ring_flip, but for slots whose
 * owner is gone by force: those go over at commit.
 *
 * Returns: as change.h; *OUT only with RING_OK.
 * Thread:  any; no I/O, no clock, no chance: equal input, equal rings.
 */
#ifndef RING_PLAN_H
#define RING_PLAN_H

#include "ring/change.h"

#define RING_PLAN_TEXT_BYTES 9 /* 8 hex digits and a NUL */
#define RING_TRANSITIONS_MAX 2

struct ring_plan {
	uint8_t id[RING_ID_BYTES]; /* the first 4 bytes are shown */
	struct ring *now;          /* of which it was made */
	/*
	 * Rings after each transition, 1 or 2.  at[0]: what commit would make,
	 * transfers still to come.  at[1], where members leave: all moved, and
	 * they are gone.
	 */
	uint32_t n;
	struct ring *at[RING_TRANSITIONS_MAX];
};

/* RING_NOTHING_STAGED, RING_NO_MEMORY. */
enum ring_refusal ring_plan_new(struct ring *now, struct ring_plan **out);
struct ring_plan *ring_plan_free(struct ring_plan *p);
void ring_plan_text(
    const uint8_t id[RING_ID_BYTES], char out[RING_PLAN_TEXT_BYTES]);

/* NOW with P's id as its plan: what may be committed. */
enum ring_refusal ring_plan_store(
    const struct ring *now, const struct ring_plan *p, struct ring **out);
/*
 * The plan stored in NOW, made again, if its id is what would be planned now;
 * and if that is TEXT (8 hex digits), unless TEXT is NULL or empty.  To commit it
 * is to go on with its at[0].
 */
enum ring_refusal ring_plan_stored(
    struct ring *now, const char *text, struct ring_plan **out);
/* That at[0]. */
enum ring_refusal ring_commit(
    struct ring *now, const char *text, struct ring **out);

/*
 * The groups at SLOTS are at their targets: they are their next owners' now.
 * With the last one the transition ends: who was leaving is exiting.
 */
enum ring_refusal ring_flip(const struct ring *now, const uint16_t *slots,
    uint32_t n, struct ring **out);
/* The exiting member ID is gone; any other is RING_NOT_MEMBER. */
enum ring_refusal ring_removed(
    const struct ring *now, const uint8_t id[RING_ID_BYTES], struct ring **out);

/* --- what tables show ----------------------------------------------------- */

struct ring_count {
	uint16_t owned, next; /* slots now, and when all have moved */
};

/* Of each member, by place; OUT has room for n_members. */
void ring_counts(const struct ring *r, struct ring_count *out);
/* Slots whose next owner is another. */
uint32_t ring_pending(const struct ring *r);
/* Members that may own slots: fewer than N, and groups have fewer copies. */
uint32_t ring_claimants(const struct ring *r);

struct ring_tally {
	const char *from, *to; /* names, of the rings given */
	uint16_t slots;
};

struct ring_tallies {
	uint32_t n, slots;     /* entries, and slots of all of them */
	struct ring_tally *at; /* by (from, to) */
};

/* Pending slots of R by owner and next owner; 0 or -ERR_NOMEM. */
int ring_transfers(const struct ring *r, struct ring_tallies *out);
/* Slots that change owner at once with P's transition I, 0 <= I < n. */
int ring_reassigned(
    const struct ring_plan *p, uint32_t i, struct ring_tallies *out);
void ring_tallies_deinit(struct ring_tallies *t);

#endif
