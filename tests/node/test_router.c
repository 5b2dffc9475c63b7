/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* One router of two nodes: the store here, and the other node, are the test. */
#include "src/node/router.h"

#include <criterion/criterion.h>

#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/lib/simenv.h"
#include "tests/ring/grow.h"

TestSuite(router);

#define Q       8
#define TIMEOUT 10000000
#define BEAT_US 50000
#define RAN_DRY 100000

struct rig {
	struct simenv *sim;
	struct env env;
	struct ring *both, *alone;
	struct peers *peers;
	struct router *router;
	uint8_t self[16], other[16];
	int leads;       /* the store here */
	struct buf sent; /* the last frame to the other node */
	struct vnode_put put;
	int done;
};

static int
send_frame(void *ctx, uint32_t worker, const uint8_t to[16],
    enum env_channel channel, const struct iovec *iov, int n)
{
	struct rig *t = ctx;

	(void)worker;
	(void)channel;
	cr_assert_arr_eq(to, t->other, 16);
	buf_reset(&t->sent);
	for (int i = 0; i < n; i++)
		buf_add(&t->sent, iov[i].iov_base, iov[i].iov_len);
	return 0;
}

static void
dispatch(void *arg, uint32_t worker, struct msg *m)
{
	struct rig *t = arg;

	(void)worker;
	if (!m->answer && m->kind == MSG_PUT) {
		struct vnode_put *put = CONTAINER_OF(m, struct vnode_put, msg);

		put->r = t->leads ? 0 : -ERR_NOTLEADER;
		memcpy(put->leader, t->other, 16);
	}
	m->answer = 1;
	m->fn(m);
}

static void
answered(struct msg *m)
{
	CONTAINER_OF(m, struct rig, put.msg)->done = 1;
}

static struct mono
now(const struct rig *t)
{
	return simenv_mono(t->sim);
}

/* Both are members, and the other one was heard just now. */
static struct rig *
two(void)
{
	static const struct vnode_put_event event;
	struct rig *t = mem_zalloc(sizeof(*t));
	struct simenv_config sc = {.seed = 1, .n_workers = 1};
	struct env_net net = {send_frame, t};
	struct router_config rc = {.n_groups = Q + 1, .timeout_us = TIMEOUT};

	grow_id(1, 0, t->self);
	grow_id(2, 0, t->other);
	t->both = grow_cluster(Q, 3, 2);
	t->alone = grow_one(Q, 3);
	buf_init(&t->sent, 65536);
	t->sim = simenv_new(&sc);
	simenv_set_net(t->sim, &net);
	simenv_set_dispatch(t->sim, dispatch, t);
	rc.env = simenv_env(t->sim);
	rc.peers = t->peers = peers_new(t->self, now(t));
	memcpy(rc.self, t->self, 16);
	peers_set(t->peers, t->both, now(t));
	t->router = router_new(&rc);
	router_set_ring(t->router, 0, t->both);
	t->put = (struct vnode_put){
	    .bucket = SLICE_LIT("b"),
	    .stream = SLICE_LIT("s"),
	    .n_events = 1,
	    .events = &event,
	};
	return t;
}

static void
done(struct rig *t)
{
	router_free(t->router);
	peers_free(t->peers);
	simenv_free(t->sim);
	buf_deinit(&t->sent);
	ring_unref(t->both);
	ring_unref(t->alone);
	mem_free(t);
}

static void
run_for(struct rig *t, uint64_t us)
{
	for (; us; us -= us < BEAT_US ? us : BEAT_US) {
		simenv_advance(t->sim, BEAT_US);
		simenv_run_idle(t->sim, RAN_DRY);
	}
}

/* The other node answers what it was sent last. */
static void
other_answers(struct rig *t, int r)
{
	struct call_in in;
	struct call_out out;
	struct net_frame *f;
	struct msg *m;

	cr_assert_eq(call_open(buf_slice(&t->sent), &in), 0);
	cr_assert_eq(call_request(&in, &m), 0);
	CONTAINER_OF(m, struct vnode_put, msg)->r = r;
	m->answer = 1;
	cr_assert_eq(call_encode(&out, in.id, m), 0);
	f = net_frame_new(t->other, out.iov, (int)out.n_iov);
	call_out_deinit(&out);
	call_free_request(m);
	cr_assert_eq(call_open(f->bytes, &in), 0);
	router_frame(t->router, 0, f, &in);
	simenv_run_idle(t->sim, RAN_DRY);
}

static void
ask(struct rig *t)
{
	t->done = 0;
	t->put.msg = (struct msg){.kind = MSG_PUT, .fn = answered};
	router_send(t->router, 0, &t->put.msg);
	simenv_run_idle(t->sim, RAN_DRY);
}

static void
other_leaves(struct rig *t)
{
	peers_set(t->peers, t->alone, now(t));
	router_set_ring(t->router, 0, t->alone);
	t->leads = 1;
}

/* A write is on its way to the other node when that one leaves. */
static struct rig *
one_that_leaves(void)
{
	struct rig *t = two();

	ask(t);
	cr_assert_gt(t->sent.n, 0);
	cr_assert_not(t->done);
	other_leaves(t);
	run_for(t, 200000);
	return t;
}

Test(router, what_who_has_left_refuses_is_tried_elsewhere)
{
	struct rig *t = one_that_leaves();

	cr_assert_not(t->done);
	other_answers(t, -ERR_NOTLEADER);
	cr_assert(t->done);
	cr_assert_eq(t->put.r, 0);
	done(t);
}

Test(router, who_has_left_and_says_nothing_is_given_up)
{
	struct rig *t = one_that_leaves();

	run_for(t, 1000000);
	cr_assert(t->done);
	cr_assert_eq(t->put.r, -ERR_UNKNOWN);
	done(t);
}

Test(router, who_has_led_and_left_does_not_keep_others_from_being_asked)
{
	struct rig *t = two();

	ask(t);
	other_answers(t, 0);
	cr_assert(t->done);
	other_leaves(t);
	ask(t);
	cr_assert(t->done);
	cr_assert_eq(t->put.r, 0);
	done(t);
}
