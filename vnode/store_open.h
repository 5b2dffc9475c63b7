/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * store_open - what the files of recovery share: store_open.c, store_load.c,
 * store_replay.c.
 */
#ifndef VNODE_STORE_OPEN_H
#define VNODE_STORE_OPEN_H

#include "vnode/entry.h"
#include "vnode/store_impl.h"

/* What recovery knows of a replica's log, until its core exists. */
struct recovered {
	uint64_t term, vote;
	int damaged; /* was, when it was last saved */
	int lost;    /* something is, now */
	/* What is wrong with its log, unless it turns out that it was dropped;
	 * empty: nothing. */
	char broken[160];
	struct entry_members members; /* as of the manifest */
	/* Entries as found, those that are applied without a body. */
	uint64_t first; /* index of entries[0] */
	uint32_t n, cap;
	struct raft_entry *entries;
};

/* A replica of GROUP with nothing in it; its place is free. */
int store_add_vnode(
    struct store *s, uint32_t group, uint64_t generation, uint32_t life);
void store_drop_vnode(struct store *s, uint32_t group);
void recovered_free(struct vnode *v);

/* store_load.c */
int store_load(struct store *s, char *why, size_t why_bytes);
/* What is there does not count: it goes. */
int store_load_nothing(struct store *s);
/* The content FILE of manifest NUMBER, written by replica GENERATION, becomes
 * V's, which is empty. */
int store_load_manifest(struct store *s, struct vnode *v, uint32_t number,
    uint64_t generation, struct slice file);
/* The files in DIR, for good; the empty directory stays, and its name is used
 * again. */
int store_remove_files(struct store *s, const char *dir);
/* Of a replica that has retired: it cannot be made again.  Blocks. */
int store_remove_replica(struct store *s, const char *dir);

/* store_replay.c: the journal over it, then the cores. */
int store_replay(struct store *s, char *why, size_t why_bytes);

#endif
