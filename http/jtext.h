/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * jtext - the texts of JSON strings and numbers, by what they mean.
 *
 * The text of a string is what stands between its quotes.
 *
 * Shape:   of JSON that json_check took.  Other bytes mean something or other,
 *          and do no harm.
 * Thread:  any.
 */
#ifndef HTTP_JTEXT_H
#define HTTP_JTEXT_H

#include <stdint.h>

#include "src/base/buf.h"

/*
 * The next code point of *IN, a string that is not at its end; *IN moves on.
 * Two escaped surrogates that are a pair are one, a lone one is itself.
 */
uint32_t jtext_next(struct slice *in);
/* C as text of a string, at the end of B. */
void jtext_add(struct buf *b, uint32_t c);

int jtext_has_escape(struct slice s);
/* Whether two strings are the same one; their order is by code points. */
int jtext_equal(struct slice a, struct slice b);
int jtext_compare(struct slice a, struct slice b);

/* Whether two numbers have the same value, however many digits they have.  Of
 * exponents beyond 10^17 only the same text is taken for the same value. */
int jtext_number_equal(struct slice a, struct slice b);

#endif
