/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * hold - a node that asks to go to another cluster takes no writes meanwhile, and
 * knows how many streams it has: nothing that it acknowledged is left behind.
 *
 * Thread:  worker 0.
 */
#ifndef SRC_NODE_HOLD_H
#define SRC_NODE_HOLD_H

#include "src/base/env.h"
#include "src/node/router.h"
#include "vnode/store.h"

struct hold; /* opaque */

struct hold_config {
	const struct env *env;
	struct router *router;
	struct store **store; /* open once hold_begin is called */
};

struct hold *hold_new(const struct hold_config *config);
struct hold *hold_free(struct hold *h); /* takes NULL, returns NULL */
void hold_tick(struct hold *h);         /* some times a second */

/* From now on writes to streams are refused here; DONE(arg) once none is under
 * way, with the streams that there are.  -ERR_BUSY: the one before is not over
 * yet. */
int hold_begin(
    struct hold *h, void (*done)(void *arg, uint64_t n_streams), void *arg);
/* Writes are taken again; DONE is not called any more. */
void hold_end(struct hold *h);

#endif
