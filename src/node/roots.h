/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * roots - the documents of the root that this node goes by: users, policies.
 *
 * Thread:  worker 0, but for roots_ask.
 */
#ifndef SRC_NODE_ROOTS_H
#define SRC_NODE_ROOTS_H

#include "http/server.h"
#include "src/node/retention.h"
#include "src/node/users.h"

struct roots; /* opaque */

/* users.h, retention.h; a ..._publish that is NULL: nobody has to know. */
struct roots_config {
	struct auth_rules auth_rules;
	void (*auth_publish)(
	    void *arg, uint32_t worker, struct auth_view *view);
	void (*auth_first)(void *arg, struct users *u);
	struct policy policy_defaults;
	int (*policies_publish)(
	    void *arg, uint32_t worker, struct policies *table);
};

/* ROOT: as far as it is the same for all; ARG: of CONFIG's functions. */
struct roots *roots_new(const struct roots_config *config,
    const struct root_value_config *root, struct store **store, void *arg);
struct roots *roots_free(struct roots *r); /* NULL: NULL */
void roots_start(struct roots *r, struct cluster *cluster);
void roots_stop(struct roots *r);
void roots_tick(struct roots *r);
void roots_looked(void *roots); /* cluster.h */
void roots_heard(void *roots);

/* Any worker; see root_value_ask. */
void roots_ask(struct roots *r, enum root_which which, struct root_request *q);
struct users *roots_users(const struct roots *r); /* or NULL */

#endif
