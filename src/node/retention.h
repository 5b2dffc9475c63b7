/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * retention - how long the events of the cluster are kept, on this node: all
 * policies, told to its workers, and changes of them (http-api.md 4.6).
 *
 * Owns:    the document, as a root_value.
 * Thread:  worker 0.
 */
#ifndef SRC_NODE_RETENTION_H
#define SRC_NODE_RETENTION_H

#include "src/node/root_value.h"
#include "vnode/policy.h"

struct retention; /* opaque */

struct retention_config {
	struct root_value_config root; /* all but kind and arg */
	struct policy defaults;        /* retention.* */
	/* WORKER goes by TABLE from now on; on that worker.  0 or
	 * -ERR_NOMEM. */
	int (*publish)(void *arg, uint32_t worker, struct policies *table);
	struct store **store; /* what it leads shall go by them, too */
	void *arg;
};

struct retention *retention_new(const struct retention_config *config);
struct retention *retention_free(struct retention *t); /* NULL: NULL */
struct root_value *retention_value(const struct retention *t);

#endif
