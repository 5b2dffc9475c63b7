/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * gossip - spreads the ring that the root has decided (cluster.md section 2.2).
 *
 * With every heartbeat a node tells each other member which ring it has.  Who
 * turns out to be behind pulls the other's.  Nothing is decided here: a ring
 * with a higher epoch of the same cluster is newer, and that is all.
 *
 * Owns:    a reference to the node's ring.
 * Shape:   a step function: a message in, at most one message out.  A
 *          conversation has at most three messages.
 * Thread:  one at a time; no I/O, no clock.
 * Format:  top of gossip.c.  Golden bytes: tests/golden/ring/gossip.bin.
 */
#ifndef RING_GOSSIP_H
#define RING_GOSSIP_H

#include "ring/ring.h"

#define GOSSIP_HEADER_BYTES 64
#define GOSSIP_MAX          (GOSSIP_HEADER_BYTES + RING_ENCODED_MAX)

enum gossip_kind {
	GOSSIP_BEAT = 1, /* this is the ring I have */
	GOSSIP_PULL,     /* send me yours: this is the one I have */
	GOSSIP_BODY,     /* with the ring */
};

struct gossip_message {
	enum gossip_kind kind;
	uint8_t cluster_id[RING_ID_BYTES];
	uint64_t epoch;
	uint8_t hash[RING_HASH_BYTES];
	/* GOSSIP_BODY: the ring's encoding; GOSSIP_BEAT: what the caller adds;
	 * GOSSIP_PULL: empty. */
	struct slice body;
};

/* Whether a frame is for here: bytes of other modules begin in another way. */
int gossip_is(struct slice frame);
void gossip_encode(const struct gossip_message *m, struct buf *out);
/* The body is borrowed from IN, and not looked at.  0, -ERR_CORRUPT,
 * -ERR_FORMAT. */
int gossip_decode(struct slice in, struct gossip_message *out);

struct gossip {
	struct ring *ring;
	uint8_t hash[RING_HASH_BYTES]; /* of ring */
};

/* 0 or -ERR_NOMEM. */
int gossip_init(struct gossip *g, struct ring *ring);
void gossip_deinit(struct gossip *g); /* takes zeros, too */
/* The root has decided RING; one that is not newer is ignored.  0 or
 * -ERR_NOMEM: the old one stays. */
int gossip_set_ring(struct gossip *g, struct ring *ring);

/* What each other member is to hear now: our ring, and MORE, of which nothing
 * is known here.  OUT: see buf_error. */
void gossip_beat(const struct gossip *g, struct slice more, struct buf *out);
/* The ring, for one that did not ask: it was a member, and is told so. */
void gossip_body(const struct gossip *g, struct buf *out);

/* Positive: what the caller should tell a person. */
enum gossip_cond {
	GOSSIP_E_CLUSTER = 1, /* of another cluster */
	GOSSIP_E_FORK,        /* the same epoch, and another ring */
};

struct gossip_news {
	uint64_t epoch;                /* of the sender's ring */
	uint8_t hash[RING_HASH_BYTES]; /* the same */
	struct slice more; /* of a beat, borrowed from IN; p is NULL: none */
	struct ring
	    *ring; /* a newer one, a reference for the caller; or NULL */
};

/*
 * Takes a message.  ANSWER, empty at first, is for its sender; when it stays
 * empty there is nothing to say.  One that pulls may be left unsent: the next
 * beat leads to another.  A newer ring is not the node's before gossip_set_ring:
 * whoever has to save it does that first.
 * 0, a condition, -ERR_CORRUPT, -ERR_FORMAT, -ERR_NOMEM; *NEWS only with 0.
 */
int gossip_receive(const struct gossip *g, struct slice in, struct buf *answer,
    struct gossip_news *news);

#endif
