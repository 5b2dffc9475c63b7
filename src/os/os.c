/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* os - putting threads, clock, chance and disk together as an env. */
#include "src/os/os.h"

#include <errno.h>
#include <signal.h>
#include <sys/random.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/os/net_impl.h"

static struct mono
clock_mono(void *ctx)
{
	struct timespec t;

	(void)ctx;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (struct mono){
	    (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u};
}

struct wall
os_wall(void *ctx)
{
	struct timespec t;

	(void)ctx;
	clock_gettime(CLOCK_REALTIME, &t);
	return (struct wall){
	    (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u};
}

static void
rng_bytes(void *ctx, void *out, size_t n)
{
	uint8_t *p = out;

	(void)ctx;
	while (n > 0) {
		ssize_t k = getrandom(p, n, 0);

		if (k < 0 && errno == EINTR)
			continue;
		ASSERT(k > 0); /* the kernel's pool never fails once it is up */
		p += k;
		n -= (size_t)k;
	}
}

int
os_open(struct os **out, const struct os_config *config)
{
	struct os *os = mem_zalloc(sizeof(*os));
	int r;

	if (!os)
		return -ERR_NOMEM;
	os->config = *config;
	os->root_fd = os->lock_fd = -1;
	os->env = (struct env){
	    .clock = {clock_mono, os_wall, os},
	    .rng = {rng_bytes, os},
	    .timers = {loop_timer_start, loop_timer_stop, os},
	    .post = {loop_post, lanes_post, config->n_workers, os},
	    .net = {net_send, os},
	};
	disk_fill(os);
	signal(SIGPIPE, SIG_IGN);
	r = lanes_init(os, config->n_read_threads);
	os->workers = mem_calloc(config->n_workers, sizeof(*os->workers));
	if (r == 0 && !os->workers)
		r = -ERR_NOMEM;
	for (uint32_t i = 0; os->workers && i < config->n_workers; i++)
		os->workers[i].wake_fd = -1;
	for (uint32_t i = 0; r == 0 && i < config->n_workers; i++)
		r = loop_init(&os->workers[i], os, i);
	if (r == 0)
		r = disk_open_root(os, config->data_root);
	if (r) {
		os_close(os);
		return r;
	}
	*out = os;
	return 0;
}

const struct env *
os_env(struct os *os)
{
	return &os->env;
}

void
os_thread_begin(const char *name)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	pthread_setname_np(pthread_self(), name);
}

int
os_start(struct os *os)
{
	int r = lanes_start(os);

	for (uint32_t i = 0; r == 0 && i < os->config.n_workers; i++)
		r = loop_start(&os->workers[i]);
	return r == 0 && os->net ? net_start(os->net) : r;
}

void
os_stop(struct os *os)
{
	atomic_store(&os->stopping, 1);
	for (uint32_t i = 0; i < os->config.n_workers; i++) {
		struct os_worker *w = &os->workers[i];
		uint64_t one = 1;

		atomic_store(&w->asleep, 0);
		while (
		    write(w->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
			;
	}
}

void
os_join(struct os *os)
{
	for (uint32_t i = 0; i < os->config.n_workers; i++) {
		if (os->workers[i].started)
			pthread_join(os->workers[i].thread, NULL);
		os->workers[i].started = 0;
	}
	lanes_stop(os);
	if (os->net)
		net_join(os->net);
}

struct os *
os_close(struct os *os)
{
	if (!os)
		return NULL;
	for (uint32_t i = 0; os->workers && i < os->config.n_workers; i++)
		loop_deinit(&os->workers[i]);
	net_close(os->net);
	lanes_deinit(os);
	disk_close_root(os);
	mem_free(os->workers);
	return mem_free(os);
}
