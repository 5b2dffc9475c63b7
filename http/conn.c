/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * conn - one connection.
 *
 *	HEAD -> BODY -> BUSY -> HEAD ...		keep-alive, pipelined
 *	  any -> DRAIN -> closed			after an early error
 *
 * One request at a time: what is pipelined behind it waits in the input, so
 *answers are in order by construction.  Input is read into a refcounted block;
 *a request borrows its body from there and keeps the block.  Reading stops
 *while a request is being answered and the block is full, and while output
 *waits.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "http/http_impl.h"

#define CONN_MAGIC       0x434f4e4e
#define IN_BYTES         (16u << 10)
#define OUT_BYTES        (16u << 10)
#define OUT_IOV          64
#define OUT_LOW          (256u << 10)
#define HEAD_US          10000000ull
#define IDLE_US          60000000ull
#define DRAIN_US         1000000ull
#define DRAIN_BYTES      (1u << 20)
#define WRITE_US         60000000ull
#define BODY_GRACE_US    10000000ull
#define BODY_BYTES_PER_S 1024

static void step(struct conn *c);

static void
watch(struct conn *c)
{
	unsigned what = 0;

	if (c->reading)
		what |= TCP_READABLE;
	if (c->n_out > c->out_at)
		what |= TCP_WRITABLE;
	tcp_watch(c->tcp, what);
}

static void
set_deadline(struct conn *c, uint64_t us)
{
	c->deadline = mono_add_us(server_now(c->server), us);
}

static void
uncharge(struct conn *c)
{
	atomic_fetch_sub(c->server->config.inflight_bytes, c->charged);
	c->charged = 0;
}

/* --- output
 * ---------------------------------------------------------------------- */

static struct piece *
add_piece(struct conn *c)
{
	if (c->n_out == c->cap_out) {
		uint32_t cap = c->cap_out ? c->cap_out * 2 : 8;
		void *p = mem_realloc(c->out, cap * sizeof(*c->out));

		if (!p) {
			c->broken = 1;
			return NULL;
		}
		c->out = p;
		c->cap_out = cap;
	}
	return &c->out[c->n_out++];
}

void
conn_out(struct conn *c, const void *p, size_t n)
{
	struct piece *last =
	    c->n_out > c->out_at ? &c->out[c->n_out - 1] : NULL;
	struct block *b = last ? last->block : NULL;

	if (n == 0 || c->broken)
		return;
	/* Only our own text blocks have room behind what is used. */
	if (!b || last->at + last->n != b->n || b->cap - b->n < n ||
	    atomic_load(&b->refs) != 1) {
		b = block_new(n > OUT_BYTES ? (uint32_t)n : OUT_BYTES);
		last = b ? add_piece(c) : NULL;
		if (!last) {
			block_unref(b);
			c->broken = 1;
			return;
		}
		*last = (struct piece){b, 0, 0};
	}
	memcpy(b->p + b->n, p, n);
	b->n += (uint32_t)n;
	last->n += (uint32_t)n;
	c->out_bytes += n;
}

void
conn_out_block(struct conn *c, struct slice s, struct block *block)
{
	struct piece *piece = c->broken ? NULL : add_piece(c);

	if (!piece)
		return;
	*piece = (struct piece){
	    block_ref(block), (uint32_t)(s.p - block->p), (uint32_t)s.n};
	c->out_bytes += s.n;
}

static void
drop_sent(struct conn *c, size_t n)
{
	c->out_bytes -= n;
	while (n > 0) {
		struct piece *p = &c->out[c->out_at];
		uint32_t k = n < p->n ? (uint32_t)n : p->n;

		p->at += k;
		p->n -= k;
		n -= k;
		if (p->n == 0) {
			block_unref(p->block);
			c->out_at++;
		}
	}
	if (c->out_at == c->n_out)
		c->out_at = c->n_out = 0;
}

static int
write_some(struct conn *c)
{
	struct iovec iov[OUT_IOV];
	size_t put = 0;
	int n = 0, r;

	for (uint32_t i = c->out_at; i < c->n_out && n < OUT_IOV; i++)
		iov[n++] = (struct iovec){
		    c->out[i].block->p + c->out[i].at, c->out[i].n};
	r = tcp_writev(c->tcp, iov, n, &put);
	if (r == 0)
		drop_sent(c, put);
	return r;
}

/* 0, or the connection is gone. */
static int
send_out(struct conn *c)
{
	while (!c->broken && c->n_out > c->out_at) {
		int r = write_some(c);

		if (r == TCP_E_AGAIN)
			break;
		if (r < 0)
			c->broken = 1;
	}
	if (c->broken) {
		conn_close(c);
		return 1;
	}
	return 0;
}

void
conn_flush(struct conn *c)
{
	if (send_out(c))
		return;
	if (c->n_out > c->out_at && c->state != CONN_DRAIN)
		set_deadline(c, WRITE_US);
	if (c->rq && c->rq->streaming && c->out_bytes < OUT_LOW) {
		request_drained(c->rq);
		return;
	}
	watch(c);
}

/* --- closing
 * ----------------------------------------------------------------------- */

void
conn_close(struct conn *c)
{
	struct http_server *s = c->server;

	if (c->rq) {
		c->rq->conn = NULL;
		request_free(c->rq);
	}
	for (; c->out_at < c->n_out; c->out_at++)
		block_unref(c->out[c->out_at].block);
	uncharge(c);
	list_del(&c->link);
	s->n_conns--;
	atomic_fetch_sub(s->config.n_connections, 1);
	tcp_close(c->tcp);
	block_unref(c->in);
	block_unref(c->body);
	mem_free(c->out);
	mem_free(c);
}

/* The answer is out; the peer may still be sending.  Closing now would reset
 * the connection and could take the answer with it. */
static void
start_drain(struct conn *c)
{
	c->state = CONN_DRAIN;
	c->drained = 0;
	c->reading = 1;
	set_deadline(c, DRAIN_US);
	if (c->n_out == c->out_at)
		tcp_shutdown_write(c->tcp);
	watch(c);
}

/* --- requests
 * -------------------------------------------------------------------------- */

static struct request *
new_request(struct conn *c)
{
	struct parser_head *h = &c->head;
	uint32_t target_n = h->status ? 0 : h->target.n;
	struct request *rq = mem_zalloc(sizeof(*rq) + (size_t)target_n + 16);

	if (!rq)
		return NULL;
	rq->conn = c;
	rq->server = c->server;
	rq->store = rq->storage;
	rq->in = block_ref(c->in);
	rq->method = parser_slice(c->in->p + c->in_at, h->method);
	if (!h->status)
		rq->target = parser_slice(c->in->p + c->in_at, h->target);
	rq->http10 = h->minor == 0;
	rq->keep_alive = h->keep_alive && !c->server->stopping;
	rq->started = server_now(c->server);
	buf_init(&rq->items, 16u << 20);
	c->rq = rq;
	c->state = CONN_BUSY;
	set_deadline(c, c->server->config.request_timeout_us + 500000);
	return rq;
}

/* An error before there is a request to route; the connection ends with it. */
static void
refuse(struct conn *c, int status, const char *type, const char *why)
{
	struct request *rq;

	if (c->head.status == 0)
		c->head.status = status;
	rq = new_request(c);
	if (!rq) {
		conn_close(c);
		return;
	}
	rq->keep_alive = 0;
	respond_error(rq, status, type, NULL, NULL, "%s", why);
}

static const char *
type_of_status(int status)
{
	switch (status) {
	case 408:
		return "timeout";
	case 413:
		return "too-large";
	case 414:
		return "uri-too-long";
	case 431:
		return "headers-too-large";
	default:
		return "bad-request";
	}
}

static void
dispatch(struct conn *c, struct slice body)
{
	struct request *rq = new_request(c);

	if (!rq) {
		conn_close(c);
		return;
	}
	rq->body = body;
	rq->body_block = c->body;
	c->body = NULL;
	request_dispatch(rq);
}

/* Bytes of this request that are in the input. */
static struct slice
input(const struct conn *c)
{
	return SLICE(c->in->p + c->in_at, c->in->n - c->in_at);
}

/* Makes room for NEED bytes from in_at on, and for at least one more. */
static int
make_room(struct conn *c, uint64_t need)
{
	struct slice left = input(c);
	struct block *b;

	if (c->in_at + need <= c->in->cap && c->in->n < c->in->cap)
		return 0;
	if (need < IN_BYTES)
		need = IN_BYTES;
	if (need <= left.n)
		need = left.n * 2;
	b = block_new((uint32_t)need);
	if (!b)
		return -ERR_NOMEM;
	memcpy(b->p, left.p, left.n);
	b->n = (uint32_t)left.n;
	block_unref(c->in);
	c->in = b;
	c->in_at = 0;
	return 0;
}

static int
too_large(struct conn *c, uint64_t n)
{
	return n > c->server->config.max_body;
}

static int
charge(struct conn *c, uint64_t n)
{
	uint64_t all =
	    atomic_fetch_add(c->server->config.inflight_bytes, n) + n;

	c->charged += n;
	return all > c->server->config.max_inflight;
}

static void
send_continue(struct conn *c)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

	if (c->head.expect_continue)
		conn_out(c, text, sizeof(text) - 1);
}

static void
begin_body(struct conn *c)
{
	struct parser_head *h = &c->head;

	if (!h->chunked && h->content_length == 0) {
		dispatch(c, SLICE(NULL, 0));
		return;
	}
	if (too_large(c, h->content_length)) {
		refuse(c, 413, "too-large", "the body is larger than allowed");
		return;
	}
	c->state = CONN_BODY;
	c->body_since = server_now(c->server);
	set_deadline(c, BODY_GRACE_US);
	send_continue(c);
	if (h->chunked) {
		parser_chunked_init(&c->chunked);
		c->body_left = h->bytes; /* offset of what is not decoded */
	} else if (make_room(c, h->bytes + h->content_length)) {
		refuse(c, 503, "unavailable", "out of memory");
	}
}

static int
grow_body(struct conn *c, size_t n)
{
	uint32_t used = c->body ? c->body->n : 0;
	uint32_t cap = c->body ? c->body->cap : 0;
	struct block *b;

	if (used + n <= cap)
		return 0;
	cap = cap * 2 > used + n ? cap * 2 : (uint32_t)(used + n);
	b = block_new(cap);
	if (!b)
		return -ERR_NOMEM;
	if (used)
		memcpy(b->p, c->body->p, used);
	b->n = used;
	block_unref(c->body);
	c->body = b;
	return 0;
}

/* 1: go on reading, 0: something else happened. */
static int
step_chunked(struct conn *c)
{
	for (;;) {
		struct slice in = input(c), data;
		size_t used = 0;
		enum parser_result r;

		in = SLICE(in.p + c->body_left, in.n - c->body_left);
		if (in.n == 0)
			break;
		r = parser_chunked_step(&c->chunked, in, &used, &data);
		c->body_left += used;
		if (r == PARSER_ERROR) {
			refuse(c, 400, "bad-request", "malformed chunk");
			return 0;
		}
		if (too_large(c, data.n + (c->body ? c->body->n : 0))) {
			refuse(c, 413, "too-large",
			    "the body is larger than allowed");
			return 0;
		}
		if (charge(c, data.n) || grow_body(c, data.n)) {
			refuse(c, 503, "unavailable",
			    "too many bodies are in flight");
			return 0;
		}
		if (data.n) {
			memcpy(c->body->p + c->body->n, data.p, data.n);
			c->body->n += (uint32_t)data.n;
		}
		if (r == PARSER_DONE) {
			c->head.bytes = (uint32_t)c->body_left;
			dispatch(c, c->body ? SLICE(c->body->p, c->body->n)
					    : SLICE(NULL, 0));
			return 0;
		}
	}
	/* What was decoded is not needed again, but for the head. */
	memmove(c->in->p + c->in_at + c->head.bytes,
	    c->in->p + c->in_at + c->body_left, input(c).n - c->body_left);
	c->in->n -= (uint32_t)(c->body_left - c->head.bytes);
	c->body_left = c->head.bytes;
	return 1;
}

static int
step_body(struct conn *c)
{
	struct parser_head *h = &c->head;
	struct slice in = input(c);

	if (h->chunked)
		return step_chunked(c);
	if (in.n < h->bytes + h->content_length)
		return 1;
	dispatch(c, SLICE(in.p + h->bytes, h->content_length));
	return 0;
}

static int
step_head(struct conn *c)
{
	struct slice in = input(c);

	if (in.n == 0)
		return 1;
	switch (parser_head_step(&c->head, in)) {
	case PARSER_MORE:
		return 1;
	case PARSER_DONE:
		begin_body(c);
		return c->state == CONN_BODY ? step_body(c) : 0;
	case PARSER_ERROR:
		refuse(c, c->head.status, type_of_status(c->head.status),
		    c->head.reason);
		return 0;
	}
	return 0;
}

/* Ready for the next request: what is left of the input moves up. */
static void
next_request(struct conn *c)
{
	parser_head_init(&c->head);
	c->state = CONN_HEAD;
	c->reading = 1;
	if (c->in_at == c->in->n && atomic_load(&c->in->refs) == 1 &&
	    c->in->cap <= 4 * IN_BYTES)
		c->in_at = c->in->n = 0;
	else if (c->in_at == c->in->n && c->in->cap > 4 * IN_BYTES) {
		struct block *b = block_new(IN_BYTES);

		if (b) {
			block_unref(c->in);
			c->in = b;
			c->in_at = 0;
		}
	}
	set_deadline(c, input(c).n ? HEAD_US : IDLE_US);
}

void
conn_answered(struct conn *c)
{
	struct request *rq = c->rq;
	int keep = rq->keep_alive && !c->head.status;

	c->rq = NULL;
	rq->conn = NULL;
	request_free(rq);
	uncharge(c);
	if (!keep) {
		c->closing = 1;
		if (!send_out(c))
			start_drain(c);
		return;
	}
	c->in_at += c->head.bytes +
		    (c->head.chunked ? 0 : (uint32_t)c->head.content_length);
	if (send_out(c))
		return;
	next_request(c);
	step(c);
}

/* --- events
 * ------------------------------------------------------------------------------
 */

static int
read_some(struct conn *c)
{
	size_t got = 0, room;
	int r;

	if (c->state == CONN_DRAIN) {
		uint8_t junk[16384];

		r = tcp_read(c->tcp, junk, sizeof(junk), &got);
		c->drained += got;
		return r == 0 && c->drained > DRAIN_BYTES ? TCP_E_EOF : r;
	}
	if (make_room(c, 0))
		return -ERR_NOMEM;
	room = c->in->cap - c->in->n;
	r = tcp_read(c->tcp, c->in->p + c->in->n, room, &got);
	if (r)
		return r;
	if (c->state == CONN_HEAD && input(c).n == 0)
		set_deadline(c, HEAD_US);
	c->in->n += (uint32_t)got;
	if (c->state == CONN_BODY && !c->head.chunked && charge(c, got))
		return -ERR_LIMIT;
	return 0;
}

/* Parses what is there; C may be gone afterwards. */
static void
step(struct conn *c)
{
	int more = 1;

	if (c->state == CONN_HEAD)
		more = step_head(c);
	else if (c->state == CONN_BODY)
		more = step_body(c);
	if (!more)
		return;
	if (c->eof)
		conn_close(c);
	else
		conn_flush(c);
}

static void
on_readable(void *arg)
{
	struct conn *c = OBJ_CAST(struct conn, CONN_MAGIC, arg);
	int r;

	if (c->state == CONN_BUSY) { /* what is pipelined waits in the socket */
		c->reading = 0;
		watch(c);
		return;
	}
	r = read_some(c);
	if (r == TCP_E_AGAIN)
		return;
	if (r == -ERR_LIMIT) {
		refuse(c, 503, "unavailable", "too many bodies are in flight");
		return;
	}
	if (r == TCP_E_EOF && c->state != CONN_DRAIN && input(c).n) {
		c->eof = 1;
		c->reading = 0;
		refuse(c, 400, "bad-request", "the request ends too early");
		return;
	}
	if (r) {
		conn_close(c);
		return;
	}
	if (c->state != CONN_DRAIN)
		step(c);
}

static void
on_writable(void *arg)
{
	struct conn *c = OBJ_CAST(struct conn, CONN_MAGIC, arg);

	conn_flush(c);
}

/* A body that trickles costs a connection and memory: at least
 * BODY_BYTES_PER_S after a grace. */
static int
body_too_slow(const struct conn *c, struct mono now)
{
	uint64_t took = mono_diff_us(c->body_since, now);
	uint64_t got = c->head.chunked ? (c->body ? c->body->n : 0)
				       : input(c).n - c->head.bytes;

	return took > BODY_GRACE_US &&
	       got < (took - BODY_GRACE_US) / 1000000 * BODY_BYTES_PER_S + 1;
}

void
conn_tick(struct conn *c, struct mono now)
{
	if (c->server->stopping && c->state == CONN_HEAD && input(c).n == 0 &&
	    c->n_out == c->out_at) {
		conn_close(c);
		return;
	}
	if (c->state == CONN_BODY && body_too_slow(c, now)) {
		refuse(c, 408, "timeout", "the body came too slowly");
		return;
	}
	if (c->state == CONN_BODY || now.us < c->deadline.us)
		return;
	switch (c->state) {
	case CONN_HEAD:
		if (input(c).n)
			refuse(c, 408, "timeout", "the head came too slowly");
		else
			conn_close(c);
		break;
	case CONN_BUSY:
		if (c->n_out > c->out_at || c->rq->streaming)
			conn_close(c); /* the reader does not read */
		else
			request_timed_out(c->rq);
		break;
	default:
		conn_close(c);
	}
}

static const struct tcp_events events = {on_readable, on_writable};

void
conn_accept(void *arg, struct tcp *tcp)
{
	struct http_server *s = arg;
	struct conn *c = mem_zalloc(sizeof(*c));

	if (!c || !(c->in = block_new(IN_BYTES)) || s->stopping ||
	    atomic_load(s->config.n_connections) >= s->config.max_connections) {
		if (c)
			block_unref(c->in);
		mem_free(c);
		tcp_close(tcp);
		return;
	}
	c->magic = CONN_MAGIC;
	c->server = s;
	c->tcp = tcp;
	list_add_tail(&s->conns, &c->link);
	s->n_conns++;
	atomic_fetch_add(s->config.n_connections, 1);
	parser_head_init(&c->head);
	c->reading = 1;
	set_deadline(c, IDLE_US);
	tcp_set_events(tcp, &events, c);
	watch(c);
}
