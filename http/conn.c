/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * conn - one connection.
 *
 * Requests are taken from the input (conn_in.c) and wait in `requests`, in the
 * order in which they came, for their answers.  Several are in flight at a time
 * only when all are safe, or all are appends.  The first one's answer goes
 * straight to `out`, the others keep theirs until it is their turn; so answers
 * leave in order, and one that streams has nobody before it.
 *
 * Everything happens in conn_run: what the input allows, what is answered, one
 * writev.  Code of requests never runs the connection, it only marks it;
 * nothing is freed under the feet of a caller.
 *
 * Invariants outside conn_run:
 *   1. requests other than the first have done nothing to `out`
 *   2. queued = the bytes they have put aside
 *   3. an empty connection without a request holds no block
 */
#include "http/listen.h"
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define CONN_MAGIC  0x434f4e4e
#define OUT_LOW     (256u << 10)
#define SURPLUS_MAX 16

static const uint64_t wait_us[WAIT_COUNT] = {
    [WAIT_IDLE] = 60000000,
    [WAIT_HEAD] = 10000000,
    [WAIT_BODY] = 1000000,
    [WAIT_WRITE] = 60000000,
    [WAIT_DRAIN] = 1000000,
};

static struct request *
first_request(const struct conn *c)
{
	struct list *node = list_first(&c->requests);

	return node ? LIST_ENTRY(node, struct request, link) : NULL;
}

int
conn_is_first(const struct request *rq)
{
	return first_request(rq->conn) == rq;
}

int
conn_has_room(const struct request *rq)
{
	return conn_is_first(rq) && rq->conn->out.bytes < OUT_LOW;
}

/* Goes on waiting, or begins to when it was for something else. */
static void
set_wait(struct conn *c, enum wait kind)
{
	if (c->wait == kind)
		return;
	list_del(&c->waiting);
	c->wait = kind;
	if (kind == WAIT_NONE)
		return;
	c->deadline = mono_add_us(server_now(c->server),
	    kind == WAIT_USERS ? c->server->config.request_timeout_us
			       : wait_us[kind]);
	list_add_tail(&c->server->waits[kind], &c->waiting);
}

/* --- the end -------------------------------------------------------------- */

/* RQ is answered, or nobody waits for its answer any more. */
static void
give_up(struct request *rq)
{
	request_log(rq);
	rq->conn = NULL;
	request_free(rq);
}

void
conn_free(struct conn *c)
{
	struct http_server *s = c->server;
	struct list *node;

	while ((node = list_take_first(&c->requests)))
		give_up(LIST_ENTRY(node, struct request, link));
	out_deinit(&c->out);
	server_uncharge(s, c->charged);
	list_del(&c->link);
	list_del(&c->dirty);
	list_del(&c->waiting);
	s->n_conns--;
	if (c->surplus)
		s->n_surplus--;
	else
		atomic_fetch_sub(s->config.n_connections, 1);
	if (c->reset)
		tcp_reset(c->tcp);
	else
		tcp_close(c->tcp);
	block_unref(c->in);
	block_unref(c->body);
	c->magic = 0;
	mem_free(c);
}

void
conn_reset(struct conn *c)
{
	c->broken = c->reset = 1;
	conn_kick(c);
}

/* All answers are out; the peer may still be sending.  Closing now would reset
 * the connection and could take the last answer with it. */
static void
start_drain(struct conn *c)
{
	c->state = CONN_DRAIN;
	c->in = block_unref(c->in);
	c->drained = 0;
	tcp_shutdown_write(c->tcp);
}

/* --- running -------------------------------------------------------------- */

/* What was sent ends with the connection: nothing more may follow it. */
static void
end_here(struct conn *c)
{
	struct list *node;

	c->state = CONN_END;
	c->reading = NULL;
	while ((node = list_take_first(&c->requests)))
		give_up(LIST_ENTRY(node, struct request, link));
	c->n_requests = 0;
	c->queued = 0;
}

/* Requests that are answered make way for the next.  1: one was. */
static int
retire(struct conn *c)
{
	struct request *rq;
	int moved = 0, last;

	while ((rq = first_request(c)) && rq->done && rq != c->reading) {
		list_del(&rq->link);
		c->n_requests--;
		last = !rq->keep_alive;
		give_up(rq);
		if (last)
			end_here(c);
		rq = first_request(c);
		if (rq) {
			c->queued -= rq->out.bytes;
			out_splice(&c->out, &rq->out);
		}
		moved = 1;
	}
	return moved;
}

/* 1: the first request has put more into the output. */
static int
resume(struct conn *c)
{
	struct request *rq = first_request(c);

	if (!rq || !rq->stalled || !conn_has_room(rq))
		return 0;
	rq->stalled = 0;
	api_read_resume(rq);
	return 1;
}

/* The request that listens, or NULL. */
static struct request *
listening(const struct conn *c)
{
	struct request *rq = first_request(c);

	return rq && rq->listener && !rq->done ? rq : NULL;
}

/* What has come for a listener goes out.  1: it has ended. */
static int
listen_on(struct conn *c)
{
	struct request *rq = listening(c);

	if (!rq)
		return 0;
	if (c->eof) /* nobody is there any more */
		c->broken = 1;
	else
		listener_flush(rq);
	return rq->done;
}

static void
send_out(struct conn *c)
{
	uint64_t before = c->out.bytes;
	int r;

	if (c->out.at == c->out.n && !c->out.error)
		return;
	r = out_send(&c->out, c->tcp);
	if (r < 0)
		c->broken = 1;
	if (c->out.bytes != before && c->wait == WAIT_WRITE)
		set_wait(c, WAIT_NONE); /* it moves: a new deadline */
}

static enum wait
what_for(const struct conn *c)
{
	if (listening(c)) /* may take its time: it costs so much and no more */
		return WAIT_NONE;
	if (c->out.bytes)
		return WAIT_WRITE;
	switch (c->state) {
	case CONN_DRAIN:
		return WAIT_DRAIN;
	case CONN_BODY:
	case CONN_SKIP:
		return WAIT_BODY;
	case CONN_HEAD:
		if (c->n_requests)
			return WAIT_NONE; /* they have deadlines */
		return conn_input(c).n ? WAIT_HEAD : WAIT_IDLE;
	case CONN_HELD:
		return conn_waits_for_users(c) ? WAIT_USERS : WAIT_NONE;
	default:
		return WAIT_NONE;
	}
}

/* An idle connection costs no blocks. */
static void
give_blocks(struct conn *c)
{
	if ((c->n_requests && !listening(c)) || c->out.bytes ||
	    conn_input(c).n || c->state == CONN_BODY)
		return;
	server_give_block(c->server, c->in);
	server_give_block(c->server, c->out.text);
	c->in = c->out.text = NULL;
	c->in_at = 0;
}

static void
settle(struct conn *c)
{
	unsigned what = 0;

	set_wait(c, what_for(c));
	give_blocks(c);
	if (conn_may_read(c))
		what |= TCP_READABLE;
	if (c->out.bytes)
		what |= TCP_WRITABLE;
	tcp_watch(c->tcp, what);
}

void
conn_run(struct conn *c)
{
	c->running = 1;
	while (!c->broken) {
		int moved = 0;

		while (!c->broken && (conn_step(c) | retire(c)))
			moved = 1;
		if (c->eof)
			conn_input_ended(c);
		moved |= listen_on(c);
		moved |= retire(c);
		send_out(c);
		if (listening(c))
			listener_pump(listening(c)->listener);
		if (!resume(c) && !moved)
			break;
	}
	c->running = 0;
	if (c->server->stopping && c->state == CONN_HEAD && !conn_input(c).n)
		c->state = CONN_END;
	if (!c->broken && c->state == CONN_END && !c->n_requests &&
	    !c->out.bytes) {
		c->broken = c->eof;
		if (!c->eof)
			start_drain(c);
	}
	if (c->broken)
		conn_free(c);
	else
		settle(c);
}

void
conn_kick(struct conn *c)
{
	struct http_server *s = c->server;
	const struct env_post *post = &s->config.env->post;

	if (c->running || !list_empty(&c->dirty))
		return;
	list_add_tail(&s->dirty, &c->dirty);
	if (s->flush_posted)
		return;
	s->flush_posted = 1;
	post->to_worker(post->ctx, s->worker, &s->flush);
}

/* --- events --------------------------------------------------------------- */

static void
on_readable(void *arg)
{
	struct conn *c = OBJ_CAST(struct conn, CONN_MAGIC, arg);
	int r = conn_read(c);

	if (r == TCP_E_AGAIN)
		return;
	if (r == TCP_E_EOF && c->state != CONN_DRAIN)
		c->eof = 1;
	else if (r)
		c->broken = 1;
	conn_run(c);
}

static void
on_writable(void *arg)
{
	conn_run(OBJ_CAST(struct conn, CONN_MAGIC, arg));
}

void
conn_expired(struct conn *c)
{
	enum wait kind = c->wait;

	set_wait(c, WAIT_NONE);
	c->running = 1;
	if (kind == WAIT_HEAD)
		conn_refuse(c, 408, "timeout", "the head came too slowly");
	else if (kind == WAIT_USERS)
		c->impatient = 1;
	else if (kind != WAIT_BODY)
		c->broken = 1;
	else if (conn_body_too_slow(c, server_now(c->server)))
		conn_refuse(c, 408, "timeout", "the body came too slowly");
	conn_run(c);
}

void
conn_stop(struct conn *c)
{
	if (listening(c)) {
		listener_stop(listening(c));
		return;
	}
	if (c->wait == WAIT_USERS)
		conn_kick(c);
	else if (c->state == CONN_HEAD && !c->n_requests && !conn_input(c).n &&
		 !c->out.bytes)
		conn_free(c);
}

static const struct tcp_events events = {on_readable, on_writable};

static struct conn *
new_conn(struct http_server *s, struct tcp *tcp)
{
	struct conn *c = mem_zalloc(sizeof(*c));

	if (!c)
		return NULL;
	c->magic = CONN_MAGIC;
	c->server = s;
	c->tcp = tcp;
	list_init(&c->dirty);
	list_init(&c->waiting);
	list_init(&c->requests);
	list_add_tail(&s->conns, &c->link);
	s->n_conns++;
	conn_in_init(c);
	tcp_set_events(tcp, &events, c);
	return c;
}

/* One connection too many is told so, like any other that gets an error; when
 * there are too many of these as well, it is closed in silence. */
static void
turn_away(struct http_server *s, struct tcp *tcp)
{
	struct conn *c = s->n_surplus < SURPLUS_MAX ? new_conn(s, tcp) : NULL;

	if (!c) {
		tcp_close(tcp);
		return;
	}
	c->surplus = 1;
	s->n_surplus++;
	c->running = 1; /* below */
	conn_refuse_for_now(c, "too many connections");
	conn_run(c);
}

void
conn_accept(void *arg, struct tcp *tcp)
{
	struct http_server *s = arg;
	struct conn *c;

	if (s->stopping) {
		tcp_close(tcp);
		return;
	}
	if (atomic_load(s->config.n_connections) >= s->config.max_connections) {
		turn_away(s, tcp);
		return;
	}
	c = new_conn(s, tcp);
	if (!c) {
		tcp_close(tcp);
		return;
	}
	atomic_fetch_add(s->config.n_connections, 1);
	settle(c);
}
