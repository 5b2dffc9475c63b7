/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * base64 - RFC 4648: section 4 with padding, for payloads; section 5 (base64url)
 * without, for tokens and cursors.
 *
 * Pure; the caller's array has room.
 */
#ifndef HTTP_BASE64_H
#define HTTP_BASE64_H

#include "src/base/buf.h"

#define BASE64_BYTES(n) (((n) + 2) / 3 * 4)

/* S behind AT; returns where it ends. */
char *base64_put(char *at, struct slice s);

/* S at the end of OUT. */
void base64url_add(struct buf *out, struct slice s);
/* The *N bytes that S stands for, into OUT, which has room for 3/4 of S;
 * -ERR_INVAL: it is not what base64url_add makes of any bytes. */
int base64url_take(struct slice s, uint8_t *out, size_t *n);

#endif
