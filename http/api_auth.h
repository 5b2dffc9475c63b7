/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* api_auth - what the routes of sessions, users, groups and access share. */
#ifndef HTTP_API_AUTH_H
#define HTTP_API_AUTH_H

#include "http/api_root.h"

/* A login or a change under way; belongs to its request. */
struct api_auth {
	struct login login;
	struct auth_request ask;
	struct buf name, password;                   /* decoded */
	char groups[AUTH_GROUPS_MAX][AUTH_NAME_MAX]; /* what ask points to */
	void (*next)(struct request *rq, struct api_auth *a);
};

void api_auth_free(struct api_auth *a); /* takes NULL */

/* The body is a JSON object: the state of the request; NULL: it was answered. */
struct api_auth *api_auth_begin(struct request *rq);
/* The same without a body. */
struct api_auth *api_auth_new(struct request *rq);

/* `groups` of the body, if they are there, to the change; 0: it was answered. */
int api_groups(struct request *rq, struct api_auth *a);

/* The hash of a->password to the change; then NEXT. */
void api_hash(struct request *rq, struct api_auth *a,
    void (*next)(struct request *rq, struct api_auth *a));
/* Is a->password that of a->login.hash?  Then NEXT. */
void api_check_password(struct request *rq, struct api_auth *a,
    void (*next)(struct request *rq, struct api_auth *a));
/* Asks for the change in A; NEXT once it is in force; refusals are answered. */
void api_change(struct request *rq, struct api_auth *a,
    void (*next)(struct request *rq, struct api_auth *a));

/* The answers to a change: 200, 204 and 201. */
void api_done(struct request *rq, struct api_auth *a);
void api_done_empty(struct request *rq, struct api_auth *a);
void api_created(struct request *rq, struct api_auth *a);

#endif
