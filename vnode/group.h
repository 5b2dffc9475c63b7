/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * group - the replicated state machine of one group, and the entries proposed
 * for it here.
 *
 * A write is proposed (numbered against the proposed tail, put in the entry of
 * this turn), becomes durable on a majority, is committed, is applied, is
 * answered.  What becomes of an entry between seal and apply is the core's
 * affair (replica.h).
 *
 * Owns:    proposals from group_propose until they are answered.
 * Shape:   log indexes are dense; entries are applied in their order.
 * Thread:  the worker of the vnode.
 */
#ifndef VNODE_GROUP_H
#define VNODE_GROUP_H

#include <stdint.h>

#include "src/base/list.h"
#include "src/base/time.h"
#include "src/consensus/raft.h"
#include "vnode/body.h"
#include "vnode/tail.h"
#include "vnode/vnode_msg.h"

struct dirty;
struct vnode;
struct fill;
struct fill_out;
struct held;
struct repair_out;

/* Payload of a record of term and vote: u64 vote, u64 flags. */
#define GROUP_HARDSTATE_BYTES 16
#define GROUP_DAMAGED         1u

/* An offer of a fill that found too many under way. */
struct fill_offer {
	int waits;
	raft_id from, to;
	uint64_t term, transfer, base;
	uint8_t node[16];
	struct mono at;
};

struct group {
	uint16_t id;
	uint64_t generation; /* of this replica (cluster.md 2.4); 0: there is
				none here */

	/* as applied */
	uint64_t applied_index, applied_term;
	uint64_t next_stream_id, clock_ms;

	/* as proposed: right while this replica leads and is ready */
	uint64_t proposed_stream_id, proposed_clock_ms;
	struct proposal *open; /* the entry of this turn */
	struct list turn;      /* of the worker: groups with an open entry */
	struct list in_flight; /* proposals, sealed and not answered */

	/* the replica: replica.c */
	struct raft *raft;
	int failed;             /* quarantined */
	uint64_t others_commit; /* failed: what others have committed since */
	struct mono others_first, others_newest; /* ... and when */
	int half_applied;       /* an entry is: no manifest may say so */
	uint64_t journal_floor; /* LSN: what is older counts no more */
	uint64_t persisted;     /* raft seq that is durable */
	uint32_t n_in_journal;  /* records of this life on their way */
	struct list touched;    /* of the worker: with news of the journal */
	struct held *held, **last_held; /* messages that wait for bodies */
	uint32_t n_held;
	uint64_t led_term; /* the last one in which it led */
	int retiring;      /* retire.c */
	lsn_t dropped_at;  /* where the journal says that it goes */
	uint64_t removed;  /* generation of the last one that has retired */
	raft_id leader_id; /* whose appends came last, and from where */
	uint8_t leader_node[16];
	struct answered { /* the last append: who was told what */
		raft_id to;
		uint64_t term, index, round;
	} answered;
	struct mono heard_at, asked_at; /* a leader; whether it still is one */
	struct msg *waiting, **last_waiting; /* until it is known who leads */
	struct mono waiting_since;
	struct msg *asked, **last_asked; /* reads that the core has */
	struct msg *reads, **last_reads; /* until read_index is applied */
	uint64_t *read_index;            /* of each, in their order */
	uint32_t n_reads, cap_reads;
	struct mono moved_at; /* the last hand-over, to who should lead */
	struct fill_offer offer;
	struct fill *fill;          /* one that comes in, or NULL */
	struct fill_out *fills;     /* those that this leader gives */
	int fill_error;             /* why the last one of them failed, or 0 */
	struct repair_out *mending; /* what another replica is sent */
	struct msg *unread, **last_unread; /* until a chunk is whole */
};

void group_init(struct group *g, uint16_t id, uint64_t generation);
/* Nothing may be in flight. */
void group_deinit(struct group *g);

/* This replica leads, and all of the log is applied: what is proposed goes on
 * from there.  Nothing happens the second time in a term. */
void group_lead(struct group *g);

/*
 * Proposes REQ for V at wall time NOW.  0: it will be answered; -ERR_NOMEM:
 * nothing happened.
 */
int group_propose(struct vnode *v, struct vnode_put *req, struct wall now);

/* The group clock that what is proposed at wall time NOW gets, at least. */
uint64_t group_next_clock(const struct group *g, struct wall now);

/* Whether the open entry is too full for REQ: seal it first. */
int group_must_seal(const struct vnode *v, const struct vnode_put *req);

/* The stream that REQ would write to if it came behind all that is proposed;
 * NULL: there is none then. */
struct stream *group_proposed(
    const struct vnode *v, struct slice bucket, struct slice stream);

/* The same as group_propose and group_must_seal for the end of S, which is
 * group_proposed. */
int group_propose_delete(struct vnode *v, struct stream *s,
    struct vnode_delete *req, struct wall now);
int group_must_seal_delete(const struct vnode *v);

/* The leader's own: policies, or a tick without POLICIES.  Nothing is open.  0,
 * or -ERR_NOMEM and nothing happened. */
int group_propose_order(
    struct vnode *v, struct slice policies, struct wall now);

/*
 * Ends the entry of this turn: its bytes, with one reference, to be entry
 * raft_last() + 1; NULL without an open entry, or without memory: then it stays
 * open.
 */
struct body *group_seal(struct vnode *v);

/*
 * Applies the next entry: E of index INDEX, whose body is here.  Streams that
 * became dirty are put at the end of DIRTY.  0; -ERR_CORRUPT when it cannot be
 * the next; -ERR_NOMEM: part of it may be applied, so nothing more may be.
 */
int group_apply(struct vnode *v, struct tail_cache *cache, struct dirty *dirty,
    uint64_t term, uint64_t index, const struct body *b);

/*
 * This replica no longer leads: forgets what was only proposed.  The requests
 * of the open entry, linked by msg.next, are returned: they were never
 * proposed.  Those in flight may be answered with -ERR_UNKNOWN as soon as
 * nobody reads their bytes: proposal_take_requests.
 */
struct msg *group_give_up(struct vnode *v);

/* --- answering what was proposed here --------------------------------------- */

/* The body of the proposal that LINK of in_flight is in. */
struct body *proposal_body(struct list *link);
/* Whether its outcome is known, or given up. */
int proposal_is_settled(const struct proposal *p);
/* Of an applied one: so many replicas have it on their disks. */
void proposal_set_replicas(struct body *b, uint32_t n);
/* Applied: the log needs its bytes no more. */
int proposal_is_applied(const struct proposal *p);
/* Frees it; its requests with their answers filled in, linked by msg.next. */
struct msg *proposal_take_requests(struct body *b);
/* The newest entry was not proposed after all: its answers are R. */
void group_take_back(struct vnode *v, struct body *b, int r);
/* Nobody will ever know what became of it. */
void proposal_give_up(struct body *b);

#endif
