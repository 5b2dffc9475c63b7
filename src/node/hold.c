/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* hold - first no writes, then each worker counts. */
#include "src/node/hold.h"

#include "src/base/err.h"
#include "src/base/assert.h"
#include "src/base/mem.h"

enum hold_state { HOLD_NOT, HOLD_DRAINING, HOLD_COUNTING, HOLD_DONE };

struct hold {
	struct hold_config config;
	enum hold_state state;
	int ended; /* while it was counted */
	void (*done)(void *arg, uint64_t n_streams);
	void *arg;
	atomic_uint n_counted;
	struct msg counted;
	struct msg count[]; /* a worker each */
};

static void
on_counted(struct msg *m)
{
	struct hold *h = CONTAINER_OF(m, struct hold, counted);
	struct store_stats st;

	h->state = h->ended ? HOLD_NOT : HOLD_DONE;
	if (h->ended)
		return;
	store_stats(*h->config.store, &st);
	h->done(h->arg, st.n_streams);
}

static void
on_count(struct msg *m)
{
	struct hold *h = m->via;
	const struct env_post *post = &h->config.env->post;

	store_count(*h->config.store, m->from);
	if (atomic_fetch_add(&h->n_counted, 1) + 1 < post->n_workers)
		return;
	h->counted = (struct msg){.kind = MSG_CALL, .fn = on_counted};
	post->to_worker(post->ctx, 0, &h->counted);
}

static void
count(struct hold *h)
{
	const struct env_post *post = &h->config.env->post;

	h->state = HOLD_COUNTING;
	atomic_store(&h->n_counted, 0);
	for (uint32_t i = 0; i < post->n_workers; i++) {
		struct msg *m = &h->count[i];

		*m = (struct msg){.kind = MSG_CALL, .fn = on_count, .via = h};
		m->from = i;
		post->to_worker(post->ctx, i, m);
	}
}

void
hold_tick(struct hold *h)
{
	if (h->state == HOLD_DRAINING && router_writes(h->config.router) == 0)
		count(h);
}

int
hold_begin(
    struct hold *h, void (*done)(void *arg, uint64_t n_streams), void *arg)
{
	if (h->state != HOLD_NOT)
		return -ERR_BUSY;
	h->done = done;
	h->arg = arg;
	h->ended = 0;
	h->state = HOLD_DRAINING;
	router_hold(h->config.router, 1);
	return 0;
}

void
hold_end(struct hold *h)
{
	router_hold(h->config.router, 0);
	h->ended = 1;
	if (h->state != HOLD_COUNTING)
		h->state = HOLD_NOT;
}

struct hold *
hold_new(const struct hold_config *config)
{
	uint32_t n = config->env->post.n_workers;
	struct hold *h = mem_zalloc(sizeof(*h) + n * sizeof(struct msg));

	if (h)
		h->config = *config;
	return h;
}

struct hold *
hold_free(struct hold *h)
{
	return mem_free(h);
}
