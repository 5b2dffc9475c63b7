/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* render - events as JSON, NDJSON, and as themselves. */
#ifndef HTTP_RENDER_H
#define HTTP_RENDER_H

#include "http/http_impl.h"

/*
 * The events of PAGE behind TO, as items of an array or as NDJSON; *N of them:
 * fewer than there are when a JSON answer has all it may have.  -ERR_NOMEM.
 */
int render_page(struct request *rq, struct out *to,
    const struct vnode_page *page, uint64_t *n);
/* Ends the array; one without items is empty. */
void render_array_end(struct out *to);
/* Answers a raw read from rq->read. */
void render_raw(struct request *rq);

#endif
