/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * rig - a real machine for a test: an os on a directory of its own.
 *
 * These tests are a plain program, not Criterion's, because ThreadSanitizer
 * must be able to watch them.  A check that fails ends the program (nobody
 * knows what its threads would do next), and so does a test that hangs: a lost
 * wake-up is found by that.
 */
#ifndef TESTS_OS_RIG_H
#define TESTS_OS_RIG_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/os/os.h"

/* More than a slow machine needs under a sanitizer. */
#define TEST_SECONDS 120

_Noreturn void rig_fail(const char *file, int line, const char *what);
_Noreturn void rig_fail_values(
    const char *file, int line, const char *what, long long a, long long b);

#define CHECK(cond)                                                            \
	do {                                                                   \
		if (!(cond))                                                   \
			rig_fail(__FILE__, __LINE__, #cond);                   \
	} while (0)

#define CHECK_EQ(a, b)                                                         \
	do {                                                                   \
		long long check_a = (long long)(a), check_b = (long long)(b);  \
                                                                               \
		if (check_a != check_b)                                        \
			rig_fail_values(__FILE__, __LINE__, #a " is " #b,      \
			    check_a, check_b);                                 \
	} while (0)

struct test {
	const char *name;
	/* 0, or why it can not be run here. */
	const char *(*fn)(void);
};

extern const struct test loop_tests[], lane_tests[], tcp_tests[], disk_tests[],
    net_tests[], net_peers_tests[], net_hostile_tests[], net_lines_tests[];

struct rig {
	struct os *os;
	const struct env *env;
	char dir[64];
	atomic_int signo;        /* the last one that was heard */
	atomic_uint n_turns[64]; /* by worker */
	pthread_t threads[64];   /* the worker's, once it had a turn */
	void (*on_turn)(struct rig *rig, uint32_t worker); /* may be NULL */
	/* Takes F; for those that have other nodes. */
	void (*on_frame)(struct rig *rig, uint32_t worker, struct net_frame *f);
	void *user;
};

/* N workers that only know MSG_CALL; no thread runs yet. */
struct rig *rig_new(uint32_t n_workers, uint32_t n_read_threads);
/* The same, and it hears signals: one at a time. */
struct rig *rig_new_with_signals(uint32_t n_workers);
void rig_start(struct rig *rig);
void rig_stop(struct rig *rig); /* and waits for all threads */
/* Stops if need be, and removes the directory. */
void rig_free(struct rig *rig);

/* FN runs on WORKER; the message is M, which the caller owns. */
void rig_post(
    struct rig *rig, uint32_t worker, struct msg *m, void (*fn)(struct msg *m));
/* Runs FN(ARG) on WORKER and waits for it. */
void rig_on(struct rig *rig, uint32_t worker, void (*fn)(void *arg), void *arg);
/* Waits until *N >= WANT. */
void rig_await(atomic_uint *n, unsigned want);

void rig_temp_dir(char out[64]);
void rig_remove_dir(const char *path);
uint64_t rig_now_us(void);
/* Time for others to come to rest; nothing may depend on its length. */
void rig_pause_us(uint32_t us);

#endif
