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

#define LIVENESS_BEAT_US    100000u  /* how often to tick, and to be heard */
#define LIVENESS_SUSPECT_US 1000000u /* of silence */

struct liveness_peer {
	uint8_t id[RING_ID_BYTES];
	struct mono heard, sent; /* last */
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

/* A frame of any kind came from the node ID, or was sent to it. */
void liveness_heard(
    struct liveness *l, const uint8_t id[RING_ID_BYTES], struct mono now);
void liveness_sent(
    struct liveness *l, const uint8_t id[RING_ID_BYTES], struct mono now);

enum liveness_event {
	LIVENESS_SUSPECTED = 1, /* from now on */
	LIVENESS_BACK = 2,      /* not any more */
	LIVENESS_BEAT = 4,      /* is to get a heartbeat now */
};

/*
 * Each LIVENESS_BEAT_US: what there is to do about each member, by place; OUT
 * has room for n.  What is BEAT counts as sent.
 */
void liveness_tick(struct liveness *l, struct mono now, uint8_t *out);

/* Ourselves always; not of RING_NOBODY. */
int liveness_is_up(const struct liveness *l, uint16_t place);

#endif
