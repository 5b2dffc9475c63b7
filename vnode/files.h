/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * files - open chunk files, at most so many, with what was learnt of each.
 *
 * Owns:    the read descriptors of chunk files.  An entry in use (pinned)
 *          stays; the others are closed oldest first when the bound is reached.
 * Bound:   files_max entries that nobody uses, plus those in use.
 * Thread:  any; one lock, never held during I/O.
 */
#ifndef VNODE_FILES_H
#define VNODE_FILES_H

#include <stdint.h>

#include "src/base/env.h"
#include "vnode/chunk.h"

struct files; /* opaque */

#define FILES_PATH_BYTES 192

/* One open chunk.  ROWS tells where to begin reading: ascending, row 0 is the
 * first event; copied under the lock by files_row. */
struct files_entry {
	struct disk_file *file;
	int checked; /* its header was read and is the right one */
};

struct files *files_new(const struct env_disk *disk, uint32_t files_max);
struct files *files_free(struct files *f); /* nothing is pinned; takes NULL */

/* Opens PATH for reading, or finds it open, and pins it. */
int files_get(struct files *f, const char *path, struct files_entry **out);
void files_put(struct files *f, struct files_entry *e);
/* PATH was renamed, removed or replaced: do not serve the old descriptor. */
void files_forget(struct files *f, const char *path);

/* The last row known with nth <= NTH; {0, 0} when none is known. */
struct chunk_row files_row(
    struct files *f, struct files_entry *e, uint32_t nth);
/* Remembers ROW, when it lies behind all known ones. */
void files_add_row(
    struct files *f, struct files_entry *e, struct chunk_row row);

/* Entries open now. */
uint32_t files_open(struct files *f);

#endif
