/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * sim - a consensus group on virtual time, under faults from a seed.
 *
 * Machines have a journal on a disk of their own: what is not synced is lost in
 * a crash but for any prefix of it.  The net delays, drops, doubles, reorders
 * and is cut, one way or both.  After each event the invariants of check.c hold,
 * or `failure` says which does not.
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>

#include "src/consensus/mutants.h"
#include "src/consensus/raft.h"

#define SIM_NODES   8    /* machines; a replica is a life on one of them */
#define SIM_ENTRIES 4096 /* of the committed history */
#define SIM_TERMS   8192
#define SIM_MEMBERS 1024 /* kinds of configuration */

/* Bugs of a host, to have beside those of the core (mutants.h). */
#define SIM_MUTANTS(X)                                                         \
	X(MANIFEST_WITHOUT_VOTE)                                               \
	X(FILL_WITHOUT_CUT)                                                    \
	X(OLD_GENERATION_ACCEPTED)                                             \
	X(SYNC_TRIED_AGAIN)

enum sim_mutant {
	SIM_NO_MUTANT = RAFT_N_MUTANTS,
#define SIM_MUTANT_ENUM(name) SIM_##name,
	SIM_MUTANTS(SIM_MUTANT_ENUM)
#undef SIM_MUTANT_ENUM
	    SIM_N_MUTANTS
};

#define HAS_MUTANT(s, name) ((s)->o.mutant == SIM_##name)

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

/* What is written, in order: hard state, or an entry. */
struct sim_record {
	uint64_t
	    index; /* 0: hard state, in `entry`: its term, the vote as id */
	struct sim_entry entry;
};

struct sim_op {
	uint64_t seq;
	uint32_t n;
	struct sim_record *records;
};

/* What a disk holds, after the operations that are on it. */
struct sim_disk {
	uint64_t term;
	raft_id vote;
	/* the manifest */
	uint64_t base, base_term, saved_term;
	raft_id saved_vote;
	const struct raft_members *base_members;
	/* the journal: records from `cut` on count */
	struct sim_record *records;
	uint32_t n_records, cap_records, cut;
	/* what it comes to: entries base + 1 .. last, by index */
	uint64_t last;
	struct sim_entry *entries;
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
	int syncing, full; /* full: the disk has no room */
	uint64_t boot; /* of the process: messages for older ones are void */
	uint64_t life; /* of the replica in it: other events, too */
	uint64_t applied, position;
	uint64_t ahead_us; /* its clock has jumped */
	int64_t n_bodies;  /* that the core owns */
};

enum sim_event_type {
	EV_MSG = 1,
	EV_SYNC,
	EV_FILL,
	EV_UNKNOWN, /* a leader hears that its peer has no such replica */
	EV_START,
	EV_RESUME,
	EV_CRASH,
	EV_MUTE, /* nothing leaves it any more, for some time */
	EV_HEARD,
	EV_FORGET,   /* it dies, and its journal loses something */
	EV_OPERATOR, /* somebody watches who becomes leader */
};

struct sim_event {
	uint64_t at, tie;
	enum sim_event_type type;
	uint32_t slot;
	uint64_t boot, life;
	struct raft_msg msg;
	struct raft_entry *entries;
	uint64_t held_until; /* or until who gets it leads once more */
	/* a fill */
	uint8_t name[16];
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
	struct raft_members *pool[SIM_MEMBERS]; /* one of each kind */
	uint32_t n_pool;

	/* how bad the world is; of 1000 where nothing else is said */
	uint8_t cut[SIM_NODES][SIM_NODES]; /* from, to */
	uint32_t drop, dup;
	uint32_t straggling; /* messages that come much later */
	uint32_t held;       /* answers of a term that come in another one */
	uint32_t aimed;      /* a crash just after a word was given */
	uint32_t no_memory;  /* of 100,000 allocations of a core */
	uint32_t harm, operators, cuts;
	uint32_t hunted; /* who was just elected crashes, or is not heard */
	uint64_t delay_max, jitter_us, straggling_us;
	int reckless;   /* damage may stop the group, but never make it lie */
	int quiet;      /* no more faults: it must converge */
	int last_ticks; /* nor writes */
	int in_core, starved;
	const struct raft_members *founders;

	/* what must never change */
	struct sim_entry history[SIM_ENTRIES]; /* by index */
	uint64_t
	    committed_in[SIM_ENTRIES]; /* in this term, or an earlier one */
	uint64_t n_history;
	raft_id leaders[SIM_TERMS];
	uint16_t votes[SIM_NODES][SIM_TERMS];
	uint64_t acked; /* the highest index that was acknowledged */
	uint64_t n_acked, n_reads, n_elections, n_fills, n_changes, n_healed;

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
uint32_t sim_slot(const struct sim *s, const struct sim_node *n);

/* --- effects.c ------------------------------------------------------------ */

/* Around each event of a core: what it takes from memory may be refused, and
 * then it crashes; what it wants is carried out. */
struct raft *sim_core(struct sim *s, struct sim_node *n);
void sim_done(struct sim *s, struct sim_node *n, struct raft_effects *fx);
/* Of mem.h. */
int sim_refuses(void *sim, size_t n);

/* --- disk.c --------------------------------------------------------------- */

void disk_persist(
    struct sim *s, struct sim_node *n, const struct raft_effect *e);
void disk_start_sync(struct sim *s, struct sim_node *n);
void disk_synced(struct sim *s, struct sim_node *n);
/* A checkpoint: entries up to INDEX are in chunk files. */
void disk_compact(struct sim *s, struct sim_node *n, uint64_t index);
/* A fill takes the place of what there was, by rename. */
void disk_adopt(
    struct sim *s, struct sim_node *n, const struct raft_fill *fill);
/* The power goes: some prefix of what was not synced is there, and nothing of
 * what was synced is lost. */
void disk_crash(struct sim *s, struct sim_node *n);
/* Records behind some point are unreadable. */
void disk_damage(struct sim *s, struct sim_node *n);
void disk_forget(struct sim_node *n);
int disk_has(
    const struct sim_node *n, uint64_t index, const struct sim_entry *e);
/* The body of entry INDEX, from memory or from the disk. */
uint64_t disk_body(const struct sim_node *n, uint64_t index);

/* --- node.c --------------------------------------------------------------- */

struct sim_node *node_with(struct sim *s, raft_id id);
struct sim_node *node_named(struct sim *s, const uint8_t name[16]);
/* NULL: nobody is. */
struct sim_node *node_leader(struct sim *s);
struct sim_node *node_any(struct sim *s);
/* A replica without anything. */
void node_create(struct sim *s, struct sim_node *n, raft_id id);
void node_start(struct sim *s, struct sim_node *n);
void node_crash(struct sim *s, struct sim_node *n);
/* The replica goes, and what it had. */
void node_remove(struct sim *s, struct sim_node *n);
void node_tick(struct sim *s, struct sim_node *n);
/* The journal, as a core is given it. */
void node_restore(struct sim *s, struct sim_node *n);
/* An equal one that stays. */
const struct raft_members *members_keep(
    struct sim *s, const struct raft_members *m);
uint32_t members_voters(const struct raft_members *m);
int members_have(const struct raft_members *m, raft_id id);
/* One whose machine is there no more; NULL. */
const struct raft_member *members_lost(
    struct sim *s, const struct raft_members *m);

/* --- net.c ---------------------------------------------------------------- */

void net_send(struct sim *s, struct sim_node *from, const struct raft_msg *m);
void net_deliver(struct sim *s, struct sim_event *ev);
void net_event_free(struct sim_event *ev);

/* --- people.c: clients and operators -------------------------------------- */

void people_tick(struct sim *s);
/* N was just elected: what can go wrong then? */
void people_watch(struct sim *s, struct sim_node *n);
/* Whoever else is damaged. */
void people_remove(struct sim *s, struct sim_node *leader, raft_id id);
void people_found_group(struct sim *s);

/* --- fills.c -------------------------------------------------------------- */

void fill_begin(struct sim *s, struct sim_node *leader, raft_id peer);
void fill_arrives(struct sim *s, struct sim_event *ev);
void fill_unknown(struct sim *s, struct sim_event *ev);

/* --- chaos.c -------------------------------------------------------------- */

void chaos_begin(struct sim *s);
void chaos_tick(struct sim *s);
void chaos_end(struct sim *s);
/* N was elected, and an older leader does not know it yet. */
void chaos_plot(struct sim *s, struct sim_node *n);
/* Part of a plot: N forgets whom it follows, and hears slot OLD again. */
void chaos_forget(struct sim *s, struct sim_node *n, uint32_t old);
/* Nothing reaches N, until the net is whole again. */
void chaos_deafen(struct sim *s, struct sim_node *n);
void chaos_mute(struct sim *s, struct sim_node *n, int mute);
/* The process dies, and is back soon. */
void chaos_crash(struct sim *s, struct sim_node *n);
int chaos_any_damaged(const struct sim *s);

/* --- check.c -------------------------------------------------------------- */

void check_role(struct sim *s, struct sim_node *n);
void check_apply(struct sim *s, struct sim_node *n, uint64_t to);
void check_read(struct sim *s, uint64_t ctx, uint64_t index);
/* What may leave N. */
void check_send(struct sim *s, struct sim_node *n, const struct raft_msg *m);
void check_tick(struct sim *s);
void check_promoted(struct sim *s, struct sim_node *leader, raft_id id);
void check_fill(struct sim *s, struct sim_node *leader, raft_id id);
void check_forgets_votes(struct sim *s, const struct sim_node *n);
void check_converged(struct sim *s);

#endif
