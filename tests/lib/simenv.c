/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * simenv - queues, a scheduler that throws dice, and virtual clocks.
 *
 * Messages wait in one queue for each pair of sender and worker, so that the
 * order of one sender is kept and everything else may happen.  Senders are the
 * workers, then the lanes, then whoever posts from outside of a step.
 */
#include "tests/lib/simenv.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/hash.h"
#include "src/base/list.h"
#include "tests/lib/chance.h"

#define START_US     1000000
#define START_MS     UINT64_C(1767225600000) /* 2026-01-01 */
#define STEP_US      200
#define BATCH_MAX    16
#define READERS      4 /* jobs of LANE_READ that may overtake each other */
#define TIMER_MAGIC  0x52454d54u
#define SENDERS_MORE (LANE_COUNT + 1)

struct queue {
	struct msg *first, **last;
};

struct lane {
	struct env_job *first, **last;
	uint64_t n;
	int is_held;
};

struct env_timer {
	uint32_t magic;
	struct list link;
	uint32_t worker;
	uint64_t period_us, due_us;
	env_timer_fn fn;
	void *arg;
};

struct simenv {
	struct env env;
	struct simenv_config config;
	struct chance steps, bytes;
	uint32_t n_senders;
	struct queue *queues; /* [worker * n_senders + sender] */
	uint64_t *n_queued;   /* per worker */
	uint8_t *is_held;     /* per worker */
	struct lane lanes[LANE_COUNT];
	struct list timers;
	uint64_t now_us, wall_ms, wall_at_us;
	uint32_t sender; /* who posts now */
	int is_inside;   /* a step */
	int is_killing, is_paused;
	uint64_t n_steps, trace;
	simenv_dispatch_fn dispatch;
	simenv_turn_fn turn;
	simenv_drop_fn drop;
	simenv_drop_job_fn drop_job;
	void *dispatch_arg, *turn_arg, *drop_arg, *drop_job_arg;
};

static void *
xcalloc(size_t n, size_t size)
{
	void *p = calloc(n, size);

	ASSERT(p);
	return p;
}

static uint32_t
outside(const struct simenv *s)
{
	return s->n_senders - 1;
}

static void
trace(struct simenv *s, uint64_t what, uint64_t where, uint64_t detail)
{
	uint64_t step[] = {what, where, detail, s->now_us};

	s->trace = hash64(step, sizeof(step), s->trace);
}

/* --- the tables of env ---------------------------------------------------- */

static struct mono
env_mono(void *ctx)
{
	return simenv_mono(ctx);
}

static struct wall
env_wall(void *ctx)
{
	struct simenv *s = ctx;

	return (struct wall){s->wall_ms + (s->now_us - s->wall_at_us) / 1000};
}

static void
env_bytes(void *ctx, void *out, size_t n)
{
	struct simenv *s = ctx;

	for (size_t i = 0; i < n; i++)
		((uint8_t *)out)[i] = (uint8_t)(chance_next(&s->bytes) >> 32);
}

static struct env_timer *
env_timer_start(
    void *ctx, uint32_t worker, uint64_t period_us, env_timer_fn fn, void *arg)
{
	struct simenv *s = ctx;
	struct env_timer *t = xcalloc(1, sizeof(*t));

	ASSERT(worker < s->config.n_workers && period_us > 0);
	ASSERT(!s->is_inside || s->sender == worker);
	*t = (struct env_timer){
	    .magic = TIMER_MAGIC,
	    .worker = worker,
	    .period_us = period_us,
	    .due_us = s->now_us + period_us,
	    .fn = fn,
	    .arg = arg,
	};
	list_add_tail(&s->timers, &t->link);
	return t;
}

static void
env_timer_stop(void *ctx, struct env_timer *t)
{
	struct simenv *s = ctx;

	if (!t)
		return;
	ASSERT(t->magic == TIMER_MAGIC);
	ASSERT(!s->is_inside || s->sender == t->worker);
	list_del(&t->link);
	t->magic = 0;
	free(t);
}

static void
drop_msg(struct simenv *s, struct msg *m)
{
	if (s->drop)
		s->drop(s->drop_arg, m);
}

static void
drop_job(struct simenv *s, enum env_lane lane, struct env_job *job)
{
	if (s->drop_job)
		s->drop_job(s->drop_job_arg, lane, job);
}

static void
env_to_worker(void *ctx, uint32_t worker, struct msg *m)
{
	struct simenv *s = ctx;
	struct queue *q;

	ASSERT(worker < s->config.n_workers);
	if (s->is_killing) {
		drop_msg(s, m);
		return;
	}
	q = &s->queues[worker * s->n_senders + s->sender];
	m->next = NULL;
	*q->last = m;
	q->last = &m->next;
	s->n_queued[worker]++;
}

static void
env_to_lane(void *ctx, enum env_lane lane, struct env_job *job)
{
	struct simenv *s = ctx;
	struct lane *l = &s->lanes[lane];

	ASSERT(lane < LANE_COUNT);
	if (s->is_killing) {
		drop_job(s, lane, job);
		return;
	}
	job->next = NULL;
	*l->last = job;
	l->last = &job->next;
	l->n++;
}

static int
env_net_send(void *ctx, uint32_t worker, const uint8_t to[16],
    enum env_channel channel, const struct iovec *iov, int n)
{
	(void)ctx;
	(void)worker;
	(void)to;
	(void)channel;
	(void)iov;
	(void)n;
	return -ERR_NOTFOUND;
}

/* --- one step ------------------------------------------------------------- */

static struct msg *
take_msg(struct simenv *s, uint32_t worker, uint32_t sender)
{
	struct queue *q = &s->queues[worker * s->n_senders + sender];
	struct msg *m = q->first;

	if (!m)
		return NULL;
	q->first = m->next;
	if (!q->first)
		q->last = &q->first;
	m->next = NULL;
	s->n_queued[worker]--;
	return m;
}

/* The next message of a sender drawn from those that have one. */
static struct msg *
take_any(struct simenv *s, uint32_t worker)
{
	uint32_t at = (uint32_t)chance_below(&s->steps, s->n_senders);
	struct msg *m = NULL;

	for (uint32_t i = 0; !m && i < s->n_senders; i++)
		m = take_msg(s, worker, (at + i) % s->n_senders);
	return m;
}

static void
turn(struct simenv *s, uint32_t worker)
{
	if (s->turn)
		s->turn(s->turn_arg, worker);
}

static void
run_worker(struct simenv *s, uint32_t worker)
{
	struct msg *batch[BATCH_MAX];
	uint64_t n = 1 + chance_below(&s->steps, BATCH_MAX);

	if (n > s->n_queued[worker])
		n = s->n_queued[worker];
	for (uint64_t i = 0; i < n; i++)
		batch[i] = take_any(s, worker);
	s->sender = worker;
	for (uint64_t i = 0; i < n; i++) {
		struct msg *m = batch[i];

		trace(s, 1, worker, (uint64_t)m->kind << 1 | m->answer);
		if (s->dispatch) {
			s->dispatch(s->dispatch_arg, worker, m);
			continue;
		}
		ASSERT(m->kind == MSG_CALL && m->fn);
		m->fn(m);
	}
	turn(s, worker);
}

static void
run_lane(struct simenv *s, enum env_lane lane)
{
	struct lane *l = &s->lanes[lane];
	struct env_job **at = &l->first, *job;
	uint64_t n = l->n < READERS ? l->n : READERS;

	if (lane == LANE_READ)
		for (n = chance_below(&s->steps, n); n > 0; n--)
			at = &(*at)->next;
	job = *at;
	*at = job->next;
	if (l->last == &job->next)
		l->last = at;
	l->n--;
	job->next = NULL;
	s->sender = s->config.n_workers + lane;
	trace(s, 2, lane, l->n);
	job->run(job);
}

static void
run_timer(struct simenv *s, struct env_timer *t)
{
	uint32_t worker = t->worker;

	/* A late timer fires once, as the real ones do. */
	t->due_us += t->period_us;
	if (t->due_us <= s->now_us)
		t->due_us = s->now_us + t->period_us;
	s->sender = worker;
	trace(s, 3, worker, t->period_us);
	t->fn(t->arg); /* which may stop T */
	turn(s, worker);
}

static int
is_due(const struct simenv *s, const struct env_timer *t)
{
	return t->due_us <= s->now_us && !s->is_held[t->worker];
}

/* Runs the runnable thing at place AT, or returns how many there are. */
static uint64_t
runnable(struct simenv *s, uint64_t at)
{
	uint64_t n = 0;

	for (uint32_t w = 0; w < s->config.n_workers; w++) {
		if (s->n_queued[w] == 0 || s->is_held[w])
			continue;
		if (n++ == at) {
			run_worker(s, w);
			return 0;
		}
	}
	for (int i = 0; i < LANE_COUNT; i++) {
		if (s->lanes[i].n == 0 || s->lanes[i].is_held)
			continue;
		if (n++ == at) {
			run_lane(s, (enum env_lane)i);
			return 0;
		}
	}
	LIST_FOREACH (l, &s->timers) {
		struct env_timer *t = LIST_ENTRY(l, struct env_timer, link);

		if (is_due(s, t) && n++ == at) {
			run_timer(s, t);
			return 0;
		}
	}
	return n;
}

int
simenv_step(struct simenv *s)
{
	uint64_t n;

	ASSERT(!s->is_inside);
	n = s->is_paused ? 0 : runnable(s, UINT64_MAX);
	if (n == 0)
		return 0;
	s->is_inside = 1;
	s->n_steps++;
	runnable(s, chance_below(&s->steps, n));
	s->now_us += 1 + chance_below(&s->steps, s->config.step_max_us);
	s->sender = outside(s);
	s->is_inside = 0;
	return 1;
}

/* When the earliest timer that can fire is due. */
static uint64_t
first_due(const struct simenv *s)
{
	uint64_t first = UINT64_MAX;

	LIST_FOREACH (l, &s->timers) {
		struct env_timer *t = LIST_ENTRY(l, struct env_timer, link);

		if (!s->is_held[t->worker] && t->due_us < first)
			first = t->due_us;
	}
	return first;
}

int
simenv_skip(struct simenv *s)
{
	uint64_t first = s->is_paused ? UINT64_MAX : first_due(s);

	if (first == UINT64_MAX)
		return 0;
	simenv_advance_to(s, (struct mono){first});
	return 1;
}

uint64_t
simenv_run_idle(struct simenv *s, uint64_t max)
{
	uint64_t n = 0;

	while (n < max && simenv_step(s))
		n++;
	return n;
}

int
simenv_run_until(
    struct simenv *s, int (*cond)(void *arg), void *arg, uint64_t max)
{
	int r;

	for (uint64_t n = 0; (r = cond(arg)) == 0 && n < max; n++)
		if (!simenv_step(s) && !simenv_skip(s))
			break;
	return r;
}

/* --- the rest ------------------------------------------------------------- */

struct simenv *
simenv_new(const struct simenv_config *config)
{
	struct simenv *s = xcalloc(1, sizeof(*s));
	uint32_t n_queues;

	ASSERT(config->n_workers > 0);
	s->config = *config;
	if (s->config.step_max_us == 0)
		s->config.step_max_us = STEP_US;
	s->steps.state = config->seed;
	s->bytes.state = ~config->seed;
	s->n_senders = config->n_workers + SENDERS_MORE;
	s->sender = outside(s);
	n_queues = config->n_workers * s->n_senders;
	s->queues = xcalloc(n_queues, sizeof(*s->queues));
	for (uint32_t i = 0; i < n_queues; i++)
		s->queues[i].last = &s->queues[i].first;
	s->n_queued = xcalloc(config->n_workers, sizeof(*s->n_queued));
	s->is_held = xcalloc(config->n_workers, sizeof(*s->is_held));
	for (int i = 0; i < LANE_COUNT; i++)
		s->lanes[i].last = &s->lanes[i].first;
	list_init(&s->timers);
	s->now_us = s->wall_at_us = START_US;
	s->wall_ms = config->start.ms ? config->start.ms : START_MS;
	s->env = (struct env){
	    .clock = {.mono = env_mono, .wall = env_wall, .ctx = s},
	    .rng = {.bytes = env_bytes, .ctx = s},
	    .timers = {.start = env_timer_start,
		.stop = env_timer_stop,
		.ctx = s},
	    .post = {.to_worker = env_to_worker,
		.to_lane = env_to_lane,
		.n_workers = config->n_workers,
		.ctx = s},
	};
	simenv_set_disk(s, config->disk);
	simenv_set_net(s, NULL);
	return s;
}

struct simenv *
simenv_free(struct simenv *s)
{
	if (!s)
		return NULL;
	simenv_kill(s);
	free(s->queues);
	free(s->n_queued);
	free(s->is_held);
	free(s);
	return NULL;
}

const struct env *
simenv_env(struct simenv *s)
{
	return &s->env;
}

void
simenv_set_disk(struct simenv *s, const struct env_disk *disk)
{
	s->env.disk = disk ? *disk : (struct env_disk){0};
}

void
simenv_set_net(struct simenv *s, const struct env_net *net)
{
	s->env.net = net ? *net : (struct env_net){.send = env_net_send};
}

void
simenv_set_dispatch(struct simenv *s, simenv_dispatch_fn fn, void *arg)
{
	s->dispatch = fn;
	s->dispatch_arg = arg;
}

void
simenv_set_turn(struct simenv *s, simenv_turn_fn fn, void *arg)
{
	s->turn = fn;
	s->turn_arg = arg;
}

void
simenv_set_drop(struct simenv *s, simenv_drop_fn fn, void *arg)
{
	s->drop = fn;
	s->drop_arg = arg;
}

void
simenv_set_drop_job(struct simenv *s, simenv_drop_job_fn fn, void *arg)
{
	s->drop_job = fn;
	s->drop_job_arg = arg;
}

void
simenv_hold_lane(struct simenv *s, enum env_lane lane, int hold)
{
	s->lanes[lane].is_held = hold;
}

void
simenv_hold_worker(struct simenv *s, uint32_t worker, int hold)
{
	ASSERT(worker < s->config.n_workers);
	s->is_held[worker] = hold != 0;
}

void
simenv_pause(struct simenv *s, int pause)
{
	s->is_paused = pause;
}

uint32_t
simenv_worker(const struct simenv *s)
{
	return s->sender < s->config.n_workers ? s->sender : SIMENV_NO_WORKER;
}

struct mono
simenv_mono(const struct simenv *s)
{
	return (struct mono){s->now_us};
}

void
simenv_advance(struct simenv *s, uint64_t us)
{
	s->now_us += us;
}

void
simenv_advance_to(struct simenv *s, struct mono now)
{
	if (now.us > s->now_us)
		s->now_us = now.us;
}

struct mono
simenv_next(const struct simenv *s)
{
	uint64_t first;

	if (s->is_paused)
		return (struct mono){UINT64_MAX};
	for (uint32_t w = 0; w < s->config.n_workers; w++)
		if (s->n_queued[w] && !s->is_held[w])
			return (struct mono){s->now_us};
	for (int i = 0; i < LANE_COUNT; i++)
		if (s->lanes[i].n && !s->lanes[i].is_held)
			return (struct mono){s->now_us};
	first = first_due(s);
	return (struct mono){first > s->now_us ? first : s->now_us};
}

void
simenv_set_wall(struct simenv *s, struct wall now)
{
	s->wall_ms = now.ms;
	s->wall_at_us = s->now_us;
}

void
simenv_kill(struct simenv *s)
{
	ASSERT(!s->is_inside);
	s->is_killing = 1;
	for (uint32_t w = 0; w < s->config.n_workers; w++) {
		struct msg *m;

		for (uint32_t i = 0; i < s->n_senders; i++)
			while ((m = take_msg(s, w, i)))
				drop_msg(s, m);
		s->is_held[w] = 0;
	}
	s->is_paused = 0;
	for (int i = 0; i < LANE_COUNT; i++) {
		struct lane *l = &s->lanes[i];
		struct env_job *job = l->first, *next;

		*l = (struct lane){.last = &l->first};
		for (; job; job = next) {
			next = job->next;
			drop_job(s, (enum env_lane)i, job);
		}
	}
	while (!list_empty(&s->timers))
		env_timer_stop(s,
		    LIST_ENTRY(list_first(&s->timers), struct env_timer, link));
	s->is_killing = 0;
}

uint64_t
simenv_trace(const struct simenv *s)
{
	return s->trace;
}

uint64_t
simenv_steps(const struct simenv *s)
{
	return s->n_steps;
}

uint64_t
simenv_queued(const struct simenv *s)
{
	uint64_t n = 0;

	for (uint32_t w = 0; w < s->config.n_workers; w++)
		n += s->n_queued[w];
	for (int i = 0; i < LANE_COUNT; i++)
		n += s->lanes[i].n;
	return n;
}
