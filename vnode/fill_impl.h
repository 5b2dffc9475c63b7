/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fill_impl - a fill that comes in: begun by fill_receive.c, fetched by
 * fill_chunks.c, adopted by fill_adopt.c.
 *
 *	MANIFEST -> OPENING -> CHUNKS -> SYNCING -> WAITING -> ADOPTING -> end
 *
 * OPENING: the directory is made.  WAITING: for records of the replica that are
 * in the journal, and a flush.
 */
#ifndef VNODE_FILL_IMPL_H
#define VNODE_FILL_IMPL_H

#include "vnode/fill.h"
#include "vnode/replica.h"
#include "vnode/store_open.h"

#define FILL_CHUNK_MAX   (24u << 20)
#define FILL_BATCH_BYTES (1u << 20)

enum fill_stage {
	FILL_STAGE_MANIFEST,
	FILL_STAGE_OPENING,
	FILL_STAGE_CHUNKS,
	FILL_STAGE_SYNCING,
	FILL_STAGE_WAITING,
	FILL_STAGE_ADOPTING,
};

/* A chunk that is to be fetched: of the shadow's streams and their chunks. */
struct fill_want {
	uint32_t stream, chunk;
	uint32_t have;  /* its first bytes that are here, perhaps */
	uint32_t again; /* they were not */
};

/* Whole chunks as they came: for each the bytes that follow, and those. */
struct fill_batch {
	struct fill_batch *next;
	struct buf bytes;
	struct fill_want *wants;
	uint32_t n, cap;
};

/* Want 0 .. n are a ring; those up to n_told were asked for in this round. */
struct fill_wants {
	struct fill_want at[FILL_WANTS_MAX];
	uint32_t first, n, n_told;
};

struct fill {
	struct env_job job;
	struct msg msg;
	struct store *store;
	uint16_t group;
	uint64_t generation; /* of the replica that is filled */
	uint64_t transfer, leader_term;
	raft_id leader;
	uint8_t node[16]; /* the leader's */
	enum fill_stage stage;
	int busy;     /* the job is on a lane */
	int canceled; /* freed when it comes back */
	int r;
	struct mono begun, synced, asked, heard;
	int way; /* what the net said when it was last asked for something */

	struct buf manifest; /* of the sender, as far as it came */
	uint64_t manifest_bytes;
	uint32_t sender_number;
	/* What it says: becomes the vnode's content.  Its directory is the new
	 * one; NULL until the manifest is whole. */
	struct vnode *shadow;

	/* Chunks from here on were not looked at yet: the worker's, or the
	 * lane's while it looks. */
	uint32_t at_stream, at_chunk;
	/* There are files of an earlier try: each chunk is looked for first.
	 * What is not here, whole, is found. */
	int resumes;
	struct buf found; /* struct fill_want */
	size_t found_at;
	uint64_t n_kept, kept_bytes;

	/* The stream of chunks: fill_chunks.c. */
	struct fill_wants wants; /* in the order in which they come */
	uint64_t round, round_at;
	uint64_t n_asked;  /* in this round */
	uint64_t position; /* of what came */
	uint64_t credit;   /* up to here it may come, as far as was told */
	uint64_t held;     /* bytes in batches: not written yet */
	uint64_t again_us; /* without a page, until a new round begins */
	struct mono moved; /* the last page came */
	int gap;           /* one came before another that was due */
	uint8_t head[4];   /* of the chunk that comes */
	uint32_t head_got;
	uint64_t got, all; /* bytes of it that came; 0 of 0: not known yet */
	struct fill_batch *coming, *writing; /* or NULL */
	struct fill_batch *ready, **last_ready;
	struct buf redo; /* struct fill_want: all of it is asked for */
	uint64_t bad_stream, bad_first; /* of a chunk that is not what it
					   should be; or 0 */
	struct buf scratch;             /* LANE_FLUSH: one chunk */

	struct buf rows; /* the new manifest */
	uint32_t crc, number;
};

static inline struct store_worker *
fill_worker(const struct fill *f)
{
	return store_worker_of(f->store, f->group);
}

static inline struct vnode *
fill_vnode(const struct fill *f)
{
	return &f->store->vnodes[f->group];
}

/* RUN on LANE_FLUSH, then BACK on the worker. */
void fill_job(struct fill *f, void (*run)(struct env_job *job),
    void (*back)(struct msg *m));
/* It ends without being adopted; its files stay for the next try. */
void fill_abort(struct fill *f, const char *why);
/* The same, and nobody will need its files. */
void fill_drop(struct fill *f, const char *why);
/* Nonzero: the leader has been silent for too long, F has ended. */
int fill_ends_silent(struct fill *f);
void fill_free(struct fill *f);
/* Of a job that has come back; NULL: nobody wants it any more. */
struct fill *fill_came_back(struct msg *m);
/* As fill_say, to the leader; F is alive. */
void fill_ask(struct fill *f, struct fill_message m);
struct mono fill_now(const struct fill *f);

/* --- fill_chunks.c -------------------------------------------------------- */

/* The directory is there. */
void fill_chunks_begin(struct fill *f);
void fill_chunks_take(struct fill *f, const struct fill_message *m);
/* What can be done now is: files are written, looked for, asked for. */
void fill_chunks_go_on(struct fill *f);
void fill_chunks_tick(struct fill *f);
/* All chunks are written. */
void fill_sync(struct fill *f);
/* The next chunk there is at f->at_stream, f->at_chunk; 0: none is left. */
int fill_next_chunk(const struct fill *f, uint32_t *stream, uint32_t *chunk);

/* --- fill_write.c --------------------------------------------------------- */

/* The batch for what comes; NULL: no memory. */
struct fill_batch *fill_batch_coming(struct fill *f);
/* WANT has come, whole. */
int fill_batch_add(struct fill_batch *b, const struct fill_want *want);
/* The batch that comes is written next, after those before it. */
void fill_batch_close(struct fill *f);
/* If there is one, and the lane is free. */
void fill_write_next(struct fill *f);
void fill_chunks_free(struct fill *f);
/* BYTES is chunk C of S, to the last bit: as chunk_verify.  LANE_FLUSH. */
int fill_verify(const struct fill *f, const struct stream *s,
    const struct chunk_info *c, struct slice bytes);

/* --- fill_resume.c -------------------------------------------------------- */

/* Looks for the next chunks, then fill_chunks_go_on. */
void fill_look(struct fill *f);
/* The file of an earlier try, behind what OUT has.  LANE_FLUSH. */
int fill_read_staged(struct fill *f, const struct stream *s,
    const struct chunk_info *c, struct buf *out);
/* LANE_FLUSH. */
int fill_remove_unwanted(struct fill *f);
/* f->shadow is made: whether there are files for it. */
void fill_staged_take(struct fill *f);
/* At each beat while WAITING. */
void fill_try_adopt(struct fill *f);
/* The manifest could not be written: the replica goes on as it was. */
void fill_not_adopted(struct fill *f);

#endif
