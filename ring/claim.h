/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * claim - gives every slot an owner (cluster.md section 5).
 *
 * One way for members that come, go, or both:
 *   (a) each owns floor or ceil of Q / members;
 *   (b) N slots in a row have N owners (all of them, when there are fewer),
 *       wherever that can be;
 *   (c) as few slots change owner as (a), and then (b), allow;
 *   (d) equal input, equal output: no chance, no clock, no floating point.
 *
 * Thread:  any; bound: see tests/ring/test_claim.c.
 */
#ifndef RING_CLAIM_H
#define RING_CLAIM_H

#include <stdint.h>

/*
 * OLD and OUT: Q owners, 0..N_MEMBERS-1 in the order of the members' names;
 * in OLD, what nobody of them owns is RING_NOBODY.  OUT may be OLD.
 * 0 or -ERR_NOMEM.
 */
int ring_claim(const uint16_t *old, uint16_t q, uint16_t n_members,
    uint16_t n_copies, uint16_t *out);

#endif
