/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Mailboxes, turns, timers and signals of 1, 2 and 4 workers. */
#include <signal.h>

#include "tests/os/rig.h"

static const uint32_t sizes[] = {1, 2, 4};

/* --- many posters --------------------------------------------------------- */

#define N_POSTERS 4
#define N_EACH    4000 /* from each poster to each worker */

struct flood;

struct drop {
	struct msg msg;
	struct flood *flood;
	uint32_t poster, number, worker;
};

struct flood {
	struct rig *rig;
	uint32_t n_workers;
	uint32_t next[4][N_POSTERS]; /* by worker: the number expected */
	atomic_uint n;
	struct drop *drops[N_POSTERS];
};

static void
fell(struct msg *m)
{
	struct drop *d = CONTAINER_OF(m, struct drop, msg);

	CHECK_EQ(d->number, d->flood->next[d->worker][d->poster]++);
	atomic_fetch_add(&d->flood->n, 1);
}

struct poster {
	pthread_t thread;
	struct flood *flood;
	uint32_t id;
};

/* Bursts, and pauses in which a worker may fall asleep. */
static void *
pour(void *arg)
{
	struct poster *p = arg;
	struct flood *f = p->flood;
	struct drop *d = f->drops[p->id];

	for (uint32_t i = 0; i < N_EACH; i++) {
		for (uint32_t w = 0; w < f->n_workers; w++, d++) {
			*d = (struct drop){.flood = f,
			    .poster = p->id,
			    .number = i,
			    .worker = w};
			rig_post(f->rig, w, &d->msg, fell);
		}
		if (i % 97 == p->id)
			rig_pause_us(50);
	}
	return NULL;
}

static const char *
many_posters_order_is_kept_and_nothing_is_lost(void)
{
	for (size_t k = 0; k < 3; k++) {
		static struct flood f;
		struct poster posters[N_POSTERS];
		uint32_t w = sizes[k];

		memset(&f, 0, sizeof(f));
		f.rig = rig_new(w, 0);
		f.n_workers = w;
		rig_start(f.rig);
		for (uint32_t i = 0; i < N_POSTERS; i++) {
			f.drops[i] =
			    calloc((size_t)N_EACH * w, sizeof(struct drop));
			posters[i] = (struct poster){.flood = &f, .id = i};
			CHECK(!pthread_create(
			    &posters[i].thread, NULL, pour, &posters[i]));
		}
		for (uint32_t i = 0; i < N_POSTERS; i++)
			pthread_join(posters[i].thread, NULL);
		rig_await(&f.n, N_POSTERS * N_EACH * w);
		rig_free(f.rig);
		for (uint32_t i = 0; i < N_POSTERS; i++)
			free(f.drops[i]);
	}
	return NULL;
}

/* --- one message at a time ------------------------------------------------- */

struct ball {
	struct msg msg;
	struct rig *rig;
	uint32_t at, n_workers, left;
	atomic_uint done;
};

/* From worker to worker: each has fallen asleep when it comes. */
static void
pass(struct msg *m)
{
	struct ball *b = CONTAINER_OF(m, struct ball, msg);

	if (b->left-- == 0) {
		atomic_fetch_add(&b->done, 1);
		return;
	}
	b->at = (b->at + 1) % b->n_workers;
	rig_post(b->rig, b->at, &b->msg, pass);
}

static const char *
a_message_wakes_a_sleeping_worker(void)
{
	for (size_t k = 0; k < 3; k++) {
		struct ball b = {.n_workers = sizes[k], .left = 20000};

		b.rig = rig_new(b.n_workers, 0);
		rig_start(b.rig);
		rig_post(b.rig, 0, &b.msg, pass);
		rig_await(&b.done, 1);
		/* And from a thread that is none of the os. */
		for (unsigned i = 2; i < 300; i++) {
			b.left = 1;
			rig_post(b.rig, i % b.n_workers, &b.msg, pass);
			rig_await(&b.done, i);
		}
		rig_free(b.rig);
	}
	return NULL;
}

static const char *
what_is_posted_before_the_start_waits_for_it(void)
{
	struct ball b = {.n_workers = 2, .left = 3};

	b.rig = rig_new(2, 0);
	rig_post(b.rig, 1, &b.msg, pass);
	rig_pause_us(2000);
	CHECK_EQ(atomic_load(&b.done), 0);
	rig_start(b.rig);
	rig_await(&b.done, 1);
	rig_free(b.rig);
	return NULL;
}

/* --- turns ---------------------------------------------------------------- */

struct turns {
	struct msg msg;
	atomic_uint handled, seen_by_turn;
};

static struct turns turns;

static void
handled(struct msg *m)
{
	atomic_fetch_add(&CONTAINER_OF(m, struct turns, msg)->handled, 1);
}

static void
count_turn(struct rig *rig, uint32_t worker)
{
	(void)rig;
	(void)worker;
	atomic_store(&turns.seen_by_turn, atomic_load(&turns.handled));
}

static const char *
a_turn_follows_every_batch_of_messages(void)
{
	struct rig *rig = rig_new(1, 0);

	memset(&turns, 0, sizeof(turns));
	rig->on_turn = count_turn;
	rig_start(rig);
	for (unsigned i = 1; i <= 200; i++) {
		rig_post(rig, 0, &turns.msg, handled);
		rig_await(&turns.seen_by_turn, i);
	}
	rig_free(rig);
	return NULL;
}

/* --- timers --------------------------------------------------------------- */

#define N_TICKS 30

struct clock {
	struct rig *rig;
	uint32_t worker;
	uint64_t period_us, first_us;
	uint32_t stop_at;
	struct env_timer *timer;
	atomic_uint n;
	struct msg spin;
};

static void
tick(void *arg)
{
	struct clock *c = arg;

	CHECK(pthread_equal(c->rig->threads[c->worker], pthread_self()));
	if (atomic_fetch_add(&c->n, 1) + 1 == c->stop_at) {
		c->rig->env->timers.stop(c->rig->env->timers.ctx, c->timer);
		c->timer = NULL;
	}
}

static void
start_clock(void *arg)
{
	struct clock *c = arg;
	const struct env_timers *t = &c->rig->env->timers;

	c->first_us = rig_now_us();
	c->timer = t->start(t->ctx, c->worker, c->period_us, tick, c);
	CHECK(c->timer);
}

static void
stop_clock(void *arg)
{
	struct clock *c = arg;

	c->rig->env->timers.stop(c->rig->env->timers.ctx, c->timer);
	c->timer = NULL;
}

static const char *
timers_run_on_their_worker_not_too_often_until_stopped(void)
{
	for (size_t k = 0; k < 3; k++) {
		struct clock c[4] = {{0}};
		struct rig *rig = rig_new(sizes[k], 0);
		unsigned before;

		rig_start(rig);
		for (uint32_t w = 0; w < sizes[k]; w++) {
			c[w] = (struct clock){.rig = rig,
			    .worker = w,
			    .period_us = 3000 + 1000 * w,
			    .stop_at = w == 0 ? UINT32_MAX : N_TICKS};
			rig_on(rig, w, start_clock, &c[w]);
		}
		for (uint32_t w = 0; w < sizes[k]; w++) {
			uint64_t least = N_TICKS * c[w].period_us;

			rig_await(&c[w].n, N_TICKS);
			/* The loop's clock goes in ticks of the kernel's. */
			CHECK(rig_now_us() - c[w].first_us + 10000 >= least);
		}
		rig_on(rig, 0, stop_clock, &c[0]);
		before = atomic_load(&c[0].n);
		rig_pause_us(20000);
		CHECK_EQ(atomic_load(&c[0].n), before);
		for (uint32_t w = 1; w < sizes[k]; w++)
			CHECK_EQ(atomic_load(&c[w].n), N_TICKS);
		rig_free(rig);
	}
	return NULL;
}

/* Posts itself for as long as the timer has not run. */
static void
spin(struct msg *m)
{
	struct clock *c = CONTAINER_OF(m, struct clock, spin);

	if (atomic_load(&c->n) < 5)
		rig_post(c->rig, 0, m, spin);
}

static const char *
messages_without_end_do_not_keep_timers_from_running(void)
{
	struct clock c = {.period_us = 2000, .stop_at = 5};

	c.rig = rig_new(1, 0);
	rig_start(c.rig);
	rig_on(c.rig, 0, start_clock, &c);
	rig_post(c.rig, 0, &c.spin, spin);
	rig_await(&c.n, 5);
	rig_free(c.rig);
	return NULL;
}

/* --- the end, and signals -------------------------------------------------- */

static void
stop_from_inside(void *arg)
{
	os_stop(((struct rig *)arg)->os);
}

static const char *
a_stop_ends_all_threads_from_inside_and_outside_asleep_or_not(void)
{
	for (size_t k = 0; k < 3; k++)
		for (int i = 0; i < 30; i++) {
			struct rig *rig = rig_new(sizes[k], 0);

			rig_start(rig);
			if (i % 3 == 0)
				rig_pause_us(1000); /* all are asleep */
			if (i % 2)
				rig_on(
				    rig, sizes[k] - 1, stop_from_inside, rig);
			rig_free(rig);
		}
	return NULL;
}

static const char *
one_that_was_never_started_can_be_closed(void)
{
	rig_free(rig_new(4, 3));
	return NULL;
}

static const char *
signals_are_heard_on_worker_0(void)
{
	static const int signals[] = {SIGHUP, SIGTERM, SIGINT, SIGHUP};
	struct rig *rig = rig_new_with_signals(2);

	rig_start(rig);
	for (size_t i = 0; i < 4; i++) {
		atomic_store(&rig->signo, 0);
		kill(getpid(), signals[i]);
		while (atomic_load(&rig->signo) != signals[i])
			rig_pause_us(200);
	}
	rig_free(rig);
	return NULL;
}

#define TEST(name)                                                             \
	{                                                                      \
#name, name                                                    \
	}

const struct test loop_tests[] = {
    TEST(many_posters_order_is_kept_and_nothing_is_lost),
    TEST(a_message_wakes_a_sleeping_worker),
    TEST(what_is_posted_before_the_start_waits_for_it),
    TEST(a_turn_follows_every_batch_of_messages),
    TEST(timers_run_on_their_worker_not_too_often_until_stopped),
    TEST(messages_without_end_do_not_keep_timers_from_running),
    TEST(a_stop_ends_all_threads_from_inside_and_outside_asleep_or_not),
    TEST(one_that_was_never_started_can_be_closed),
    TEST(signals_are_heard_on_worker_0),
    {NULL, NULL},
};
