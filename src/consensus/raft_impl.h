/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* raft_impl - what the files of the core share. */
#ifndef SRC_CONSENSUS_RAFT_IMPL_H
#define SRC_CONSENSUS_RAFT_IMPL_H

#include <string.h>

#include "src/base/err.h"
#include "src/consensus/mutants.h"
#include "src/consensus/raft.h"

/* Entries base + 1 .. last, in a ring of CAP (a power of two). */
struct raft_log {
	struct raft_entry *ring;
	uint32_t cap;
	uint64_t base, base_term, last;
	const struct raft_members *base_members; /* as of the base; a copy */
};

enum peer_state {
	PEER_NEW,    /* a learner, to be created when its entry is committed */
	PEER_PROBE,  /* where does its log end?  one message at a time */
	PEER_STREAM, /* entries go out before the last are answered */
	PEER_FILL,   /* gets chunk files; heartbeats only */
};

/* What a leader knows of a member. */
struct peer {
	raft_id id;
	int voter;
	enum peer_state state;
	int probing;          /* PROBE: entries are sent, and not answered */
	int answered;         /* in this term */
	uint64_t uncounted;   /* the run of it that is damaged: what it has
				 counts for nothing */
	uint64_t heal_round;  /* that began when it was last found damaged */
	uint64_t match, next; /* durable and equal there; to be sent next */
	uint64_t sent_bytes;  /* STREAM: of match + 1 .. next - 1 in the log */
	uint64_t round;       /* newest read round it answered */
	uint64_t heard_us;
};

struct persist_op {
	uint64_t seq;
	uint64_t last; /* durable up to here then */
};

struct read {
	uint64_t ctx, index, round;
};

struct raft {
	struct raft_config config;
	enum raft_role role;
	uint64_t term;
	raft_id vote, leader;
	int damaged, failed, voter;
	uint64_t run; /* tells this life of the process from others */
	int outdated; /* while restoring: replaced by what comes later */
	struct raft_log log;
	uint64_t commit, applied;
	uint64_t stable;   /* durable up to here */
	uint64_t verified; /* follower: equal to its leader's up to here */

	/* persistence: SEQ of the newest order, of the newest for term and
	 * vote, and of what is on the disk; orders for entries in between */
	uint64_t seq, hard_seq, persisted;
	struct persist_op *ops;
	uint32_t n_ops, cap_ops;
	uint64_t answer_round; /* of its question */
	raft_id answer_to;     /* a vote that is granted once it is durable */
	int ack_waits;         /* an append is answered once it is durable */
	uint64_t ack_round;

	uint64_t now_us, heard_us; /* heard: from the leader */
	uint64_t election_at_us, beat_at_us, rng;
	uint32_t rank;

	/* candidate */
	uint64_t votes; /* a bit for each of `members` */
	uint32_t n_votes;
	int asked, forced;

	/* leader */
	struct peer *peers; /* one for each of `members` */
	uint32_t n_peers;
	uint64_t quorum_at_us; /* when check-quorum looks next */
	raft_id transfer_to;
	uint64_t transfer_until_us;
	uint64_t term_first; /* index of the no-op */
	uint64_t round;      /* of reads, newest sent */
	struct read *reads;
	uint32_t n_reads, cap_reads;

	/* in force: of the newest entry that has some, or of the base */
	const struct raft_members *members;
	uint64_t members_index;
	int members_stale; /* the log has changed where it matters */
};

/* --- log.c ---------------------------------------------------------------- */

struct raft_entry *log_at(const struct raft *r, uint64_t index);
/* The term of entry INDEX, base <= INDEX <= last; else 0. */
uint64_t log_term(const struct raft *r, uint64_t index);
/* Takes E over as entry last + 1.  -ERR_NOMEM. */
int log_append(struct raft *r, const struct raft_entry *e);
/* Forgets FROM and what follows. */
void log_truncate(struct raft *r, uint64_t from);
/* Forgets up to INDEX. */
void log_compact(struct raft *r, uint64_t index);
/* Empty, behind INDEX; takes MEMBERS, a copy. */
void log_reset(struct raft *r, uint64_t index, uint64_t term,
    const struct raft_members *members);
/* The newest entry up to INDEX whose term is at most TERM; >= base. */
uint64_t log_find_term(const struct raft *r, uint64_t index, uint64_t term);
/* The body of E, which is or is not of the log, goes. */
void log_drop(struct raft *r, const struct raft_entry *e);
void log_deinit(struct raft *r);

/* --- raft.c: effects, persistence, roles ---------------------------------- */

struct raft_effect *emit(
    struct raft *r, struct raft_effects *fx, enum raft_effect_type type);
void fail(struct raft *r, struct raft_effects *fx, const char *why);
/* A message to TO with the fields that all have; NULL: failed. */
struct raft_msg *new_msg(struct raft *r, struct raft_effects *fx,
    enum raft_msg_type type, raft_id to);
void persist_hard(struct raft *r, struct raft_effects *fx);
void persist_entries(
    struct raft *r, struct raft_effects *fx, uint64_t first, uint64_t last);
int hard_is_durable(const struct raft *r);
void become_follower(
    struct raft *r, uint64_t term, raft_id leader, struct raft_effects *fx);
void emit_role(struct raft *r, struct raft_effects *fx);
/* Applies what is committed and durable. */
void apply(struct raft *r, struct raft_effects *fx);
void restart_election_timer(struct raft *r);

/* --- members.c ------------------------------------------------------------ */

/* In one block; NULL without memory. */
const struct raft_members *members_copy(const struct raft_members *m);
/* Of the wire: distinct ids, and somebody who votes. */
int members_are_sane(const struct raft_members *m);
/* Place of ID in M; M->n: not there. */
uint32_t members_find(const struct raft_members *m, raft_id id);
/* The newest members of the log are in force ([thesis] 4.1).  -ERR_NOMEM. */
int members_refresh(struct raft *r);
uint32_t members_count_voters(const struct raft_members *m);
uint32_t members_majority(const struct raft *r);
int members_has_voter(const struct raft_members *m, raft_id id);
struct peer *find_peer(struct raft *r, raft_id id);
/* A leader's peers follow the members in force.  -ERR_NOMEM. */
int peers_refresh(struct raft *r);
void peers_forget(struct raft *r);
/* Entry INDEX had BEFORE bytes and has NOW; it may be on its way. */
void peers_charge(
    struct raft *r, uint64_t index, uint32_t before, uint32_t now);
/* After the commit index has moved. */
void members_committed(struct raft *r, struct raft_effects *fx);
void transfer_tick(struct raft *r, struct raft_effects *fx);
void transfer_try(struct raft *r, struct raft_effects *fx);

/* --- election.c ----------------------------------------------------------- */

void election_tick(struct raft *r, struct raft_effects *fx);
void campaign(struct raft *r, int forced, struct raft_effects *fx);
/* What waited for term and vote to be durable. */
void election_persisted(struct raft *r, struct raft_effects *fx);
void on_prevote(
    struct raft *r, const struct raft_msg *m, struct raft_effects *fx);
void on_vote(struct raft *r, const struct raft_msg *m, struct raft_effects *fx);
void on_vote_answer(
    struct raft *r, const struct raft_msg *m, struct raft_effects *fx);

/* --- leader.c ------------------------------------------------------------- */

void become_leader(struct raft *r, struct raft_effects *fx);
void leader_tick(struct raft *r, struct raft_effects *fx);
void leader_append(struct raft *r, const struct raft_entry *e, uint32_t n,
    struct raft_effects *fx);
/* Sends P what it may have. */
void send_entries(struct raft *r, struct peer *p, struct raft_effects *fx);
void send_heartbeats(struct raft *r, struct raft_effects *fx);
/* P is to be probed from NEXT on. */
void back_to_probe(struct peer *p, uint64_t next);
/* Commits what a majority has ([paper] 5.3, 5.4.2). */
void leader_commit(struct raft *r, struct raft_effects *fx);
void on_append_answer(
    struct raft *r, const struct raft_msg *m, struct raft_effects *fx);

/* --- fills.c -------------------------------------------------------------- */

/* Asks the host for a fill of P. */
void begin_fill(struct raft *r, struct peer *p, struct raft_effects *fx);
/* After a commit: learners whose entry is committed by now. */
void create_learners(struct raft *r, struct raft_effects *fx);
/* Learners that have nothing to say: perhaps nobody has created them. */
void ask_for_fills(struct raft *r, struct raft_effects *fx);

/* --- follower.c ----------------------------------------------------------- */

void on_append(
    struct raft *r, const struct raft_msg *m, struct raft_effects *fx);
void send_ack(struct raft *r, struct raft_effects *fx);

/* --- reads.c -------------------------------------------------------------- */

/* Answers the reads that enough voters have confirmed. */
void reads_confirm(struct raft *r, struct raft_effects *fx);
void reads_lose(struct raft *r, struct raft_effects *fx);
/* Those that wait begin a round: when none is under way, and the term has
 * committed something. */
void reads_begin(struct raft *r, struct raft_effects *fx);

#endif
