/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * patch - a document and a patch become the next document.
 *
 * Numbers are texts: what a patch does not touch keeps its digits.
 *
 * Shape:   the document and the result are JSON with at most JSON_MAX_DEPTH
 *          arrays and objects inside each other.
 * Bound:   struct patch_limits; memory is given back before it returns.
 * Thread:  any; a checker is used by one thread at a time.
 */
#ifndef HTTP_PATCH_H
#define HTTP_PATCH_H

#include <stdint.h>

#include "src/base/buf.h"
#include "src/base/json.h"

enum patch_kind {
	PATCH_JSON,  /* RFC 6902 */
	PATCH_MERGE, /* RFC 7396 */
};

/* Positive. */
enum patch_cond {
	PATCH_E_INVALID = 1, /* it is no patch, or does not apply */
	PATCH_E_LIMIT,       /* too many values, too much work or text */
};

struct patch_limits {
	uint64_t values; /* ever made; 32 bytes each */
	uint64_t work;   /* steps of a few nanoseconds: jvalue.h */
	size_t bytes;    /* of the result */
};

/* As much as a loop thread does between two turns: some milliseconds. */
#define PATCH_SMALL_BYTES  (16u << 10) /* of document and patch */
#define PATCH_SMALL_VALUES 16384
#define PATCH_SMALL_WORK   262144
/* As much as is done at all: 64 MiB, some tenths of a second. */
#define PATCH_VALUES_MAX (2u << 20)
#define PATCH_WORK_MAX   (64u << 20)

struct patch_error {
	int has_op;
	uint32_t op;   /* index of the operation that failed */
	char text[96]; /* for a person, without a final full stop */
};

/*
 * The result at the end of OUT, which is to be empty.  0; PATCH_E_* with *ERR
 * filled in; -ERR_NOMEM.
 */
int patch_apply(struct json_checker *c, enum patch_kind kind,
    struct slice document, struct slice patch,
    const struct patch_limits *limits, struct buf *out,
    struct patch_error *err);

#endif
