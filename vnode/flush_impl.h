/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * flush_impl - a flush on its way: captured by flush_capture.c, carried out by
 * flush.c and flush_manifest.c.
 */
#ifndef VNODE_FLUSH_IMPL_H
#define VNODE_FLUSH_IMPL_H

#include "vnode/store_impl.h"

/* A stretch of a block that goes to a file. */
struct flush_part {
	struct block *block; /* one reference */
	uint32_t at, n;
};

/* What one chunk file gets.  Chunks of a stream stand together, in order. */
struct flush_chunk {
	struct stream *stream;
	struct vnode *vnode;
	struct chunk_info info;  /* as captured; sealed and chain: as done */
	struct hash128 previous; /* chain of the chunk before, if known */
	uint32_t offset;         /* where the parts begin */
	uint32_t first_part, n_parts;
	uint8_t create, cut, seal;
	uint8_t waits; /* if it is damaged: for its repair */
	uint8_t lost;  /* found damaged, so nothing more goes to it */
	uint8_t later; /* behind parts of a lost one: with the next flush */
};

/* What one manifest gets. */
struct flush_manifest {
	struct vnode *vnode;
	struct manifest_state state;
	struct buf rows;
	struct list dropped; /* dead streams that it has no more */
	uint32_t number, crc;
	uint64_t at; /* offset in the file */
	int snapshot;
	int r; /* what became of it */
};

struct flush {
	struct env_job job;
	struct msg msg;
	struct store *store;
	struct store_worker *worker;
	int checkpoint;
	int r;         /* of all of it */
	int chunks_r;  /* of writing chunks */
	int postponed; /* parts of lost chunks: they need another flush */
	struct flush_part *parts;
	struct flush_chunk *chunks;
	struct flush_manifest *manifests;
	uint32_t n_parts, cap_parts;
	uint32_t n_chunks, cap_chunks;
	uint32_t n_manifests;
};

/* 0, or -ERR_NOMEM and nothing has changed but lists of what is dirty. */
int flush_capture(struct store_worker *w, int checkpoint, struct flush **out);
void flush_abandon(struct flush *f);
/* M, of F, whose chunks are written.  LANE_FLUSH. */
int flush_write_manifest(struct flush *f, struct flush_manifest *m);
void flush_chunk_path(const struct flush_chunk *c, char out[FILES_PATH_BYTES]);

#endif
