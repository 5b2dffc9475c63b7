/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * root_value - a document of the root as a value that all workers go by, and
 * changes of it (cluster.md 2.1).
 *
 * A change is answered once it is in force on all members that are heard of, and
 * names those on which it is not.
 *
 * After a start the root is asked once which event is the newest, and nothing is
 * told before that one is here: what was acknowledged is in force.  Without a
 * majority of the root the node goes on with what it has, if it has anything.
 *
 * Owns:    the value in use; requests until they are answered.
 * Thread:  worker 0, but for root_value_ask.
 */
#ifndef SRC_NODE_ROOT_VALUE_H
#define SRC_NODE_ROOT_VALUE_H

#include "ring/identity.h"
#include "ring/root_request.h"
#include "src/node/cluster.h"
#include "src/node/root_doc.h"

struct root_value; /* opaque */

/* What there is a document of. */
struct root_kind {
	const char *stream;
	const char *what; /* "the users of the cluster": for the log */
	enum root_which which;
	int from_nothing; /* no document at all makes a value, too */
	int (*make)(void *arg, const struct doc *d, void **value);
	void *(*ref)(void *value);
	void (*unref)(void *value); /* takes NULL */
	/* WORKER goes by VALUE from now on; on that worker.  0, or -ERR_NOMEM:
	 * to be told once more. */
	int (*publish)(void *arg, uint32_t worker, void *value);
	/* The event that this node has carried out as far as it depends on more
	 * than its workers having been told; NULL: it does not. */
	uint64_t (*reached)(void *arg);
};

struct root_value_config {
	const struct env *env;
	struct log *log;
	const struct identity *identity;
	struct router *router;
	struct cluster *cluster; /* known once root_value_start is called */
	uint16_t group;          /* the root */
	uint64_t timeout_us;
	const struct root_kind *kind; /* outlives it */
	void *arg;
};

struct root_value *root_value_new(const struct root_value_config *config);
struct root_value *root_value_free(struct root_value *v); /* NULL: NULL */
void root_value_start(struct root_value *v, struct cluster *cluster);
void root_value_stop(struct root_value *v);
void root_value_looked(struct root_value *v); /* cluster.h */
void root_value_heard(struct root_value *v);
void root_value_tick(struct root_value *v);

struct root_doc *root_value_doc(const struct root_value *v);
int root_value_is_stopping(const struct root_value *v);
/* What is in force or about to be; borrowed until the next turn; NULL: nothing
 * yet. */
void *root_value_now(const struct root_value *v);

/* Any worker; Q is the caller's again with its answer. */
void root_value_ask(struct root_value *v, struct root_request *q);

#endif
