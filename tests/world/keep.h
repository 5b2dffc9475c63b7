/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * keep - what must be visible of a stream, and what must not.
 *
 * Tables of policies are in force one after the other.  Of each it is known that
 * it was not before somebody began to set it, and that no older one was once that
 * was done.  What a table hides grows with the events of a stream and with the
 * clock of its group; so from what is known when somebody asks, and of what the
 * answer says, follow the least and the most that can be hidden.  With one table
 * for a while, and all events known, both are the same.
 */
#ifndef TESTS_WORLD_KEEP_H
#define TESTS_WORLD_KEEP_H

#include "tests/world/model.h"
#include "vnode/policy.h"

#define KEEP_TABLES 64

struct keep {
	uint32_t n; /* tables; the first has no policies */
	struct keep_table {
		struct policy of[MODEL_STREAMS]; /* what counts for each */
		uint64_t done; /* when no older one counted; 0: not known */
		/* By stream: how far it was, and the clock, when this counted no
		 * more, or later; 0: not known. */
		uint64_t newest[MODEL_STREAMS], clock_ms[MODEL_STREAMS];
	} tables[KEEP_TABLES];
};

void keep_init(struct keep *k);
/* Somebody begins to set the next table; there is room for one. */
void keep_begin(struct keep *k, const struct policy of[MODEL_STREAMS]);
/* It is in force in all groups. */
void keep_done(struct keep *k, struct model *m);

/* A linearizable answer said: STREAM, whose life is LIFE, ends at NEWEST > 0, and
 * FIRST is the first visible event; NEWEST + 1: none is.  0, or -1 and m->why. */
int keep_saw(struct keep *k, struct model *m, uint32_t stream,
    const struct model_ask *ask, uint64_t life, uint64_t newest,
    uint64_t first);

#endif
