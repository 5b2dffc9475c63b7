/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * iorio-bench - load for a node over HTTP, with latency histograms.
 *
 *	iorio-bench append -u admin -p secret --connections 50 --seconds 10
 *	iorio-bench append -u admin -p secret --batch 100
 *	iorio-bench read   --token T --connections 64 --seconds 10
 *	iorio-bench login  --rate 1000 --seconds 10
 *
 * Closed loop by default: each connection has one request under way.  With
 * --rate N requests are due N a second in all, and latency counts from when a
 * request was due, so that a stall of the server is not hidden by the client's
 * waiting (coordinated omission).
 *
 * --if-match: each append asks that the newest event of its stream is the one
 * that was acknowledged last; who was overtaken (412) asks again.  --keys N: each
 * append has an idempotency key of its own, is asked again until it succeeds, and
 * N of 100 are sent once more after that, to be answered with the same seqnum.
 *
 * login: passwords that are wrong, each of another user; refusals are what counts.
 *
 * --verify (append) reads every stream back at the end: each acknowledged event
 * must be there once, under its seqnum, with the bytes that were sent.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "tests/bench/bench_listen.h"
#include "tests/bench/bench.h"

#define HEAD_MAX  1024
#define INPUT_MAX (2 << 20)
#define AGAIN_US  20000 /* what failed is asked again, under its key */

/* What a connection asks next. */
enum next {
	NEXT_NEW,
	NEXT_AGAIN,  /* the same: it failed, or the condition did not hold */
	NEXT_REPEAT, /* the same, though it was acknowledged */
};

struct conn {
	struct bench *b;
	int fd, stream, busy;
	struct event *ev, *timer; /* an answer; when the next one is due */
	enum next next;
	int failed; /* why it comes again: nobody knows whether it is there */
	uint64_t due_us, id, first;
	size_t out_n, out_at, in_n;
	char *in, *out;
};

static uint64_t
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

void
bench_die(const char *what)
{
	fprintf(stderr, "iorio-bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

int
bench_connect(const struct bench *b, int blocking)
{
	struct sockaddr_in a = {
	    .sin_family = AF_INET, .sin_port = htons((uint16_t)b->port)};
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || inet_pton(AF_INET, b->host, &a.sin_addr) != 1 ||
	    connect(fd, (struct sockaddr *)&a, sizeof(a)))
		bench_die("cannot connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (!blocking)
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	return fd;
}

int
bench_body(const struct bench *b, uint64_t id, char *out)
{
	int n = snprintf(out, BODY_MAX, "{\"run\":%llu,\"id\":%llu,\"pad\":\"",
	    (unsigned long long)b->run, (unsigned long long)id);

	for (; n < b->size - 2; n++)
		out[n] = (char)('a' + (n * 7 + (int)(id % 26)) % 26);
	out[n++] = '"';
	out[n++] = '}';
	return n;
}

/* Event NTH of request ID. */
static uint64_t
event_id(const struct bench *b, uint64_t id, int nth)
{
	return id * (uint64_t)b->batch + (uint64_t)nth;
}

/* The events of request ID, a line each if they are several. */
static int
make_bodies(const struct bench *b, uint64_t id, char *out)
{
	int n = 0;

	for (int i = 0; i < b->batch; i++) {
		n += bench_body(b, event_id(b, id, i), out + n);
		if (b->batch > 1)
			out[n++] = '\n';
	}
	return n;
}

static size_t
request_max(const struct bench *b)
{
	/* What bench_body needs at least is less than 128. */
	size_t body = (size_t)(b->size > 128 ? b->size : 128) + 1;

	return HEAD_MAX + body * (size_t)b->batch + BODY_MAX;
}

/* Condition and key. */
static void
extra_headers(const struct conn *c, char *out, size_t n)
{
	const struct bench *b = c->b;
	size_t at = 0;

	out[0] = '\0';
	if (b->if_match)
		at = (size_t)snprintf(out, n, "If-Match: \"%llu\"\r\n",
		    (unsigned long long)b->logs[c->stream].newest);
	if (b->keys >= 0)
		snprintf(out + at, n - at, "Idempotency-Key: %llu-%llu\r\n",
		    (unsigned long long)b->run, (unsigned long long)c->id);
}

static void
make_request(struct conn *c)
{
	const struct bench *b = c->b;
	int n;

	c->stream = (int)(c->id % (uint64_t)b->streams);
	if (b->mode[0] == 'a') {
		int body_n = make_bodies(b, c->id, c->out + HEAD_MAX);
		char more[160];

		extra_headers(c, more, sizeof(more));
		n = snprintf(c->out, HEAD_MAX,
		    "POST /streams/%s/s%d HTTP/1.1\r\nHost: bench\r\n"
		    "x-session: %s\r\nContent-Type: application/%s\r\n"
		    "Content-Length: %d\r\n%s\r\n",
		    b->bucket, c->stream, b->token,
		    b->batch > 1 ? "x-ndjson" : "json", body_n, more);
		memmove(c->out + n, c->out + HEAD_MAX, (size_t)body_n);
		n += body_n;
	} else if (b->mode[0] == 'l') {
		char body[96];
		int body_n = snprintf(body, sizeof(body),
		    "{\"username\":\"u%llu\",\"password\":\"wrong\"}",
		    (unsigned long long)c->id);

		n = snprintf(c->out, HEAD_MAX,
		    "POST /sessions HTTP/1.1\r\nHost: bench\r\n"
		    "Content-Type: application/json\r\n"
		    "Content-Length: %d\r\n\r\n%s",
		    body_n, body);
	} else {
		n = snprintf(c->out, HEAD_MAX,
		    "GET /streams/%s/s%d?limit=%d HTTP/1.1\r\nHost: bench\r\n"
		    "x-session: %s\r\n\r\n",
		    b->bucket, c->stream, b->limit, b->token);
	}
	c->out_n = (size_t)n;
	c->out_at = 0;
}

static void
log_event(struct bench *b, struct stream_log *l, uint64_t seq, uint64_t id)
{
	if (seq >= l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 1024;

		while (cap <= seq)
			cap *= 2;
		l->ids = realloc(l->ids, cap * sizeof(*l->ids));
		if (!l->ids)
			bench_die("memory");
		memset(l->ids + l->cap, 0, (cap - l->cap) * sizeof(*l->ids));
		l->cap = cap;
	}
	if (l->ids[seq])
		b->n_bad_seq++; /* a seqnum given twice */
	l->ids[seq] = id + 1;
	l->n++;
}

/* The number behind "NAME": in BODY, or 0. */
static uint64_t
number(const char *body, const char *name)
{
	char quoted[32];
	const char *at;

	snprintf(quoted, sizeof(quoted), "\"%s\":", name);
	at = strstr(body, quoted);
	return at ? strtoull(at + strlen(quoted), NULL, 10) : 0;
}

/* An append that is answered with success for the first time. */
static void
acknowledged(struct conn *c, uint64_t seq)
{
	struct bench *b = c->b;
	struct stream_log *l = &b->logs[c->stream];
	uint64_t last = seq + (uint64_t)b->batch - 1;

	if (seq == 0)
		b->n_bad_seq++;
	if (l->newest < last)
		l->newest = last;
	for (int i = 0; seq && b->verify && i < b->batch; i++)
		log_event(b, l, seq + (uint64_t)i, event_id(b, c->id, i));
	c->first = seq;
	if (b->keys > 0 && c->id * 2654435761u % 100 < (unsigned)b->keys)
		c->next = NEXT_REPEAT;
}

/* One that was acknowledged before must get the same answer. */
static void
repeated(struct conn *c, const char *head, uint64_t seq)
{
	struct bench *b = c->b;

	b->n_replayed++;
	if (seq != c->first || !strstr(head, "Idempotent-Replayed: true"))
		b->n_bad_seq++;
}

static void
overtaken(struct conn *c, const char *body)
{
	struct stream_log *l = &c->b->logs[c->stream];
	uint64_t got = number(body, "got");

	c->b->n_conflicts++;
	if (l->newest < got)
		l->newest = got;
	c->next = NEXT_AGAIN;
}

static void
refused(struct conn *c)
{
	struct bench *b = c->b;

	if (b->keys >= 0 && c->in[9] == '5') {
		b->n_again++;
		c->next = NEXT_AGAIN;
		c->failed = 1;
	} else if (b->n_failed++ == 0) {
		fprintf(stderr, "first failure: %.300s\n", c->in);
	}
}

/* The whole answer is in C->IN. */
static void
answered(struct conn *c, const char *body)
{
	struct bench *b = c->b;
	enum next was = c->next;
	int append = b->mode[0] == 'a';
	uint64_t seq = number(body, b->batch > 1 ? "first" : "id");

	c->next = NEXT_NEW;
	c->failed = 0;
	if (c->in[9] == '2' && was == NEXT_REPEAT) {
		repeated(c, c->in, seq);
	} else if (c->in[9] == '2') {
		b->n_ok++;
		if (append)
			acknowledged(c, seq);
	} else if (b->mode[0] == 'l' && (memcmp(c->in + 9, "401", 3) == 0 ||
					    memcmp(c->in + 9, "503", 3) == 0)) {
		b->n_ok++; /* looked at, or too many wait */
	} else if (b->if_match && memcmp(c->in + 9, "412", 3) == 0) {
		overtaken(c, body);
	} else {
		refused(c);
		if (c->next == NEXT_AGAIN)
			c->next = was == NEXT_REPEAT ? was : NEXT_AGAIN;
	}
}

/* A whole response in INPUT?  Its length, or 0. */
static size_t
response_bytes(const char *in, size_t n, const char **body)
{
	const char *end = memmem(in, n, "\r\n\r\n", 4);
	const char *cl;
	size_t total;

	if (!end)
		return 0;
	cl = memmem(in, (size_t)(end - in), "Content-Length: ", 16);
	if (!cl)
		return 0;
	*body = end + 4;
	total = (size_t)(end + 4 - in) + strtoull(cl + 16, NULL, 10);
	return n >= total ? total : 0;
}

static void next_request(struct conn *c);

static void
finish(struct conn *c, size_t total, const char *body)
{
	struct bench *b = c->b;
	char kept = c->in[total];

	c->in[total] = '\0';
	hist_add(&b->hist, now_us() - c->due_us);
	b->bytes_in += total;
	answered(c, body);
	c->in[total] = kept;
	memmove(c->in, c->in + total, c->in_n - total);
	c->in_n -= total;
	c->busy = 0;
	next_request(c);
}

static void
write_out(struct conn *c)
{
	while (c->out_at < c->out_n) {
		ssize_t n =
		    write(c->fd, c->out + c->out_at, c->out_n - c->out_at);

		if (n < 0 && errno == EAGAIN) { /* a large batch */
			struct pollfd p = {c->fd, POLLOUT, 0};

			poll(&p, 1, -1);
			continue;
		}
		if (n < 0)
			bench_die("write");
		c->out_at += (size_t)n;
	}
}

static void
ask(struct conn *c)
{
	c->busy = 1;
	if (c->next == NEXT_NEW)
		c->id = c->b->n_sent++;
	make_request(c);
	write_out(c);
}

static void
next_request(struct conn *c)
{
	struct bench *b = c->b;
	uint64_t now = now_us();

	if (now >= b->end_us) {
		b->n_failed += (uint64_t)c->failed; /* it is in doubt */
		if (--b->n_open == 0)
			event_base_loopbreak(b->base);
		event_del(c->ev);
		return;
	}
	c->due_us = now;
	if (c->failed) {
		struct timeval soon = {0, AGAIN_US};

		event_add(c->timer, &soon);
		return;
	}
	if (b->rate > 0) {
		c->due_us = b->next_due_us;
		b->next_due_us += (uint64_t)(1e6 / b->rate);
		if (c->due_us > now) {
			struct timeval tv = {
			    (time_t)((c->due_us - now) / 1000000u),
			    (suseconds_t)((c->due_us - now) % 1000000u)};

			event_add(c->timer, &tv);
			return;
		}
	}
	ask(c);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	uint64_t now = now_us();

	(void)fd;
	(void)what;
	if (c->due_us > now) /* libevent's clock is coarse */
		c->due_us = now;
	ask(c);
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	const char *body;
	size_t total;
	ssize_t n;

	(void)what;
	n = read(fd, c->in + c->in_n, INPUT_MAX - c->in_n - 1);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0)
		bench_die("the server closed the connection");
	c->in_n += (size_t)n;
	total = response_bytes(c->in, c->in_n, &body);
	if (total && c->busy)
		finish(c, total, body);
}

int
main(int argc, char **argv)
{
	struct bench b;
	uint64_t bad = 0;
	double seconds;

	if (argc > 1 && strcmp(argv[1], "listen") == 0)
		return bench_listen(argc - 1, argv + 1);
	bench_parse(&b, argc, argv);
	b.run = now_us();
	if (!b.token && b.mode[0] != 'l')
		b.token = bench_login(&b);
	b.logs = calloc((size_t)b.streams, sizeof(*b.logs));
	b.base = event_base_new();
	b.started_us = b.next_due_us = now_us();
	b.end_us = b.started_us + (uint64_t)(b.seconds * 1e6);
	b.n_open = b.connections;
	for (int i = 0; i < b.connections; i++) {
		struct conn *c = calloc(1, sizeof(*c));

		if (!c || !(c->in = malloc(INPUT_MAX)) ||
		    !(c->out = malloc(request_max(&b))))
			bench_die("memory");
		c->b = &b;
		c->fd = bench_connect(&b, 0);
		c->ev =
		    event_new(b.base, c->fd, EV_READ | EV_PERSIST, on_event, c);
		c->timer = evtimer_new(b.base, on_timer, c);
		event_add(c->ev, NULL);
		next_request(c);
	}
	event_base_dispatch(b.base);
	seconds = (double)(now_us() - b.started_us) / 1e6;
	for (int i = 0; b.verify && i < b.streams; i++)
		bad += bench_verify_stream(&b, i);
	bad += (uint64_t)b.n_bad_seq;
	bench_report(&b, seconds, bad);
	return bad || b.n_failed ? 1 : 0;
}
