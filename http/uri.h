/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * uri - request targets: path segments and query parameters, percent-decoded.
 *
 * RFC 3986 sections 2.1 and 3.  `+` is a plus everywhere.
 */
#ifndef HTTP_URI_H
#define HTTP_URI_H

#include <stdint.h>

#include "src/base/buf.h"

#define URI_SEGMENTS_MAX 8
#define URI_PARAMS_MAX   1100

struct uri {
	uint32_t n_segments;
	struct slice segments[URI_SEGMENTS_MAX]; /* decoded */
	int empty_segment;  /* `//`, or more segments than any route has: 404 */
	struct slice query; /* raw, behind the `?` */
	struct slice path;  /* raw */
};

/* Decoded bytes go to STORE, which has room for target.n.  -ERR_INVAL: bad
 * escape. */
int uri_parse(struct uri *u, struct slice target, uint8_t *store);

/* The first parameter NAME, decoded into STORE (room for query.n).  0, 1 when
 * there is none, -ERR_INVAL for a bad escape anywhere in the query. */
int uri_param(
    const struct uri *u, const char *name, uint8_t *store, struct slice *out);

/* S with everything escaped that is not unreserved (RFC 3986 section 2.3). */
void uri_escape(struct buf *b, struct slice s);

#endif
