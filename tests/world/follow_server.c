/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* follow_server - what listeners need of a server and its connections. */
#include "http/socket.h"
#include "src/base/assert.h"
#include "tests/world/follow.h"

#define TICK_EVERY_US   250000
#define LAST_ANSWERS_US 5000000

static void
flush(struct world *w, struct happening *ev)
{
	struct follower *x = ev->arg;

	(void)w;
	x->kicked = 0;
	if (x->listener)
		listener_flush(&x->rq);
}

void
conn_kick(struct conn *c)
{
	struct follower *x = CONTAINER_OF(c, struct follower, conn);

	if (x->kicked)
		return;
	x->kicked = 1;
	world_schedule(
	    x->follow->world, 0, (struct happening){.run = flush, .arg = x});
}

void
conn_reset(struct conn *c)
{
	(void)c;
	ASSERT_UNREACHED(); /* there is always memory */
}

int
request_is_valid(const struct request *rq)
{
	(void)rq;
	return 1;
}

int
request_may_still(const struct request *rq, unsigned permission,
    struct slice bucket, struct slice stream)
{
	(void)rq;
	(void)permission;
	(void)bucket;
	(void)stream;
	return 1;
}

void
socket_free(struct listener *l)
{
	(void)l;
}

int
tcp_writev(struct tcp *t, const struct iovec *iov, int n, size_t *written)
{
	(void)t;
	(void)iov;
	(void)n;
	(void)written;
	ASSERT_UNREACHED(); /* nothing is flushed */
}

static void
run_message(struct world *w, struct happening *ev)
{
	struct msg *m = ev->arg;

	w->follow->n_on_way--;
	m->fn(m);
}

static void
to_worker(void *ctx, uint32_t worker, struct msg *m)
{
	struct follow *f = ctx;

	(void)worker;
	f->n_on_way++;
	world_schedule(
	    f->world, 0, (struct happening){.run = run_message, .arg = m});
}

static void
tick(struct world *w, struct happening *ev)
{
	struct follow *f = ev->arg;

	listen_server_tick(&f->server, (struct mono){w->now_us});
	if (!f->stopped)
		world_schedule(w, TICK_EVERY_US, *ev);
}

void
follow_server_init(struct follow *f)
{
	static const struct env none;

	f->env = none;
	f->env.post.to_worker = to_worker;
	f->env.post.ctx = f;
	f->env.post.n_workers = 1;
	f->server.config.env = &f->env;
	f->server.config.route =
	    (struct vnode_route){follow_send, f, f->world->n_groups};
	f->server.config.listen_max_queue =
	    1024 + chance_below(&f->chance, 65536);
	f->server.hash = ring_hash_new();
	f->server.listen = listen_server_new(1);
	ASSERT(f->server.hash && f->server.listen);
	world_schedule(
	    f->world, TICK_EVERY_US, (struct happening){.run = tick, .arg = f});
}

static int
nothing_on_way(void *arg)
{
	const struct follow *f = arg;

	return f->n_on_way == 0;
}

void
followers_end(struct world *w)
{
	if (!world_run_until(w, nothing_on_way, w->follow, LAST_ANSWERS_US))
		world_fail(w, "listeners that are gone still ask");
}

void
follow_server_deinit(struct follow *f)
{
	listen_server_free(f->server.listen);
	ring_hash_free(f->server.hash);
}
