/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * ratelimit - how many requests a second a user, or an address, may send
 * (limits.user.rps, limits.anonymous.rps).
 *
 * A bucket of RPS tokens that fills with RPS tokens a second; a request takes
 * one.  Kept as the moment at which the bucket will be full again, so a bucket
 * is one number and nothing runs in the background (GCRA: ITU-T I.371 annex A).
 *
 * Owns:    a table of fixed size.  When all that could hold a new bucket are in
 *          use, the one that is full soonest is forgotten: whoever has it may
 *          send a little more than it should, never less.
 * Thread:  any; a lock is held for some comparisons.
 */
#ifndef HTTP_RATELIMIT_H
#define HTTP_RATELIMIT_H

#include "src/base/buf.h"
#include "src/base/time.h"

/* What one request comes to. */
struct ratelimit_step {
	int refused;
	uint64_t full_us;   /* when the bucket is full again, from now on */
	uint64_t remaining; /* requests that may follow at once */
	uint64_t wait_us;   /* refused: until there is a token */
};

/*
 * A request at NOW_US on a bucket that is full at *FULL_AT_US (0: is full),
 * which is set.  RPS > 0.  Pure.
 */
struct ratelimit_step ratelimit_step(
    uint64_t *full_at_us, uint64_t now_us, uint64_t rps);

struct ratelimit; /* opaque */

/* SEED: random, so that nobody can choose who shares a place with whom. */
struct ratelimit *ratelimit_new(uint64_t seed);
struct ratelimit *ratelimit_free(struct ratelimit *l); /* takes NULL */
/* A request of KEY. */
struct ratelimit_step ratelimit_take(
    struct ratelimit *l, struct slice key, struct mono now, uint64_t rps);

#endif
