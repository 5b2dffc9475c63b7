/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * uri - request targets: path segments and query parameters, percent-decoded.
 *
 * Owns:    nothing; decoded bytes go to the caller's store, and the rest are
 *          slices of the target.
 * Shape:   RFC 3986 sections 2.1 and 3.  The path is split before it is
 *          decoded, so an escaped `/` is part of a name.  `+` is a plus
 *          everywhere.
 * Errors:  -ERR_INVAL: a bad escape.
 */
#ifndef HTTP_URI_H
#define HTTP_URI_H

#include <stdint.h>

#include "src/base/buf.h"

#define URI_SEGMENTS_MAX 8

struct uri {
	uint32_t n_segments;
	struct slice segments[URI_SEGMENTS_MAX]; /* decoded */
	int empty_segment;  /* `//`, or more segments than any route has: 404 */
	struct slice query; /* raw, behind the `?` */
	struct slice path;  /* raw */
};

/* TARGET begins with `/`.  STORE has room for its path. */
int uri_parse(struct uri *u, struct slice target, uint8_t *store);

/* Whether the path of TARGET begins with SEGMENT (visible ASCII), as uri_parse
 * would decode it. */
int uri_begins_with(struct slice target, const char *segment);

/* 0 when every escape of the raw QUERY is whole. */
int uri_query_check(struct slice query);

/*
 * The next parameter of the raw *QUERY, which moves on behind it.  *NAME and
 * *VALUE (empty without a `=`) are decoded into STORE, room for query->n.
 * Empty parameters (`&&`) are skipped.  Returns 1, 0 at the end, -ERR_INVAL.
 */
int uri_query_next(struct slice *query, uint8_t *store, struct slice *name,
    struct slice *value);

/* The first parameter NAME (visible ASCII), decoded into STORE (room for
 * query.n).  0, 1 when there is none, -ERR_INVAL for a bad escape anywhere in
 * the query. */
int uri_param(
    const struct uri *u, const char *name, uint8_t *store, struct slice *out);

/* S with everything escaped that is not unreserved (RFC 3986 section 2.3). */
void uri_escape(struct buf *b, struct slice s);

#endif
