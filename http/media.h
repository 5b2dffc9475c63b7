/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* media - the Content-Type of a request (RFC 9110 section 8.3). */
#ifndef HTTP_MEDIA_H
#define HTTP_MEDIA_H

#include "http/http_impl.h"

/* Whether TYPE is WANT, in lower case, whatever its parameters are. */
int media_is(struct slice type, const char *want);
/* Whether TYPE can be a header and a JSON string again. */
int media_is_good(struct slice type);
/* While the check of the route runs: whether RQ's body is compressed or the
 * like, which nobody here undoes. */
int media_is_encoded(const struct request *rq);

#endif
