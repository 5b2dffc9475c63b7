/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * lanes - threads for work that blocks on the disk, or computes for long.
 *
 * A thread takes all queued jobs of its lane at once where there is one thread,
 * and one by one where there are several.  Jobs queued when the lanes stop are
 * still run.
 */
#include <sys/resource.h>
#include <sys/syscall.h>

#include "src/base/err.h"
#include "src/os/os_impl.h"

#define READ_THREADS 2
#define WORK_THREADS 2

/* The flusher has time, and so has work; the journal and readers have not. */
static const struct {
	const char *name;
	int nice;
} kinds[OS_LANES] = {
    [LANE_JOURNAL] = {"journal", 0},
    [LANE_FLUSH] = {"flush", 5},
    [LANE_READ] = {"read", 0},
    [OS_WORK] = {"work", 10},
};

static void
lane_post(struct os_lane *l, struct env_job *job)
{
	job->next = NULL;
	pthread_mutex_lock(&l->lock);
	*l->last = job;
	l->last = &job->next;
	pthread_cond_signal(&l->wake);
	pthread_mutex_unlock(&l->lock);
}

void
lanes_post(void *ctx, enum env_lane lane, struct env_job *job)
{
	struct os *os = ctx;

	lane_post(&os->lanes[lane], job);
}

void
os_work(struct os *os, struct env_job *job)
{
	lane_post(&os->lanes[OS_WORK], job);
}

/* The next job, or NULL once the lane stops and has none. */
static struct env_job *
take(struct os_lane *l)
{
	struct env_job *job;

	pthread_mutex_lock(&l->lock);
	while (!l->first && !l->stopping)
		pthread_cond_wait(&l->wake, &l->lock);
	job = l->first;
	if (job) {
		l->first = job->next;
		if (!l->first)
			l->last = &l->first;
	}
	pthread_mutex_unlock(&l->lock);
	return job;
}

static void *
run(void *arg)
{
	struct os_lane *l = arg;
	struct env_job *job;

	os_thread_begin(kinds[l->kind].name);
	if (kinds[l->kind].nice)
		setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid),
		    kinds[l->kind].nice);
	while ((job = take(l)))
		job->run(job);
	return NULL;
}

int
lanes_init(struct os *os, uint32_t n_read_threads)
{
	for (int i = 0; i < OS_LANES; i++) {
		struct os_lane *l = &os->lanes[i];

		l->kind = i;
		l->last = &l->first;
		l->n_threads = 1;
		if (pthread_mutex_init(&l->lock, NULL) ||
		    pthread_cond_init(&l->wake, NULL))
			return -ERR_SYSTEM;
	}
	if (n_read_threads == 0)
		n_read_threads = READ_THREADS;
	if (n_read_threads > OS_READ_THREADS_MAX)
		n_read_threads = OS_READ_THREADS_MAX;
	os->lanes[LANE_READ].n_threads = n_read_threads;
	os->lanes[OS_WORK].n_threads = WORK_THREADS;
	return 0;
}

int
lanes_start(struct os *os)
{
	for (int i = 0; i < OS_LANES; i++) {
		struct os_lane *l = &os->lanes[i];

		for (; l->n_started < l->n_threads; l->n_started++)
			if (pthread_create(
				&l->threads[l->n_started], NULL, run, l))
				return -ERR_SYSTEM;
	}
	return 0;
}

void
lanes_stop(struct os *os)
{
	for (int i = 0; i < OS_LANES; i++) {
		struct os_lane *l = &os->lanes[i];

		pthread_mutex_lock(&l->lock);
		l->stopping = 1;
		pthread_cond_broadcast(&l->wake);
		pthread_mutex_unlock(&l->lock);
	}
	for (int i = 0; i < OS_LANES; i++) {
		struct os_lane *l = &os->lanes[i];

		while (l->n_started)
			pthread_join(l->threads[--l->n_started], NULL);
	}
}

void
lanes_deinit(struct os *os)
{
	for (int i = 0; i < OS_LANES; i++) {
		pthread_cond_destroy(&os->lanes[i].wake);
		pthread_mutex_destroy(&os->lanes[i].lock);
	}
}
