/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* render - events as JSON, NDJSON, and as themselves. */
#ifndef HTTP_RENDER_H
#define HTTP_RENDER_H

#include "http/http_impl.h"

/* PAGE to rq->items (JSON) or to the connection (NDJSON).  -ERR_NOMEM. */
int render_page(struct request *rq, const struct vnode_page *page);
/* Answers a raw read from rq->read. */
void render_raw(struct request *rq);

#endif
