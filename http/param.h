/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* param - values of query parameters: integers and moments. */
#ifndef HTTP_PARAM_H
#define HTTP_PARAM_H

#include <stdint.h>

#include "src/base/buf.h"

/*
 * Decimal digits, maybe behind a minus.  One that is too large counts as the
 * nearest within -INT64_MAX..INT64_MAX.  -ERR_INVAL: not an integer.
 */
int param_int(struct slice s, int64_t *out);

/*
 * Milliseconds since 1970 as an integer, or RFC 3339 section 5.6; a blank may
 * stand for its `T`.  What lies before 1970 counts as 0, a fraction is rounded
 * up: no event that is older than the moment has a t that is not less than
 * *OUT.  -ERR_INVAL: neither of the two.
 */
int param_time(struct slice s, uint64_t *out);

#endif
