/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * reload - the configuration is read again while the node runs.
 *
 * Shape:   a configuration is an immutable value.  The new one is read on a
 *          lane, and differs from the one before in the keys that can be
 *          reloaded only; then each worker is told of it, so that nothing on
 *          the path of a request looks at anything shared.
 * Thread:  worker 0, but for reload_new and reload_free.
 * Errors:  a file that cannot be read or is wrong changes nothing; the log says
 *          why.
 */
#ifndef SRC_NODE_RELOAD_H
#define SRC_NODE_RELOAD_H

#include "src/base/conf.h"
#include "src/base/env.h"
#include "src/base/log.h"

struct reload; /* opaque */

struct reload_config {
	const struct env *env;
	struct log *log;
	struct conf *conf; /* what holds now; takes a reference */
	/* Reads it all again, on a lane: 0 and a value of the caller's, or WHY. */
	int (*load)(
	    void *load_arg, struct conf **out, char why[CONF_WHY_BYTES]);
	void *load_arg;
	/* On worker 0, after a LOAD that succeeded, also when the keys are what
	 * they were.  1: something else has changed, and was logged. */
	int (*loaded)(void *arg);
	/* On each WORKER; CONF is valid until the next call there. */
	void (*apply)(void *arg, uint32_t worker, const struct conf *conf);
	void *arg;
};

/* NULL: no memory. */
struct reload *reload_new(const struct reload_config *config);
/* Once no thread runs any more.  Takes NULL, returns NULL. */
struct reload *reload_free(struct reload *r);

/* While it is under way: once more afterwards. */
void reload_start(struct reload *r);

#endif
