/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* condition - If-Match and If-None-Match of an append (http-api.md section
 * 4.1). */
#ifndef HTTP_CONDITION_H
#define HTTP_CONDITION_H

#include "http/http_impl.h"

/* While the check of the route runs: whether RQ has a condition at all. */
int condition_is_there(const struct request *rq);
/* It goes to rq->put; 0: it is none, RQ has been answered. */
int condition_take(struct request *rq);
/* Answers RQ, whose condition did not hold. */
void condition_failed(struct request *rq);

#endif
