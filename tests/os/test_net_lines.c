/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Lines: who may open one, and what goes over it. */
#include <arpa/inet.h>
#include <sys/socket.h>

#include "src/base/le.h"
#include "tests/os/net_rig.h"

static int
is(const struct net_frame *f, const void *p, size_t n)
{
	return slice_equal(f->bytes, SLICE(p, n));
}

static int
dial(const struct node *to)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a.sin_port = htons(os_net_line_port(to->rig->os));
	CHECK(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
	return fd;
}

/* What a test says of itself on a line. */
struct claim {
	uint8_t kind;
	const struct node *from, *to;
	uint8_t cluster, boot;
	const char *cookie;
	uint64_t counter;
};

/* Sealed, as a message of a line. */
static size_t
seal_claim(const struct claim *c, uint8_t out[4 + SEAL_BYTES])
{
	struct seal_head h = {
	    .kind = c->kind, .number = 77, .counter = c->counter};
	struct seal_key *k;

	node_id(c->from, h.sender);
	node_id(c->to, h.receiver);
	memset(h.sender_boot, c->from->boot, 16);
	memset(h.receiver_boot, c->boot, 16);
	memset(h.cluster, c->cluster, 16);
	k = seal_key_new(c->cookie, h.sender, h.sender_boot, 77, 1);
	CHECK(k);
	le_put32(out, SEAL_BYTES);
	seal(k, &h, NULL, 0, out + 4);
	seal_key_free(k);
	return 4 + SEAL_BYTES;
}

/* 1: the N bytes are answered with a greeting; 0: the line is closed. */
static int
opens(const struct node *to, const uint8_t *p, size_t n)
{
	uint8_t got[4 + SEAL_BYTES];
	size_t at = 0;
	ssize_t k;
	int fd = dial(to);

	CHECK(send(fd, p, n, MSG_NOSIGNAL) == (ssize_t)n);
	while (at < sizeof(got) &&
	       (k = recv(fd, got + at, sizeof(got) - at, 0)) > 0)
		at += (size_t)k;
	close(fd);
	CHECK(at == 0 || (at == sizeof(got) && got[4 + 5] == SEAL_GREETING));
	return at > 0;
}

static const char *
a_line_opens_only_for_a_member_that_means_us(void)
{
	struct node a = {.number = 1}, b = {.number = 2}, c = {.number = 3};
	uint8_t out[4 + SEAL_BYTES];
	struct claim good, t;
	size_t n;

	node_start(&a);
	node_start(&b);
	node_start(&c);
	node_pair(&a, &b);
	node_await_peers(&a, &b);
	good = (struct claim){
	    SEAL_GREETING, &a, &b, 1, b.boot, "a cookie", UINT64_C(1) << 40};
	n = seal_claim(&good, out);
	CHECK(opens(&b, out, n));
	CHECK(!opens(&b, out, n)); /* recorded */
	CHECK(!opens(&a, out, n)); /* a line that ends at its own node */
#define REFUSED(change)                                                        \
	do {                                                                   \
		t = good;                                                      \
		t.counter = ++good.counter;                                    \
		change;                                                        \
		CHECK(!opens(&b, out, seal_claim(&t, out)));                   \
	} while (0)
	REFUSED(t.kind = SEAL_FRAME); /* no greeting */
	REFUSED(t.kind = SEAL_HELLO);
	REFUSED(t.from = &c); /* no member */
	REFUSED(t.to = &c);   /* the wrong node */
	REFUSED(t.cluster = 2);
	REFUSED(t.cluster = 0);       /* of a stranger */
	REFUSED(t.boot = b.boot + 1); /* another start of it */
	REFUSED(t.cookie = "another");
	/* Of none of these did anything stay. */
	t = good;
	t.counter++;
	CHECK(opens(&b, out, seal_claim(&t, out)));
	CHECK(node_stats(&b).refused_lines == 9);
	node_stop(&a);
	node_stop(&b);
	node_stop(&c);
	return NULL;
}

static const char *
what_is_no_message_leaves_lines_alone(void)
{
	static const uint8_t garbage[4096] = {'G', 'E', 'T', ' ', '/'};
	static const uint8_t endless[4] = {0xff, 0xff, 0xff, 0xff};
	struct node a = {.number = 1}, b = {.number = 2};
	int open[40];

	node_start(&a);
	node_start(&b);
	node_pair(&a, &b);
	node_must_send(&a, &b, NET_BULK, "one", 3);
	CHECK(is(node_frame(&b, 0), "one", 3));
	CHECK(!opens(&b, garbage, sizeof(garbage)));
	CHECK(!opens(&b, endless, sizeof(endless)));
	for (int i = 0; i < 40; i++)
		open[i] = dial(&b); /* says nothing */
	node_must_send(&a, &b, NET_BULK, "two", 3);
	node_must_send(&b, &a, NET_BULK, "back", 4);
	CHECK(is(node_frame(&b, 1), "two", 3));
	CHECK(is(node_frame(&a, 0), "back", 4));
	CHECK(node_stats(&a).lines <= 2 && b.n_lines == 1);
	CHECK(strstr(b.last_line, "handoff port"));
	for (int i = 0; i < 40; i++)
		close(open[i]);
	node_stop(&a);
	node_stop(&b);
	return NULL;
}

static const char *
a_host_is_looked_up_and_a_line_begun_again_after_a_restart(void)
{
	struct node a = {.number = 1, .name = "a@localhost"};
	struct node b = {.number = 2, .name = "b@localhost"};

	node_start(&a);
	node_start(&b);
	node_pair(&a, &b);
	for (int i = 0; i < 3; i++) {
		node_forget(&b);
		while (b.n_frames == 0) {
			node_send(&a, &b, NET_BULK, "x", 1);
			rig_pause_us(20000);
		}
		node_restart(&b);
		node_pair(&a, &b);
	}
	CHECK(node_stats(&a).lines >= 3);
	node_stop(&a);
	node_stop(&b);
	return NULL;
}

/* Listens on PORT of 127.0.0.1; -1: it is taken. */
static int
listen_at(uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
	    one = 1;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a.sin_port = htons(port);
	CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) == 0);
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 8)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* A listens for lines where nobody looks for it, on a port that is free where
 * they do. */
static void
start_elsewhere(struct node *a)
{
	int fd = -1;

	a->line_ip = "127.0.0.2";
	while (fd < 0) {
		node_start(a);
		a->line_port = os_net_line_port(a->rig->os);
		fd = listen_at(a->line_port);
		if (fd < 0) {
			node_stop(a);
			a->line_port = 0;
		}
	}
	close(fd);
}

static int
said(struct node *n, const char *what)
{
	int yes;

	pthread_mutex_lock(&n->lock);
	yes = strstr(n->last_line, what) != NULL;
	pthread_mutex_unlock(&n->lock);
	return yes;
}

/* Until WHAT is so, sends from B to A. */
#define SEND_UNTIL(what)                                                       \
	do {                                                                   \
		error = node_send(&b, &a, NET_BULK, "x", 1);                   \
		rig_pause_us(2000);                                            \
	} while (!(what))

/* What is dialed at FD is told WORD and closed. */
static void
answer(int fd, const char *word)
{
	int line = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

	if (line < 0)
		return;
	send(line, word, strlen(word), MSG_NOSIGNAL);
	close(line);
}

static const char *
who_answers_elsewhere_is_sent_nothing_and_the_sender_is_told(void)
{
	struct node a = {.number = 1}, b = {.number = 2};
	int fd, error;

	start_elsewhere(&a);
	b.line_port = a.line_port;
	node_start(&b);
	node_pair(&a, &b);
	SEND_UNTIL(error == -ERR_ITSELF);
	CHECK(said(&b, ": this node itself answers there"));
	b.line_port = 0;
	node_restart(&b);
	node_pair(&a, &b);
	SEND_UNTIL(error == -ERR_NOBODY);
	CHECK(said(&b, ": nobody listens there"));
	fd = listen_at(a.line_port);
	CHECK(fd >= 0);
	SEND_UNTIL(
	    (answer(fd, ""), said(&b, ": who answers there does not greet")));
	CHECK(error == -ERR_STRANGER);
	SEND_UNTIL((answer(fd, "HTTP/1.0 400 \r\n"),
	    said(&b, ": what answers there is no node")));
	CHECK(error == -ERR_STRANGER);
	close(fd);
	CHECK(a.n_frames == 0);
	a.line_ip = NULL;
	node_restart(&a);
	node_pair(&a, &b);
	node_forget(&a);
	SEND_UNTIL(error == 0 && a.n_frames > 0);
	node_stop(&a);
	node_stop(&b);
	return NULL;
}

#define TEST(name)                                                             \
	{                                                                      \
#name, name                                                    \
	}

const struct test net_lines_tests[] = {
    TEST(a_line_opens_only_for_a_member_that_means_us),
    TEST(what_is_no_message_leaves_lines_alone),
    TEST(a_host_is_looked_up_and_a_line_begun_again_after_a_restart),
    TEST(who_answers_elsewhere_is_sent_nothing_and_the_sender_is_told),
    {NULL, NULL},
};
