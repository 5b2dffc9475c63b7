/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * doc - a document that all members of a cluster have: keys and values, changed
 * by the events of one stream of the root group.
 *
 * Shape:   each event is one change, or the whole document; the event after the
 *          one that a document was made of makes the next.  A reader begins at
 *          the newest whole one.
 * Thread:  one at a time; a document that nobody changes, any.
 * Bound:   DOC_BYTES_MAX in all.
 * Errors:  -ERR_NOMEM; -ERR_LIMIT: too large; -ERR_FORMAT, -ERR_CORRUPT.
 * Format:  top of doc.c.  Golden bytes: tests/golden/ring/doc-*.bin.
 */
#ifndef RING_DOC_H
#define RING_DOC_H

#include "src/base/buf.h"

#define DOC_KEY_MAX   600  /* inclusive */
#define DOC_VALUE_MAX 8192 /* inclusive */
#define DOC_BYTES_MAX (4u << 20)
#define DOC_EVENT_MAX (DOC_BYTES_MAX + 64)

struct doc; /* opaque */

struct doc_item {
	struct slice key, value;
	int removed; /* in a change: the key goes */
};

struct doc *doc_new(void);                  /* empty, of no event yet */
struct doc *doc_free(struct doc *d);        /* takes NULL, returns NULL */
struct doc *doc_clone(const struct doc *d); /* or NULL */

/* The event that it is after; 0: none. */
uint64_t doc_seq(const struct doc *d);
uint32_t doc_n(const struct doc *d);
/* Items are in ascending order of their keys; borrowed until D changes. */
struct doc_item doc_at(const struct doc *d, uint32_t i);
/* The place of the first item whose key is KEY or greater. */
uint32_t doc_find(const struct doc *d, struct slice key);
/* The value of KEY; p is NULL when there is none. */
struct slice doc_get(const struct doc *d, struct slice key);

/* A change is made in a document of its own. */
int doc_put(struct doc *change, struct slice key, struct slice value);
int doc_remove(struct doc *change, struct slice key);
/* What D will be, at the event after; a document of the caller's. */
int doc_changed(
    const struct doc *d, const struct doc *change, struct doc **out);

/* The event after D's that makes CHANGE of it. */
int doc_encode(const struct doc *d, const struct doc *change, struct buf *out);
/* Where a reader begins who has nothing: EVENT is number SEQ of the stream. */
int doc_base(struct slice event, uint64_t seq, uint64_t *base);
/* D becomes what EVENT, number SEQ, makes of it.  On failure it is as it was, but
 * after -ERR_NOMEM, when only doc_free is left. */
int doc_apply(struct doc *d, uint64_t seq, struct slice event);

#endif
