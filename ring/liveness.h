/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * liveness - which members seem to be up (cluster.md section 2.3).
 *
 * An opinion: it is shown to people, and requests in flight to a suspected
 * member are given up; safety never rests on it.
 *
 * Owns:    a record of each member, by its place in the ring given last.
 * Thread:  one at a time; no clock of its own: NOW never goes back.
 */
#ifndef RING_LIVENESS_H
#define RING_LIVENESS_H

#include "ring/ring.h"
#include "src/base/time.h"

#define LIVENESS_BEAT_US    100000u  /* how often to be heard, and to tick */
#define LIVENESS_SUSPECT_US 1000000u /* of silence */

struct liveness_peer {
	uint8_t id[RING_ID_BYTES];
	struct mono heard; /* last */
	int suspected;
};

struct liveness {
	uint16_t n, self; /* members, and our place; RING_NOBODY: none */
	struct liveness_peer peers[RING_MEMBERS_MAX]; /* by id */
	struct mono ticked;
};

/* Nobody is known. */
void liveness_init(struct liveness *l, struct mono now);
/* The members of R.  Who was known stays as it was; new ones are up at first.
 */
void liveness_set_ring(struct liveness *l, const struct ring *r,
    const uint8_t self[RING_ID_BYTES], struct mono now);

/* A frame of any kind came from the node ID, at WHEN; an older one changes
 * nothing. */
void liveness_heard(
    struct liveness *l, const uint8_t id[RING_ID_BYTES], struct mono when);

enum liveness_event {
	LIVENESS_SUSPECTED = 1, /* from now on */
	LIVENESS_BACK,          /* not any more */
};

/* Each LIVENESS_BEAT_US: what has become of each member, by place, or 0; OUT
 * has room for n. */
void liveness_tick(struct liveness *l, struct mono now, uint8_t *out);

/* Ourselves always; not of RING_NOBODY. */
int liveness_is_up(const struct liveness *l, uint16_t place);

#endif
