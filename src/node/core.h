/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * core - what makes a node, without the machine and without HTTP: the store, the
 * way to the vnodes of all nodes, and the ring.
 *
 * node.c puts it on the real machine; tests put several into one process, on
 * virtual time.
 *
 * Thread:  core_open, core_start, core_close: before and after the workers run;
 *          the rest on the worker that it is told.
 */
#ifndef SRC_NODE_CORE_H
#define SRC_NODE_CORE_H

#include "src/node/cluster.h"
#include "src/node/fill_limit.h"
#include "src/node/join.h"
#include "src/node/roots.h"

struct core; /* opaque */

struct core_config {
	const struct env *env;
	struct log *log;
	const struct identity *identity;
	const char *nodename;
	/* All but env, dir, ids, groups, found and who watches: core's own. */
	struct store_config store;
	/* To strangers: join.h. */
	int (*tell)(
	    void *arg, const char *name, const struct iovec *iov, int n);
	int (*tell_back)(
	    void *arg, const uint8_t node[16], const struct iovec *iov, int n);
	struct roots_config roots;
	/* cluster.h; worker 0 */
	void (*published)(void *arg, struct ring *ring);
	void (*left)(void *arg, enum ring_state was);
	void *arg; /* of all but those of the store */
};

/* RING is what the disk has; a reference is taken. */
int core_open(struct core **out, const struct core_config *config,
    struct ring *ring, char *why, size_t why_bytes);
int core_start(struct core *c);
struct core *core_close(struct core *c); /* takes NULL, returns NULL */

/* A message that is no answer and no call. */
void core_handle(struct core *c, uint32_t worker, struct msg *m);
void core_turn(struct core *c, uint32_t worker);

/* Ends what is under way, leads nothing, writes a checkpoint; then DONE(arg) on
 * worker 0.  Any worker. */
void core_stop(struct core *c, void (*done)(void *arg), void *arg);

struct vnode_route core_route(struct core *c);
struct router *core_router(const struct core *c);
struct store *core_store(const struct core *c);
struct cluster *core_cluster(const struct core *c);
struct join *core_join(const struct core *c);
struct fill_limit *core_fill_limit(const struct core *c);
struct roots *core_roots(const struct core *c);

#endif
