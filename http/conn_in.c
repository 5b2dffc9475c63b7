/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * conn_in - from the bytes of a connection to its requests.
 *
 *	HEAD -> HELD -> BODY or SKIP -> HEAD ...	keep-alive, pipelined
 *	  any of them -> END				the last request
 *
 * Input is read into a refcounted block.  A request keeps the block of its head
 * and the one of its body, and the body is borrowed from there as far as the
 * disk.  A body that does not fit behind its head is read into a block of its
 * own size, so that no large block is kept for a small request.  What lies
 * before in_at is never written again.
 *
 * A request is routed when its head is there: what is refused then needs no
 * body.  One that is short is skipped; for a long one the connection ends.
 */
#include "http/socket.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define IN_FLIGHT_MAX    64
#define OUT_HIGH         (1u << 20)
#define DRAIN_BYTES      (1u << 20)
#define SKIP_BYTES       (1u << 20)
#define BODY_GRACE_US    10000000ull
#define BODY_BYTES_PER_S 1024 /* on average, after the grace */

struct slice
conn_input(const struct conn *c)
{
	return c->in ? SLICE(c->in->p + c->in_at, c->in->n - c->in_at)
		     : SLICE(NULL, 0);
}

void
conn_in_init(struct conn *c)
{
	parser_head_init(&c->head);
	c->state = CONN_HEAD;
}

/* --- reading -------------------------------------------------------------- */

/* The listener that has the connection. */
static struct listener *
socket_of(const struct conn *c)
{
	return LIST_ENTRY(c->requests.next, struct request, link)->listener;
}

int
conn_may_read(const struct conn *c)
{
	if (c->eof || c->state == CONN_END || c->state == CONN_HELD)
		return 0;
	if (c->state == CONN_SOCKET)
		return c->n_requests && socket_may_read(socket_of(c));
	if (c->state != CONN_HEAD)
		return 1;
	return c->n_requests < IN_FLIGHT_MAX &&
	       c->out.bytes + c->queued < OUT_HIGH;
}

/* Room for NEED bytes from in_at on, and for one more than there are. */
static int
make_room(struct conn *c, uint64_t need)
{
	struct slice left = conn_input(c);
	struct block *b;

	if (c->in && left.n == 0 && atomic_load(&c->in->refs) == 1)
		c->in_at = c->in->n = 0;
	if (c->in && c->in->n < c->in->cap && need <= c->in->cap - c->in_at)
		return 0;
	if (need <= left.n)
		need = left.n * 2;
	b = need <= IN_BYTES ? server_block(c->server)
			     : block_new((uint32_t)need);
	if (!b)
		return -ERR_NOMEM;
	if (left.n)
		memcpy(b->p, left.p, left.n);
	b->n = (uint32_t)left.n;
	block_unref(c->in);
	c->in = b;
	c->in_at = 0;
	return 0;
}

static int
read_away(struct conn *c)
{
	uint8_t junk[16384];
	size_t got = 0;
	int r = tcp_read(c->tcp, junk, sizeof(junk), &got);

	c->drained += got;
	return r == 0 && c->drained > DRAIN_BYTES ? TCP_E_EOF : r;
}

int
conn_read(struct conn *c)
{
	size_t got = 0;
	int r;

	if (c->state == CONN_DRAIN)
		return read_away(c);
	r = make_room(c, 0);
	if (r)
		return r;
	r = tcp_read(c->tcp, c->in->p + c->in->n, c->in->cap - c->in->n, &got);
	if (r == 0)
		c->in->n += (uint32_t)got;
	return r;
}

/* --- requests ------------------------------------------------------------- */

static struct request *
new_request(struct conn *c)
{
	struct parser_head *h = &c->head;
	struct request *rq;
	size_t n = 16;

	if (!h->status)
		n += h->target.n + accept_bytes(h, c->in->p + c->in_at);
	rq = mem_zalloc(sizeof(*rq) + n);
	if (!rq) {
		c->broken = 1;
		return NULL;
	}
	rq->conn = c;
	rq->server = c->server;
	rq->store = rq->storage;
	rq->started = server_now(c->server);
	list_init(&rq->asked);
	rq->http10 = h->minor == 0;
	rq->keep_alive = h->keep_alive && !c->server->stopping;
	if (!h->status) {
		rq->in = block_ref(c->in);
		rq->base = c->in->p + c->in_at;
		rq->method = parser_slice(rq->base, h->method);
		rq->target = parser_slice(rq->base, h->target);
		rq->class = request_class(rq->method, rq->target);
		rq->accept = accept_header(&c->head, rq->base, rq->storage);
		if (rq->accept.p == rq->storage)
			rq->store += rq->accept.n;
	}
	rq->origin = request_header(rq, "origin");
	rq->problem = accept_problem(rq->accept);
	respond_choose_id(rq, request_header(rq, "x-request-id"));
	list_add_tail(&c->requests, &rq->link);
	c->n_requests++;
	return rq;
}

/* No further request is taken: the one to tell so, or NULL. */
static struct request *
refuse(struct conn *c, int status)
{
	struct request *rq = c->reading;

	c->reading = NULL;
	c->state = CONN_END;
	server_uncharge(c->server, c->charged);
	c->charged = 0;
	c->body = block_unref(c->body);
	if (rq && rq->done) /* was being skipped */
		return NULL;
	if (!rq) {
		if (!c->head.status)
			c->head.status = status;
		rq = new_request(c);
	}
	if (rq)
		rq->keep_alive = 0;
	return rq;
}

void
conn_refuse(struct conn *c, int status, const char *type, const char *why)
{
	struct request *rq = refuse(c, status);

	if (rq)
		respond_error(rq, status, type, NULL, NULL, "%s", why);
}

void
conn_refuse_for_now(struct conn *c, const char *why)
{
	struct request *rq = refuse(c, 503);

	if (rq)
		respond_unavailable(rq, "%s", why);
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

static int
step_head(struct conn *c)
{
	if (conn_input(c).n == 0 || c->n_requests >= IN_FLIGHT_MAX ||
	    c->out.bytes + c->queued >= OUT_HIGH)
		return 0;
	switch (parser_head_step(&c->head, conn_input(c))) {
	case PARSER_MORE:
		return 0;
	case PARSER_DONE:
		c->state = CONN_HELD;
		return 1;
	case PARSER_ERROR:
		conn_refuse(c, c->head.status, type_of_status(c->head.status),
		    c->head.reason);
	}
	return 1;
}

/* The request that was being read is whole: on to the next. */
static void
taken(struct conn *c)
{
	struct request *rq = c->reading;

	c->reading = NULL;
	c->state = rq->keep_alive ? CONN_HEAD : CONN_END;
	if (rq->listener && rq->listener->kind == LISTEN_SOCKET && !rq->done)
		c->state = CONN_SOCKET;
	parser_head_init(&c->head);
	if (c->wait == WAIT_HEAD || c->wait == WAIT_BODY) {
		list_del(&c->waiting); /* the next one has its own time */
		c->wait = WAIT_NONE;
	}
}

/* --- bodies --------------------------------------------------------------- */

static int
charge(struct conn *c, uint64_t n)
{
	c->charged += n;
	return server_charge(c->server, n);
}

static void
run_handler(struct conn *c, struct slice body, struct block *block)
{
	struct request *rq = c->reading;

	rq->body = body;
	rq->body_block = block;
	rq->charged = c->charged;
	c->charged = 0;
	if (request_still_allowed(rq))
		rq->route->handler(rq);
	taken(c);
}

static void
refuse_inflight(struct conn *c)
{
	conn_refuse_for_now(c, "too many bodies are in flight");
}

static int
step_length(struct conn *c)
{
	struct slice in = conn_input(c);
	uint64_t n = c->head.content_length;

	c->body_got = in.n < n ? in.n : n;
	if (!charge(c, c->body_got - c->charged)) {
		refuse_inflight(c);
		return 1;
	}
	if (in.n < n)
		return 0;
	c->in_at += (uint32_t)n;
	run_handler(c, SLICE(in.p, n), block_ref(c->in));
	return 1;
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

/* 0, or the request was refused. */
static int
add_to_body(struct conn *c, struct slice data)
{
	c->body_got += data.n;
	if (c->body_got > c->server->config.max_body) {
		conn_refuse(
		    c, 413, "too-large", "the body is larger than allowed");
		return 1;
	}
	if (!charge(c, data.n) || grow_body(c, data.n)) {
		refuse_inflight(c);
		return 1;
	}
	memcpy(c->body->p + c->body->n, data.p, data.n);
	c->body->n += (uint32_t)data.n;
	return 0;
}

static int
step_chunked(struct conn *c)
{
	while (conn_input(c).n) {
		struct slice data;
		size_t used = 0;
		enum parser_result r = parser_chunked_step(
		    &c->chunked, conn_input(c), &used, &data);
		struct block *b;

		if (r == PARSER_ERROR) {
			conn_refuse(c, 400, "bad-request", "malformed chunk");
			return 1;
		}
		if (data.n && add_to_body(c, data))
			return 1;
		c->in_at += (uint32_t)used;
		if (r != PARSER_DONE)
			continue;
		b = c->body;
		c->body = NULL;
		run_handler(c, b ? SLICE(b->p, b->n) : SLICE(NULL, 0), b);
		return 1;
	}
	return 0;
}

static int
step_skip(struct conn *c)
{
	size_t n = conn_input(c).n;

	if (n > c->body_left)
		n = c->body_left;
	c->in_at += (uint32_t)n;
	c->body_left -= n;
	c->body_got += n;
	if (c->body_left)
		return 0;
	taken(c);
	return 1;
}

static void
begin_body(struct conn *c)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct parser_head *h = &c->head;

	c->state = CONN_BODY;
	if (h->chunked)
		parser_chunked_init(&c->chunked);
	else if (conn_input(c).n < h->content_length &&
		 make_room(c, h->content_length)) {
		conn_refuse_for_now(c, "out of memory");
		return;
	}
	if (h->expect_continue && conn_input(c).n == 0)
		respond_bytes(c->reading, go_on, sizeof(go_on) - 1);
}

/* --- from head to body ---------------------------------------------------- */

static int
has_body(const struct parser_head *h)
{
	return h->chunked || h->content_length;
}

static int
may_begin(const struct conn *c)
{
	const struct parser_head *h = &c->head;
	const uint8_t *base = c->in->p + c->in_at;
	enum request_class class;

	if (conn_waits_for_users(c))
		return 0;
	if (c->n_requests == 0)
		return 1;
	if (h->expect_continue && has_body(h))
		return 0; /* 100 Continue would stand between answers */
	class = request_class(
	    parser_slice(base, h->method), parser_slice(base, h->target));
	return class != CLASS_ALONE &&
	       class ==
		   LIST_ENTRY(c->requests.prev, struct request, link)->class;
}

static void
check_head(struct conn *c, struct request *rq)
{
	const struct parser_head *h = &c->head;
	int keep_alive = rq->keep_alive;

	if (has_body(h) && (h->chunked || h->expect_continue ||
			       h->content_length > SKIP_BYTES))
		rq->keep_alive = 0;
	if (h->content_length > c->server->config.max_body)
		respond_error(rq, 413, "too-large", NULL, NULL,
		    "the body is larger than allowed");
	else
		request_route(rq);
	if (!rq->done)
		rq->keep_alive = keep_alive;
}

static int
step_held(struct conn *c)
{
	struct parser_head *h = &c->head;
	struct request *rq;

	if (!may_begin(c))
		return 0;
	rq = c->reading = new_request(c);
	if (!rq)
		return 0;
	c->in_at += h->bytes;
	c->body_got = 0;
	c->body_since = rq->started;
	check_head(c, rq);
	if (!rq->done && has_body(h)) {
		begin_body(c);
	} else if (!rq->done) {
		run_handler(c, SLICE(NULL, 0), NULL);
	} else if (rq->keep_alive && has_body(h)) {
		c->body_left = h->content_length;
		c->state = CONN_SKIP;
	} else {
		taken(c);
	}
	return 1;
}

static int
step_socket(struct conn *c)
{
	size_t used = 0;
	int r = c->n_requests ? socket_input(socket_of(c), conn_input(c), &used)
			      : 0;

	c->in_at += (uint32_t)used;
	return r;
}

int
conn_step(struct conn *c)
{
	switch (c->state) {
	case CONN_HEAD:
		return step_head(c);
	case CONN_HELD:
		return step_held(c);
	case CONN_BODY:
		return c->head.chunked ? step_chunked(c) : step_length(c);
	case CONN_SKIP:
		return step_skip(c);
	case CONN_SOCKET:
		return step_socket(c);
	default:
		return 0;
	}
}

void
conn_input_ended(struct conn *c)
{
	int head = c->state == CONN_HEAD && c->n_requests < IN_FLIGHT_MAX &&
		   c->out.bytes + c->queued < OUT_HIGH;

	if (head && conn_input(c).n == 0)
		c->state = CONN_END;
	else if (head || c->state == CONN_BODY || c->state == CONN_SKIP)
		conn_refuse(
		    c, 400, "bad-request", "the request ends too early");
}

/* A body that trickles holds a connection and memory. */
int
conn_body_too_slow(const struct conn *c, struct mono now)
{
	uint64_t took = mono_diff_us(c->body_since, now);

	return took > BODY_GRACE_US &&
	       c->body_got <
		   (took - BODY_GRACE_US) / 1000000 * BODY_BYTES_PER_S + 1;
}
