/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* key - Idempotency-Key of a write (http-api.md section 4.1): rq->put gets it,
 * hashed, and the vnode does the rest. */
#ifndef HTTP_KEY_H
#define HTTP_KEY_H

#include "http/http_impl.h"

/* While the check of the route runs: whether RQ has a key at all. */
int key_is_there(const struct request *rq);
/* It goes to rq->put; 0: it is none, RQ has been answered. */
int key_take(struct request *rq);
/* In the handler: what must be the same when RQ comes again. */
void key_take_body(struct request *rq);
/* Answers RQ, whose key was used for something else. */
void key_mismatch(struct request *rq);
/* The header line of an answer that was given before, or "". */
const char *key_replayed(const struct request *rq);

#endif
