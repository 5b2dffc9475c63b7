/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "tests/lib/simenv.h"

#include <criterion/criterion.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "tests/lib/memdisk.h"

TestSuite(simenv);

#define WORKERS 3

struct note {
	struct msg msg;
	uint32_t number;
};

/* What ran, in the order in which it did. */
struct seen {
	struct simenv *s;
	const struct env *env;
	uint32_t from[1000], number[1000], worker[1000];
	size_t n;
	size_t n_turns, n_dropped, n_jobs;
	size_t budget; /* messages that may still be posted */
	struct env_timer *timer;
};

static struct simenv *
new_sim(uint64_t seed)
{
	struct simenv_config config = {.seed = seed, .n_workers = WORKERS};

	return simenv_new(&config);
}

static void
post(struct seen *seen, uint32_t to, uint32_t from, uint32_t number)
{
	struct note *note = malloc(sizeof(*note));

	note->msg = (struct msg){.kind = MSG_PUT, .from = from};
	note->number = number;
	seen->env->post.to_worker(seen->env->post.ctx, to, &note->msg);
}

static void
record(void *arg, uint32_t worker, struct msg *m)
{
	struct seen *seen = arg;

	cr_assert_eq(simenv_worker(seen->s), worker);
	cr_assert_lt(seen->n, 1000);
	seen->from[seen->n] = m->from;
	seen->number[seen->n] = ((struct note *)m)->number;
	seen->worker[seen->n++] = worker;
	free(m);
}

static void
count_tick(void *arg)
{
	(void)arg;
}

static void
count_turn(void *arg, uint32_t worker)
{
	(void)worker;
	((struct seen *)arg)->n_turns++;
}

/* Each message begets another one somewhere else while the budget lasts. */
static void
spread(void *arg, uint32_t worker, struct msg *m)
{
	struct seen *seen = arg;
	uint32_t number = ((struct note *)m)->number;

	record(arg, worker, m);
	if (seen->budget) {
		seen->budget--;
		post(seen, (worker + number) % WORKERS, worker, number + 1);
	}
}

static void
begin(struct seen *seen, uint64_t seed, simenv_dispatch_fn fn)
{
	*seen = (struct seen){.s = new_sim(seed)};
	seen->env = simenv_env(seen->s);
	simenv_set_dispatch(seen->s, fn, seen);
	simenv_set_turn(seen->s, count_turn, seen);
}

static uint64_t
one_run(uint64_t seed, struct seen *seen, uint64_t *chance)
{
	uint64_t trace;

	begin(seen, seed, spread);
	seen->budget = 500;
	for (uint32_t i = 0; i < 10; i++)
		post(seen, i % WORKERS, WORKERS, i);
	simenv_run_idle(seen->s, UINT64_MAX);
	cr_assert_eq(seen->n, 510);
	seen->env->rng.bytes(seen->env->rng.ctx, chance, sizeof(*chance));
	trace = simenv_trace(seen->s);
	simenv_free(seen->s);
	return trace;
}

Test(simenv, the_same_seed_gives_the_same_steps_and_another_one_others)
{
	static struct seen a, b;
	uint64_t c, d;

	for (uint64_t seed = 1; seed < 20; seed++) {
		cr_expect_eq(one_run(seed, &a, &c), one_run(seed, &b, &d));
		cr_expect_arr_eq(a.number, b.number, sizeof(a.number));
		cr_expect_eq(c, d);
		cr_expect_neq(
		    one_run(seed, &a, &c), one_run(seed + 1000, &b, &d));
		cr_expect_neq(c, d);
	}
}

Test(simenv, nothing_runs_inside_a_post)
{
	static struct seen seen;

	begin(&seen, 1, record);
	post(&seen, 0, 0, 0);
	cr_expect_eq(seen.n, 0);
	cr_expect_eq(simenv_queued(seen.s), 1);
	cr_expect_eq(simenv_run_idle(seen.s, 10), 1);
	cr_expect_eq(seen.n, 1);
	cr_expect_eq(seen.n_turns, 1);
	cr_expect_eq(simenv_step(seen.s), 0);
	simenv_free(seen.s);
}

static void
fan_out(struct msg *m)
{
	struct seen *seen = *(struct seen **)(void *)(m + 1);

	for (uint32_t i = 0; i < 50; i++)
		post(seen, 2, simenv_worker(seen->s), i);
	free(m);
}

static void
call_or_record(void *arg, uint32_t worker, struct msg *m)
{
	if (m->kind == MSG_CALL)
		m->fn(m);
	else
		record(arg, worker, m);
}

static void
post_call(struct seen *seen, uint32_t to, void (*fn)(struct msg *m))
{
	struct msg *m = calloc(1, sizeof(*m) + sizeof(seen));

	m->kind = MSG_CALL;
	m->fn = fn;
	memcpy(m + 1, &seen, sizeof(seen));
	seen->env->post.to_worker(seen->env->post.ctx, to, m);
}

Test(simenv, each_senders_order_is_kept_and_senders_are_mixed)
{
	static struct seen seen;
	size_t n_mixed = 0;

	for (uint64_t seed = 0; seed < 20; seed++) {
		uint32_t next[2] = {0};
		size_t changes = 0;

		begin(&seen, seed, call_or_record);
		post_call(&seen, 0, fan_out);
		post_call(&seen, 1, fan_out);
		simenv_run_idle(seen.s, UINT64_MAX);
		cr_assert_eq(seen.n, 100);
		for (size_t i = 0; i < 100; i++) {
			cr_assert_eq(seen.number[i], next[seen.from[i]]++);
			changes += i && seen.from[i] != seen.from[i - 1];
		}
		n_mixed += changes > 2;
		simenv_free(seen.s);
	}
	cr_expect_gt(n_mixed, 5);
}

struct job {
	struct env_job job;
	struct seen *seen;
	uint32_t number;
};

static void
run_job(struct env_job *j)
{
	struct job *job = CONTAINER_OF(j, struct job, job);
	struct seen *seen = job->seen;

	cr_assert_eq(simenv_worker(seen->s), SIMENV_NO_WORKER);
	seen->number[seen->n_jobs++] = job->number;
	post(seen, 0, 0, job->number);
	free(job);
}

static void
post_jobs(struct seen *seen, enum env_lane lane, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct job *job = malloc(sizeof(*job));

		*job = (struct job){{.run = run_job}, seen, i};
		seen->env->post.to_lane(seen->env->post.ctx, lane, &job->job);
	}
}

static void
forget(void *arg, uint32_t worker, struct msg *m)
{
	(void)arg;
	(void)worker;
	free(m);
}

Test(simenv, lanes_run_jobs_in_order_but_for_the_reading_one)
{
	static struct seen seen;
	size_t n_late = 0;

	begin(&seen, 3, forget);
	post_jobs(&seen, LANE_JOURNAL, 40);
	simenv_run_idle(seen.s, UINT64_MAX);
	cr_assert_eq(seen.n_jobs, 40);
	for (uint32_t i = 0; i < 40; i++)
		cr_expect_eq(seen.number[i], i);
	seen.n_jobs = 0;
	/* The queue stays short, so that often its last job is taken. */
	for (int i = 0; i < 20; i++) {
		post_jobs(&seen, LANE_READ, 2);
		simenv_run_idle(seen.s, 3);
	}
	simenv_run_idle(seen.s, UINT64_MAX);
	cr_assert_eq(seen.n_jobs, 40);
	for (uint32_t i = 0; i < 40; i++)
		n_late += i && seen.number[i] < seen.number[i - 1];
	cr_expect_gt(n_late, 5);
	simenv_free(seen.s);
}

static void
tick(void *arg)
{
	struct seen *seen = arg;

	if (++seen->n < 5)
		return;
	seen->env->timers.stop(seen->env->timers.ctx, seen->timer);
	seen->timer = NULL;
}

static int
ticked(void *arg)
{
	return ((struct seen *)arg)->n == 5;
}

Test(simenv, what_is_held_waits)
{
	static struct seen seen;

	begin(&seen, 3, forget);
	simenv_hold_lane(seen.s, LANE_JOURNAL, 1);
	simenv_hold_worker(seen.s, 0, 1);
	seen.timer =
	    seen.env->timers.start(seen.env->timers.ctx, 0, 10, tick, &seen);
	simenv_advance(seen.s, 10);
	post_jobs(&seen, LANE_JOURNAL, 1);
	post(&seen, 0, 0, 0);
	cr_expect_eq(simenv_run_idle(seen.s, 10), 0);
	simenv_hold_lane(seen.s, LANE_JOURNAL, 0);
	cr_expect_eq(simenv_run_idle(seen.s, 10), 1);
	simenv_hold_worker(seen.s, 0, 0);
	cr_expect_eq(seen.n, 0);
	cr_expect(simenv_run_until(seen.s, ticked, &seen, 100));
	simenv_run_idle(seen.s, 10);
	cr_expect_eq(simenv_queued(seen.s), 0);
	simenv_free(seen.s);
}

Test(simenv, the_clock_jumps_to_the_next_timer_when_nothing_else_is_to_do)
{
	static struct seen seen;
	struct mono start;

	begin(&seen, 3, forget);
	start = simenv_mono(seen.s);
	seen.timer = seen.env->timers.start(
	    seen.env->timers.ctx, 1, 1000000, tick, &seen);
	cr_expect_eq(simenv_step(seen.s), 0);
	cr_expect(simenv_run_until(seen.s, ticked, &seen, 100));
	cr_expect_eq(seen.n_turns, 5);
	cr_expect_null(seen.timer);
	cr_expect_eq(mono_diff_us(start, simenv_mono(seen.s)) / 1000000, 5);
	cr_expect_eq(simenv_skip(seen.s), 0);
	simenv_free(seen.s);
}

Test(simenv, the_wall_clock_may_jump_and_the_monotonic_one_does_not)
{
	struct simenv *s = new_sim(1);
	const struct env *env = simenv_env(s);
	struct wall before = env->clock.wall(env->clock.ctx);
	struct mono mono = env->clock.mono(env->clock.ctx);

	simenv_advance(s, 5000);
	cr_expect_eq(env->clock.wall(env->clock.ctx).ms, before.ms + 5);
	simenv_set_wall(s, (struct wall){1000});
	cr_expect_eq(env->clock.wall(env->clock.ctx).ms, 1000);
	simenv_advance(s, 2000);
	cr_expect_eq(env->clock.wall(env->clock.ctx).ms, 1002);
	cr_expect_eq(mono_diff_us(mono, env->clock.mono(env->clock.ctx)), 7000);
	simenv_free(s);
}

static void
drop(void *arg, struct msg *m)
{
	((struct seen *)arg)->n_dropped++;
	free(m);
}

/* The death of one job makes another message, as a completion would. */
static void
drop_job(void *arg, enum env_lane lane, struct env_job *job)
{
	(void)lane;
	post(arg, 0, 0, 0);
	free(CONTAINER_OF(job, struct job, job));
}

Test(simenv, a_killed_process_runs_no_more_and_leaves_nothing)
{
	static struct seen seen;

	begin(&seen, 3, record);
	simenv_set_drop(seen.s, drop, &seen);
	simenv_set_drop_job(seen.s, drop_job, &seen);
	seen.env->timers.start(seen.env->timers.ctx, 1, 1000, tick, &seen);
	for (uint32_t i = 0; i < 6; i++)
		post(&seen, i % WORKERS, 0, i);
	post_jobs(&seen, LANE_JOURNAL, 2);
	post_jobs(&seen, LANE_READ, 2);
	simenv_hold_worker(seen.s, 0, 1);
	simenv_kill(seen.s);
	cr_expect_eq(seen.n_dropped, 10);
	cr_expect_eq(simenv_queued(seen.s), 0);
	cr_expect_eq(simenv_skip(seen.s), 0, "no timer is left");
	cr_expect_eq(seen.n + seen.n_jobs, 0);
	post(&seen, 0, 0, 0);
	cr_expect_eq(simenv_run_idle(seen.s, 10), 1, "the next process lives");
	simenv_free(seen.s);
}

Test(simenv, the_disk_of_the_env_is_the_one_that_was_given)
{
	struct memdisk *md = memdisk_new(NULL);
	struct simenv *s = new_sim(1);
	const struct env *env = simenv_env(s);

	simenv_set_disk(s, memdisk_disk(md));
	cr_expect_eq(env->disk.mkdir(env->disk.ctx, "d"), 0);
	cr_expect_eq(memdisk_ops(md), 1);
	simenv_free(s);
	memdisk_free(md);
}

static int
count_send(void *ctx, uint32_t worker, const uint8_t to[16],
    enum env_channel channel, const struct iovec *iov, int n)
{
	(void)worker;
	(void)to;
	(void)channel;
	(void)iov;
	*(int *)ctx += n;
	return 0;
}

Test(simenv, a_node_has_no_peers_until_it_is_given_a_net)
{
	struct simenv *s = new_sim(1);
	const struct env *env = simenv_env(s);
	const uint8_t to[16] = {1};
	int n_slices = 0;
	struct env_net net = {.send = count_send, .ctx = &n_slices};
	struct iovec iov = {NULL, 0};

	cr_expect_eq(env->net.send(env->net.ctx, 0, to, NET_CONTROL, &iov, 1),
	    -ERR_NOTFOUND);
	simenv_set_net(s, &net);
	cr_expect_eq(
	    env->net.send(env->net.ctx, 0, to, NET_CONTROL, &iov, 1), 0);
	cr_expect_eq(n_slices, 1);
	simenv_free(s);
}

Test(simenv, nothing_runs_while_it_is_paused_and_late_timers_fire_once)
{
	static struct seen seen;

	begin(&seen, 4, record);
	seen.env->timers.start(seen.env->timers.ctx, 0, 1000, tick, &seen);
	post(&seen, 1, 0, 7);
	cr_expect_eq(simenv_next(seen.s).us, simenv_mono(seen.s).us);
	simenv_pause(seen.s, 1);
	cr_expect_eq(simenv_next(seen.s).us, UINT64_MAX);
	simenv_advance(seen.s, 50000);
	cr_expect_eq(simenv_step(seen.s), 0);
	cr_expect_eq(simenv_skip(seen.s), 0);
	simenv_pause(seen.s, 0);
	cr_expect_eq(simenv_run_idle(seen.s, 100), 2, "message, timer");
	simenv_free(seen.s);
}

Test(simenv, several_share_one_time_by_stepping_the_one_that_is_next)
{
	static struct seen seen[3];
	struct mono last = {0};
	size_t n = 0;

	for (uint64_t i = 0; i < 3; i++) {
		begin(&seen[i], i, record);
		seen[i].env->timers.start(seen[i].env->timers.ctx, 0,
		    1000 * (i + 1), count_tick, &seen[i]);
	}
	while (last.us < 1100500) {
		struct simenv *next = seen[0].s;

		for (int i = 1; i < 3; i++)
			if (simenv_next(seen[i].s).us < simenv_next(next).us)
				next = seen[i].s;
		cr_assert_geq(simenv_next(next).us, last.us);
		last = simenv_next(next);
		simenv_advance_to(next, last);
		simenv_advance_to(next, (struct mono){1});
		n += (size_t)simenv_step(next);
	}
	cr_expect_eq(seen[0].n_turns, 101);
	cr_expect_eq(seen[1].n_turns, 50);
	cr_expect_eq(seen[2].n_turns, 33);
	cr_expect_eq(n, 100 + 1 + 50 + 33);
	for (int i = 0; i < 3; i++)
		simenv_free(seen[i].s);
}
