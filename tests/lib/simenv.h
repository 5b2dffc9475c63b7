/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * simenv - a whole struct env in one thread and on virtual time.
 *
 * Owns:    queues, timers, clocks; what is in the queues until it is handed
 *          over or dropped.  The disk is the caller's.
 * Thread:  one, on purpose: the same seed and the same calls give the same
 *          steps, and simenv_trace() tells whether they were.
 *
 * Nothing runs but inside simenv_step: one step is a batch of messages for one
 * worker and then its turn, or one job of a lane, or one due timer and then
 * the turn of its worker.  Which one, and how long it took, are drawn from the
 * seed.  A batch takes the messages of each sender in their order and those of
 * several senders in any; what is posted meanwhile waits for a later step.
 * LANE_READ takes any of its first few jobs, the others their first.
 */
#ifndef TESTS_LIB_SIMENV_H
#define TESTS_LIB_SIMENV_H

#include <stdint.h>

#include "src/base/env.h"

struct simenv; /* opaque */

#define SIMENV_NO_WORKER UINT32_MAX

struct simenv_config {
	uint64_t seed;
	uint32_t n_workers;
	const struct env_disk *disk; /* copied; NULL: there is none */
	struct wall start;           /* wall clock at mono 1 s; 0: 2026 */
	uint64_t step_max_us;        /* a step takes 1 to this; 0: 200 */
};

struct simenv *simenv_new(const struct simenv_config *config);
/* Drops what is left as simenv_kill does.  Takes NULL, returns NULL. */
struct simenv *simenv_free(struct simenv *s);
/* Valid until simenv_free; also what stays the same over simenv_kill. */
const struct env *simenv_env(struct simenv *s);
/* Another disk from now on, such as the clone of the one before. */
void simenv_set_disk(struct simenv *s, const struct env_disk *disk);
/* The way to other nodes; NULL, and until it is called: -ERR_NOTFOUND. */
void simenv_set_net(struct simenv *s, const struct env_net *net);

/* Each message on its worker; NULL: only MSG_CALL may come, and FN(m) runs. */
typedef void (*simenv_dispatch_fn)(void *arg, uint32_t worker, struct msg *m);
void simenv_set_dispatch(struct simenv *s, simenv_dispatch_fn fn, void *arg);
/* After each batch and each timer; may be NULL. */
typedef void (*simenv_turn_fn)(void *arg, uint32_t worker);
void simenv_set_turn(struct simenv *s, simenv_turn_fn fn, void *arg);

/* --- running -------------------------------------------------------------- */

/* 1, or 0 when nothing can run before the clock moves on. */
int simenv_step(struct simenv *s);
/* Moves the clock to the earliest timer; 0 when there is none. */
int simenv_skip(struct simenv *s);
/* Steps until nothing can run at this time, at most MAX; how many. */
uint64_t simenv_run_idle(struct simenv *s, uint64_t max);
/*
 * Steps, skipping to the next timer whenever idle, until COND(ARG) is not 0;
 * returns that.  0 when MAX steps were not enough, or nothing is left to do.
 */
int simenv_run_until(
    struct simenv *s, int (*cond)(void *arg), void *arg, uint64_t max);

/* The lane takes no job while it is held: a disk that hangs. */
void simenv_hold_lane(struct simenv *s, enum env_lane lane, int hold);
/* The worker handles nothing and its timers do not fire: a thread that is not
 * scheduled. */
void simenv_hold_worker(struct simenv *s, uint32_t worker, int hold);

/* Nothing runs at all while it is paused: SIGSTOP.  Time goes on. */
void simenv_pause(struct simenv *s, int pause);

/* Who runs now; SIMENV_NO_WORKER in a job of a lane and outside of a step. */
uint32_t simenv_worker(const struct simenv *s);

/* --- time ----------------------------------------------------------------- */

struct mono simenv_mono(const struct simenv *s);
void simenv_advance(struct simenv *s, uint64_t us);
/*
 * When simenv_step can do something next: now, or when a timer is due;
 * UINT64_MAX: not before something is posted.  Several envs share one time when
 * the one with the lowest such time is the next to be taken there and to step.
 */
struct mono simenv_next(const struct simenv *s);
/* The clock shows NOW, or later if it does already. */
void simenv_advance_to(struct simenv *s, struct mono now);
/* The wall clock shows NOW and goes on from there; it may jump back. */
void simenv_set_wall(struct simenv *s, struct wall now);

/* --- the end of a process ------------------------------------------------- */

/*
 * The process died: no message, job or timer of it runs any more.  Each queued
 * message and job is given to its callback, which frees it (NULL: nothing is
 * done); what the callbacks post is dropped as well.  Not inside a step.  Then
 * clocks and seed go on, and another process may use the same env.
 */
void simenv_kill(struct simenv *s);
typedef void (*simenv_drop_fn)(void *arg, struct msg *m);
void simenv_set_drop(struct simenv *s, simenv_drop_fn fn, void *arg);
typedef void (*simenv_drop_job_fn)(
    void *arg, enum env_lane lane, struct env_job *job);
void simenv_set_drop_job(struct simenv *s, simenv_drop_job_fn fn, void *arg);

/* --- numbers -------------------------------------------------------------- */

/* A hash of all steps so far: what ran, where, when. */
uint64_t simenv_trace(const struct simenv *s);
uint64_t simenv_steps(const struct simenv *s);
/* Messages and jobs that wait. */
uint64_t simenv_queued(const struct simenv *s);

#endif
