/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * token - the administrator's token on the disk, mode 0600: `admin.token` of the
 * data directory, for people, and that of each cluster that the node was in.
 *
 * Thread:  token_load: before the workers run; token_save: any, the write is
 *          done on a lane.
 */
#ifndef SRC_NODE_TOKEN_H
#define SRC_NODE_TOKEN_H

#include "ring/identity.h"

#define TOKEN_TEXT_BYTES 65 /* with the NUL */

/* The token of ID's cluster; that of the node as long as the cluster's is not
 * known, made at the first start.  On failure WHY is one line for a person. */
int token_load(const struct env *env, const struct identity *id,
    char token[TOKEN_TEXT_BYTES], char *why, size_t why_bytes);
/* TOKEN is that of ID's cluster; ID is borrowed until the lanes have ended.
 * -ERR_NOMEM: nothing will happen; if the disk fails, the old one stays, and the
 * cluster's is seen again. */
int token_save(const struct env *env, const struct identity *id,
    const char token[TOKEN_TEXT_BYTES]);

#endif
