/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* api_root - what all routes share that change a document of the root: users,
 * groups, grants, policies. */
#ifndef HTTP_API_ROOT_H
#define HTTP_API_ROOT_H

#include "http/fields.h"
#include "http/http_impl.h"

/* The body is a JSON object; 0: it is not, and that was answered. */
int api_object(struct request *rq);
/* The string NAME of the body; 0: there is none, or it is something else. */
int api_field(struct request *rq, const char *name, struct buf *out);
/* 400 `invalid-field`, with the value that NAME has. */
void api_bad_field(struct request *rq, const char *name);
/* The same, but the value is that of MEMBER. */
void api_bad_value(struct request *rq, const char *name, const char *member);

/* Asks for Q, whose MAKE is set; FN once it is in force or was refused. */
void request_ask_root(struct request *rq, enum root_which which,
    struct root_request *q, void (*fn)(struct msg *m));
/* R < 0 as the answer; WHAT: there is no room for more of it. */
void respond_root_error(struct request *rq, int r, const char *what);

/* The answers to a change: STATUS with `{"ok":true}`, and 204; both name the
 * members that do not have it yet. */
void respond_ok(struct request *rq, const struct root_request *q, int status,
    const char *extra);
void respond_done(struct request *rq, const struct root_request *q);
/* Those members, as one more field of an object. */
void add_pending(struct buf *b, const struct root_request *q);

void respond_json(struct request *rq, int status, const char *extra,
    struct buf *body); /* deinits it */

#endif
