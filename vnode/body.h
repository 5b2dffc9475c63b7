/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * body - the bytes of one log entry on their way: to the journal, to other
 * nodes, into the state machine.
 *
 * Owns:    what its iovec points to: a block, or (an entry proposed here) the
 *          requests of a proposal, which are answered when nobody reads them
 *          any more.
 * Shape:   the log of the group, the journal and frames that are being built
 *          hold one reference each.  Readers are those of them that look at
 *          the bytes from elsewhere or later: the journal and frames.
 * Thread:  the worker of the group; the journal's lane reads append and iov
 *          between journal_submit and its completion.
 */
#ifndef VNODE_BODY_H
#define VNODE_BODY_H

#include <stdint.h>

#include "src/base/buf.h"
#include "vnode/journal.h"

struct proposal; /* group_impl.h */

struct body {
	struct journal_append append;
	uint32_t refs, readers;
	uint32_t bytes, crc; /* of all the bytes; CRC32C */
	int n_iov;
	const struct iovec *iov;
	struct iovec whole;        /* IOV of one that is in a block */
	struct block *block;       /* or NULL */
	struct proposal *proposal; /* made here and not answered yet, or NULL */
	uint64_t seq; /* tell the core when it is durable; 0: no need */
};

/* Of bytes in BLOCK, which gets one more reference; CRC is of BYTES.  One
 * reference; NULL: no memory. */
struct body *body_new(struct block *block, struct slice bytes, uint32_t crc);
/* The same, and the CRC is computed here. */
struct body *body_whole(struct block *block, struct slice bytes);
/* Of a copy of BYTES. */
struct body *body_copy(struct slice bytes);

struct body *body_ref(struct body *b);
/* The last one frees it; its proposal must be answered.  Takes NULL and returns
 * NULL. */
struct body *body_unref(struct body *b);

/* All its bytes, when they lie in one place; else {NULL, 0}. */
struct slice body_slice(const struct body *b);

/* Moves the bytes to a block of its own; nobody reads it.  -ERR_NOMEM. */
int body_own(struct body *b);

#endif
