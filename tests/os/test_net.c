/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* What the transport between nodes promises: what arrives, in which order, and
 * what does not. */
#include "tests/os/net_rig.h"

static int
is(const struct net_frame *f, const void *p, size_t n)
{
	return slice_equal(f->bytes, SLICE(p, n));
}

static const char *
a_frame_arrives_whole_and_says_who_sent_it(void)
{
	struct node a = {.number = 1}, b = {.number = 2};
	uint8_t id[16];

	node_start(&a);
	node_start(&b);
	node_pair(&a, &b);
	node_await_peers(&a, &b);
	for (int c = 0; c < NET_CHANNEL_COUNT; c++) {
		const struct net_frame *f;

		node_must_send(&a, &b, (enum env_channel)c, "hello you", 9);
		f = node_frame(&b, (uint32_t)c);
		node_id(&a, id);
		CHECK(is(f, "hello you", 9));
		CHECK(memcmp(f->from, id, 16) == 0);
		CHECK_EQ(f->stranger, 0);
	}
	node_must_send(&b, &a, NET_CONTROL, "", 0);
	CHECK(is(node_frame(&a, 0), "", 0));
	node_stop(&a);
	node_stop(&b);
	return NULL;
}

static const char *
frames_of_a_worker_and_channel_keep_their_order(void)
{
	struct node a = {.number = 1, .n_workers = 2};
	struct node b = {.number = 2, .n_workers = 2};
	uint32_t next[2][2] = {{0}};

	node_start(&a);
	node_start(&b);
	node_pair(&a, &b);
	node_await_peers(&a, &b);
	for (uint32_t i = 0; i < 2000; i++) {
		uint32_t w = i / 2 % 2, c = i % 2;
		uint32_t frame[3] = {w, c, next[w][c]++};

		CHECK_EQ(node_send_on(&a, w, &b, (enum env_channel)c, frame,
			     sizeof(frame)),
		    0);
	}
	memset(next, 0, sizeof(next));
	for (uint32_t i = 0; i < 2000; i++) {
		uint32_t frame[3];

		memcpy(frame, node_frame(&b, i)->bytes.p, sizeof(frame));
		CHECK_EQ(frame[2], next[frame[0]][frame[1]]++);
	}
	node_stop(&a);
	node_stop(&b);
	return NULL;
}

struct turn {
	struct node *from;
	uint8_t to[16];
};

/* Numbers, each in a frame of another length, one of them a long one. */
static void
say_numbers(void *arg)
{
	static const size_t lengths[] = {4, 5, 11, 16384, 9000, 16385, 8, 7};
	struct turn *t = arg;
	const struct env_net *net = &t->from->rig->env->net;

	for (uint32_t i = 0; i < 80; i++) {
		uint8_t text[20000] = {0};
		struct iovec iov = {text, lengths[i % 8]};

		memcpy(text, &i, sizeof(i));
		CHECK_EQ(
		    net->send(net->ctx, 0, t->to, NET_CONTROL, &iov, 1), 0);
	}
}

static const char *
frames_of_one_turn_share_messages_and_keep_their_order(void)
{
	struct node a = {.number = 1}, b = {.number = 2};
	struct turn t = {.from = &a};
	uint64_t before;

	node_start(&a);
	node_start(&b);
	node_pair(&a, &b);
	node_await_peers(&a, &b);
	before = node_stats(&a).frames_sent;
	node_id(&b, t.to);
	rig_on(a.rig, 0, say_numbers, &t);
	for (uint32_t i = 0; i < 80; i++)
		CHECK(memcmp(node_frame(&b, i)->bytes.p, &i, 4) == 0);
	/* The ten long ones, and what stands before each and at the end. */
	CHECK(node_stats(&a).frames_sent - before <= 21);
	node_stop(&a);
	node_stop(&b);
	return NULL;
}

static uint8_t *
noise(size_t n, uint32_t seed)
{
	uint8_t *p = malloc(n);

	CHECK(p);
	for (size_t i = 0; i < n; i++) {
		seed = seed * 1664525 + 1013904223;
		p[i] = (uint8_t)(seed >> 24);
	}
	return p;
}

/* Best effort: a machine that stands still for seconds loses frames. */
static void
send_until_it_is_there(
    struct node *a, struct node *b, const uint8_t *p, size_t n)
{
	node_forget(b);
	while (b->n_frames == 0) {
		uint64_t start = rig_now_us();

		node_must_send(a, b, NET_BULK, p, n);
		while (b->n_frames == 0 && rig_now_us() - start < 12000000)
			rig_pause_us(500);
	}
	CHECK(is(node_frame(b, 0), p, n));
}

static const char *
frames_of_all_lengths_arrive_up_to_the_longest(void)
{
	static const size_t lengths[] = {1, 2, 4095, 262031, 262032, 262033,
	    262144, 524000, 1 << 20, NET_FRAME_MAX - 1, NET_FRAME_MAX};
	struct node a = {.number = 1}, b = {.number = 2};

	node_start(&a);
	node_start(&b);
	node_pair(&a, &b);
	node_await_peers(&a, &b);
	for (uint32_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		uint8_t *p = noise(lengths[i], i);

		send_until_it_is_there(&a, &b, p, lengths[i]);
		free(p);
	}
	node_stop(&a);
	node_stop(&b);
	return NULL;
}

static const char *
a_peer_that_starts_again_is_reached_again(void)
{
	struct node a = {.number = 1}, b = {.number = 2};
	uint64_t start;

	node_start(&a);
	node_start(&b);
	node_pair(&a, &b);
	node_await_peers(&a, &b);
	for (int i = 0; i < 5; i++) {
		struct node *others = &a;

		node_restart(&b);
		start = rig_now_us();
		node_peers(&b, &others, 1);
		node_await_peers(&a, &b);
		printf("# reached after %llu ms\n",
		    (unsigned long long)(rig_now_us() - start) / 1000);
	}
	CHECK_EQ(a.n_twins + b.n_twins, 0);
	node_stop(&a);
	node_stop(&b);
	return NULL;
}

#define TEST(name)                                                             \
	{                                                                      \
#name, name                                                    \
	}

const struct test net_tests[] = {
    TEST(a_frame_arrives_whole_and_says_who_sent_it),
    TEST(frames_of_a_worker_and_channel_keep_their_order),
    TEST(frames_of_one_turn_share_messages_and_keep_their_order),
    TEST(frames_of_all_lengths_arrive_up_to_the_longest),
    TEST(a_peer_that_starts_again_is_reached_again),
    {NULL, NULL},
};
