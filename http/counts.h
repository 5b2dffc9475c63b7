/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * counts - what a worker's edge has answered, by route, method and status.
 *
 * Owns:    one number for each of them: routes come from the table of routes,
 *          never from a request, so nobody can make it grow.
 * Thread:  counts_add: the worker's; counts_expose: any.
 */
#ifndef HTTP_COUNTS_H
#define HTTP_COUNTS_H

#include "src/base/expose.h"

struct counts; /* opaque */

/* PATTERN(i) names route I, for good; NULL: there are no more.  NULL: no memory.
 */
struct counts *counts_new(const char *(*pattern)(uint32_t i));
struct counts *counts_free(struct counts *c); /* takes NULL, returns NULL */
/* ROUTE: the number of routes when there was none yet. */
void counts_add(
    struct counts *c, uint32_t route, struct slice method, int status);
/* The family iorio_http_requests_total: the N of all workers summed. */
void counts_expose(struct counts *const *all, uint32_t n, struct expose *e);

#endif
