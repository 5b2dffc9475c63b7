/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * raft - consensus of one group as a step function: events in, effects out.
 *
 * No I/O, no clock, no threads.  The host calls one event function, then
 * carries out the effects in their order and empties the list.
 *
 * Owns:    a window of its log: terms and sizes of all entries above the base,
 *          and the bodies that the host gave it, until config.drop.  The host
 *          has them in its journal and may take them out: raft_drop_body.
 * Shape:   indexes are dense from 1; times are microseconds of one monotonic
 *          clock; a replica that lost its disk comes back under a new id.
 * Errors:  0 or -ERR_*; a broken invariant or memory that is gone quarantines
 *          the group (raft_failed): it does and answers nothing any more.  No
 *          message can do worse.
 * Source:  Ongaro and Ousterhout, "In Search of an Understandable Consensus
 *          Algorithm (Extended Version)", 2014: [paper]; Ongaro, "Consensus:
 *          Bridging Theory and Practice", 2014: [thesis].
 */
#ifndef SRC_CONSENSUS_RAFT_H
#define SRC_CONSENSUS_RAFT_H

#include <stddef.h>
#include <stdint.h>

#define RAFT_MEMBERS_MAX 64

/*
 * One life of a replica; never 0, and never used twice: a group begins with
 * member 1, and every other has the index of the entry that adds it, and is
 * created only once that is committed.  (A group that begins with several has
 * a base at or above their ids.)
 */
typedef uint64_t raft_id;

struct raft_member {
	raft_id id;
	uint8_t node[16]; /* who has the replica; opaque here */
	int voter;        /* else a learner: it gets entries and has no say */
};

/* Given to the group: borrowed during the call.  Got from it: until the next
 * event. */
struct raft_members {
	uint32_t n;
	const struct raft_member *at;
};

enum raft_kind {
	RAFT_DATA = 1,
	/* Made by the core; the host encodes them: raft_set_body. */
	RAFT_NOOP,    /* begins a term */
	RAFT_MEMBERS, /* in force as soon as it is in a log */
};

struct raft_entry {
	uint64_t term;
	enum raft_kind kind;
	uint32_t bytes;    /* of the body, for the limits */
	void *body;        /* the host's; NULL: only in its journal */
	uint64_t position; /* the host's: there; 0: not known yet */
	/* RAFT_MEMBERS: the group has a copy of its own */
	const struct raft_members *members;
};

/* --- messages ------------------------------------------------------------- */

enum raft_msg_type {
	RAFT_PREVOTE = 1,
	RAFT_PREVOTE_ANSWER,
	RAFT_VOTE,
	RAFT_VOTE_ANSWER,
	RAFT_APPEND, /* without entries: a heartbeat */
	RAFT_APPEND_ANSWER,
	RAFT_TIMEOUT_NOW,
	RAFT_MSG_TYPES,
};

struct raft_msg {
	enum raft_msg_type type;
	raft_id from, to;
	uint64_t term;
	/* PREVOTE, VOTE: the newest entry of the log.  APPEND: the one before
	 * its first.  APPEND_ANSWER: the newest that is durable and equal to
	 * the leader's; with reject, where to look on (log_term is its term).
	 */
	uint64_t index, log_term;
	uint64_t commit; /* APPEND */
	/* APPEND, and echoed: of reads.  VOTE, and echoed: the run that asks. */
	uint64_t round;
	uint32_t n;                       /* APPEND: entries index + 1 ... */
	const struct raft_entry *entries; /* received: N of them; sent: NULL,
					     ask raft_entry_at */
	int reject;
	int transfer; /* VOTE: the leader wants it */
	/* APPEND_ANSWER: of a damaged replica: which run of it, else 0.
	 * APPEND: that one may be whole again, see follower.c */
	uint64_t uncounted, heal;
};

/* --- effects -------------------------------------------------------------- */

enum raft_effect_type {
	RAFT_SEND = 1, /* msg, now */
	/* To be synced, in the order of `seq`; then raft_persisted(seq).  HARD:
	 * term and vote.  ENTRIES: first..last, which replace what the log had
	 * from first on. */
	RAFT_PERSIST_HARD,
	RAFT_PERSIST_ENTRIES,
	RAFT_APPLY,      /* up to `last`: committed, and durable here */
	RAFT_ROLE,       /* role, term or leader are others now */
	RAFT_READ_READY, /* ctx: what is applied up to `last` is fresh enough */
	RAFT_READ_LOST,  /* ctx: no longer leader: ask again elsewhere */
	/* peer: is behind the log, or a learner that is to be created, or one
	 * of which nothing is known: ask it whether it has the replica, give it
	 * the data if not, then raft_fill_ended */
	RAFT_FILL,
	/* No longer damaged; nor at the next start, once a checkpoint has made
	 * needless what of the journal is. */
	RAFT_HEALED,
	RAFT_FAILED, /* quarantined: `why` */
};

struct raft_effect {
	enum raft_effect_type type;
	struct raft_msg msg;
	uint64_t seq, term, first, last, ctx;
	raft_id vote, peer;
	const char *why;
};

struct raft_effects {
	struct raft_effect *items;
	uint32_t n, cap;
};

void raft_effects_deinit(struct raft_effects *fx);

/* --- a group -------------------------------------------------------------- */

enum raft_role {
	RAFT_FOLLOWER,
	RAFT_PRE_CANDIDATE,
	RAFT_CANDIDATE,
	RAFT_LEADER,
};

struct raft_config {
	raft_id self;
	uint64_t seed; /* another at every start */
	uint64_t heartbeat_us, election_us, rank_us, jitter_us;
	uint32_t window_entries; /* to a peer, not answered */
	uint64_t window_bytes;
	uint32_t msg_entries; /* of one message */
	uint64_t msg_bytes;   /* ... but always one entry */
	void (*drop)(
	    void *ctx, struct raft_entry *e); /* e->body, may be NULL */
	void *ctx;
	int mutant; /* a bug to have, of mutants.h; 0 */
};

/* What a node knows of a group when it starts. */
struct raft_state {
	uint64_t term;
	raft_id vote;
	/* What the manifest holds: the log begins behind it. */
	uint64_t base_index, base_term;
	/* What is applied already; entries up to here will be restored. */
	uint64_t applied;
	struct raft_members members; /* as of the base; may be none */
	/* Part of the log, or of what was voted, is lost: cluster.md 6.3. */
	int damaged;
};

struct raft; /* opaque */

/* NULL without memory. */
struct raft *raft_new(
    const struct raft_config *config, const struct raft_state *state);
struct raft *raft_free(struct raft *r);

/*
 * Before the first event: the entries as the journal has them, in the order in
 * which they were written, from that on with which base + 1 begins, or earlier.
 * E is entry INDEX and replaces what there is from INDEX on; what was replaced
 * before the base was saved is skipped.  The body becomes the group's.  Returns
 * 0; -ERR_CORRUPT: E cannot follow what there is; -ERR_NOMEM.
 */
int raft_restore(struct raft *r, const struct raft_entry *e, uint64_t index);

/* --- events --------------------------------------------------------------- */

/* Time goes on; every heartbeat_us / 4 or so. */
void raft_tick(struct raft *r, uint64_t now_us, struct raft_effects *fx);
/* The bodies of M become the group's, or are dropped. */
void raft_receive(
    struct raft *r, const struct raft_msg *m, struct raft_effects *fx);
/* Right after the first tick: one that is the only voter leads at once. */
void raft_campaign(struct raft *r, struct raft_effects *fx);
/* Everything up to SEQ is on the disk. */
void raft_persisted(struct raft *r, uint64_t seq, struct raft_effects *fx);
/* N > 0 entries (bytes, body), as many messages as needed.  0: *FIRST is the
 * index of the first; the bodies are the group's.  -ERR_NOTLEADER: not
 * proposed. */
int raft_propose(struct raft *r, const struct raft_entry *e, uint32_t n,
    uint64_t *first, struct raft_effects *fx);
/* READ_READY or READ_LOST with CTX follows.  -ERR_NOTLEADER, -ERR_NOMEM. */
int raft_read(struct raft *r, uint64_t ctx, struct raft_effects *fx);
/* READ_LOST for each that waits. */
void raft_lose_reads(struct raft *r, struct raft_effects *fx);
/* Hands leadership to TO, a voter: nothing is proposed from now on, and TO is
 * told once all that was is applied here, or half of election_us is over.
 * -ERR_NOTLEADER, -ERR_INVAL. */
int raft_transfer(struct raft *r, raft_id to, struct raft_effects *fx);

/*
 * One change of members at a time.  Returns -ERR_NOTLEADER; -ERR_BUSY: not now
 * (another is under way, the term has nothing committed, the learner is behind,
 * leadership is being handed over, of the voters that stay too few are well);
 * -ERR_EXISTS: NODE has a member; -ERR_LIMIT: RAFT_MEMBERS_MAX; -ERR_INVAL: no
 * such member, or the last voter.
 */
/* *ID is of the new learner.  NODE is to create it with the first fill. */
int raft_add_learner(struct raft *r, const uint8_t node[16], raft_id *id,
    struct raft_effects *fx);
/* A learner that has caught up gets a vote. */
int raft_promote(struct raft *r, raft_id id, struct raft_effects *fx);
int raft_remove(struct raft *r, raft_id id, struct raft_effects *fx);
/* The entries up to INDEX, which is applied and saved, may go. */
void raft_compact(struct raft *r, uint64_t index);
/* What a leader gives a replica that is behind its log. */
struct raft_fill {
	uint64_t leader_term; /* of the leader when it began */
	uint64_t index, term; /* of the newest entry in the data: applied */
	struct raft_members members; /* as of it */
};

/* Is FILL worth adopting?  Not when its data are here already. */
int raft_wants_fill(const struct raft *r, const struct raft_fill *fill);
/* Do entries above INDEX stay when FILL is adopted?  From asking until
 * raft_filled the group gets no other event (messages may be lost). */
int raft_keeps_tail(const struct raft *r, const struct raft_fill *fill);
/*
 * Here: the group's data up to INDEX were adopted; nothing happens when they
 * were here before.  By now are durable, and have replaced the old at once:
 *  - the data, and INDEX, TERM, MEMBERS as the base for the next raft_new;
 *  - if raft_keeps_tail: entries above INDEX stay, in the journal too.  Else:
 *    no entry counts any more that the journal was given of this group until
 *    now, be it still on its way.
 * No RAFT_APPLY names the entries up to INDEX.  A replica that was removed from
 * a node is never created there again under its id or a lower one, whatever
 * fill comes late.
 */
void raft_filled(
    struct raft *r, const struct raft_fill *fill, struct raft_effects *fx);
/* At the leader: the fill of PEER has ended, well or not.  If the peer goes on
 * to answer nothing, the next is asked for after an election timeout. */
void raft_fill_ended(struct raft *r, raft_id peer, struct raft_effects *fx);
/* At the leader: PEER says that it has no such replica.  RAFT_FILL follows,
 * unless one is under way.  -ERR_NOTLEADER; -ERR_BUSY: PEER is not to be
 * created yet; -ERR_INVAL: no such peer, or a voter that did not say itself
 * that it is behind: one that has lost its disk must not vote again. */
int raft_fill_needed(struct raft *r, raft_id peer, struct raft_effects *fx);
/* The place in the preference list: the first is the quickest candidate. */
void raft_set_rank(struct raft *r, uint32_t rank);

/* --- entries -------------------------------------------------------------- */

/* The encoding of entry INDEX, which has no body: when RAFT_PERSIST_ENTRIES is
 * carried out, before the messages that need it. */
void raft_set_body(struct raft *r, uint64_t index, void *body, uint32_t bytes);
/* The body goes (config.drop), the entry stays.  Here and below an INDEX that
 * is not in the log is ignored. */
void raft_drop_body(struct raft *r, uint64_t index);
void raft_set_position(struct raft *r, uint64_t index, uint64_t position);

/* --- looking -------------------------------------------------------------- */

enum raft_role raft_role(const struct raft *r);
uint64_t raft_term(const struct raft *r);
raft_id raft_vote(const struct raft *r);   /* in this term; 0: none */
raft_id raft_leader(const struct raft *r); /* 0: not known */
uint64_t raft_last(const struct raft *r);
uint64_t raft_commit(const struct raft *r);
uint64_t raft_base(const struct raft *r);
uint64_t raft_stable(const struct raft *r); /* durable up to here */
int raft_damaged(const struct raft *r);
/* To be asked after each event: without memory there may be no RAFT_FAILED.  All
 * that was proposed, and all reads, are in doubt then. */
int raft_failed(const struct raft *r);
/* Leads, and has applied whatever others have proposed: from now on the applied
 * tail, and what this leader proposed since, is all there is. */
int raft_ready(const struct raft *r);
/* It leads, and proposes nothing: leadership is being handed over. */
int raft_hands_over(const struct raft *r);
const struct raft_members *raft_members(const struct raft *r);
/* Entry INDEX, base < INDEX <= last. */
const struct raft_entry *raft_entry_at(const struct raft *r, uint64_t index);
/* NULL: not a member. */
const struct raft_member *raft_member(const struct raft *r, raft_id id);
/* Who belongs to the group as of INDEX, base <= INDEX <= last. */
const struct raft_members *raft_members_at(
    const struct raft *r, uint64_t index);
/* The term of entry INDEX, base <= INDEX <= last; else 0. */
uint64_t raft_term_at(const struct raft *r, uint64_t index);
/* At the leader: PEER answers, and has nearly all of the log. */
int raft_caught_up(const struct raft *r, raft_id peer);
/* The newest change of members is committed. */
int raft_members_settled(const struct raft *r);
/* How far PEER is known to have the leader's log; 0 elsewhere. */
uint64_t raft_match(const struct raft *r, raft_id peer);

#endif
