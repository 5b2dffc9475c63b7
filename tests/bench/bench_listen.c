/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * bench_listen - many listeners of one stream while one writer appends.
 *
 *	iorio-bench listen --port 8080 --token T --transport sse \
 *	    --clients 1000 --rate 100 --seconds 10
 *
 * Latency counts from when an append was sent to when a listener had its event.
 * Each listener must get each event once and in order.  --raw measures the
 * ceiling instead: a process that does nothing but send as many bytes to as many
 * sockets.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/bench.h"
#include "tests/bench/bench_listen.h"
#include "tests/bench/hist.h"

#define INPUT_BYTES (256 << 10)
#define CLIENTS_MAX 20000
#define RAW_SECONDS 3

enum transport { SSE, SOCKET, COMET };

struct listen_bench {
	const char *host, *token, *bucket;
	int port, clients, size, raw;
	enum transport transport;
	double rate, seconds;
	struct event_base *base;
	struct hist hist;
	uint64_t *sent_us; /* by number of the event */
	uint64_t n_sent, n_acked, n_max, due_us, started_us, end_us, run;
	uint64_t n_delivered, n_bad, bytes;
	int n_ready, writer;
	struct event *writer_ev, *tick;
	struct listener *all;
};

struct listener {
	struct listen_bench *b;
	int fd, ready;
	struct event *ev;
	uint64_t next; /* number of the event that must come */
	size_t n;
	char *in; /* shared: each read is used up but for a rest */
	char rest[512];
	size_t rest_n;
};

static uint64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static void
die(const char *what)
{
	fprintf(stderr, "iorio-bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int
connect_to(const struct listen_bench *b)
{
	struct sockaddr_in a = {
	    .sin_family = AF_INET, .sin_port = htons((uint16_t)b->port)};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || inet_pton(AF_INET, b->host, &a.sin_addr) != 1 ||
	    connect(fd, (struct sockaddr *)&a, sizeof(a)))
		die("cannot connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static void
send_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);

		if (k < 0 && errno == EAGAIN)
			continue;
		if (k <= 0)
			die("cannot send");
		p += k;
		n -= (size_t)k;
	}
}

/* --- listeners ------------------------------------------------------------ */

static void
ask(struct listener *c)
{
	const struct listen_bench *b = c->b;
	char head[1024], extra[256] = "";
	int n;

	if (b->transport == SSE)
		snprintf(extra, sizeof(extra), "Accept: text/event-stream\r\n");
	if (b->transport == SOCKET)
		snprintf(extra, sizeof(extra),
		    "Connection: Upgrade\r\nUpgrade: websocket\r\n"
		    "Sec-WebSocket-Version: 13\r\n"
		    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
	n = snprintf(head, sizeof(head),
	    "GET /listen?s=%s:s%llu:%llu HTTP/1.1\r\nHost: bench\r\n"
	    "x-session: %s\r\n%s\r\n",
	    b->bucket, (unsigned long long)b->run,
	    (unsigned long long)c->next + 1, b->token, extra);
	send_all(c->fd, head, (size_t)n);
}

static void
got(struct listener *c, uint64_t number)
{
	struct listen_bench *b = c->b;

	if (number != c->next || number >= b->n_sent) {
		b->n_bad++;
		return;
	}
	c->next++;
	b->n_delivered++;
	hist_add(&b->hist, now_us() - b->sent_us[number]);
}

/* Events are found by `"n":<number>,`; how much of IN was used. */
static size_t
find_events(struct listener *c, const char *in, size_t n)
{
	const char *at = in, *end = in + n, *mark, *stop;
	int had = 0;

	while ((mark = memmem(at, (size_t)(end - at), "\"n\":", 4))) {
		stop = memchr(mark, ',', (size_t)(end - mark));
		if (!stop)
			break;
		got(c, strtoull(mark + 4, NULL, 10));
		at = stop;
		had = 1;
	}
	if (had && c->b->transport == COMET)
		ask(c);
	if (mark)
		return (size_t)(mark - in);
	return at + 3 > end ? (size_t)(at - in) : n - 3;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	static char in[INPUT_BYTES];
	struct listener *c = arg;
	struct listen_bench *b = c->b;
	ssize_t k;
	size_t n = c->rest_n, used;

	(void)what;
	memcpy(in, c->rest, n);
	k = recv(fd, in + n, sizeof(in) - n, 0);
	if (k <= 0) {
		if (k == 0 || errno != EAGAIN)
			die("a listener was cut off");
		return;
	}
	b->bytes += (uint64_t)k;
	n += (size_t)k;
	if (b->raw)
		return;
	if (!c->ready) {
		c->ready = 1;
		b->n_ready++;
	}
	used = find_events(c, in, n);
	c->rest_n = n - used < sizeof(c->rest) ? n - used : sizeof(c->rest);
	memcpy(c->rest, in + n - c->rest_n, c->rest_n);
}

static void
connect_all(struct listen_bench *b)
{
	b->all = calloc((size_t)b->clients, sizeof(*b->all));
	if (!b->all)
		die("memory");
	for (int i = 0; i < b->clients; i++) {
		struct listener *c = &b->all[i];

		c->b = b;
		c->fd = connect_to(b);
		if (!b->raw)
			ask(c);
		fcntl(c->fd, F_SETFL, fcntl(c->fd, F_GETFL) | O_NONBLOCK);
		c->ev = event_new(
		    b->base, c->fd, EV_READ | EV_PERSIST, on_readable, c);
		if (!c->ev || event_add(c->ev, NULL))
			die("memory");
	}
}

/* --- the writer ----------------------------------------------------------- */

static void
append(struct listen_bench *b)
{
	char text[2048], body[1024];
	int n = snprintf(body, sizeof(body), "{\"n\":%llu,\"pad\":\"",
	    (unsigned long long)b->n_sent);

	while (n < b->size - 2 && n < 1000)
		body[n++] = 'x';
	body[n++] = '"';
	body[n++] = '}';
	b->sent_us[b->n_sent++] = now_us();
	n = snprintf(text, sizeof(text),
	    "POST /streams/%s/s%llu HTTP/1.1\r\nHost: bench\r\nx-session: "
	    "%s\r\n"
	    "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%.*s",
	    b->bucket, (unsigned long long)b->run, b->token, n, n, body);
	send_all(b->writer, text, (size_t)n);
}

static void
on_answer(evutil_socket_t fd, short what, void *arg)
{
	struct listen_bench *b = arg;
	char in[65536];
	ssize_t k = recv(fd, in, sizeof(in) - 1, 0);
	char *at = in;

	(void)what;
	if (k <= 0)
		die("the writer was cut off");
	in[k] = '\0';
	while ((at = strstr(at, "HTTP/1.1 "))) {
		b->n_acked++;
		b->n_bad += strncmp(at + 9, "201", 3) != 0;
		at += 9;
	}
}

static int
all_have_all(const struct listen_bench *b)
{
	return b->n_delivered >= b->n_sent * (uint64_t)b->clients;
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct listen_bench *b = arg;
	uint64_t now = now_us();

	(void)fd;
	(void)what;
	if (!b->started_us) { /* SSE and WebSocket answer at once */
		if (b->transport != COMET && b->n_ready < b->clients)
			return;
		b->started_us = b->due_us = now + 300000;
		b->end_us = b->started_us + (uint64_t)(b->seconds * 1e6);
	}
	while (
	    b->due_us <= now && b->due_us < b->end_us && b->n_sent < b->n_max) {
		append(b);
		b->due_us += (uint64_t)(1e6 / b->rate);
	}
	if (now >= b->end_us && (all_have_all(b) || now > b->end_us + 10000000))
		event_base_loopbreak(b->base);
}

/* --- the ceiling ---------------------------------------------------------- */

/* In a process of its own: sends as fast as the sockets take it. */
static void
send_loop(struct listen_bench *b, int listening, size_t bytes)
{
	uint64_t end = 0, n = 0;
	int *fds = calloc((size_t)b->clients, sizeof(*fds)), one = 1;
	char *text = calloc(1, bytes);

	for (int i = 0; i < b->clients; i++) {
		fds[i] = accept(listening, NULL, NULL);
		setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	}
	end = now_us() + RAW_SECONDS * 1000000ull;
	while (now_us() < end)
		for (int i = 0; i < b->clients; i++, n++)
			send_all(fds[i], text, bytes);
	exit(0);
}

static void
on_raw_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(((struct listen_bench *)arg)->base);
}

static int
run_raw(struct listen_bench *b)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t len = sizeof(a);
	struct timeval tv = {RAW_SECONDS, 0};
	size_t bytes = (size_t)b->size + 110; /* what is around an event */
	int listening = socket(AF_INET, SOCK_STREAM, 0);
	uint64_t begun;
	pid_t pid;

	inet_pton(AF_INET, b->host, &a.sin_addr);
	if (bind(listening, (struct sockaddr *)&a, len) ||
	    listen(listening, 4096) ||
	    getsockname(listening, (struct sockaddr *)&a, &len))
		die("cannot listen");
	b->port = ntohs(a.sin_port);
	pid = fork();
	if (pid == 0)
		send_loop(b, listening, bytes);
	connect_all(b);
	event_base_once(b->base, -1, EV_TIMEOUT, on_raw_over, b, &tv);
	begun = now_us();
	event_base_dispatch(b->base);
	printf("raw send loop: %d sockets, %.0f deliveries/s of %zu bytes\n",
	    b->clients,
	    (double)b->bytes / (double)bytes /
		((double)(now_us() - begun) / 1e6),
	    bytes);
	for (int i = 0; i < b->clients; i++)
		close(b->all[i].fd);
	kill(pid, 9);
	waitpid(pid, NULL, 0);
	return 0;
}

/* --- the whole ------------------------------------------------------------ */

static int
report(const struct listen_bench *b)
{
	double seconds = (double)(now_us() - b->started_us) / 1e6;
	uint64_t missing = b->n_sent * (uint64_t)b->clients - b->n_delivered;

	printf("%d listeners, %llu events appended, %llu deliveries "
	       "(%.0f/s), %llu missing, %llu wrong\n",
	    b->clients, (unsigned long long)b->n_acked,
	    (unsigned long long)b->n_delivered,
	    (double)b->n_delivered / seconds, (unsigned long long)missing,
	    (unsigned long long)b->n_bad);
	printf("append to delivery: p50 %llu us, p99 %llu us, p99.9 %llu us, "
	       "max %llu us\n",
	    (unsigned long long)hist_quantile(&b->hist, 0.5),
	    (unsigned long long)hist_quantile(&b->hist, 0.99),
	    (unsigned long long)hist_quantile(&b->hist, 0.999),
	    (unsigned long long)b->hist.max);
	return missing || b->n_bad || b->n_acked == 0;
}

static int
run(struct listen_bench *b)
{
	struct timeval tv = {0, 1000};

	b->n_max = (uint64_t)(b->rate * b->seconds) + 1;
	b->sent_us = calloc(b->n_max, sizeof(*b->sent_us));
	b->writer = connect_to(b);
	fcntl(b->writer, F_SETFL, fcntl(b->writer, F_GETFL) | O_NONBLOCK);
	b->writer_ev =
	    event_new(b->base, b->writer, EV_READ | EV_PERSIST, on_answer, b);
	b->tick = event_new(b->base, -1, EV_PERSIST, on_tick, b);
	if (!b->sent_us || !b->writer_ev || !b->tick)
		die("memory");
	event_add(b->writer_ev, NULL);
	event_add(b->tick, &tv);
	connect_all(b);
	event_base_dispatch(b->base);
	return report(b);
}

static int
transport_of(const char *name)
{
	static const char *const names[] = {"sse", "socket", "comet"};

	for (int i = 0; i < 3; i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	fprintf(stderr, "iorio-bench: --transport sse, socket or comet\n");
	exit(2);
}

static int
usage(FILE *out)
{
	fputs("Usage: iorio-bench listen [options]\n"
	      "  --host IP          127.0.0.1     --port N           8080\n"
	      "  -u USER            admin         -p PASSWORD        secret\n"
	      "  --token T          no login      --clients N        1000\n"
	      "  --transport T      sse, socket or comet; sse\n"
	      "  --rate N           100 events a second\n"
	      "  --seconds S        10            --size BYTES       256\n"
	      "  --bucket B         bench\n"
	      "  --raw              no node: what this program and the kernel "
	      "can do\n",
	    out);
	return out == stdout ? 0 : 2;
}

/* Logs in at the node of B. */
static const char *
login(const struct listen_bench *b, const char *user, const char *password)
{
	struct bench as = {.host = b->host,
	    .port = b->port,
	    .user = user,
	    .password = password};

	return bench_login(&as);
}

int
bench_listen(int argc, char **argv)
{
	static const struct option options[] = {{"host", 1, 0, 'h'},
	    {"port", 1, 0, 'o'}, {"token", 1, 0, 't'}, {"bucket", 1, 0, 'b'},
	    {"user", 1, 0, 'u'}, {"password", 1, 0, 'p'}, {"help", 0, 0, 'H'},
	    {"transport", 1, 0, 'k'}, {"clients", 1, 0, 'c'},
	    {"rate", 1, 0, 'r'}, {"seconds", 1, 0, 's'}, {"size", 1, 0, 'z'},
	    {"raw", 0, 0, 'R'}, {0}};
	struct listen_bench *b = calloc(1, sizeof(*b));
	const char *user = "admin", *password = "secret";
	int o, r;

	if (!b)
		die("memory");
	*b = (struct listen_bench){.host = "127.0.0.1",
	    .bucket = "bench",
	    .port = 8080,
	    .clients = 1000,
	    .size = 256,
	    .rate = 100,
	    .seconds = 10,
	    .run = now_us()};
	while ((o = getopt_long(argc, argv, "u:p:", options, NULL)) != -1) {
		switch (o) {
		case 'h':
			b->host = optarg;
			break;
		case 'o':
			b->port = (int)strtol(optarg, NULL, 10);
			break;
		case 'u':
			user = optarg;
			break;
		case 'p':
			password = optarg;
			break;
		case 'H':
			return usage(stdout);
		case 't':
			b->token = optarg;
			break;
		case 'b':
			b->bucket = optarg;
			break;
		case 'k':
			b->transport = (enum transport)transport_of(optarg);
			break;
		case 'c':
			b->clients = (int)strtol(optarg, NULL, 10);
			break;
		case 'r':
			b->rate = strtod(optarg, NULL);
			break;
		case 's':
			b->seconds = strtod(optarg, NULL);
			break;
		case 'z':
			b->size = (int)strtol(optarg, NULL, 10);
			break;
		case 'R':
			b->raw = 1;
			break;
		default:
			return usage(stderr);
		}
	}
	if (b->clients < 1 || b->clients > CLIENTS_MAX || b->rate <= 0 ||
	    b->seconds <= 0 || b->size < 1) {
		fprintf(stderr, "iorio-bench: a bad number\n");
		return 2;
	}
	if (b->raw)
		b->token = "";
	else if (!b->token)
		b->token = login(b, user, password);
	b->base = event_base_new();
	if (!b->base)
		die("memory");
	r = b->raw ? run_raw(b) : run(b);
	free(b->sent_us);
	free(b->all);
	free(b);
	return r;
}
