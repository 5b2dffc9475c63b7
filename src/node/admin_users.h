/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* admin_users - users, groups and grants for iorio-admin: admin/host.h. */
#ifndef SRC_NODE_ADMIN_USERS_H
#define SRC_NODE_ADMIN_USERS_H

#include "admin/host.h"
#include "http/logins.h"
#include "src/node/users.h"

/* Thread: worker 0; A->done later.  L hashes A's password. */
void admin_users_ask(struct users *u, struct logins *l, struct admin_auth *a);

#endif
