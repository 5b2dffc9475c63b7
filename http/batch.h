/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* batch - an NDJSON body as the events of one append (http-api.md section
 * 4.1). */
#ifndef HTTP_BATCH_H
#define HTTP_BATCH_H

#include "http/http_impl.h"

/*
 * The lines of RQ's body as rq->events, which borrow from it: all of them are
 * JSON, and there is one at least.  0: it is no batch, RQ has been answered.
 */
int batch_take(struct request *rq);

#endif
