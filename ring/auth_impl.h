/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * auth_impl - keys and values of the document, for the files of auth.
 *
 * Errors:  0; -ERR_NOMEM.
 */
#ifndef RING_AUTH_IMPL_H
#define RING_AUTH_IMPL_H

#include "ring/auth.h"

struct auth_key {
	uint8_t p[DOC_KEY_MAX];
	size_t n;
};

struct slice auth_key_slice(const struct auth_key *k);
struct auth_key auth_name_key(char kind, struct slice name);
struct auth_key auth_grant_key(
    struct slice bucket, struct slice stream, struct slice role);

/* Ascending, without repeats. */
void auth_sort_groups(struct auth_groups *g);
int auth_is_in(const struct auth_groups *g, struct slice name);

/* Into change OUT.  VALUE is used up; no permissions: the grant goes. */
int auth_put_value(
    struct doc *out, const struct auth_key *k, struct buf *value);
int auth_put_user(struct doc *out, const struct auth_user_row *u);
int auth_put_group(
    struct doc *out, struct slice name, const struct auth_groups *groups);
int auth_put_grant(struct doc *out, struct slice bucket, struct slice stream,
    struct slice role, unsigned permissions);

#endif
