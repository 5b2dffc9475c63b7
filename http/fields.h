/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fields - what a small JSON object in a body says.
 *
 * Pure; walks over the text each time, and goes by the last of repeated names.
 *
 * Shape:   TEXT is valid JSON (json_check), but for fields_is_object.
 * Bound:   no recursion.
 */
#ifndef HTTP_FIELDS_H
#define HTTP_FIELDS_H

#include "src/base/buf.h"

/* TEXT is one object, as far as its brackets and strings show; for texts of our
 * own, and after json_check. */
int fields_is_object(struct slice text);

/* *RAW is the text of the value of NAME in the object TEXT; 0: there is none. */
int fields_find(struct slice text, const char *name, struct slice *raw);

/* The first member of the object TEXT whose name is none of the N of KNOWN: its
 * text, and that of its value; 0: there is none. */
int fields_unknown(struct slice text, const char *const *known, int n,
    struct slice *name, struct slice *raw);

/* RAW is a string, and OUT gets what it says, in UTF-8; 0: it is none, or cannot
 * be said so (a lone surrogate), or OUT has no room. */
int fields_string(struct slice raw, struct buf *out);
/* RAW is a number without sign, fraction and exponent, below 2^64. */
int fields_uint(struct slice raw, uint64_t *out);

/* The values of an array, one after the other: *REST is its text, and what is
 * left of it afterwards.  0: no more.  -1: it is no array. */
int fields_next(struct slice *rest, struct slice *raw);

#endif
