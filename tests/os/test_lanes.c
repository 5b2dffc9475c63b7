/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Lanes: what they promise about order, about doing several things at once,
 * and about what is queued when they stop. */
#include "tests/os/rig.h"

#define N_JOBS 3000

struct lane_run;

struct numbered {
	struct env_job job;
	struct lane_run *run;
	uint32_t poster, number;
};

struct lane_run {
	struct rig *rig;
	enum env_lane lane;
	struct numbered jobs[3][N_JOBS]; /* by poster */
	uint32_t next[3];
	atomic_int inside; /* jobs that run at this moment */
	atomic_uint n;
};

static void
run_numbered(struct env_job *j)
{
	struct numbered *job = CONTAINER_OF(j, struct numbered, job);
	struct lane_run *r = job->run;

	CHECK_EQ(atomic_fetch_add(&r->inside, 1), 0);
	CHECK_EQ(job->number, r->next[job->poster]++);
	atomic_fetch_sub(&r->inside, 1);
	atomic_fetch_add(&r->n, 1);
}

static void
post_all(struct lane_run *r, uint32_t poster)
{
	const struct env_post *post = &r->rig->env->post;

	for (uint32_t i = 0; i < N_JOBS; i++) {
		struct numbered *job = &r->jobs[poster][i];

		*job = (struct numbered){{.run = run_numbered}, r, poster, i};
		post->to_lane(post->ctx, r->lane, &job->job);
		if (i % 501 == 0)
			rig_pause_us(100); /* the lane runs dry */
	}
}

static void *
post_as_second(void *arg)
{
	post_all(arg, 1);
	return NULL;
}

static void
post_as_third(void *arg)
{
	post_all(arg, 2);
}

static const char *
journal_and_flush_run_one_job_at_a_time_in_order(void)
{
	static const enum env_lane lanes[] = {LANE_JOURNAL, LANE_FLUSH};

	for (size_t i = 0; i < 2; i++) {
		struct lane_run *r = calloc(1, sizeof(*r));
		pthread_t second;

		r->rig = rig_new(1, 0);
		r->lane = lanes[i];
		rig_start(r->rig);
		CHECK(!pthread_create(&second, NULL, post_as_second, r));
		rig_on(r->rig, 0, post_as_third, r);
		post_all(r, 0);
		pthread_join(second, NULL);
		rig_await(&r->n, 3 * N_JOBS);
		rig_free(r->rig);
		free(r);
	}
	return NULL;
}

#define N_READERS 4

struct meeting {
	struct env_job jobs[N_READERS];
	pthread_barrier_t all;
	atomic_uint n;
};

static struct meeting meeting;

static void
meet(struct env_job *j)
{
	(void)j;
	pthread_barrier_wait(&meeting.all); /* nobody passes alone */
	atomic_fetch_add(&meeting.n, 1);
}

static const char *
readers_work_at_the_same_time(void)
{
	struct rig *rig = rig_new(1, N_READERS);
	const struct env_post *post = &rig->env->post;

	memset(&meeting, 0, sizeof(meeting));
	pthread_barrier_init(&meeting.all, NULL, N_READERS);
	rig_start(rig);
	for (int round = 1; round <= 50; round++) {
		for (int i = 0; i < N_READERS; i++) {
			meeting.jobs[i] = (struct env_job){.run = meet};
			post->to_lane(post->ctx, LANE_READ, &meeting.jobs[i]);
		}
		rig_await(&meeting.n, (unsigned)round * N_READERS);
	}
	rig_free(rig);
	pthread_barrier_destroy(&meeting.all);
	return NULL;
}

struct late {
	struct env_job job;
	atomic_uint *n;
};

static void
run_late(struct env_job *j)
{
	rig_pause_us(20);
	atomic_fetch_add(CONTAINER_OF(j, struct late, job)->n, 1);
}

static const char *
what_is_queued_at_the_stop_is_still_done(void)
{
	static struct late jobs[LANE_COUNT][200];
	struct rig *rig = rig_new(2, 0);
	const struct env_post *post = &rig->env->post;
	atomic_uint n = 0;

	rig_start(rig);
	for (int l = 0; l < LANE_COUNT; l++)
		for (int i = 0; i < 200; i++) {
			jobs[l][i] = (struct late){{.run = run_late}, &n};
			post->to_lane(
			    post->ctx, (enum env_lane)l, &jobs[l][i].job);
		}
	rig_stop(rig);
	CHECK_EQ(atomic_load(&n), LANE_COUNT * 200);
	rig_free(rig);
	return NULL;
}

struct errand {
	struct env_job job;
	struct msg msg;
	struct rig *rig;
	uint32_t left;
	atomic_uint done;
};

static void go_home(struct msg *m);

static void
on_the_lane(struct env_job *j)
{
	struct errand *e = CONTAINER_OF(j, struct errand, job);

	rig_post(e->rig, 0, &e->msg, go_home);
}

static void
go_home(struct msg *m)
{
	struct errand *e = CONTAINER_OF(m, struct errand, msg);
	const struct env_post *post = &e->rig->env->post;

	if (e->left-- == 0) {
		atomic_fetch_add(&e->done, 1);
		return;
	}
	e->job = (struct env_job){.run = on_the_lane};
	post->to_lane(
	    post->ctx, (enum env_lane)(e->left % LANE_COUNT), &e->job);
}

static const char *
a_worker_sends_a_job_and_hears_when_it_is_done(void)
{
	struct errand e = {.left = 9000};

	e.rig = rig_new(1, 0);
	rig_start(e.rig);
	rig_post(e.rig, 0, &e.msg, go_home);
	rig_await(&e.done, 1);
	rig_free(e.rig);
	return NULL;
}

#define TEST(name)                                                             \
	{                                                                      \
#name, name                                                    \
	}

const struct test lane_tests[] = {
    TEST(journal_and_flush_run_one_job_at_a_time_in_order),
    TEST(readers_work_at_the_same_time),
    TEST(what_is_queued_at_the_stop_is_still_done),
    TEST(a_worker_sends_a_job_and_hears_when_it_is_done),
    {NULL, NULL},
};
