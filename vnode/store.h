/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * store - all vnodes of a node over its workers, with the journal below them.
 *
 * Owns:    vnodes, journal, open chunk files, checkpoints.
 * Thread:  store_open and store_close before and after the workers run;
 *          store_handle and store_turn on the worker they are told.
 * Errors:  a failed journal or sync is final: CONFIG->fatal is called once, on
 *          some worker, and the node stops (cluster.md 6.10).
 */
#ifndef VNODE_STORE_H
#define VNODE_STORE_H

#include <stdint.h>

#include "src/base/env.h"
#include "src/base/metrics.h"
#include "src/base/msg.h"
#include "vnode/entry.h"
#include "src/base/steps.h"
#include "vnode/placement.h"

struct policies; /* policy.h */
struct store;    /* opaque */

struct store_config {
	const struct env *env;
	const char *dir; /* of the cluster, relative to the disk's root */
	uint8_t cluster_id[16];
	uint8_t node_id[16];
	uint32_t n_groups;
	/* The first node of its cluster: an empty directory gets the only
	 * replica of every group.  Else groups come from other nodes. */
	int found;
	uint64_t seed; /* of the hash tables: random */
	uint64_t segment_bytes, journal_max_bytes;
	int sync; /* enum journal_sync */
	uint64_t disk_reserve_bytes;
	uint64_t grace_us; /* what left this node stays so long: attic.h */
	uint64_t request_timeout_us;
	uint64_t dirty_max_bytes; /* 0: the default */
	uint64_t clean_max_bytes; /* 0: the default */
	/* Of a stream that is listened to, kept in memory. */
	uint64_t channel_items, channel_bytes;
	uint32_t files_max;        /* 0: the default */
	uint64_t checkpoint_bytes; /* of journal between two; 0: the default */
	/* A shard for each worker and one behind them for the journal; or NULL. */
	struct metrics *metrics;
	/* How long idempotency keys count and how many of them, of which each
	 * group has its share; 0: the defaults. */
	uint64_t key_window_ms;
	uint32_t keys_max;
	/* Chunk files without visible events go within it; 0: the default. */
	uint64_t retention_interval_us;
	/* Says something to the operator; WHAT is one line.  Any thread. */
	void (*report)(void *arg, int is_error, const char *what);
	/* Events were applied to group `watched`, or its replica was filled;
	 * its worker.  NULL: nobody watches. */
	void (*changed)(void *above_arg);
	uint32_t watched;
	/* Another node's store_tell; BYTES are borrowed until it returns.  On
	 * worker 0. */
	void (*told)(
	    void *above_arg, const uint8_t from[16], struct slice bytes);
	void *above_arg;
	/* A step of a group's replica, any thread; NULL but in tests. */
	void (*step)(void *arg, enum step step);
	/* The node cannot go on.  Any worker; once. */
	void (*fatal)(void *arg, const char *what);
	void *arg;
};

/* Opens or makes what is in CONFIG->dir.  On failure WHY is one line that names
 * file and offset and what to do. */
int store_open(struct store **out, const struct store_config *config, char *why,
    size_t why_bytes);

/* Once the workers run: first terms, timers. */
int store_start(struct store *s);

/* A message for the store: requests of vnode_msg.h, MSG_JOURNAL_DONE. */
void store_handle(struct store *s, uint32_t worker, struct msg *m);

/* For tests: config.step, if there is one. */
void store_step(const struct store *s, enum step step);

/* The end of a worker's turn: entries of this turn go to the journal. */
void store_turn(struct store *s, uint32_t worker);

/*
 * BYTES, at most STORE_TELL_MAX and copied, to who uses the store on NODE, in
 * the frame of this turn; if they CAN_WAIT, in the next one there is, within
 * 100 ms.  Frames may get lost.  Worker 0.
 */
#define STORE_TELL_MAX (64u << 10)
void store_tell(
    struct store *s, const uint8_t node[16], struct slice bytes, int can_wait);

/* request_timeout_us from now on, on WORKER, which calls. */
void store_set_timeout(struct store *s, uint32_t worker, uint64_t us);

/*
 * Refuses writes from now on, answers what is in flight, writes a checkpoint;
 * then DONE(arg) is called on worker 0.  Any worker.
 */
void store_stop(struct store *s, void (*done)(void *arg), void *arg);

/* Frees it all; nothing is running any more.  Takes NULL and returns NULL. */
struct store *store_close(struct store *s);

/* Bytes that the disk has room for, beyond its reserve. */
uint64_t store_room(const struct store *s);

struct store_stats {
	/* Without the group that is watched; n_streams also without those of
	 * bucket NAME_SYSTEM_BUCKET: what a node tells of itself. */
	uint64_t n_streams, n_events, bytes;
	uint64_t dirty_bytes, clean_bytes;
	uint64_t n_checkpoints;
	uint64_t free_bytes;
	int writable; /* 0: writes are refused because of the disk */
	uint32_t n_files;
	uint32_t n_damaged; /* chunks that are to be repaired */
	/* Groups that have a replica here; led from here; without a leader. */
	uint32_t n_replicas, n_leads, n_leaderless;
	uint32_t n_parked;    /* appends that wait for memory or disk */
	uint32_t n_in_flight; /* records that the journal was given */
	/* This node's wall clock ahead of the median of all that it hears. */
	int32_t clock_offset_ms;
};

/* What a node knows of a group; its worker. */
struct store_group {
	int here; /* there is a replica */
	int leads, ready;
	int damaged; /* it neither votes nor counts: cluster.md 6.3 */
	uint64_t generation, term, applied, commit, last;
	uint64_t vote;      /* generation it is for, in this term; 0: none */
	uint8_t leader[16]; /* zeros: not known */
	struct entry_members members;
};

void store_group(
    const struct store *s, uint32_t group, struct store_group *out);

/* GROUP should be as P says, which is mem_alloc'd and the store's from now on;
 * any thread.  -ERR_NOMEM: nothing happened. */
int store_place(struct store *s, uint32_t group, struct placement *p);
/* The epoch of the placement that GROUP is known here to have reached, because
 * this node leads it; 0: none.  Any thread. */
uint64_t store_placed(const struct store *s, uint32_t group);
/* This node leads GROUP, and in which term; any thread. */
int store_leads(const struct store *s, uint32_t group);
uint64_t store_term(const struct store *s, uint32_t group);

/*
 * The policies of the cluster are T from now on; the store takes references of
 * its own.  The leader of each group puts into its log what is new there, so that
 * all replicas go by the same.  Group `watched` keeps all it has.  Any thread.
 * -ERR_NOMEM: nothing happened.
 */
int store_set_policies(struct store *s, struct policies *t);
/* The version of the newest policies that are in force in each group that this
 * node leads.  Any thread. */
uint64_t store_policies_in_force(const struct store *s);

/* A fill that this node gives. */
struct store_fill {
	uint32_t group;
	uint8_t to[16]; /* a node */
	int repair;     /* of a voter that is behind, not of a new replica */
	uint64_t bytes, total_bytes; /* totals 0: not known yet */
	uint64_t events, total_events;
	uint64_t started_ms, updated_ms; /* wall time; updated 0: never */
	int error; /* ERR_* of the last try in this group, or 0 */
};

#define STORE_FILLS_MAX 16

struct store_fills {
	uint32_t sending, queued, receiving;
	uint32_t n; /* of those that are sent, at most so many */
	struct store_fill at[STORE_FILLS_MAX];
};

/* Fills under way, but for group `watched`; any thread. */
void store_fills(struct store *s, struct store_fills *out);
/* So many fills are given at once, and as many taken; 0: none begins.  Group
 * `watched` has no limit.  Any thread. */
void store_set_fill_limit(struct store *s, uint32_t n);
uint32_t store_fill_limit(const struct store *s);
/* Bytes a second that all of them may send; 0: no limit.  Any thread. */
void store_set_fill_rate(struct store *s, uint64_t bytes);

/* What STORE_STATS says of the groups of WORKER is of now; on that worker. */
void store_count(struct store *s, uint32_t worker);
/* A moment old; any thread. */
void store_stats(const struct store *s, struct store_stats *out);
struct journal_stats;
void store_journal_stats(const struct store *s, struct journal_stats *out);

#endif
