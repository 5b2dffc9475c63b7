/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * os - the real machine behind env.h: worker threads with their loops, lanes of
 * blocking work, disk, clock, chance.
 *
 * Owns:    threads, event bases, mailboxes, the root directory of the disk.
 * Thread:  os_open, os_start, os_join and os_close: the main thread; os_stop:
 *          any.
 */
#ifndef SRC_OS_OS_H
#define SRC_OS_OS_H

#include <stdint.h>

#include "src/base/env.h"

struct os; /* opaque */

struct os_config {
	uint32_t n_workers;
	uint32_t n_read_threads; /* 0: two */
	const char *data_root;   /* the disk's root; made when missing */
	/* Each message, on its worker. */
	void (*dispatch)(void *arg, uint32_t worker, struct msg *m);
	/* After each batch of messages, and at the end of a loop turn. */
	void (*turn)(void *arg, uint32_t worker);
	/* SIGTERM, SIGINT, SIGHUP: on worker 0; NULL: not handled. */
	void (*signal)(void *arg, int signo);
	void *arg;
};

/* The wall clock, as an env has it; CTX is not used. */
struct wall os_wall(void *ctx);

/* No thread runs yet: what is posted waits. */
int os_open(struct os **out, const struct os_config *config);
const struct env *os_env(struct os *os);

/* Threads run from here on. */
int os_start(struct os *os);
/* Loops end after what they are doing; messages posted later are not handled.
 */
void os_stop(struct os *os);
/* Waits until all threads have ended. */
void os_join(struct os *os);
struct os *os_close(struct os *os); /* takes NULL, returns NULL */

/* Work that costs no disk but time: at most two at once, and only as far as the
 * machine has nothing better to do.  Else like a lane; any thread. */
void os_work(struct os *os, struct env_job *job);

/* One process per data directory: flock on `LOCK` in the root; -ERR_LOCKED. */
int os_lock(struct os *os);

#endif
