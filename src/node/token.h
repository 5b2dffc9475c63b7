/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * token - the administrator's token in `admin.token` of the data directory,
 * mode 0600: 64 hex digits and a newline.
 *
 * Thread:  token_load: before the workers run; token_save: any, the write is
 *          done on a lane.
 */
#ifndef SRC_NODE_TOKEN_H
#define SRC_NODE_TOKEN_H

#include "src/base/env.h"

#define TOKEN_TEXT_BYTES 65 /* with the NUL */

/* Reads it, or makes it at the first start.  DATA is the directory.  On failure
 * WHY is one line for a person. */
int token_load(const struct env *env, char token[TOKEN_TEXT_BYTES],
    const char *data, char *why, size_t why_bytes);
/* The next start has TOKEN.  -ERR_NOMEM: nothing will happen; if the disk
 * fails, the old one stays, and the cluster's is seen again. */
int token_save(const struct env *env, const char token[TOKEN_TEXT_BYTES]);

#endif
