/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * cursor - where a listener stands, as a text that it can come back with.
 *
 * Owns:    a decoded cursor owns its entries.
 * Shape:   printable, opaque to clients; of one cluster.
 * Errors:  0; -ERR_INVAL: not a cursor of this cluster; -ERR_NOMEM.
 * Format:  top of cursor.c.  Golden text: tests/http/test_cursor.c.
 */
#ifndef HTTP_CURSOR_H
#define HTTP_CURSOR_H

#include <stdint.h>

#include "src/base/buf.h"

/* A subscription to one stream. */
struct cursor_stream {
	uint64_t names; /* cursor_names */
	uint64_t incarnation, next;
};

/* Subscriptions to buckets, in one group: what comes after this event. */
struct cursor_group {
	uint64_t names; /* of the bucket, and no stream */
	uint32_t group, ordinal;
	uint64_t index, t_ms;
};

struct cursor {
	uint32_t n_streams, n_groups;
	struct cursor_stream *streams; /* mem_alloc'd */
	struct cursor_group *groups;   /* together for each bucket, ascending */
};

#define CURSOR_BYTES_MAX   (40u << 10) /* before they become a text */
#define CURSOR_TEXT_MAX    (56u << 10) /* fits into a head, with other headers */
#define CURSOR_ENTRIES_MAX 65536

uint64_t cursor_names(struct slice bucket, struct slice stream);

/* Whether cursors of so many streams, and of buckets in so many groups each, stay
 * within CURSOR_BYTES_MAX: as long as log indices, seqnums and times are below
 * 2^42, and ordinals below 2^14. */
int cursor_fits(uint32_t n_streams, uint32_t n_buckets, uint32_t n_groups);

/* C behind TEXT. */
void cursor_encode(
    struct buf *text, const uint8_t cluster_id[16], const struct cursor *c);
int cursor_decode(
    struct cursor *out, const uint8_t cluster_id[16], struct slice text);
void cursor_deinit(struct cursor *c);

/* The entry of a stream, or NULL. */
const struct cursor_stream *cursor_find(
    const struct cursor *c, struct slice bucket, struct slice stream);

/* Where a bucket stands in GROUP, or NULL. */
const struct cursor_group *cursor_find_group(
    const struct cursor *c, struct slice bucket, uint32_t group);

#endif
