/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* base64 - RFC 4648 section 4, with padding; the caller's array has room. */
#ifndef HTTP_BASE64_H
#define HTTP_BASE64_H

#include "src/base/buf.h"

#define BASE64_BYTES(n) (((n) + 2) / 3 * 4)

/* S behind AT; returns where it ends. */
char *base64_put(char *at, struct slice s);

#endif
