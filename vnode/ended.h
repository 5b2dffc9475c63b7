/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * ended - which streams of a group were deleted lately, and where in its log, so
 * that who listens to a bucket hears of it, now or when it comes back.
 *
 * Owns:    names.
 * Shape:   in the order of the log; part of the replicated state: it follows from
 *          the log alone, so all replicas remember the same.
 * Bound:   ENDED_BYTES_MAX; the oldest is forgotten first, and from where on all
 *          are known is remembered.
 * Thread:  the worker of the vnode.
 */
#ifndef VNODE_ENDED_H
#define VNODE_ENDED_H

#include "src/base/list.h"
#include "vnode/manifest.h"

#define ENDED_BYTES_MAX   (64u << 10)
#define ENDED_FIXED_BYTES 64 /* that one counts, beside its names */

struct ended {
	struct list all; /* struct ended_stream */
	uint32_t bytes, n;
	uint32_t n_unsaved; /* more than N: some were forgotten at once */
	/* The newest that was forgotten, or zeros. */
	uint64_t forgot_index;
	uint32_t forgot_ordinal;
};

struct ended_stream {
	struct list link;
	struct manifest_ended row; /* its names are here */
};

void ended_init(struct ended *e);
void ended_clear(struct ended *e);
/* TO, which is empty, gets all of FROM, which is empty then. */
void ended_move(struct ended *to, struct ended *from);

/* The next in the log; SAVED: a manifest has it.  -ERR_NOMEM; -ERR_CORRUPT: it
 * is not the next. */
int ended_add(struct ended *e, const struct manifest_ended *row, int saved);

/* Whether something that came after this was forgotten. */
int ended_forgot_after(const struct ended *e, uint64_t index, uint32_t ordinal);
/* The first that comes after; NULL: none does. */
struct ended_stream *ended_after(
    const struct ended *e, uint64_t index, uint32_t ordinal);
/* The one that comes behind S. */
struct ended_stream *ended_next(
    const struct ended *e, const struct ended_stream *s);

/* Those that the manifest has not, or ALL. */
void ended_add_rows(struct ended *e, struct manifest_writer *mw, int all);

#endif
