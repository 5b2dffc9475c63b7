/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * lab - a few replicas on a bench, for tests that say what happens when.
 *
 * Nothing is left to chance: messages arrive in order, 1 ms after they were
 * sent, unless the link is cut; a disk syncs at once, unless it is stuck; a
 * crash loses what was not synced.  Bodies are numbers.
 */
#ifndef TESTS_CONSENSUS_LAB_H
#define TESTS_CONSENSUS_LAB_H

#include "src/consensus/raft.h"

#define LAB_NODES   8
#define LAB_ENTRIES 1024

struct lab_entry {
	uint64_t term, id;
	enum raft_kind kind;
	uint32_t n_members;
	struct raft_member members[LAB_NODES];
};

/* What is written, and not synced yet. */
struct lab_write {
	uint64_t seq, term, first;
	raft_id vote;
	uint32_t n; /* of entries; 0: hard state */
	struct lab_entry *entries;
};

struct lab_node {
	raft_id id; /* 0: no replica here */
	uint8_t name[16];
	struct raft *raft; /* NULL: down */
	int stuck;         /* the disk syncs nothing */
	uint64_t ahead_us; /* of the time of the others */
	/* on the disk */
	uint64_t term, base, base_term, last;
	raft_id vote;
	struct lab_entry base_members;
	struct lab_entry log[LAB_ENTRIES];
	int damaged;
	struct lab_write writes[256];
	uint32_t n_writes;
	/* what came of it */
	uint64_t applied;
	uint64_t values[LAB_ENTRIES]; /* applied, by index */
	uint32_t n_fills, n_ready, n_lost, n_healed, n_failed;
	raft_id fill; /* asked for last */
	uint64_t ready_at;
};

struct lab_msg {
	uint64_t at;
	struct raft_msg msg;
	struct raft_entry *entries;
	struct raft_members *members;
};

struct lab {
	struct lab_node nodes[LAB_NODES];
	uint64_t now, next_id;
	int cut[LAB_NODES][LAB_NODES]; /* from, to */
	int fills_by_hand;             /* else each RAFT_FILL is carried out */
	/* Says which messages get lost; NULL: none. */
	int (*loses)(const struct lab *l, const struct raft_msg *m);
	struct lab_msg queue[8192];
	uint32_t n_queue;
	struct raft_config config;
};

/* N voters, ids 1 .. N, on nodes 0 .. N - 1; nobody leads. */
struct lab *lab_new(uint32_t n);
struct lab *lab_free(struct lab *l);
/* In steps of 1 ms. */
void lab_run(struct lab *l, uint64_t ms);
/* Until a leader of the newest term has applied its no-op; -1: 10 s did not
 * do. */
int lab_elect(struct lab *l);
/* Hands leadership to node I. */
void lab_make_leader(struct lab *l, uint32_t i);
/* Node I campaigns when the others have forgotten their leader, and nobody else
 * does.  0: it did not win within a second. */
int lab_campaign(struct lab *l, uint32_t i);
/* Index, or 0: not the leader. */
uint64_t lab_propose(struct lab *l, uint32_t i, uint64_t value);
void lab_crash(struct lab *l, uint32_t i);
void lab_start(struct lab *l, uint32_t i);
/* The disk is another: what was on it is gone. */
void lab_replace_disk(struct lab *l, uint32_t i);
void lab_compact(struct lab *l, uint32_t i, uint64_t index);
/* Node TO gets the data of node FROM, and is created when it must be. */
void lab_fill(struct lab *l, uint32_t from, raft_id to);
/* Cuts all links of node I, or mends them. */
void lab_isolate(struct lab *l, uint32_t i, int cut);
void lab_mend(struct lab *l);
void lab_cut(struct lab *l, uint32_t from, uint32_t to);
void lab_unstick(struct lab *l, uint32_t i);
/* All nodes that are up have applied the same, up to their leader's last. */
int lab_agrees(const struct lab *l);
/* Carries out and empties what the core of node I wants. */
void lab_effects(struct lab *l, uint32_t i, struct raft_effects *fx);
/* Node with replica ID; LAB_NODES: none. */
uint32_t lab_find(const struct lab *l, raft_id id);

#endif
