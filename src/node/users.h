/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * users - the users of the cluster on this node: who may do what now, and what a
 * new cluster begins with (http-api.md section 3).
 *
 * Owns:    the document, as a root_value.
 * Thread:  worker 0.
 */
#ifndef SRC_NODE_USERS_H
#define SRC_NODE_USERS_H

#include "ring/auth_view.h"
#include "src/node/root_value.h"

struct users; /* opaque */

struct users_config {
	struct root_value_config root; /* all but kind and arg */
	struct store **store;
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
/* Beside that of its root_value. */
void users_tick(struct users *u);
/* F is copied; NULL: that failed. */
void users_first(struct users *u, const struct auth_first *f);

struct root_value *users_value(const struct users *u);
/* What is in force or about to be; borrowed until the next turn; NULL: nothing
 * yet. */
const struct doc *users_doc(const struct users *u);

#endif
