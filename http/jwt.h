/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * jwt - the tokens of sessions: RFC 7519, signed by HMAC (RFC 7515).
 *
 * Pure.  Only what was signed with the secret and the configured algorithm is
 * looked into at all; a token with another header is none, however signed.
 *
 * Thread:  any.
 * Bound:   JWT_MAX.
 */
#ifndef HTTP_JWT_H
#define HTTP_JWT_H

#include "ring/auth_view.h"

#define JWT_MAX 1024 /* bytes of a token, inclusive */

/* In the order of auth.algorithm. */
enum jwt_algorithm {
	JWT_HS512,
	JWT_HS384,
	JWT_HS256,
};

/* A token of WHO, whose seconds of expiry are kept; NOW_MS is wall time, CHANCE
 * makes it another one than any before.  0, -ERR_NOMEM. */
int jwt_make(enum jwt_algorithm algorithm, struct slice secret,
    const struct auth_identity *who, uint64_t now_ms, const uint8_t chance[16],
    struct buf *out);

/* 0, and WHO it was made for; -ERR_INVAL: it is no token of ours.  Whether it
 * has expired is not looked at: auth_is_valid. */
int jwt_check(enum jwt_algorithm algorithm, struct slice secret,
    struct slice token, struct auth_identity *who);

#endif
