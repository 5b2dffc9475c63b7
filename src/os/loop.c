/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * loop - a worker: one thread, one event base, one mailbox.
 *
 * The mailbox is a stack that posters push to with one compare-and-swap and the
 * worker takes whole, then reverses: first in, first out for each sender.
 *
 * Sleeping.  Before the loop may block, the worker sets `asleep` and then looks
 * at the inbox once more; a poster pushes first and then looks at `asleep`
 * (both sequentially consistent).  So either the worker sees the message, or
 * the poster sees that it must write to the eventfd; a worker that is awake
 * costs no system call.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/os/net_impl.h"

/* Messages handled before sockets get their turn. */
#define MESSAGES_PER_TURN 1024

struct env_timer {
	struct event *ev;
	const struct env_clock *clock;
	uint64_t period_us;
	env_timer_fn fn;
	void *arg;
};

static void
wake(struct os_worker *w)
{
	uint64_t one = 1;

	while (write(w->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void
loop_post(void *ctx, uint32_t worker, struct msg *m)
{
	struct os *os = ctx;
	struct os_worker *w = &os->workers[worker];

	ASSERT(worker < os->config.n_workers);
	m->next = atomic_load_explicit(&w->inbox, memory_order_relaxed);
	while (!atomic_compare_exchange_weak(&w->inbox, &m->next, m))
		;
	if (atomic_load(&w->asleep) && atomic_exchange(&w->asleep, 0))
		wake(w);
}

/* Moves the inbox behind what is still to do. */
static void
take_inbox(struct os_worker *w)
{
	struct msg *m = atomic_exchange(&w->inbox, NULL);
	struct msg *fifo = NULL, *next;

	ASSERT(!w->todo);
	for (; m; m = next) {
		next = m->next;
		m->next = fifo;
		fifo = m;
	}
	w->todo = fifo;
}

/* Handles what there is, up to a bound; the turn ends with config.turn. */
static int
drain(struct os_worker *w)
{
	struct os *os = w->os;
	uint32_t n = 0;

	while (n < MESSAGES_PER_TURN) {
		struct msg *m;

		if (!w->todo)
			take_inbox(w);
		m = w->todo;
		if (!m)
			break;
		w->todo = m->next;
		m->next = NULL;
		os->config.dispatch(os->config.arg, w->id, m);
		n++;
	}
	if (os->config.turn)
		os->config.turn(os->config.arg, w->id);
	if (os->net)
		net_flush(os->net, w->id);
	return n > 0;
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	uint64_t n;

	(void)what;
	(void)arg;
	while (read(fd, &n, sizeof(n)) < 0 && errno == EINTR)
		;
}

static void *
run(void *arg)
{
	struct os_worker *w = arg;
	char name[16];

	snprintf(name, sizeof(name), "worker-%u", w->id);
	os_thread_begin(name);
	while (!atomic_load(&w->os->stopping)) {
		int flags = EVLOOP_ONCE;

		drain(w);
		atomic_store(&w->asleep, 1);
		if (w->todo || atomic_load(&w->inbox) ||
		    atomic_load(&w->os->stopping)) {
			atomic_store(&w->asleep, 0);
			flags = EVLOOP_NONBLOCK;
		}
		event_base_loop(w->base, flags);
		atomic_store(&w->asleep, 0);
	}
	if (w->os->net)
		net_flush(w->os->net, w->id);
	return NULL;
}

static void
on_signal(evutil_socket_t signo, short what, void *arg)
{
	struct os_worker *w = arg;

	(void)what;
	w->os->config.signal(w->os->config.arg, (int)signo);
}

static int
watch_signals(struct os_worker *w)
{
	static const int signals[3] = {SIGTERM, SIGINT, SIGHUP};

	for (int i = 0; i < 3; i++) {
		w->signals[i] = evsignal_new(w->base, signals[i], on_signal, w);
		if (!w->signals[i] || event_add(w->signals[i], NULL))
			return -ERR_NOMEM;
	}
	return 0;
}

static struct event_base *
new_base(void)
{
	struct event_config *c = event_config_new();
	struct event_base *base = NULL;

	if (!c)
		return NULL;
	if (event_config_set_flag(c, EVENT_BASE_FLAG_NOLOCK) == 0 &&
	    event_config_set_flag(c, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST) == 0)
		base = event_base_new_with_config(c);
	event_config_free(c);
	return base;
}

int
loop_init(struct os_worker *w, struct os *os, uint32_t id)
{
	w->os = os;
	w->id = id;
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->base = new_base();
	if (w->wake_fd < 0 || !w->base)
		return -ERR_SYSTEM;
	w->wake =
	    event_new(w->base, w->wake_fd, EV_READ | EV_PERSIST, on_wake, w);
	if (!w->wake || event_add(w->wake, NULL))
		return -ERR_NOMEM;
	return id == 0 && os->config.signal ? watch_signals(w) : 0;
}

int
loop_start(struct os_worker *w)
{
	if (pthread_create(&w->thread, NULL, run, w))
		return -ERR_SYSTEM;
	w->started = 1;
	return 0;
}

/* Frames came for a worker that had ended. */
static void
free_frames(struct msg *m)
{
	struct msg *next;

	for (; m; m = next) {
		next = m->next;
		if (m->kind == MSG_FRAME)
			net_frame_free(CONTAINER_OF(m, struct net_frame, msg));
	}
}

void
loop_deinit(struct os_worker *w)
{
	free_frames(w->todo);
	free_frames(atomic_load(&w->inbox));
	for (int i = 0; i < 3; i++)
		if (w->signals[i])
			event_free(w->signals[i]);
	if (w->wake)
		event_free(w->wake);
	if (w->base)
		event_base_free(w->base);
	if (w->wake_fd >= 0)
		close(w->wake_fd);
}

/*
 * Timers of one period run at the same moments, whoever started them and when,
 * also in other nodes of this machine: so an idle node wakes up seldom.
 */
static int
arm(struct env_timer *t)
{
	uint64_t now = t->clock->mono(t->clock->ctx).us;
	uint64_t left = t->period_us - now % t->period_us;
	struct timeval tv;

	if (left < t->period_us / 8) /* a little early: that one is now */
		left += t->period_us;
	tv = (struct timeval){
	    (time_t)(left / 1000000), (suseconds_t)(left % 1000000)};
	return event_add(t->ev, &tv);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct env_timer *t = arg;

	(void)fd;
	(void)what;
	arm(t);
	t->fn(t->arg); /* may stop T */
}

struct env_timer *
loop_timer_start(
    void *ctx, uint32_t worker, uint64_t period_us, env_timer_fn fn, void *arg)
{
	struct os *os = ctx;
	struct env_timer *t = mem_zalloc(sizeof(*t));

	if (!t)
		return NULL;
	t->fn = fn;
	t->arg = arg;
	t->period_us = period_us;
	t->clock = &os->env.clock;
	t->ev = event_new(os->workers[worker].base, -1, 0, on_timer, t);
	if (!t->ev || arm(t)) {
		if (t->ev)
			event_free(t->ev);
		return mem_free(t);
	}
	return t;
}

void
loop_timer_stop(void *ctx, struct env_timer *t)
{
	(void)ctx;
	if (!t)
		return;
	event_free(t->ev);
	mem_free(t);
}
