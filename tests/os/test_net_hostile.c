/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* What others put on the wire: without the cookie, or recorded, or damaged, or
 * no frames at all. */
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "src/base/le.h"
#include "tests/os/net_rig.h"

static int
is(const struct net_frame *f, const char *text)
{
	return slice_equal(f->bytes, SLICE_STR(text));
}

/* A sends to B through a relay, and both are there. */
static void
start_with_relay(struct node *a, struct node *b, struct relay *r)
{
	node_start(a);
	node_start(b);
	relay_start(r, b);
	node_peer_at(a, b, r->port);
	node_peer_at(b, a, node_port(a));
	node_await_peers(a, b);
}

static void
stop_with_relay(struct node *a, struct node *b, struct relay *r)
{
	relay_stop(r);
	node_stop(a);
	node_stop(b);
}

/* Three frames of A that the relay keeps to itself; the first kept is *FROM. */
static void
hold_three(struct node *a, struct node *b, struct relay *r, uint32_t *from)
{
	*from = r->n_kept;
	atomic_store(&r->holds, 1);
	for (uint32_t i = 0; i < 3; i++) { /* in turns of their own */
		CHECK_EQ(node_send(a, b, NET_CONTROL, "held", 4), 0);
		AWAIT(r->n_kept > *from + i);
	}
	atomic_store(&r->holds, 0);
}

static void
release_three(struct relay *r, uint32_t from)
{
	for (uint32_t i = from; i < from + 3; i++) {
		CHECK(relay_is_frame(r, i));
		relay_inject(r, r->kept[i].p, r->kept[i].n);
	}
}

/* What comes next at B is this, and nothing came before. */
static void
check_next(struct node *a, struct node *b, const char *text)
{
	node_must_send(a, b, NET_CONTROL, text, strlen(text));
	CHECK(is(node_frame(b, 0), text));
	CHECK_EQ(b->n_frames, 1);
}

static const char *
another_cookie_gets_silence_and_one_line(void)
{
	struct node a = {.number = 1, .cookie = "mine"};
	struct node b = {.number = 2, .cookie = "yours"};

	node_start(&a);
	node_start(&b);
	node_pair(&a, &b);
	AWAIT(node_stats(&a).refused_seal >= 3);
	AWAIT(node_stats(&b).refused_seal >= 3);
	CHECK_EQ(node_send(&a, &b, NET_CONTROL, "x", 1), -ERR_NOTFOUND);
	CHECK_EQ(node_send(&b, &a, NET_CONTROL, "x", 1), -ERR_NOTFOUND);
	CHECK_EQ(a.n_lines, 1);
	CHECK_EQ(b.n_lines, 1);
	CHECK(strstr(a.last_line, "cluster.cookie"));
	node_stop(&a);
	node_stop(&b);
	return NULL;
}

static const char *
frames_of_another_cluster_are_refused(void)
{
	struct node a = {.number = 1, .cluster = 1};
	struct node b = {.number = 2, .cluster = 2};

	node_start(&a);
	node_start(&b);
	node_pair(&a, &b);
	node_must_send(&a, &b, NET_CONTROL, "x", 1);
	node_must_send(&b, &a, NET_BULK, "x", 1);
	AWAIT(node_stats(&b).refused_cluster == 1);
	AWAIT(node_stats(&a).refused_cluster == 1);
	CHECK_EQ(a.n_frames + b.n_frames, 0);
	node_stop(&a);
	node_stop(&b);
	return NULL;
}

static const char *
a_recorded_frame_counts_once(void)
{
	struct node a = {.number = 1}, b = {.number = 2};
	struct relay r = {0};
	uint64_t before;
	uint32_t n, n_frames = 0;

	start_with_relay(&a, &b, &r);
	for (uint32_t i = 0; i < 3; i++)
		node_must_send(&a, &b, (enum env_channel)(i % 2), "once", 4);
	CHECK(is(node_frame(&b, 2), "once"));
	node_forget(&b);
	before = node_stats(&b).refused_replay;
	n = r.n_kept;
	for (uint32_t i = 0; i < 2 * n; i++) {
		n_frames += relay_is_frame(&r, i % n) != 0;
		relay_inject(&r, r.kept[i % n].p, r.kept[i % n].n);
	}
	check_next(&a, &b, "end");
	CHECK(n_frames >= 6);
	CHECK_EQ(node_stats(&b).refused_replay - before, n_frames);
	CHECK_EQ(a.n_twins + b.n_twins, 0);
	stop_with_relay(&a, &b, &r);
	return NULL;
}

static const char *
frames_of_an_earlier_start_of_the_sender_never_come(void)
{
	struct node a = {.number = 1}, b = {.number = 2};
	struct relay r = {0};
	uint64_t before;
	uint32_t from;

	start_with_relay(&a, &b, &r);
	hold_three(&a, &b, &r, &from);
	node_restart(&a);
	node_peer_at(&a, &b, r.port);
	node_await_peers(&a, &b);
	before = node_stats(&b).refused_stale;
	/* The hellos of that start as well. */
	for (uint32_t i = 0; i < from; i++)
		if (!relay_is_frame(&r, i))
			relay_inject(&r, r.kept[i].p, r.kept[i].n);
	release_three(&r, from);
	check_next(&a, &b, "end");
	CHECK_EQ(node_stats(&b).refused_stale - before, 3);
	CHECK_EQ(a.n_twins + b.n_twins, 0);
	stop_with_relay(&a, &b, &r);
	return NULL;
}

static const char *
a_recorded_hello_cuts_no_connection_that_works(void)
{
	struct node a = {.number = 1}, b = {.number = 2};
	struct relay r = {0};
	uint64_t dials, heard;
	uint32_t n;

	start_with_relay(&a, &b, &r);
	n = r.n_kept;
	node_restart(&a);
	node_peer_at(&a, &b, r.port);
	node_await_peers(&a, &b);
	rig_pause_us(600000); /* a dial is allowed again */
	node_await_peers(&a, &b);
	dials = node_stats(&b).dials;
	heard = node_stats(&b).frames_received;
	for (uint32_t i = 0; i < n; i++)
		if (!relay_is_frame(&r, i))
			relay_inject(&r, r.kept[i].p, r.kept[i].n);
	node_await_peers(&a, &b);
	CHECK(node_stats(&b).frames_received >= heard + 2);
	CHECK_EQ(node_stats(&b).dials, dials);
	stop_with_relay(&a, &b, &r);
	return NULL;
}

static const char *
frames_for_an_earlier_start_of_the_receiver_never_come(void)
{
	struct node a = {.number = 1}, b = {.number = 2};
	struct relay r = {0};
	uint64_t before;
	uint32_t from;

	start_with_relay(&a, &b, &r);
	hold_three(&a, &b, &r, &from);
	node_restart(&b);
	node_peer_at(&b, &a, node_port(&a));
	node_await_peers(&a, &b);
	before = node_stats(&b).refused_stale;
	release_three(&r, from);
	check_next(&a, &b, "end");
	CHECK_EQ(node_stats(&b).refused_stale - before, 3);
	stop_with_relay(&a, &b, &r);
	return NULL;
}

static const char *
frames_from_before_a_peer_was_forgotten_never_come(void)
{
	struct node a = {.number = 1}, b = {.number = 2};
	struct relay r = {0};
	uint64_t before;
	uint32_t from;

	start_with_relay(&a, &b, &r);
	hold_three(&a, &b, &r, &from);
	node_peers(&b, NULL, 0);
	AWAIT(node_send(&b, &a, NET_CONTROL, "x", 1) == -ERR_NOTFOUND);
	node_peer_at(&b, &a, node_port(&a));
	node_await_peers(&a, &b);
	before = node_stats(&b).refused_replay;
	release_three(&r, from);
	check_next(&a, &b, "end");
	CHECK_EQ(node_stats(&b).refused_replay - before, 3);
	stop_with_relay(&a, &b, &r);
	return NULL;
}

static const char *
no_changed_byte_and_no_cut_frame_is_taken(void)
{
	struct node a = {.number = 1}, b = {.number = 2};
	struct relay r = {0};
	uint32_t from;
	uint8_t *p;
	size_t n;

	start_with_relay(&a, &b, &r);
	hold_three(&a, &b, &r, &from);
	p = r.kept[from].p;
	n = r.kept[from].n;
	CHECK_EQ(n, 4 + SEAL_BYTES);
	for (size_t i = 0; i < n; i++)
		for (uint8_t bit = 1; bit; bit = (uint8_t)(bit << 3)) {
			p[i] ^= bit;
			relay_inject(&r, p, n);
			p[i] ^= bit;
		}
	for (size_t cut = 0; cut < n; cut++)
		relay_inject(&r, p, cut);
	check_next(&a, &b, "end");
	relay_inject(&r, p, n);
	CHECK(is(node_frame(&b, 1), "held"));
	stop_with_relay(&a, &b, &r);
	return NULL;
}

/* --- no frames at all ----------------------------------------------------- */

static int
dial(const struct node *n)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
	    .sin_port = htons(node_port(n)),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK(fd >= 0);
	CHECK(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
	return fd;
}

static void
say(int fd, const void *p, size_t n)
{
	if (send(fd, p, n, MSG_NOSIGNAL) < 0)
		CHECK(errno == EPIPE || errno == ECONNRESET);
}

static const uint8_t sp_push[8] = {0, 'S', 'P', 0, 0, 80, 0, 0};

/* A head of SP and one message of LENGTH, of which N bytes are there. */
static int
say_message(const struct node *n, uint64_t length, size_t bytes)
{
	static const uint8_t junk[4096] = {'I', 'O', 'N', 'F', 1, 1};
	uint8_t head[8];
	int fd = dial(n);

	for (int i = 0; i < 8; i++)
		head[i] = (uint8_t)(length >> (56 - 8 * i));
	say(fd, sp_push, 8);
	say(fd, head, 8);
	say(fd, junk, bytes);
	return fd;
}

static const char *
what_is_no_message_leaves_the_others_alone(void)
{
	static const char http[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
	static const uint8_t odd[][8] = {{0, 'S', 'P', 0, 0, 0, 0, 0},
	    {0, 'S', 'P', 1, 0, 80, 0, 0}, {0, 'S', 'P', 0, 0, 81, 0, 0},
	    {255, 255, 255, 255, 255, 255, 255, 255}};
	struct node a = {.number = 1}, b = {.number = 2};
	int open[40], n = 0;

	node_start(&a);
	node_start(&b);
	node_pair(&a, &b);
	node_await_peers(&a, &b);
	for (int i = 0; i < 200; i++)
		close(dial(&b)); /* a port scanner */
	for (size_t i = 0; i < 4; i++) {
		open[n] = dial(&b);
		say(open[n++], odd[i], 1 + 7 * (i % 2));
		open[n] = dial(&b);
		say(open[n++], odd[i], 8);
	}
	open[n] = dial(&b);
	say(open[n++], http, sizeof(http) - 1);
	open[n++] = say_message(&b, UINT64_C(1) << 40, 4096);
	open[n++] = say_message(&b, UINT64_MAX, 4096);
	open[n++] = say_message(&b, UINT64_C(1) << 63, 0);
	open[n++] = say_message(&b, WAY_MESSAGE_MAX + 1, 4096);
	open[n++] = say_message(&b, WAY_MESSAGE_MAX, 100); /* never ends */
	open[n++] = say_message(&b, 0, 0);
	open[n++] = say_message(&b, 4096, 4096);
	open[n++] = say_message(&b, 111, 111);
	for (int i = 0; i < 16; i++)
		open[n++] = dial(&b); /* says nothing */
	AWAIT(node_stats(&b).refused_malformed >= 3);
	node_must_send(&a, &b, NET_CONTROL, "one", 3);
	node_must_send(&b, &a, NET_BULK, "two", 3);
	CHECK(is(node_frame(&b, 0), "one"));
	CHECK(is(node_frame(&a, 0), "two"));
	CHECK_EQ(b.n_lines, 1);
	while (n > 0)
		close(open[--n]);
	node_stop(&a);
	node_stop(&b);
	return NULL;
}

static int
n_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	CHECK(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* A hello as a node of that id would say it, from a port where nobody is. */
static void
forge_hello(struct relay *r, uint32_t number)
{
	struct seal_head h = {.kind = SEAL_HELLO, .counter = 1};
	uint8_t body[64] = {0}, out[64 + SEAL_BYTES];
	struct iovec iov = {body, 34 + 11 + 1 + 2};
	struct seal_key *k;

	le_put32(h.sender, number);
	h.sender[15] = 0xff;
	body[0] = 1; /* asks */
	body[33] = 11;
	memcpy(body + 34, "127.0.0.1:1", 11);
	k = seal_key_new("a cookie", h.sender, h.sender_boot, 0, 1);
	CHECK(k);
	seal(k, &h, &iov, 1, out);
	seal_key_free(k);
	relay_inject(r, out, iov.iov_len + SEAL_BYTES);
}

static const char *
many_strangers_cost_no_more_than_some(void)
{
	struct node a = {.number = 1}, b = {.number = 2};
	struct relay r = {0};
	uint64_t heard;
	int before;

	start_with_relay(&a, &b, &r);
	before = n_descriptors();
	heard = node_stats(&b).frames_received;
	for (uint32_t i = 0; i < 400; i++)
		forge_hello(&r, i);
	AWAIT(node_stats(&b).frames_received >= heard + 400);
	AWAIT(n_descriptors() < before + OS_NET_STRANGERS_MAX * 6);
	check_next(&a, &b, "end");
	stop_with_relay(&a, &b, &r);
	return NULL;
}

#define TEST(name)                                                             \
	{                                                                      \
#name, name                                                    \
	}

const struct test net_hostile_tests[] = {
    TEST(another_cookie_gets_silence_and_one_line),
    TEST(frames_of_another_cluster_are_refused),
    TEST(a_recorded_frame_counts_once),
    TEST(frames_of_an_earlier_start_of_the_sender_never_come),
    TEST(a_recorded_hello_cuts_no_connection_that_works),
    TEST(frames_for_an_earlier_start_of_the_receiver_never_come),
    TEST(frames_from_before_a_peer_was_forgotten_never_come),
    TEST(no_changed_byte_and_no_cut_frame_is_taken),
    TEST(what_is_no_message_leaves_the_others_alone),
    TEST(many_strangers_cost_no_more_than_some),
    {NULL, NULL},
};
