/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * group - the replicated state machine of one group, and the entries on their
 * way into it.
 *
 * A write is proposed (numbered against the proposed tail, put in the entry of
 * this turn), becomes durable, is committed, is applied, is answered.  With one
 * replica, durable is committed; the consensus core comes between the two
 * without changing what is above or below.
 *
 * Owns:    proposals from group_propose until they are applied.
 * Shape:   log indexes are dense; entries become durable in their order.
 * Thread:  the worker of the vnode.
 */
#ifndef VNODE_GROUP_H
#define VNODE_GROUP_H

#include <stdint.h>

#include "src/base/list.h"
#include "src/base/time.h"
#include "vnode/journal.h"
#include "vnode/tail.h"
#include "vnode/vnode_msg.h"

struct dirty;
struct vnode;
struct proposal;

struct group {
	uint16_t id;
	uint64_t generation;
	uint64_t term;
	uint8_t vote[16];
	uint64_t proposed_index; /* of the newest entry proposed */
	uint64_t applied_index, applied_term;
	uint64_t proposed_stream_id; /* the next new stream gets it */
	uint64_t next_stream_id;     /* the same, as far as applied */
	uint64_t proposed_clock_ms;  /* of the newest entry proposed */
	uint64_t clock_ms;           /* of the newest entry applied */
	struct proposal *open;       /* the entry of this turn */
	struct list
	    turn; /* in the worker's list of groups with an open entry */
	uint32_t n_in_flight;
};

void group_init(struct group *g, uint16_t id, uint64_t generation);
/* Nothing may be in flight. */
void group_deinit(struct group *g);

/*
 * Proposes REQ for V at wall time NOW.  0: it will be answered when applied;
 * -ERR_NOMEM: nothing happened.
 */
int group_propose(struct vnode *v, struct vnode_put *req, struct wall now);

/* Whether the open entry is too full for REQ: seal it first. */
int group_must_seal(const struct vnode *v, const struct vnode_put *req);

/*
 * Ends the entry of this turn: the record to submit, or NULL without an open
 * entry.  It comes back through group_durable.
 */
struct journal_append *group_seal(struct vnode *v, uint32_t worker);

/*
 * The record is durable: applies it, puts streams that became dirty at the end
 * of DIRTY, and fills in the answers of its requests, which are linked by
 * msg.next and returned for posting.
 */
struct msg *group_durable(struct vnode *v, struct tail_cache *cache,
    struct dirty *dirty, struct journal_append *append);

/* The record was not written, and will not be: answers with R. */
struct msg *group_failed(struct vnode *v, struct journal_append *append, int r);

/* The vnode that the record belongs to: for whoever gets it back. */
struct vnode *group_of_append(struct journal_append *append);

/* The term and vote of G as a record's payload. */
#define GROUP_HARDSTATE_BYTES 16

/* --- recovery ------------------------------------------------------------- */

/* Applies entry INDEX of TERM.  -ERR_CORRUPT when it cannot be the next. */
int group_replay(struct vnode *v, struct tail_cache *cache, struct dirty *dirty,
    uint64_t term, uint64_t index, struct slice payload);

#endif
