/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * change - what operators and nodes ask of the ring's members (cluster.md
 * section 3).
 *
 * Each function judges a request against the ring NOW, and makes the ring that
 * has it: epoch + 1, all else as before.  What is staged waits for plan.h; a
 * stored plan stays, and no longer fits.
 *
 * Owns:    *OUT is the caller's, and only written with RING_OK.
 * Returns: enum ring_refusal; RING_SAME: it is so already, success without a
 *          new ring.
 * Names:   as in the ring, without quotes.  A name that two members have means
 *          the one that is not joining; for WITH, the joining one.
 * Thread:  any; no I/O, no clock, no chance: equal input, equal rings.
 */
#ifndef RING_CHANGE_H
#define RING_CHANGE_H

#include "ring/ring.h"

enum ring_refusal {
	RING_OK,
	RING_SAME, /* success too */
	RING_ALREADY_MEMBER,
	RING_ALREADY_LEAVING, /* or gone already, or down */
	RING_NOT_MEMBER,
	RING_ONLY_MEMBER, /* or nobody would be left to own a slot */
	RING_INVALID_REPLACEMENT,
	RING_ALREADY_REPLACEMENT,
	RING_NOTHING_STAGED,
	RING_NOTHING_PLANNED,
	RING_PLAN_CHANGED,
	RING_IS_UP,
	RING_TOO_MANY, /* RING_MEMBERS_MAX */
	RING_NO_MEMORY,
};

/*
 * A new member, joining.  KNOWN: its name is that of a member with another id,
 * so force-replace of that one with it is staged; if it is to replace another,
 * the known one is removed by force.  A joining member of this name goes away:
 * nobody waits for an id whose disk is lost.
 */
enum ring_refusal ring_stage_join(const struct ring *now,
    const uint8_t id[RING_ID_BYTES], const char *name, const char *address,
    struct ring **out, int *known);

/*
 * One change a member: a new one takes the place of what was staged for it, and
 * a replacement that is given up joins on its own again.  A member whose name
 * joins anew is leaving already, and can go by force only.
 */
enum ring_refusal ring_stage_leave(
    const struct ring *now, const char *name, struct ring **out);
enum ring_refusal ring_stage_remove(
    const struct ring *now, const char *name, struct ring **out);
enum ring_refusal ring_stage_replace(const struct ring *now, const char *name,
    const char *with, int force, struct ring **out);

/* Nothing staged, nothing planned; the joining members are gone. */
enum ring_refusal ring_clear(const struct ring *now, struct ring **out);

/* UP: the caller hears from it, which refuses. */
enum ring_refusal ring_mark_down(
    const struct ring *now, const char *name, int up, struct ring **out);
/* Of ID, that is there again: valid if it was down, reached at ADDRESS. */
enum ring_refusal ring_returned(const struct ring *now,
    const uint8_t id[RING_ID_BYTES], const char *address, struct ring **out);

#endif
