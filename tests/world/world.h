/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * world - whole nodes on virtual time, under faults from a seed.
 *
 * A node is everything but sockets and HTTP: the store with its journal, chunk
 * files and checkpoints, on an env and a disk of its own (tests/lib).  Nodes
 * share one time: the one that can go first makes the next step.  Clients talk
 * to any of them, misfortune strikes as the seed says, and model.c knows what
 * must be true.  `failure` says what was not.
 *
 * Thread:  one.  Nothing is freed after a failure.
 */
#ifndef TESTS_WORLD_WORLD_H
#define TESTS_WORLD_WORLD_H

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>

#include "src/base/env.h"
#include "tests/lib/chance.h"
#include "tests/lib/memdisk.h"
#include "tests/lib/simenv.h"
#include "ring/identity.h"
#include "ring/ring.h"
#include "tests/world/keep.h"
#include "tests/world/model.h"
#include "tests/world/policies.h"
#include "vnode/store.h"

#define WORLD_NODES   5
#define WORLD_CLIENTS 8
#define WORLD_GROUPS  8
#define WORLD_LOGS    (WORLD_GROUPS + 1)      /* and that of the root */
#define WORLD_WALL_MS UINT64_C(1767225600000) /* when it begins */
#define TICK_US       10000                   /* a tick of options.n_ticks */
#define DISK_BYTES    (256ull << 20)
#define SETTLE_US     5000000 /* until the last faults have shown */
#define CALM_US       120000000

struct world_options {
	uint64_t seed;
	uint32_t n_ticks;
	uint32_t n_nodes; /* 0: as the seed says */
	FILE *trace;      /* or NULL */
	int verbose;      /* calls of disks, too */
};

struct world;
struct core;
struct call;
struct order;
struct happening;

/* --- nodes: node.c ---------------------------------------------------------
 */

enum node_state {
	NODE_DOWN, /* no process; a restart is on its way, or none */
	NODE_UP,
	NODE_STOPPING, /* in order: it answers what is in flight */
};

/* What the replica of a group has said: words.c. */
struct word {
	uint64_t generation, term, voted_in, vote;
};

/* What a node does once its process has stopped in order. */
enum node_move {
	MOVE_NOWHERE,
	MOVE_JOIN, /* to the cluster of ring `to` */
	MOVE_BACK,
	MOVE_OUT,
};

struct node {
	struct world *world;
	uint32_t slot;
	uint8_t id[16];
	enum node_state state;
	uint64_t life; /* of the process: what belongs to an older one is void
			*/
	uint32_t sector_bytes;
	struct memdisk *disk;
	struct simenv *sim;
	struct store *store;
	/* In a world with rings: process_core.c. */
	char name[32];
	struct core *core;
	struct identity identity;
	enum node_move move;
	struct ring *to;
	int exited;  /* it left in order */
	int removed; /* by force, and it knows */
	uint32_t n_workers;
	int64_t skew_ms;
	int fatal;   /* it said that it cannot go on */
	int stopped; /* the end of an orderly stop was told */
	int paused;
	int doomed;        /* it has come to the step at which it is killed */
	int disk_sick;     /* since its last start: calls failed, or no room */
	int full;          /* the disk has little room, or had in this life */
	uint32_t starving; /* one in so many allocations fails; 0: none */
	int starved;       /* some have failed in this life */
	int spoiled;       /* its next start may find that it has to refuse */
	uint64_t told_policies; /* which, in this life: process_store.c */
	/* of the calls of the disk that are counted: the one so many from now
	 * meets `fault` */
	uint64_t fault_in;
	enum memdisk_fault fault;
	struct word words[WORLD_LOGS];
};

void node_create(struct world *w, uint32_t slot);
/* Opens what is on its disk.  Failing to do so is a failure unless the disk
 * has an excuse; then it is tried again later. */
void node_start(struct node *n);
/* One step at time w->now_us or later. */
void node_step(struct node *n);
/* The process is gone, the machine is not. */
void node_kill(struct node *n);
/* The machine is gone too; what was not synced may be. */
void node_power_cut(struct node *n, enum memdisk_outcome outcome);
void node_starve(struct node *n, uint32_t one_in);
/* It is told which policies there are, if it has memory. */
void node_hear_policies(struct node *n);
/* Some call of the disk, within the next N, meets FAULT. */
void node_arm(struct node *n, enum memdisk_fault fault, uint64_t n_calls);
/* A frame from another node has arrived. */
void node_receive(
    struct node *n, const uint8_t from[16], int stranger, struct slice frame);
/* An empty disk; the process is down. */
void node_replace_disk(struct node *n);
/* Begins an orderly stop. */
void node_stop(struct node *n);
void node_restart_in(struct node *n, uint64_t us);
void node_pause(struct node *n, int pause);
/* The disk has room for BYTES more; UINT64_MAX: it is large again. */
void node_set_room(struct node *n, uint64_t bytes);
/* The code of N has come to STEP: store_config.step. */
void node_steps(void *arg, enum step step);
/* At which step nodes of W are killed. */
void node_draw_fate(struct world *w);
/* N is doomed, and not in the middle of anything. */
void node_meet_fate(struct node *n);
/* No lane or worker of it hangs any more. */
void node_let_go(struct node *n);
/* Anything that goes wrong from now on is a bug. */
void node_heal(struct node *n);
void node_free(struct node *n);

/* --- what runs on it: process_store.c, process_core.c ------------------------
 *
 * A store alone, or a whole core with a ring.  Each call but process_send,
 * process_hears and process_serves is the code of N.
 */

/* Opens what is on the disk, and n->store; nothing is left when it fails. */
int process_open(struct node *n, char *why, size_t why_bytes);
int process_start(struct node *n);
void process_handle(struct node *n, uint32_t worker, struct msg *m);
void process_turn(struct node *n, uint32_t worker);
void process_stop(struct node *n, void (*done)(void *arg), void *arg);
void process_close(struct node *n);
/* It has stopped and is closed: what `move` asks for, on the disk. */
int process_move(struct node *n);
void process_report(void *arg, int is_error, const char *what);
void process_fatal(void *arg, const char *what);

/* A question on its way to the worker that asks it. */
struct process_call {
	struct msg msg;
	struct node *node;
	uint32_t group;
	struct msg *question;
};

/* M about GROUP, which worker m->from asks; CALL is there as long as M. */
void process_send(
    struct node *n, uint32_t group, struct msg *m, struct process_call *call);
/* A frame that node FROM has sent would be taken. */
int process_hears(
    const struct node *n, const uint8_t from[16], const uint8_t cluster[16]);
/* Where its files are, under which cluster; whether that is the one that clients
 * ask.  Of a node that is down, too. */
const char *process_dir(const struct node *n);
const uint8_t *process_cluster(const struct node *n);
int process_belongs(const struct node *n);
/* What it has is spoiled, and it does not start. */
void process_spoiled(struct node *n);
/* It is what clients ask: up, and no cluster of its own. */
int process_serves(const struct node *n);
/* After each step: what must be true of it. */
void process_check(struct node *n);
/* 0, or -ERR_NOMEM. */
int process_hear_policies(struct node *n);

/* --- clients: client.c ------------------------------------------------------
 */

struct client {
	struct world *world;
	uint32_t number;
	struct call *call; /* in flight, or NULL */
	/* The append or patch under a key that comes again next, if there is
	 * one. */
	int has_again;
	uint64_t again;
	int unsure;                /* it may have been done */
	uint64_t expect, patch_of; /* of a patch, as vnode_put has them */
	/* by group: the slot that led it, as far as the client was told */
	uint32_t leaders[WORLD_GROUPS];
};

/* Begins to ask, again and again, until clients_stop. */
void clients_start(struct world *w);
void clients_stop(struct world *w);
/* Asks again after a while. */
void client_think(struct client *c);
/* A process has died: its callers will hear no more of it. */
void clients_forget(struct node *n);
uint32_t clients_waiting(const struct world *w);
/* What it waits for, for a person. */
const char *client_asked(const struct client *c);
int client_waits_for(const struct client *c, const struct node *n);
/* One append to STREAM at N; 0, or what the node said.  Runs the world until it
 * is answered. */
int client_append_now(struct node *n, uint32_t stream);
/* Reads all of STREAM at N and compares; the same. */
int client_verify_now(struct node *n, uint32_t stream);

/* --- listeners: follow.c -------------------------------------------------------
 */

struct follow; /* follow.h */

void followers_start(struct world *w);
/* A process has died: their requests there are answered without it. */
void followers_forget(struct node *n);
/* All is well: each has all that it wants; in some histories also what is
 * written now, AT who takes it, before any wait for it is over. */
void followers_check(
    struct world *w, struct node *(*at)(struct world *w, uint32_t group));
/* They go; what they asked comes back yet. */
void followers_stop(struct world *w);
/* All nodes are down: what was answered last arrives, and nobody asks again. */
void followers_end(struct world *w);
void followers_free(struct world *w);

/* --- frames between nodes: net.c ---------------------------------------------
 */

struct link {
	uint64_t bytes; /* on their way */
	uint64_t free_at_us;
	uint32_t us_per_kb; /* 0: fast */
};

struct net {
	struct link links[WORLD_NODES][WORLD_NODES][NET_CHANNEL_COUNT];
	int cut[WORLD_NODES][WORLD_NODES]; /* from, to */
	uint64_t delay_min_us, delay_max_us;
	uint32_t drop, twice, late; /* one in so many frames; 0: none */
};

/* Holds what leaves N in FRAME against what has left it before: words.c. */
void words_check(struct node *n, struct slice frame);
/* N has started: what it knows of what it has said. */
void words_kept(struct node *n);
/* The process of N may send. */
void net_attach(struct node *n);
/* A frame to whoever that is, under no cluster. */
int net_tell(struct node *from, uint32_t to, const struct iovec *iov, int n);
/* Frees the frame that EV would have brought, if it is one. */
void net_forget(struct happening *ev);
void net_cut(struct world *w, uint32_t from, uint32_t to, int cut);
/* What fills replicas on node TO comes slowly. */
void net_slow_fills(struct world *w, uint32_t to, uint64_t for_us);
/* All links are fast and lose nothing. */
void net_heal(struct world *w);

/* --- who has which group: operator.c, rings.c --------------------------------
 */

struct world_group {
	uint32_t target;     /* nodes that should have it, by bit */
	struct order *order; /* a change that was asked for, or NULL */
	/* by term: 1 + the slot that led in it */
	uint8_t *leaders;
	uint64_t n_terms;
};

/* Brings every group to all nodes. */
void operator_start(struct world *w);
/* Some group is to be on other nodes from now on. */
void operator_change_mind(struct world *w);
void operator_transfer(struct world *w, uint32_t group, uint32_t to);
/* A process has died. */
void operator_forget(struct node *n);
/* Every group is to be on all nodes, */
void operator_calm(struct world *w);
/* and is, with equal logs, and somebody leads it. */
int operator_is_done(struct world *w);

/* --- groups: groups.c --------------------------------------------------------
 */

/* Traces what each node knows of each group. */
void groups_describe(struct world *w);
/* The node that leads GROUP by its own account, with the highest term. */
struct node *groups_leader(struct world *w, uint32_t group);
/* 0: no member, 1: learner, 2: voter. */
int groups_standing(const struct store_group *g, const uint8_t node[16]);
/* All replicas of GROUP have applied all there is. */
int groups_are_equal(struct world *w, uint32_t group);

/* --- rings: rings.c, watch.c --------------------------------------------------
 */

struct rings; /* opaque */

/* RING is what N goes by from now on. */
void rings_saw(struct node *n, struct ring *ring);
void rings_free(struct world *w);

/* --- bits that turn: flips.c -------------------------------------------------
 */

#define FLIPS_MAX 256

struct flips {
	int on;
	int mended;
	uint32_t slot; /* on the disk of this node, and no other */
	uint32_t safe; /* groups that had three voters, by bit */
	uint32_t n;
	struct flipped {
		uint32_t group;
		uint64_t stream_id;
	} chunks[FLIPS_MAX];
};

/* Whether this seed has them; after the rest of it was drawn. */
void flips_begin(struct world *w);
void flips_strike(struct world *w);
/* All bits that turned in chunks have been found; 1: no chunk is damaged any
 * more, as far as the node knows.  ARG: the world. */
int flips_are_mended(void *arg);
/* From now on nothing is explained. */
void flips_end(struct world *w);
/* A bit turns in a manifest, ring or identity of N, whose process is down. */
void flips_spoil(struct node *n);
/* Whether N may find the events of that stream damaged. */
int flips_explain(const struct node *n, uint32_t group, uint64_t stream_id);

/* --- misfortune: chaos.c ----------------------------------------------------
 */

enum misfortune {
	CHAOS_KILL,
	CHAOS_POWER_CUT,
	CHAOS_DISK_CRASH, /* the power is cut within a call of the disk */
	CHAOS_DISK_ERROR,
	CHAOS_DISK_FULL,
	CHAOS_DISK_NO_ROOM, /* for one call */
	CHAOS_NO_MEMORY,    /* some allocations fail for a while */
	CHAOS_BIT_FLIP,
	CHAOS_STOP,
	CHAOS_PAUSE,
	CHAOS_SLOW_LANE,
	CHAOS_SLOW_WORKER,
	CHAOS_WALL_JUMP,
	CHAOS_CUT,       /* a node does not reach another, or any */
	CHAOS_PARTITION, /* two halves */
	CHAOS_BAD_NET,   /* frames are lost, late, or come twice */
	CHAOS_SLOW_LINK,
	CHAOS_MEMBERS, /* a group moves */
	CHAOS_TRANSFER,
	CHAOS_COUNT,
};

/* Draws what this seed is like. */
void chaos_begin(struct world *w);
void chaos_tick(struct world *w);
/* What a process may meet while it starts. */
void chaos_before_start(struct node *n);
/* All is well from now on; nodes that are down come back. */
void chaos_end(struct world *w);

/* --- the course of a history: course_store.c, course_rings.c -----------------
 */

extern const int course_has_rings;
extern const char course_name[]; /* what scripts/sim-replay calls it */
extern const struct course_mutant {
	const char *name;
	int number;
} course_mutants[]; /* those it should find; the last has no name */

/* Numbers of this world, after those of all were drawn. */
void course_draw(struct world *w);
/* Faults are over: whatever was promised holds, and everything works again,
 * also from what is on the disks alone. */
void course_conclude(struct world *w);
/* What conclusions are made of: world.c.  COND(w) within CALM_US. */
void world_must(struct world *w, int (*cond)(void *arg), const char *what);
int world_all_up(void *arg);
int world_all_stopped(void *arg);
int world_none_waiting(void *arg);
int world_never(void *arg);
/* N shows all streams of GROUP; or what it said. */
int world_read_group(struct world *w, uint32_t group, struct node *n);
/* The same, and it must. */
void world_verify_group(struct world *w, uint32_t group, struct node *n);
/* After all groups have been verified. */
void world_check_patches(struct world *w);
void world_write_all(
    struct world *w, struct node *(*at)(struct world *w, uint32_t group));

/* --- the world: world.c ------------------------------------------------------
 */

struct happening {
	uint64_t at_us, tie;
	void (*run)(struct world *w, struct happening *ev); /* frees nothing */
	uint32_t slot;
	uint64_t life, detail;
	void *arg;
};

struct world_counts {
	uint64_t appended, acked, unknown, refused, reads, events_read;
	uint64_t replayed, mismatches, patched, conflicts;
	uint64_t starts, kills, power_cuts, stops, disk_errors, checkpoints;
	uint64_t frames, elections, changes, deleted, flips, damaged, mended;
	uint64_t followed, notices, followings;
	/* Nodes that came to a step, and that were killed there. */
	uint64_t reached[STEP_COUNT], killed_at[STEP_COUNT];
	uint64_t steps, virtual_us;
};

struct world {
	struct world_options o;
	struct chance chance;
	uint64_t now_us, tie, hash;
	struct happening *heap;
	uint32_t n_heap, cap_heap;
	uint32_t n_nodes, n_groups, n_clients;
	uint32_t n_logs; /* groups of a store: n_groups, or one more */
	struct node nodes[WORLD_NODES];
	struct client clients[WORLD_CLIENTS];
	int clients_stopped;
	struct follow *follow;
	int settled; /* whatever goes wrong from now on is a bug */
	/* A copy goes for good, or has: nothing else may go until all groups
	 * have as many as they should. */
	int losing;
	int closing; /* who stops now stays down */
	struct model model;
	struct keep keep;
	struct world_policies policies;
	uint32_t misfortune[CHAOS_COUNT]; /* one in so many ticks; 0: never */
	uint64_t think_us;                /* of clients, at most */
	uint32_t deletes; /* of 100 requests of clients, so many */
	struct net net;
	struct flips flips;
	struct world_group groups[WORLD_LOGS];
	uint64_t lives[MODEL_STREAMS];
	struct rings *rings; /* NULL: a world without */
	uint8_t cluster[16]; /* the one that clients ask */
	int hasty; /* the operator does not wait for one group after another */
	uint64_t step_max_us;
	struct store_config store; /* but for what differs by node */
	/* Who comes to step `fatal_step` is killed there, after so many that
	 * are not, so many times.  A chance of its own: what else happens is
	 * the same until then. */
	struct chance fate;
	enum step fatal_step;
	uint32_t spared, deaths;
	struct world_counts counts;
	char failure[512];
	jmp_buf out;
};

/* Runs it all.  0, or 1 and `failure` is filled in. */
int world_run(struct world *w, const struct world_options *o);
/* After world_run succeeded. */
void world_free(struct world *w);

/* 0 .. N - 1. */
uint64_t world_below(struct world *w, uint64_t n);
/* FROM .. TO. */
uint64_t world_between(struct world *w, uint64_t from, uint64_t to);
int world_one_in(struct world *w, uint64_t n);
void world_trace(struct world *w, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Folds V into the hash that tells two runs apart. */
void world_note(struct world *w, uint64_t v);
void world_fail(struct world *w, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), noreturn));
void world_schedule(struct world *w, uint64_t in_us, struct happening ev);
/* Runs until COND(ARG), or FOR_US have gone; what COND said last. */
int world_run_until(
    struct world *w, int (*cond)(void *arg), void *arg, uint64_t for_us);

#endif
