/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * sim - a consensus group on virtual time, under faults from a seed.
 *
 * Nodes have a journal on a disk of their own: what is not synced is lost in a
 * crash but for any prefix of it.  The net delays, drops, doubles, reorders and
 * is cut, one way or both.  After each event the invariants of check.c hold, or
 * `failure` says which does not.
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>

#include "src/consensus/raft.h"

#define SIM_NODES   8    /* machines; a replica is a life on one of them */
#define SIM_ENTRIES 8192 /* of the committed history */
#define SIM_TERMS   8192
#define SIM_MEMBERS 1024

struct sim_options {
	uint64_t seed;
	uint32_t n_voters; /* at the start */
	uint32_t n_ticks;
	int hostile;
	int mutant;
	FILE *trace; /* or NULL */
};

/* An entry as the journal has it.  Members live as long as the simulation. */
struct sim_entry {
	uint64_t term, id, position;
	enum raft_kind kind;
	const struct raft_members *members;
};

enum sim_op_type { OP_HARD = 1, OP_ENTRIES, OP_BASE };

struct sim_op {
	enum sim_op_type type;
	uint64_t seq, term, first, index;
	raft_id vote;
	uint32_t n;
	struct sim_entry *entries;
	const struct raft_members *members;
};

struct sim_record {
	uint64_t index;
	struct sim_entry entry;
};

/* What a disk holds, after the operations that are on it. */
struct sim_disk {
	uint64_t term;
	raft_id vote;
	uint64_t base, base_term;
	const struct raft_members *base_members;
	uint64_t last; /* entries base + 1 .. last, by index */
	struct sim_entry *entries;
	struct sim_record *records; /* as written; those from `cut` on count */
	uint32_t n_records, cap_records, cut;
	int damaged;
	uint64_t lost; /* damaged: it had entries up to here */
};

struct sim_node {
	raft_id id;     /* of the replica here; 0: none */
	raft_id newest; /* that was ever here */
	uint8_t name[16];
	int up, stopped; /* stopped: gets no time, like SIGSTOP */
	struct raft *raft;
	struct sim_disk disk;
	struct sim_op *ops; /* not synced yet */
	uint32_t n_ops, cap_ops, n_syncing;
	int syncing, full; /* full: the disk has no room for entries */
	uint64_t life;     /* of the process: events for older ones are void */
	uint64_t applied, position;
	int64_t clock_skew;
};

enum sim_event_type {
	EV_MSG = 1,
	EV_SYNC,
	EV_FILL,
	EV_UNKNOWN, /* a leader hears that its peer has no such replica */
	EV_START,
	EV_RESUME,
	EV_CRASH,
	EV_CHANGE,
};

struct sim_event {
	uint64_t at, tie;
	enum sim_event_type type;
	uint32_t slot;
	uint64_t life;
	struct raft_msg msg;
	struct raft_entry *entries;
	/* a fill */
	uint32_t from_slot;
	uint64_t from_life;
	struct raft_fill fill;
};

struct sim {
	struct sim_options o;
	uint64_t rng, now, tie, trace_hash;
	struct sim_node nodes[SIM_NODES];
	struct sim_event **heap;
	uint32_t n_heap, cap_heap;
	uint8_t cut[SIM_NODES][SIM_NODES]; /* from, to */
	uint32_t drop, dup;                /* in 1000 */
	uint64_t delay_max;
	uint32_t straggling; /* in 1000: messages that come much later */
	uint32_t aimed;      /* in 1000: a crash just after a word was given */
	uint64_t jitter_us, straggling_us;
	uint32_t operators; /* how busy they are */
	int quiet;          /* no more faults: it must converge */
	int last_ticks;     /* nor writes */
	struct raft_members *pool[SIM_MEMBERS]; /* one of each kind */
	uint32_t n_pool;

	/* what must never change */
	struct sim_entry history[SIM_ENTRIES]; /* by index */
	uint64_t
	    committed_in[SIM_ENTRIES]; /* in this term, or an earlier one */
	uint64_t n_history;
	raft_id leaders[SIM_TERMS];
	uint64_t acked; /* the highest index that was acknowledged */
	uint64_t n_acked, n_reads, n_elections, n_fills, n_changes;

	/* proposals and reads on their way */
	uint64_t next_command, next_body, next_read;
	struct sim_read {
		uint64_t ctx, floor;
	} reads[256];
	char failure[256];
	jmp_buf out;
};

/* Runs it all.  0, or 1 and failure is filled in. */
int sim_run(struct sim *s, const struct sim_options *o);
void sim_free(struct sim *s);

/* --- sim.c ---------------------------------------------------------------- */

uint64_t sim_random(struct sim *s);
/* 0 .. n - 1 */
uint64_t sim_below(struct sim *s, uint64_t n);
/* In p of 1000 cases. */
int sim_chance(struct sim *s, uint32_t p);
void sim_trace(struct sim *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void sim_fail(struct sim *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), noreturn));
struct sim_event *sim_schedule(
    struct sim *s, enum sim_event_type type, uint32_t slot, uint64_t in_us);
struct sim_node *sim_find(struct sim *s, raft_id id);
/* The machine on which member ID of N's group is, or is to be; may be NULL. */
struct sim_node *sim_machine(
    struct sim *s, const struct sim_node *n, raft_id id);
/* An equal one that stays. */
const struct raft_members *sim_members(
    struct sim *s, const struct raft_members *m);
/* Carries out what the core of N wants. */
void sim_effects(struct sim *s, struct sim_node *n, struct raft_effects *fx);

/* --- disk.c --------------------------------------------------------------- */

void disk_persist(
    struct sim *s, struct sim_node *n, const struct raft_effect *e);
void disk_start_sync(struct sim *s, struct sim_node *n);
void disk_synced(struct sim *s, struct sim_node *n);
/* A checkpoint: entries up to INDEX are in chunk files. */
void disk_compact(struct sim *s, struct sim_node *n, uint64_t index);
/* The power goes: some prefix of what was not synced is there. */
void disk_crash(struct sim *s, struct sim_node *n);
/* What the journal says is what the core is given, and nothing else. */
void disk_restore(struct sim *s, struct sim_node *n);
/* The body of entry INDEX, from memory or from the disk. */
uint64_t disk_body(const struct sim_node *n, uint64_t index);
/* Entries behind some point are unreadable. */
void disk_damage(struct sim *s, struct sim_node *n);
void disk_deinit(struct sim_node *n);
int disk_has(
    const struct sim_node *n, uint64_t index, const struct sim_entry *e);

/* --- node.c --------------------------------------------------------------- */

void node_create(struct sim *s, struct sim_node *n, raft_id id);
/* The replica goes, and what it had. */
void node_remove(struct sim_node *n);
void node_start(struct sim *s, struct sim_node *n);
void node_crash(struct sim *s, struct sim_node *n);
void node_tick(struct sim *s, struct sim_node *n);

/* --- net.c ---------------------------------------------------------------- */

void net_send(struct sim *s, struct sim_node *from, const struct raft_msg *m);
void net_deliver(struct sim *s, struct sim_event *ev);
void net_event_free(struct sim_event *ev);

/* --- chaos.c -------------------------------------------------------------- */

void chaos_begin(struct sim *s);
void chaos_tick(struct sim *s);
void chaos_end(struct sim *s);
/* The process dies, and is back soon. */
void chaos_crash(struct sim *s, struct sim_node *n);
/* An operator who does not wait. */
void chaos_change(struct sim *s, struct sim_node *leader);
void chaos_fill(struct sim *s, struct sim_node *leader, raft_id peer);
void chaos_fill_arrives(struct sim *s, struct sim_event *ev);
void chaos_unknown(struct sim *s, struct sim_event *ev);

/* --- check.c -------------------------------------------------------------- */

void check_role(struct sim *s, struct sim_node *n);
void check_apply(struct sim *s, struct sim_node *n, uint64_t to);
void check_read(struct sim *s, uint64_t ctx, uint64_t index);
void check_tick(struct sim *s, struct sim_node *n);
void check_promoted(struct sim *s, struct sim_node *leader, raft_id id);
void check_converged(struct sim *s);

#endif
