/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * Listeners that share a port, and connections with peers that are slow, stop
 * half way, or go.  The other side is plain blocking sockets.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "src/os/tcp.h"
#include "tests/os/rig.h"

#define WORKERS_MAX 4

/* What a connection of the server does, and what it has seen. */
struct peer {
	struct server *server;
	struct tcp *tcp;
	uint64_t n_in, n_out, want_out;
	int got_eof, broken;
	atomic_uint n_readable, n_writable;
};

struct server {
	struct rig *rig;
	struct tcp_listener *listeners[WORKERS_MAX];
	uint32_t n_workers;
	uint16_t port;
	struct tcp_events events;
	atomic_uint n_accepted;
	atomic_uint by_worker[WORKERS_MAX];
	struct peer peers[1024];
	int r;
};

struct listening {
	struct server *server;
	uint32_t worker;
};

static struct listening listening[WORKERS_MAX];

static void
accepted(void *arg, struct tcp *tcp)
{
	struct listening *l = arg;
	struct server *s = l->server;
	struct peer *p = &s->peers[atomic_load(&s->n_accepted) % 1024];

	atomic_fetch_add(&s->by_worker[l->worker], 1);
	if (!s->events.readable) { /* only counted */
		tcp_close(tcp);
		atomic_fetch_add(&s->n_accepted, 1);
		return;
	}
	p->server = s;
	p->tcp = tcp;
	tcp_set_events(tcp, &s->events, p);
	tcp_watch(tcp, TCP_READABLE);
	atomic_fetch_add(&s->n_accepted, 1);
}

static struct server *
server_new(uint32_t n_workers, const struct tcp_events *events)
{
	struct server *s = calloc(1, sizeof(*s));

	s->rig = rig_new(n_workers, 0);
	s->n_workers = n_workers;
	if (events)
		s->events = *events;
	for (uint32_t i = 0; i < n_workers; i++) {
		listening[i] = (struct listening){s, i};
		CHECK_EQ(tcp_listen(s->rig->os, i, "127.0.0.1", s->port,
			     &s->listeners[i], accepted, &listening[i]),
		    0);
		s->port = tcp_listener_port(s->listeners[i]);
		CHECK(s->port);
	}
	return s;
}

static void
server_free(struct server *s)
{
	rig_stop(s->rig);
	for (uint32_t i = 0; i < s->n_workers; i++)
		tcp_listener_close(s->listeners[i]);
	for (uint32_t i = 0; i < 1024; i++)
		if (s->peers[i].tcp)
			tcp_close(s->peers[i].tcp);
	rig_free(s->rig);
	free(s);
}

static int
dial(const struct server *s)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
	    .sin_port = htons(s->port),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	CHECK(fd >= 0);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* --- listeners ------------------------------------------------------------ */

static const char *
workers_share_a_port_and_all_of_them_accept(void)
{
	static const uint32_t sizes[] = {1, 2, 4};

	for (size_t k = 0; k < 3; k++) {
		struct server *s = server_new(sizes[k], NULL);

		rig_start(s->rig);
		for (int i = 0; i < 400; i++) {
			int fd = dial(s);

			CHECK(fd >= 0);
			close(fd);
		}
		rig_await(&s->n_accepted, 400);
		for (uint32_t w = 0; w < sizes[k]; w++)
			CHECK(atomic_load(&s->by_worker[w]) > 0);
		server_free(s);
	}
	return NULL;
}

static const char *
an_address_in_use_or_none_is_refused(void)
{
	struct server *s = server_new(2, NULL);
	struct rig *other = rig_new(1, 0);
	struct tcp_listener *l = NULL;

	CHECK_EQ(
	    tcp_listen(other->os, 0, "127.0.0.1", s->port, &l, accepted, NULL),
	    -ERR_INUSE);
	CHECK_EQ(tcp_listen(other->os, 0, "localhost", 0, &l, accepted, NULL),
	    -ERR_INVAL);
	CHECK_EQ(tcp_listen(other->os, 0, "127.0.0.256", 0, &l, accepted, NULL),
	    -ERR_INVAL);
	CHECK(tcp_listen(other->os, 0, "192.0.2.1", 0, &l, accepted, NULL) < 0);
	CHECK(!l);
	rig_free(other);
	server_free(s);
	return NULL;
}

static void
close_listener(void *arg)
{
	struct server *s = arg;

	s->listeners[0] = tcp_listener_close(s->listeners[0]);
}

static const char *
a_closed_listener_takes_no_more(void)
{
	struct server *s = server_new(1, NULL);
	int fd;

	rig_start(s->rig);
	fd = dial(s);
	CHECK(fd >= 0);
	rig_await(&s->n_accepted, 1);
	rig_on(s->rig, 0, close_listener, s);
	CHECK_EQ(dial(s), -1);
	close(fd);
	server_free(s);
	return NULL;
}

static void
readable_ends(void *arg)
{
	struct peer *p = arg;
	uint8_t byte[16];
	size_t got;

	if (tcp_read(p->tcp, byte, sizeof(byte), &got) == TCP_E_EOF) {
		tcp_close(p->tcp);
		p->tcp = NULL;
	}
}

static const struct tcp_events ending = {readable_ends, NULL};

/* Without descriptors connections wait in the backlog; a loop that spins on
 * them would be found by the count of its turns. */
static const char *
out_of_descriptors_it_waits_and_goes_on_when_there_are_some(void)
{
	struct server *s = server_new(1, &ending);
	struct rlimit before, low;
	unsigned turns;
	int fds[4], spare[256], n = 0;

	rig_start(s->rig);
	CHECK(!getrlimit(RLIMIT_NOFILE, &before));
	for (int i = 0; i < 4; i++)
		fds[i] = socket(AF_INET, SOCK_STREAM, 0);
	low = (struct rlimit){(rlim_t)fds[3] + 2, before.rlim_max};
	CHECK(!setrlimit(RLIMIT_NOFILE, &low));
	while (n < 256 && (spare[n] = dup(fds[0])) >= 0)
		n++;
	CHECK_EQ(errno, EMFILE);
	for (int i = 0; i < 4; i++) {
		struct sockaddr_in a = {.sin_family = AF_INET,
		    .sin_port = htons(s->port),
		    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

		CHECK(!connect(fds[i], (struct sockaddr *)&a, sizeof(a)));
	}
	rig_pause_us(300000);
	CHECK_EQ(atomic_load(&s->n_accepted), 0);
	turns = atomic_load(&s->rig->n_turns[0]);
	CHECK(turns < 40);
	CHECK(!setrlimit(RLIMIT_NOFILE, &before));
	while (n)
		close(spare[--n]);
	rig_await(&s->n_accepted, 4);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
	server_free(s);
	return NULL;
}

/* --- connections ---------------------------------------------------------- */

/* Bytes that tell their place. */
static uint8_t
pattern(uint64_t at)
{
	return (uint8_t)(at * 7 + (at >> 8) * 3 + (at >> 16));
}

static void
put_more(struct peer *p)
{
	static uint8_t bytes[3 * 9973];
	struct iovec iov[3];
	size_t put;

	while (p->n_out < p->want_out) {
		uint64_t n = p->want_out - p->n_out;
		int r;

		if (n > sizeof(bytes))
			n = sizeof(bytes);
		for (uint64_t i = 0; i < n; i++)
			bytes[i] = pattern(p->n_out + i);
		iov[0] = (struct iovec){bytes, n / 3};
		iov[1] = (struct iovec){bytes + n / 3, 0};
		iov[2] = (struct iovec){bytes + n / 3, n - n / 3};
		r = tcp_writev(p->tcp, iov, 3, &put);
		if (r == TCP_E_AGAIN) {
			tcp_watch(p->tcp, TCP_WRITABLE);
			return;
		}
		CHECK_EQ(r, 0);
		p->n_out += put;
	}
	tcp_shutdown_write(p->tcp);
	tcp_watch(p->tcp, TCP_READABLE);
}

static void
readable_asks_for_much(void *arg)
{
	struct peer *p = arg;
	uint8_t byte;
	size_t got;
	int r = tcp_read(p->tcp, &byte, 1, &got);

	if (r == TCP_E_EOF) {
		p->got_eof = 1;
		tcp_watch(p->tcp, 0);
		atomic_fetch_add(&p->n_readable, 1);
		return;
	}
	CHECK_EQ(r, 0);
	atomic_fetch_add(&p->n_readable, 1);
	p->want_out = (uint64_t)byte << 20;
	put_more(p);
}

static void
writable_puts_more(void *arg)
{
	struct peer *p = arg;

	atomic_fetch_add(&p->n_writable, 1);
	put_more(p);
}

static const struct tcp_events much = {
    readable_asks_for_much, writable_puts_more};

/* All of 24 MB that were asked for come, in order, then the end. */
static void
read_much(int fd)
{
	static uint8_t bytes[70001];
	uint64_t at = 0;
	ssize_t n;

	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		for (ssize_t i = 0; i < n; i++, at++)
			if (bytes[i] != pattern(at))
				CHECK_EQ(at, UINT64_MAX);
	CHECK_EQ(n, 0);
	CHECK_EQ(at, 24u << 20);
}

static void
peer_is_stuck(void *arg)
{
	struct peer *p = arg;
	unsigned turns = atomic_load(&p->server->rig->n_turns[0]);

	CHECK(p->n_out < 24u << 20);
	CHECK(turns < 10000);
}

static const char *
a_reader_that_is_slow_is_waited_for_and_gets_all(void)
{
	struct server *s = server_new(1, &much);
	uint8_t want = 24;
	unsigned calls;
	int fd;

	rig_start(s->rig);
	fd = dial(s);
	CHECK_EQ(write(fd, &want, 1), 1);
	rig_pause_us(50000);
	calls = atomic_load(&s->peers[0].n_writable);
	rig_pause_us(50000); /* full: nobody is called while nobody reads */
	CHECK_EQ(atomic_load(&s->peers[0].n_writable), calls);
	rig_on(s->rig, 0, peer_is_stuck, &s->peers[0]);
	read_much(fd);
	CHECK(atomic_load(&s->peers[0].n_writable) > calls);
	close(fd);
	server_free(s);
	return NULL;
}

static void
saw_eof(void *arg)
{
	struct peer *p = arg;

	CHECK(p->got_eof);
}

static const char *
either_side_may_stop_sending_and_go_on_reading(void)
{
	struct server *s = server_new(1, &much);
	uint8_t want = 24;
	int fd;

	rig_start(s->rig);
	fd = dial(s);
	CHECK_EQ(write(fd, &want, 1), 1);
	CHECK(!shutdown(fd, SHUT_WR));
	read_much(fd); /* and the server's end behind it */
	rig_await(&s->peers[0].n_readable, 2);
	rig_on(s->rig, 0, saw_eof, &s->peers[0]);
	close(fd);
	server_free(s);
	return NULL;
}

static void
readable_counts(void *arg)
{
	struct peer *p = arg;
	uint8_t bytes[64];
	size_t got = 0;
	int r = tcp_read(p->tcp, bytes, sizeof(bytes), &got);

	if (r < 0) {
		CHECK_EQ(r, -ERR_IO);
		p->broken = 1;
		tcp_watch(p->tcp, 0);
	}
	p->n_in += got;
	if (got && bytes[0] == 'q')
		tcp_watch(p->tcp, 0);
	if (got && bytes[0] == 'r') {
		tcp_reset(p->tcp);
		p->tcp = NULL;
	}
	atomic_fetch_add(&p->n_readable, 1);
}

static const struct tcp_events counting = {readable_counts, NULL};

static const char *
a_reset_is_an_error_on_both_sides(void)
{
	struct server *s = server_new(1, &counting);
	struct linger now = {.l_onoff = 1};
	uint8_t byte;
	int fd;

	rig_start(s->rig);
	fd = dial(s);
	rig_await(&s->n_accepted, 1);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
	rig_await(&s->peers[0].n_readable, 1);
	CHECK(s->peers[0].broken);
	fd = dial(s);
	CHECK_EQ(write(fd, "r", 1), 1);
	CHECK_EQ(read(fd, &byte, 1), -1);
	CHECK_EQ(errno, ECONNRESET);
	close(fd);
	server_free(s);
	return NULL;
}

static void
watch_again(void *arg)
{
	struct peer *p = arg;

	tcp_watch(p->tcp, TCP_READABLE);
}

static void
names_its_peer(void *arg)
{
	struct peer *p = arg;

	CHECK(strncmp(tcp_peer(p->tcp), "127.0.0.1:", 10) == 0);
}

static const char *
what_is_not_watched_is_not_told(void)
{
	struct server *s = server_new(1, &counting);
	int fd;

	rig_start(s->rig);
	fd = dial(s);
	CHECK_EQ(write(fd, "q", 1), 1);
	rig_await(&s->peers[0].n_readable, 1);
	CHECK_EQ(write(fd, "abc", 3), 3);
	rig_pause_us(20000);
	CHECK_EQ(atomic_load(&s->peers[0].n_readable), 1);
	rig_on(s->rig, 0, names_its_peer, &s->peers[0]);
	rig_on(s->rig, 0, watch_again, &s->peers[0]);
	rig_await(&s->peers[0].n_readable, 2);
	rig_stop(s->rig);
	CHECK_EQ(s->peers[0].n_in, 4);
	close(fd);
	server_free(s);
	return NULL;
}

static void
accept_one(void *arg, struct tcp *tcp)
{
	CHECK(strcmp(tcp_peer(tcp), "local") == 0);
	tcp_close(tcp);
	atomic_fetch_add((atomic_uint *)arg, 1);
}

static const char *
a_local_socket_is_ours_alone_replaces_a_dead_one_and_goes(void)
{
	struct rig *rig = rig_new(1, 0);
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	struct tcp_listener *dead, *l;
	atomic_uint n = 0;
	struct stat st;
	int fd;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s/sock", rig->dir);
	CHECK_EQ(
	    tcp_listen_local(rig->os, 0, "sock", &dead, accept_one, &n), 0);
	CHECK_EQ(tcp_listen_local(rig->os, 0, "sock", &l, accept_one, &n), 0);
	CHECK_EQ(stat(a.sun_path, &st), 0);
	CHECK(S_ISSOCK(st.st_mode));
	CHECK_EQ(st.st_mode & 0777, 0600);
	rig_start(rig);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_EQ(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	rig_await(&n, 1);
	close(fd);
	rig_stop(rig);
	tcp_listener_close(l);
	CHECK(stat(a.sun_path, &st) < 0 && errno == ENOENT);
	CHECK_EQ(
	    tcp_listen_local(rig->os, 0, "no/such/place", &l, accept_one, &n),
	    -ERR_NOTFOUND);
	tcp_listener_close(dead);
	rig_free(rig);
	return NULL;
}

#define TEST(name)                                                             \
	{                                                                      \
#name, name                                                    \
	}

const struct test tcp_tests[] = {
    TEST(workers_share_a_port_and_all_of_them_accept),
    TEST(an_address_in_use_or_none_is_refused),
    TEST(a_closed_listener_takes_no_more),
    TEST(out_of_descriptors_it_waits_and_goes_on_when_there_are_some),
    TEST(a_reader_that_is_slow_is_waited_for_and_gets_all),
    TEST(either_side_may_stop_sending_and_go_on_reading),
    TEST(a_reset_is_an_error_on_both_sides),
    TEST(what_is_not_watched_is_not_told),
    TEST(a_local_socket_is_ours_alone_replaces_a_dead_one_and_goes),
    {NULL, NULL},
};
