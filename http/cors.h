/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * cors - what pages of other origins may do with the answers (http.cors.*).
 *
 * Shape:   the lines are made once, at the start.
 * Thread:  any, after cors_new.
 * Source:  Fetch standard, "CORS protocol".
 */
#ifndef HTTP_CORS_H
#define HTTP_CORS_H

#include <stdint.h>

#include "src/base/buf.h"

struct cors; /* opaque */
struct request;

/*
 * ORIGINS and HEADERS are comma lists; ORIGINS `*`: all.  -ERR_INVAL: one of
 * HEADERS cannot be the name of a header, or an origin has characters that
 * none has.
 */
int cors_new(struct cors **out, const char *origins, const char *headers,
    uint64_t max_age_s);
struct cors *cors_free(struct cors *c); /* takes NULL, returns NULL */

/* Whether a page of ORIGIN may; no: also when it is empty. */
int cors_allows(const struct cors *c, struct slice origin);
/* Origins are a list, not `*`. */
int cors_is_list(const struct cors *c);

/* 1: RQ asks what it may, and was answered: 200, whatever its path and whoever
 * asks. */
int cors_preflight(struct request *rq);
/* Adds the lines that each answer has. */
void cors_add(struct request *rq);

#endif
