/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* os_impl - what the files of src/os share. */
#ifndef SRC_OS_OS_IMPL_H
#define SRC_OS_OS_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include <event2/event.h>

#include "src/os/os.h"

#define OS_READ_THREADS_MAX 8
#define OS_WORK             LANE_COUNT /* behind those of env.h */
#define OS_LANES            (LANE_COUNT + 1)

struct os_worker {
	struct os *os;
	uint32_t id;
	pthread_t thread;
	struct event_base *base;
	struct event *wake;          /* readable: the mailbox has something */
	int wake_fd;                 /* eventfd */
	_Atomic(struct msg *) inbox; /* newest first */
	struct msg *todo;            /* taken from the inbox, oldest first */
	atomic_int asleep;           /* a post must write to wake_fd */
	struct event *signals[3];
	int started;
};

struct os_lane {
	int kind; /* of enum env_lane, or OS_WORK */
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct env_job *first, **last;
	uint32_t n_threads;
	int stopping;
	pthread_t threads[OS_READ_THREADS_MAX];
	uint32_t n_started;
};

struct net;

struct os {
	struct os_config config;
	struct env env;
	struct os_worker *workers;
	struct os_lane lanes[OS_LANES];
	atomic_int stopping;
	int root_fd, lock_fd;
	struct net *net; /* NULL: no other nodes */
};

/* Of a new thread: signals go to others, and `top -H` shows it as NAME. */
void os_thread_begin(const char *name);

int lanes_init(struct os *os, uint32_t n_read_threads);
int lanes_start(struct os *os);
void lanes_stop(struct os *os); /* after the queued jobs; joins */
void lanes_deinit(struct os *os);
void lanes_post(void *ctx, enum env_lane lane, struct env_job *job);

int loop_init(struct os_worker *w, struct os *os, uint32_t id);
int loop_start(struct os_worker *w);
void loop_deinit(struct os_worker *w);
void loop_post(void *ctx, uint32_t worker, struct msg *m);
struct env_timer *loop_timer_start(
    void *ctx, uint32_t worker, uint64_t period_us, env_timer_fn fn, void *arg);
void loop_timer_stop(void *ctx, struct env_timer *t);

int disk_open_root(struct os *os, const char *path);
void disk_close_root(struct os *os);
void disk_fill(struct os *os);

#endif
