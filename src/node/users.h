/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * users - the users of the cluster on this node: who may do what now, told to all
 * workers, and changes of it (cluster.md 2.1, http-api.md section 3).
 *
 * A change is answered once it is in force on all members that are heard of, and
 * names those on which it is not.
 *
 * Owns:    the view in use; requests until they are answered.
 * Thread:  worker 0, but for users_ask.
 */
#ifndef SRC_NODE_USERS_H
#define SRC_NODE_USERS_H

#include "ring/auth_view.h"
#include "ring/identity.h"
#include "src/node/cluster.h"
#include "src/node/root_doc.h"

struct users; /* opaque */

struct users_config {
	const struct env *env;
	struct log *log;
	const struct identity *identity;
	struct router *router;
	struct cluster *cluster; /* known once users_start is called */
	struct store **store;
	uint16_t group; /* the root */
	uint64_t timeout_us;
	struct auth_rules rules;
	/* WORKER goes by VIEW from now on; on that worker. */
	void (*publish)(void *arg, uint32_t worker, struct auth_view *view);
	/* What a founder begins with: calls users_first, on worker 0, in its own
	 * time.  NULL: nothing, this node makes no users. */
	void (*first)(void *arg, struct users *u);
	void *arg;
};

struct users *users_new(const struct users_config *config);
struct users *users_free(struct users *u); /* NULL: NULL */
void users_start(struct users *u, struct cluster *cluster);
void users_stop(struct users *u);
void users_looked(void *users); /* cluster.h */
void users_heard(void *users);
void users_tick(struct users *u);
/* F is copied; NULL: that failed. */
void users_first(struct users *u, const struct auth_first *f);

/* What is in force or about to be; borrowed until the next turn; NULL: nothing
 * yet. */
const struct doc *users_doc(const struct users *u);
/* Any worker; ARG: the users. */
void users_ask(void *arg, struct auth_request *q);

#endif
