/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * password - argon2id (RFC 9106); the only module that knows libargon2.
 *
 * Thread:  any, but never a loop: each call takes some 25 ms and 19 MiB.
 */
#ifndef HTTP_PASSWORD_H
#define HTTP_PASSWORD_H

#include "ring/auth.h"
#include "src/base/env.h"

#define PASSWORD_MAX 1024 /* bytes, inclusive */

/* The hash with its parameters and a salt of its own, to be kept; 0 or
 * -ERR_NOMEM. */
int password_hash(const struct env_rng *rng, struct slice password,
    char out[AUTH_HASH_MAX + 1]);
/* Whether PASSWORD is that of HASH; an empty HASH costs the same, and is that of
 * none. */
int password_check(struct slice password, const char *hash);

#endif
