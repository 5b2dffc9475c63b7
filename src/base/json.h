/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * json - is it JSON?  The only module that knows yajl.
 *
 * Strict RFC 8259: exactly one value, UTF-8 without a byte order mark, no
 * comments.  Names may repeat in an object, numbers may have any size and \u
 * escapes need not pair up: what is stored is the text, never its meaning.
 *
 * Owns:    a checker owns the memory that yajl works in, a few KiB.
 * Thread:  a checker is used by one thread at a time; one per worker.
 * Bound:   no recursion; a text costs less than three times its length beside
 *          the checker, given back before json_check returns.
 */
#ifndef SRC_BASE_JSON_H
#define SRC_BASE_JSON_H

#include "src/base/buf.h"

#define JSON_MAX_DEPTH 128 /* inclusive; of what clients send */

/* Positive: what is wrong with the text. */
enum json_cond {
	JSON_E_INVALID = 1, /* not JSON */
	JSON_E_DEPTH,       /* arrays and objects nested too deeply */
};

struct json_error {
	size_t offset; /* bytes before what is wrong, or near it */
	char text[96]; /* for a person, without a final full stop */
};

struct json_checker; /* opaque */

/* NULL: no memory. */
struct json_checker *json_checker_new(void);
/* Takes NULL and returns NULL. */
struct json_checker *json_checker_free(struct json_checker *c);

/*
 * Whether TEXT is one JSON value with at most MAX_DEPTH arrays and objects
 * inside each other.  Returns 0; JSON_E_* with *ERR filled in, if ERR is not
 * NULL; or -ERR_NOMEM.
 */
int json_check(struct json_checker *c, struct slice text, unsigned max_depth,
    struct json_error *err);

/*
 * Whether TEXT holds CR or LF.  In valid JSON they stand between tokens only,
 * so that blanks may take their place.
 */
int json_has_newline(struct slice text);

#endif
