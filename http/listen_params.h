/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * listen_params - what a listener asks for, as text (http-api.md section 6).
 *
 * Shape:   slices of what was parsed.
 * Errors:  0, or -ERR_INVAL.
 */
#ifndef HTTP_LISTEN_PARAMS_H
#define HTTP_LISTEN_PARAMS_H

#include <stdint.h>

#include "src/base/buf.h"

struct listen_wanted {
	struct slice bucket, stream; /* legal names */
	uint64_t next;               /* 0: from now on */
	int all;                     /* streams of the bucket */
};

/* `bucket:stream`, `bucket:stream:seqnum` (0 is 1) or `bucket:*`. */
int listen_take_wanted(struct slice value, struct listen_wanted *out);

/* The Last-Event-ID of one subscription: `incarnation-seqnum`, or a bare seqnum,
 * of incarnation 0. */
int listen_take_id(struct slice text, uint64_t *incarnation, uint64_t *seq);

#endif
