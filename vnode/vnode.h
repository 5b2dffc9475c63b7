/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * vnode - one replica of a group: its streams by name and by id.
 *
 * Owns:    streams and buckets of the group, and what is known of its manifest.
 * Thread:  the worker that has the vnode; before it starts, recovery.
 */
#ifndef VNODE_VNODE_H
#define VNODE_VNODE_H

#include <stdint.h>

#include "src/base/list.h"
#include "src/base/table.h"
#include "vnode/dedup.h"
#include "vnode/ended.h"
#include "vnode/group.h"
#include "vnode/manifest.h"
#include "vnode/retain.h"
#include "vnode/stream.h"
#include "vnode/vnode_msg.h"
#include "vnode/watch.h"

#define VNODE_DIR_BYTES 112

struct bucket {
	struct stream **streams; /* those with events; sorted when SORTED */
	uint32_t n_streams, cap_streams;
	uint32_t refs; /* streams that name it, dead ones too; 0: it goes */
	struct policy policy; /* what counts for its streams, but those with
				 one of their own */
	uint8_t has_own;      /* there are policies of its streams */
	uint16_t group;
	uint8_t sorted;
	uint8_t name_n;
	char name[];
};

/* The manifest file as far as it is durable. */
struct vnode_manifest {
	uint32_t number; /* 0: there is none yet */
	uint32_t crc;
	uint64_t bytes;
	uint64_t snapshot_bytes;
	uint64_t checkpoint; /* number of the last one */
	uint64_t saved_index, saved_term, saved_vote; /* what it said */
	uint64_t previous_index; /* ... at the checkpoint before the last */
	int fresh;               /* the next checkpoint must write a snapshot */
};

struct recovered;

struct vnode {
	struct group group;
	char dir[VNODE_DIR_BYTES]; /* <group>-<generation>.<life> */
	uint32_t life;             /* counts the fills of this replica */
	struct table streams;      /* by hash of both names */
	struct table buckets;      /* by hash of the name */
	struct stream **by_id;     /* ascending ids; no holes */
	uint32_t n_by_id, cap_by_id;
	struct list unsaved; /* streams that the manifest is behind on */
	struct watches watches;
	struct dedup dedup;
	struct ended ended;
	struct retain retain;
	/* Deleted ones, and chunks that were cut off (stream_cut), that no
	 * checkpoint has dropped; and those whose files are left: dropped.c. */
	struct list dead, gone;
	struct vnode_manifest manifest;
	struct recovered *recovered; /* while the store opens */
	uint64_t seed;
	uint64_t n_events, bytes; /* visible ones, as far as is known */
};

/* STORE_DIR is that of the cluster. */
void vnode_dir_name(char out[VNODE_DIR_BYTES], const char *store_dir,
    uint16_t group, uint64_t generation, uint32_t life);
void vnode_init(struct vnode *v, uint16_t group, uint64_t generation,
    uint32_t life, const char *store_dir, uint64_t seed,
    const struct dedup_limits *limits);
/* Forgets all streams; they may not be in any list of dirty ones. */
void vnode_clear(struct vnode *v, struct tail_cache *cache);
void vnode_deinit(struct vnode *v, struct tail_cache *cache);

/* The stream that has events and was not deleted, as far as is applied; NULL:
 * there is none. */
struct stream *vnode_find(
    const struct vnode *v, struct slice bucket, struct slice stream);
/* NULL: no stream is in it. */
struct bucket *vnode_bucket(const struct vnode *v, struct slice name);
/* The newest of this name, which may be only proposed (last == 0), or about to be
 * deleted (dropping). */
struct stream *vnode_newest(
    const struct vnode *v, struct slice bucket, struct slice stream);
struct stream *vnode_by_id(const struct vnode *v, uint64_t id);
/* A new stream; ID is greater than all before, and one of the same name is
 * dropping.  NULL: no memory. */
struct stream *vnode_create(
    struct vnode *v, uint64_t id, struct slice bucket, struct slice stream);

/* Forgets the streams that were only proposed, from id FROM on. */
void vnode_forget_proposed(struct vnode *v, uint64_t from);

/* S is no more, as far as names, ids, lists and counts go: the caller's. */
void vnode_unlink(struct vnode *v, struct stream *s);
/* S, which is unlinked, ends. */
void vnode_free_stream(
    struct vnode *v, struct stream *s, struct tail_cache *cache);
/* No flush looks at S, which is dead, any more: its bucket may go. */
void vnode_leave_bucket(struct vnode *v, struct stream *s);

/* S has its first event: it is listed from now on.  0 or -ERR_NOMEM. */
int vnode_made_visible(struct vnode *v, struct stream *s);

/* Streams of BUCKET that have events. */
uint32_t vnode_count_streams(const struct vnode *v, struct slice bucket);

#endif
