/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fill_impl - a fill that comes in: fetched by fill_receive.c, adopted by
 * fill_adopt.c.
 *
 *	MANIFEST -> CHUNKS <-> WRITING -> SYNCING -> WAITING -> ADOPTING -> end
 *
 * WAITING: for records of the replica that are in the journal, and a flush.
 */
#ifndef VNODE_FILL_IMPL_H
#define VNODE_FILL_IMPL_H

#include "vnode/fill.h"
#include "vnode/replica.h"
#include "vnode/store_open.h"

#define FILL_CHUNK_MAX (24u << 20)

enum fill_stage {
	FILL_STAGE_MANIFEST,
	FILL_STAGE_CHUNKS,
	FILL_STAGE_WRITING,
	FILL_STAGE_SYNCING,
	FILL_STAGE_WAITING,
	FILL_STAGE_ADOPTING,
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
	struct mono asked, heard;

	struct buf manifest; /* of the sender, as far as it came */
	uint64_t manifest_bytes;
	uint32_t sender_number;
	/* What it says: becomes the vnode's content.  Its directory is the new
	 * one; NULL until the manifest is whole. */
	struct vnode *shadow;

	/* There are files of an earlier try: each chunk is looked for first. */
	int resumes;
	int looks_on; /* there may be more of them */
	int prefixed; /* CHUNK begins with what was found */
	int again;    /* that was no beginning of it */
	uint64_t n_kept, kept_bytes;

	uint32_t at_stream, at_chunk; /* the chunk that comes now */
	struct buf chunk;
	uint64_t chunk_bytes;

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
void fill_free(struct fill *f);
/* Of a job that has come back; NULL: nobody wants it any more. */
struct fill *fill_came_back(struct msg *m);
/* All chunks are written. */
void fill_sync(struct fill *f);
/* The stream of the chunk that comes now, or NULL: all are here. */
struct stream *fill_stream_now(struct fill *f);
/* f->chunk is C, to the last bit: as chunk_verify.  LANE_FLUSH. */
int fill_verify(
    struct fill *f, const struct stream *s, const struct chunk_info *c);
/* Looks for the chunks that are wanted from now on, then fill_fetch. */
void fill_look(struct fill *f);
/* Asks for what is missing of the chunk that is wanted now. */
void fill_fetch(struct fill *f);
/* LANE_FLUSH. */
int fill_remove_unwanted(struct fill *f);
/* f->shadow is made: whether there are files for it. */
void fill_staged_take(struct fill *f);
/* At each beat while WAITING. */
void fill_try_adopt(struct fill *f);
/* The manifest could not be written: the replica goes on as it was. */
void fill_not_adopted(struct fill *f);

#endif
