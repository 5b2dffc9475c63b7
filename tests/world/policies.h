/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * policies - somebody sets policies, one after the other: each is in force in all
 * groups before the next one is thought of.  What they hide is for keep.h to know.
 */
#ifndef TESTS_WORLD_POLICIES_H
#define TESTS_WORLD_POLICIES_H

#include "tests/world/model.h"
#include "vnode/policy.h"

struct node;
struct world;

/* Of buckets first, then of streams. */
#define POLICY_NAMES (MODEL_BUCKETS + MODEL_STREAMS)

struct world_policies {
	int on, calm;
	int under_way;    /* the newest change is not known to be in force */
	uint32_t at;      /* what it is of */
	uint64_t version; /* counts changes */
	struct policy of[POLICY_NAMES];
};

/* Whether this seed has them; after the rest of it was drawn. */
void policies_begin(struct world *w);
/* The last ones: from now on time hides nothing. */
void policies_calm(struct world *w);
int policies_are_done(void *world);
/* Bucket and stream (n 0: none) of NAME. */
void policies_name(const struct world *w, uint32_t name, struct slice *bucket,
    struct slice *stream);
/* Each group has a leader that has put what its node was told last into the log,
 * and applied it: who leads later goes by that. */
int policies_are_in_logs(struct world *w);
/* The clocks of N's groups, as of now. */
void policies_watch(const struct node *n);
/* Replicas of GROUP that have applied the same hide the same. */
void policies_check(struct world *w, uint32_t group);

/* --- process_store.c, ring_policies.c ----------------------------------------
 */

/* The newest change is brought further; 1: it is in force in all groups. */
int policies_push(struct world *w);

#endif
