/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * memdisk - the disk of env.h in memory, with a power switch.
 *
 * Owns:    files, directories, and the handles that were never closed.
 * Thread:  one, on purpose: what a seed did once it does again.
 * Errors:  those of env.h.  A test that runs out of memory aborts, and the hook
 *          of mem.h is not asked: made-up shortage hits the code under test.
 *
 * What the machine has been told (live) and what would be there after a power
 * cut (durable) are kept apart, with the list of changes between them:
 *
 * sync(file)   the file's changes and its size become durable, its name not.
 * sync_dir     makes, renames and removals of names in that directory become
 *              durable, with those elsewhere that happened before them in a
 *              directory that a rename connects to it.  What a name stands for
 *              is another matter: an unsynced file comes back empty or torn.
 * sync_all     everything becomes durable.
 *
 * A power cut picks, for each file, a size between the durable and the last
 * one, and for each sector one of the contents it had since the last sync; a
 * sector that was written since then may also be torn: half one content and
 * half another, or noise.  A sector that was not written since keeps what it
 * has.  Of each directory's operations a prefix survives, a rename whole or not
 * at all, also between two directories.
 *
 * A failed sync is not made up for by a later one (the kernel has marked the
 * pages clean): some of what was to be synced is durable, the rest never gets
 * there, though reading still shows it until the power is cut or the file is
 * opened with DISK_FRESH.
 */
#ifndef TESTS_LIB_MEMDISK_H
#define TESTS_LIB_MEMDISK_H

#include <stddef.h>
#include <stdint.h>

#include "src/base/buf.h"
#include "src/base/env.h"

struct memdisk; /* opaque */

struct memdisk_config {
	uint64_t capacity_bytes; /* 0: no limit; counted in pages of 4096 */
	uint32_t sector_bytes;   /* 512 or 4096; 0: 512 */
};

/* CONFIG may be NULL. */
struct memdisk *memdisk_new(const struct memdisk_config *config);
/* Takes NULL, returns NULL. */
struct memdisk *memdisk_free(struct memdisk *md);
/* Valid until memdisk_free. */
const struct env_disk *memdisk_disk(struct memdisk *md);

/*
 * A second disk in the same state, durable and not, without open handles,
 * faults and hook.  Pages are shared until one side writes them, so this costs
 * a pointer per page.
 */
struct memdisk *memdisk_clone(struct memdisk *md);

/* --- the power switch ----------------------------------------------------- */

enum memdisk_outcome {
	MEMDISK_RANDOM, /* the rules above; for each file and directory anew */
	MEMDISK_LOSE_ALL, /* nothing unsynced is there */
	MEMDISK_KEEP_ALL, /* all of it is: the process died, not the machine */
};

/*
 * Cuts the power: the disk is down, every handle opened so far fails for ever
 * with -ERR_IO, and what survived is decided, the same for the same SEED.  A
 * disk on which a fault has cut the power already is decided by this call too,
 * so one clone after the other can be given another SEED.
 */
void memdisk_crash(
    struct memdisk *md, enum memdisk_outcome outcome, uint64_t seed);
/* Up again; nothing else changes. */
void memdisk_restart(struct memdisk *md);
/* The process died and the machine did not: every handle is closed, and what is
 * written but not synced is still only written. */
void memdisk_close_all(struct memdisk *md);
/* Non-zero between a power cut and memdisk_restart: all calls are -ERR_IO. */
int memdisk_is_down(const struct memdisk *md);

/* --- faults --------------------------------------------------------------- */

/* The calls that are counted; reading is not. */
enum memdisk_op {
	MEMDISK_OPEN, /* with DISK_CREATE or DISK_TRUNC */
	MEMDISK_PWRITEV,
	MEMDISK_TRUNCATE,
	MEMDISK_SYNC,
	MEMDISK_SYNC_ALL,
	MEMDISK_SYNC_DIR,
	MEMDISK_RENAME,
	MEMDISK_UNLINK,
	MEMDISK_MKDIR,
};

enum memdisk_fault {
	MEMDISK_OK,
	MEMDISK_CRASH_BEFORE, /* the power is cut, the call did nothing */
	MEMDISK_CRASH_MIDDLE, /* it was issued: any part of it may survive */
	MEMDISK_CRASH_SHORT,  /* pwritev: issued up to some byte; else MIDDLE */
	MEMDISK_EIO,          /* -ERR_IO; pwritev has written some bytes */
	MEMDISK_ENOSPC,       /* -ERR_NOSPC, of a sync -ERR_IO; pwritev has
				 written some bytes */
};

/* Counted calls so far; calls on a disk that is down are not. */
uint64_t memdisk_ops(const struct memdisk *md);
/*
 * The call that makes memdisk_ops() OP, so the first is 1, meets FAULT.  At
 * most 16 at a time; one that is in the past never fires.
 */
void memdisk_fail_at(struct memdisk *md, uint64_t op, enum memdisk_fault fault);
/* Forgets them, those of the past too. */
void memdisk_fail_clear(struct memdisk *md);

/* Asked before each counted call that memdisk_fail_at leaves alone.  PATH is
 * that of the handle or the first one of the call. */
typedef enum memdisk_fault (*memdisk_hook_fn)(
    void *arg, enum memdisk_op op, const char *path);
void memdisk_set_hook(struct memdisk *md, memdisk_hook_fn fn, void *arg);

void memdisk_set_capacity(struct memdisk *md, uint64_t bytes);

/* --- for tests: not counted, no faults, also while the disk is down ------- */

/* Turns BIT (0-7) of the byte at OFFSET, live and durable. -ERR_NOTFOUND;
 * -ERR_EOF when the file is shorter. */
int memdisk_flip(
    struct memdisk *md, const char *path, uint64_t offset, unsigned bit);
/* Makes or replaces the file, durable with its name; its directory is there. */
int memdisk_put(struct memdisk *md, const char *path, struct slice content);
/* Adds the live content to OUT. */
int memdisk_read_all(struct memdisk *md, const char *path, struct buf *out);
/* Changes to files and names that no sync has covered. */
size_t memdisk_unsynced(const struct memdisk *md);
/* A hash of all live names and contents. */
uint64_t memdisk_hash(struct memdisk *md);

#endif
