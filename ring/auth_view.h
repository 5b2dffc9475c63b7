/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * auth_view - who may do what, as it is looked up with each request.
 *
 * Shape:   an immutable value, made of one version of the document; groups in
 *          groups are resolved when it is made.
 * Thread:  any; references are counted atomically.
 * Bound:   a check costs a few binary searches, whatever the number of users.
 */
#ifndef RING_AUTH_VIEW_H
#define RING_AUTH_VIEW_H

#include "ring/auth.h"

/* What this node is configured to. */
struct auth_rules {
	int has_bucket;        /* auth.permission.user.has_bucket */
	const char *prefix;    /* auth.permission.user.bucket.prefix */
	const char *anonymous; /* auth.anon.username */
};

struct auth_view; /* opaque */

/* Who asks.  Outlives views: a token is good for one generation of its user. */
struct auth_identity {
	char name[AUTH_NAME_MAX + 1];
	uint64_t generation;
	uint64_t expires_ms; /* wall time; 0: never */
	int anonymous;       /* no token was shown */
};

/* -ERR_CORRUPT: D is none of ours.  D and R are copied. */
int auth_view_new(
    struct auth_view **out, const struct doc *d, const struct auth_rules *r);
struct auth_view *auth_view_ref(struct auth_view *v);
struct auth_view *auth_view_unref(struct auth_view *v); /* NULL: NULL */

/* Greater after each change. */
uint64_t auth_view_seq(const struct auth_view *v);
/* What it was made of. */
const struct doc *auth_view_doc(const struct auth_view *v);
struct slice auth_view_secret(const struct auth_view *v);
/* Users that can log in and are in g-admin. */
uint32_t auth_view_admins(const struct auth_view *v);
/* Some group is in itself. */
int auth_view_has_cycle(const struct auth_view *v);

/* Of somebody without a token. */
struct auth_identity auth_anonymous(const struct auth_view *v);

/* Whether WHO still is somebody: 0 once the user was deleted, its password or
 * sessions changed, or NOW_MS has come to the end of the token. */
int auth_is_valid(const struct auth_view *v, const struct auth_identity *who,
    uint64_t now_ms);

/*
 * Whether WHO may do PERMISSION (one bit) on BUCKET, or STREAM of it.  STREAM n
 * 0: on the whole bucket; BUCKET `*`: on everything.  It is taken for valid.
 */
int auth_check(const struct auth_view *v, const struct auth_identity *who,
    unsigned permission, struct slice bucket, struct slice stream);

/* Whether everyone may, without a token. */
int auth_is_public(const struct auth_view *v, unsigned permission,
    struct slice bucket, struct slice stream);

#endif
