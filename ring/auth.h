/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * auth - users, groups and grants: what the document says, and every change of
 * it (http-api.md sections 2 and 3).
 *
 * Pure.  The document is that of stream `auth` of the root (ring/doc.h); what is
 * asked of it with each request is ring/auth_view.h.
 *
 * Errors:  -ERR_NOMEM, -ERR_LIMIT: no room for more.
 * Format:  top of auth.c.  Golden bytes: tests/golden/ring/auth-*.bin.
 */
#ifndef RING_AUTH_H
#define RING_AUTH_H

#include "ring/root_request.h"

#define AUTH_NAME_MAX   64 /* of a user or a group */
#define AUTH_GROUPS_MAX 64 /* that one user or group is in directly */
#define AUTH_HASH_MAX   255
#define AUTH_SECRET_MIN 1
#define AUTH_SECRET_MAX 4000

#define AUTH_ADMINS        "g-admin"
#define AUTH_AUTHENTICATED "g-authenticated"
#define AUTH_EVERYONE      "*" /* as a role */
#define AUTH_EVERYTHING    "*" /* as a bucket */
#define AUTH_MAGIC_BUCKET  "$$iorio.permissions$$"

/* X(name, word): in the order in which they are shown. */
#define AUTH_PERMISSIONS(X)                                                    \
	X(GET, "get")                                                          \
	X(PUT, "put")                                                          \
	X(DELETE, "delete")                                                    \
	X(GRANT, "grant")                                                      \
	X(LIST, "list")                                                        \
	X(ADMINUSERS, "adminusers")

enum auth_permission_place {
#define AUTH_PLACE(name, word) AUTH_PLACE_##name,
	AUTH_PERMISSIONS(AUTH_PLACE)
#undef AUTH_PLACE
	    AUTH_N_PERMISSIONS
};

enum auth_permission {
#define AUTH_BIT(name, word) AUTH_##name = 1 << AUTH_PLACE_##name,
	AUTH_PERMISSIONS(AUTH_BIT)
#undef AUTH_BIT
	    AUTH_ALL = (1 << AUTH_N_PERMISSIONS) - 1
};

/* The word of one bit; never NULL. */
const char *auth_permission_word(unsigned permission);
/* The bit of a word; 0: there is none. */
unsigned auth_permission_of(struct slice word);
/* Whether PERMISSION can be had on BUCKET, or its STREAM (n 0: the bucket). */
int auth_permission_fits(
    unsigned permission, struct slice bucket, struct slice stream);
/* 1-64 bytes of letters, digits, `-._@`, and none of the reserved words. */
int auth_name_is_legal(struct slice name);

/* --- what the document holds ------------------------------------------------ */

struct auth_groups {
	uint32_t n;
	struct slice at[AUTH_GROUPS_MAX]; /* ascending */
};

/* Slices are borrowed from the document. */
struct auth_user_row {
	struct slice name;
	uint64_t generation; /* tokens of another one are dead */
	struct slice hash;   /* n 0: nobody can log in as this user */
	struct auth_groups groups;
};

struct auth_group_row {
	struct slice name;
	struct auth_groups groups;
};

struct auth_grant_row {
	struct slice bucket, stream, role; /* stream n 0: all of the bucket */
	unsigned permissions;
};

enum auth_kind {
	AUTH_ROW_NONE,
	AUTH_ROW_USER,
	AUTH_ROW_GROUP,
	AUTH_ROW_GRANT,
	AUTH_ROW_SECRET,
};

struct auth_row {
	enum auth_kind kind; /* which one of these it is */
	struct auth_user_row user;
	struct auth_group_row group;
	struct auth_grant_row grant;
	struct slice secret;
};

/* 0 or -ERR_CORRUPT. */
int auth_row(struct doc_item item, struct auth_row *out);
/* 0: there is none. */
int auth_find_user(
    const struct doc *d, struct slice name, struct auth_user_row *out);
int auth_find_group(
    const struct doc *d, struct slice name, struct auth_group_row *out);
/* The places of the grants on exactly BUCKET, STREAM: [*FROM, *TO). */
void auth_find_grants(const struct doc *d, struct slice bucket,
    struct slice stream, uint32_t *from, uint32_t *to);

/* --- changes ---------------------------------------------------------------- */

enum auth_op {
	AUTH_ADD_USER = 1, /* name, hash, groups */
	AUTH_SET_USER,     /* name; hash and groups where they are given */
	AUTH_DROP_USER,
	AUTH_END_SESSIONS, /* of user name */
	AUTH_ADD_GROUP,    /* name, groups */
	AUTH_SET_GROUP,
	AUTH_DROP_GROUP,
	AUTH_GIVE, /* permission on bucket, stream to role name */
	AUTH_TAKE,
};

struct auth_change {
	enum auth_op op;
	struct slice name;
	int has_hash, has_groups;
	struct slice hash;
	struct auth_groups groups; /* in any order */
	struct slice bucket, stream;
	unsigned permission;
};

enum auth_refusal {
	AUTH_OK,
	AUTH_SAME,       /* nothing to do: it is so already */
	AUTH_EXISTS,     /* a user or a group has the name */
	AUTH_UNKNOWN,    /* no such user or group */
	AUTH_NO_GROUP,   /* one of groups is not there */
	AUTH_CYCLE,      /* a group would be in itself */
	AUTH_LAST_ADMIN, /* nobody would be left in g-admin */
	AUTH_NEEDED,     /* g-admin and g-authenticated stay */
	AUTH_MANY_GROUPS,
};

/* A change that is asked of the cluster.  Slices are borrowed until the answer. */
struct auth_request {
	struct root_request root; /* made by auth_request_make */
	struct auth_change change;
	enum auth_refusal refusal; /* answer: root.r > 0: why */
};

int auth_request_make(
    struct root_request *q, const struct doc *now, struct doc **change);

/* *OUT becomes what C changes in NOW, a document of the caller's; NULL with any
 * refusal, AUTH_SAME too. */
int auth_make(const struct doc *now, const struct auth_change *c,
    enum auth_refusal *refusal, struct doc **out);

/* The first of all documents. */
struct auth_first {
	const char *admin, *anonymous;
	struct slice admin_hash;
	int everywhere; /* auth.admin.everywhere */
	struct slice secret;
};

int auth_make_first(const struct auth_first *f, struct doc **out);

#endif
