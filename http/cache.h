/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* cache - entity tags of events that do not change, and what caches are told of
 * them (http-api.md section 4.3). */
#ifndef HTTP_CACHE_H
#define HTTP_CACHE_H

#include "http/http_impl.h"

/* All of these are about an answer of RQ with the events LOW..HIGH; 0, 0: none.
 */

/* ETag, Cache-Control and Vary, as header lines. */
void cache_add_headers(
    const struct request *rq, struct buf *b, uint64_t low, uint64_t high);
/* Whether the client said that it has this answer: 304. */
int cache_has_it(const struct request *rq, uint64_t low, uint64_t high);

#endif
