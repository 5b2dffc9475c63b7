/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * journal_impl - what the files of the journal share: journal.c (format,
 * codec), journal_write.c, journal_segment.c, journal_recover.c.
 */
#ifndef VNODE_JOURNAL_IMPL_H
#define VNODE_JOURNAL_IMPL_H

#include <stdatomic.h>

#include "vnode/journal.h"

#define JOURNAL_BLOCK 4096u /* a batch begins at a multiple of it */
#define JOURNAL_PATH  192

static inline uint64_t
journal_round(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

static inline uint32_t
lsn_generation(lsn_t lsn)
{
	return (uint32_t)(lsn >> 32);
}

static inline uint32_t
lsn_offset(lsn_t lsn)
{
	return (uint32_t)lsn;
}

static inline lsn_t
lsn_make(uint32_t generation, uint64_t offset)
{
	return (lsn_t)generation << 32 | (uint32_t)offset;
}

struct segment_header {
	uint32_t generation, previous;
	uint32_t oldest; /* generation that a replay began with then */
	uint64_t bytes;
	lsn_t previous_end; /* where the batches of PREVIOUS end */
};

void segment_header_encode(uint8_t out[JOURNAL_BLOCK],
    const uint8_t cluster_id[16], const struct segment_header *h);
/* 0, -ERR_CORRUPT, -ERR_FORMAT or -ERR_IDENTITY. */
int segment_header_decode(const uint8_t in[JOURNAL_BLOCK],
    const uint8_t cluster_id[16], struct segment_header *out);

void segment_path(
    const struct journal *j, uint32_t generation, char out[JOURNAL_PATH]);

/* A segment that holds records, oldest first. */
struct segment {
	uint32_t generation;
	lsn_t end; /* of its last batch; the current one: so far */
};

struct journal {
	struct journal_config config;
	char dir[JOURNAL_PATH / 2];
	const struct env *env;

	/* Submission: any worker pushes, LANE_JOURNAL takes all. */
	_Atomic(struct journal_append *) inbox; /* newest first */
	atomic_int scheduled;                   /* a lane job is queued */
	atomic_int stalled;                     /* records wait for a segment */
	atomic_int unsynced; /* with JOURNAL_SYNC_INTERVAL: some are */
	atomic_int no_room;  /* the disk has none for what waits */
	atomic_int given_up; /* what has no room comes back */
	struct env_job job;

	/* LANE_JOURNAL only. */
	struct journal_append *waiting, **last_waiting; /* oldest first */
	struct disk_file *file; /* of the current segment */
	uint32_t generation;    /* of the current segment; 0: none yet */
	uint64_t offset;        /* where the next batch begins */
	lsn_t previous_end;
	struct buf heads;
	struct iovec *iov;
	uint8_t *zeros, *header; /* a block each */
	struct journal_done *
	    *done; /* by worker: one ready for the next batch */
	struct journal_append **tails; /* by worker: last of its list */
	struct mono synced_at;
	lsn_t written;

	/* Under LOCK: the lane, LANE_FLUSH and journal_release. */
	atomic_flag lock;
	struct segment *segments;
	uint32_t n_segments;
	uint32_t prepared; /* generation whose file is ready; 0: none */
	int preparing;
	uint32_t n_free;      /* files that may be recycled: their names */
	uint32_t *free_files; /* oldest first */
	uint32_t next_generation;
	uint32_t oldest_named; /* by the newest durable header: `oldest` */
	/* Generations from LOST to before LOST_END have damage, and are needed:
	 * the next start shall find it, too.  0: none have. */
	uint32_t lost, lost_end;
	struct env_job prepare;

	atomic_ullong n_records, n_syncs, n_bytes, used, oldest;
	_Atomic lsn_t durable;
	atomic_int error;
};

void journal_lock(struct journal *j);
void journal_unlock(struct journal *j);

/* Makes the file of GENERATION ready: zeros, or the file of generation RECYCLE
 * (not 0) renamed. */
int segment_prepare(struct journal *j, uint32_t generation, uint32_t recycle);
/* Starts a background preparation of the next one when it is time to. */
void segment_prepare_ahead(struct journal *j);
/*
 * Makes the next generation current: 0, or 1 while it is being prepared, or an
 * error.
 */
int segment_advance(struct journal *j);
void segment_publish(struct journal *j);
/* A header that names OLDEST is durable. */
void segment_header_durable(struct journal *j, uint32_t oldest);

/* The lane job. */
void journal_run(struct env_job *job);
/* Queues the lane job unless it is. */
void journal_schedule(struct journal *j);

#endif
