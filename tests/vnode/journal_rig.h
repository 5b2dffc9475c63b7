/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * journal_rig - a journal on a disk in memory, one worker, and what was asked
 * of it and heard back.
 *
 * Owns:    disk, env and journal, and every record that was ever submitted:
 *          they stay until jr_deinit, for a crash leaves them anywhere.
 */
#ifndef TESTS_VNODE_JOURNAL_RIG_H
#define TESTS_VNODE_JOURNAL_RIG_H

#include "src/base/list.h"
#include "tests/lib/memdisk.h"
#include "tests/lib/simenv.h"
#include "vnode/journal.h"

#define JR_DIR     "journal"
#define JR_SEGMENT (32u << 10)
#define JR_SEEN    4096 /* records that a replay may tell of */

/* A record that was submitted. */
struct jr_record {
	struct journal_append append;
	struct list all;
	struct iovec iov;
	int r; /* 1: not heard back yet */
	uint8_t payload[];
};

/* A record that was replayed. */
struct jr_seen {
	struct journal_head head;
	lsn_t lsn;
	uint32_t bytes, crc; /* of the payload */
};

struct jr {
	struct memdisk *md;
	struct simenv *sim;
	struct journal *journal; /* NULL: closed */
	struct journal_config config;
	int sparse;                           /* payloads are mostly zeros */
	struct list records;                  /* oldest first */
	struct journal_append *chain, **last; /* put, not yet submitted */
	struct jr_seen seen[JR_SEEN];
	uint32_t n_seen;
	struct journal_damage damage;
	uint64_t cut;
};

/* MAX: bytes of all segments together; on a disk of its own. */
void jr_init(struct jr *jr, uint64_t max_bytes);
/* The same on MD, which is JR's then. */
void jr_init_on(struct jr *jr, uint64_t max_bytes, struct memdisk *md);
void jr_deinit(struct jr *jr);

/* As journal_open says; what was replayed is in JR->seen. */
int jr_open(struct jr *jr);
/* The process died; the disk is as it is. */
void jr_kill(struct jr *jr);
/* The power was cut, and is back. */
void jr_crash(struct jr *jr, enum memdisk_outcome outcome, uint64_t seed);

/* A record of TYPE with N bytes of payload that INDEX tells, to be submitted
 * with those put before. */
struct jr_record *jr_put(
    struct jr *jr, enum journal_type type, uint64_t index, uint32_t n);
/* Submits what was put and runs until nothing moves: at most one batch, unless
 * it is too large. */
void jr_submit(struct jr *jr);
/* One entry in a batch of its own. */
struct jr_record *jr_append(struct jr *jr, uint64_t index, uint32_t n);
void jr_run(struct jr *jr);

/* Whether the SEEN-th replayed record is R. */
int jr_is(const struct jr *jr, uint32_t seen, const struct jr_record *r);

#endif
