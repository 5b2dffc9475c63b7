/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* read - what the files of a read share: api_read.c, read_params.c,
 * read_head.c. */
#ifndef HTTP_READ_H
#define HTTP_READ_H

#include "http/http_impl.h"

#define READ_EVENTS_MAX 10000      /* in one JSON answer */
#define READ_BYTES_MAX  (8u << 20) /* but at least one event */

/* What a read of many events and of one have in common. */
void read_shared_params(struct request *rq);
/* The query parameters of RQ; -ERR_INVAL: it has been answered. */
int read_params(struct request *rq);

/* Whether the events asked for stay the same, but for what is deleted. */
int read_is_closed(const struct request *rq);
/*
 * The header lines of the answer, with a NUL behind them, into B, which the
 * caller deinits.  The events LOW..HIGH are in it; 0, 0: none.
 */
void read_headers(
    struct request *rq, struct buf *b, uint64_t low, uint64_t high);

#endif
