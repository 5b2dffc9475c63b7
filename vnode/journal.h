/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * journal - the one log of a node, where every entry of every group becomes
 * durable first.
 *
 * Owns:    the directory <cluster>/journal and its segment files.
 * Shape:   records in LSN order; one fdatasync covers all that arrived while
 *          the last one ran (group commit); it never waits when idle.
 * Thread:  journal_submit from any worker; the writing runs on LANE_JOURNAL;
 *          completions come back as one MSG_JOURNAL_DONE per worker and sync.
 * Errors:  -ERR_IO and every failure of a write or sync is final: the journal
 *          is dead, all that waits fails with it, and the node stops
 *          (cluster.md 6.10).  Without room for a new segment records wait:
 *          the store admits no writes then.
 * Format:  top of journal.c.  Golden bytes: tests/golden/vnode/segment.bin.
 */
#ifndef VNODE_JOURNAL_H
#define VNODE_JOURNAL_H

#include <stdint.h>
#include <sys/uio.h>

#include "src/base/buf.h"
#include "src/base/env.h"
#include "src/base/metrics.h"
#include "src/base/msg.h"

struct journal; /* opaque */

/*
 * A position in the journal: segment generation in the upper 32 bits, byte
 * offset in that segment in the lower.  Grows with every record, is never used
 * twice in the life of a directory.
 */
typedef uint64_t lsn_t;

enum journal_type {
	JOURNAL_ENTRY = 1,      /* a log entry of a group */
	JOURNAL_HARDSTATE = 2,  /* term and vote of a group */
	JOURNAL_CHECKPOINT = 3, /* a group's manifest is durable up to here */
	JOURNAL_DROPPED = 4,    /* the replica is no more */
};

/* What a record is about.  In memory as on disk, but for byte order. */
struct journal_head {
	uint8_t type; /* enum journal_type */
	uint16_t group;
	uint64_t generation; /* of the replica (cluster.md 2.4) */
	uint64_t term;
	uint64_t index;  /* JOURNAL_ENTRY: of the entry; else 0 */
	uint64_t commit; /* what this replica knew to be committed then */
};

#define JOURNAL_IOV_MAX 1024 /* slices of one record, inclusive */

/*
 * One record on its way.  Owned by the caller, who keeps it and all that IOV
 * points to unchanged until it comes back in a journal_done.
 */
struct journal_append {
	struct journal_append *next; /* for the journal, and in done lists */
	struct journal_head head;
	uint32_t worker; /* who hears of it */
	int n_iov;
	const struct iovec *iov; /* the payload; <= JOURNAL_PAYLOAD_MAX bytes,
				    and with its header in one segment */
	uint32_t payload_bytes;  /* sum of IOV; set by the caller */
	uint32_t payload_crc;    /* CRC32C of IOV; set by the caller */
	lsn_t lsn;               /* set by the journal */
};

#define JOURNAL_PAYLOAD_MAX  (16u << 20)
#define JOURNAL_SEGMENTS_MAX 4096

/* What a worker hears after a sync: its records of that sync, in order. */
struct journal_done {
	struct msg msg; /* MSG_JOURNAL_DONE */
	int r;          /* 0, or why none of LIST is durable; after
			   journal_give_up perhaps -ERR_NOSPC, which is no
			   failure */
	struct journal_append *list;
	lsn_t durable; /* all records up to and with this LSN are durable */
};

struct journal_damage {
	char file[64]; /* name of the segment, without directory */
	uint64_t offset;
	char what[96]; /* one phrase for a person */
};

/* The journal is damaged as DAMAGE says.  1: go on with what is intact; 0: do not
 * open it. */
typedef int (*journal_damaged_fn)(
    void *arg, const struct journal_damage *damage);

struct journal_config {
	const struct env *env;
	journal_damaged_fn
	    damaged;     /* with the argument of the replay; or NULL */
	const char *dir; /* relative to the disk's root; made when missing */
	uint8_t cluster_id[16]; /* foreign segments are refused */
	uint64_t segment_bytes; /* a multiple of 4096 */
	uint64_t max_bytes;     /* all segments, but while more must be held */
	int sync;               /* enum journal_sync */
	struct metrics_shard *metrics; /* of LANE_JOURNAL, or NULL */
};

enum journal_sync {
	JOURNAL_SYNC_ALWAYS,
	JOURNAL_SYNC_INTERVAL, /* acknowledge first, sync within 100 ms */
	JOURNAL_SYNC_NEVER,    /* hard state and checkpoints excepted */
};

/* --- recovery: before any thread starts ----------------------------------- */

/*
 * One intact record, in LSN order.  PAYLOAD is borrowed until the call returns.
 * Returning < 0 ends the recovery with that code.
 */
typedef int (*journal_replay_fn)(void *arg, const struct journal_head *head,
    lsn_t lsn, struct slice payload);

/*
 * Opens the journal in CONFIG->dir and replays what is in it.  A torn tail is
 * cut silently (*CUT_BYTES says how much lay behind it); damage below the
 * highest durable LSN is not: -ERR_CORRUPT with *DAMAGE filled, unless
 * CONFIG->damaged wants to go on.  A segment of
 * another cluster is -ERR_IDENTITY, an unknown version -ERR_FORMAT, both with
 * *DAMAGE. Afterwards new records go to a fresh segment.
 */
int journal_open(struct journal **out, const struct journal_config *config,
    journal_replay_fn fn, void *arg, struct journal_damage *damage,
    uint64_t *cut_bytes);

/* Waits for nothing: what is in flight must have come back.  Takes NULL. */
struct journal *journal_close(struct journal *j);

/* --- writing -------------------------------------------------------------- */

/* Hands the chain LIST (linked by next, NULL-terminated) over, in this order.
 */
void journal_submit(struct journal *j, struct journal_append *list);

/* What time brings: writes what had no room on the disk, syncs what is to be
 * synced within an interval.  Any worker, each 50 ms or so. */
void journal_beat(struct journal *j);
/* 0: the disk has no room for what was handed over.  Any thread. */
int journal_has_room(const struct journal *j);
/* The node stops: when something finds no room from now on, it and all that
 * comes behind it come back with -ERR_NOSPC instead of waiting.  Any worker. */
void journal_give_up(struct journal *j);

/*
 * Records below FLOOR are needed no more; whole segments below it are recycled.
 * The caller has made sure that a checkpoint of every group is durable.
 */
void journal_release(struct journal *j, lsn_t floor);

/* --- reading back: a lane ---------------------------------------------------- */

/*
 * The payload of the record at LSN, PAYLOAD_BYTES long, which must be what WANT
 * says in type, group, generation, term and index.  *BLOCK holds it and has one
 * reference.  -ERR_NOTFOUND: the segment has gone, or holds something else by
 * now.  Blocks.
 */
int journal_read(struct journal *j, lsn_t lsn, const struct journal_head *want,
    uint32_t payload_bytes, struct block **block, struct slice *payload);

/* --- numbers: any thread, a moment old ------------------------------------ */

struct journal_stats {
	uint64_t n_records, n_syncs, n_bytes;
	uint64_t used_bytes; /* in segments that hold needed records */
	uint64_t max_bytes;
	lsn_t durable;
	lsn_t oldest; /* where the replay would start */
	int error;    /* 0, or the -ERR_* it died of */
};

void journal_stats(const struct journal *j, struct journal_stats *out);
/* More than half of max_bytes is in use. */
int journal_is_crowded(const struct journal *j);

/* --- codec: shared with the fuzzer and the tools -------------------------- */

#define JOURNAL_RECORD_BYTES 88 /* header of a record */

/* Little endian, as said at the top of journal.c.  LEFT: records that follow in
 * the same batch. */
void journal_record_encode(uint8_t out[JOURNAL_RECORD_BYTES],
    const uint8_t cluster_id[16], const struct journal_head *head, lsn_t lsn,
    lsn_t durable, uint32_t payload_bytes, uint32_t payload_crc, uint32_t left);

struct journal_record {
	struct journal_head head;
	lsn_t lsn, durable;
	struct slice payload; /* borrowed from the input */
	size_t bytes;         /* header and payload, without padding */
	uint32_t left;        /* records that follow in its batch */
};

/*
 * The record at P, which claims to lie at LSN.  Returns 0; JOURNAL_E_NONE when
 * no intact record of this place and generation starts here; -ERR_FORMAT or
 * -ERR_IDENTITY when an intact one is not ours.  Reads at most N bytes.
 */
enum { JOURNAL_E_NONE = 1 };
int journal_record_decode(struct slice in, const uint8_t cluster_id[16],
    lsn_t lsn, struct journal_record *out);

#endif
