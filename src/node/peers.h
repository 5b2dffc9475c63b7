/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * peers - which of the other nodes has been heard of lately: ring/liveness, for
 * any thread to hear and to ask.
 *
 * An opinion: it says where to look first and whom to give up waiting for;
 * safety never depends on it.
 *
 * Thread:  peers_set, peers_tick: worker 0; the rest: any.
 */
#ifndef SRC_NODE_PEERS_H
#define SRC_NODE_PEERS_H

#include "ring/liveness.h"

struct peers; /* opaque */

struct peers *peers_new(const uint8_t self[16], struct mono now);
struct peers *peers_free(struct peers *p); /* takes NULL, returns NULL */

/* The members of R are the peers; a new one counts as heard now. */
void peers_set(struct peers *p, const struct ring *r, struct mono now);
/* A frame came from NODE. */
void peers_heard(struct peers *p, const uint8_t node[16], struct mono now);
/* As liveness_tick: OUT has room for RING_MEMBERS_MAX, by place in the ring
 * that was set last. */
void peers_tick(struct peers *p, struct mono now, uint8_t *out);
/* Whether NODE is this one, or a peer that is not suspected. */
int peers_is_up(const struct peers *p, const uint8_t node[16]);
/* Whether NODE was never a peer, or was suspected when it was one last. */
int peers_is_silent(const struct peers *p, const uint8_t node[16]);

#endif
