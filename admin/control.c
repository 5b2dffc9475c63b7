/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * control - the node's side of the control socket.
 *
 *	reading ─► running ─► sending the rest ─► closed
 *	   └──────────┴─── the client went ─────────┘
 */
#include "admin/control.h"

#include "admin/command.h"
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/list.h"
#include "src/base/mem.h"
#include "src/os/os.h"
#include "src/os/tcp.h"

struct control {
	const struct admin_host *host;
	struct tcp_listener *listener;
	struct commands *commands;
	struct list connections;
	uint32_t n_connections;
};

struct connection {
	struct list link;
	struct control *control;
	struct tcp *tcp;
	struct command *command; /* while it runs */
	int asked, answered;
	struct buf in, out;
	size_t sent; /* of out */
};

static void
close_connection(struct connection *n)
{
	if (n->command)
		command_cancel(n->command);
	list_del(&n->link);
	n->control->n_connections--;
	tcp_close(n->tcp);
	buf_deinit(&n->in);
	buf_deinit(&n->out);
	mem_free(n);
}

/* May close the connection. */
static void
send_out(struct connection *n)
{
	while (n->sent < n->out.n) {
		struct iovec v = {n->out.p + n->sent, n->out.n - n->sent};
		size_t put;
		int r = tcp_writev(n->tcp, &v, 1, &put);

		if (r == TCP_E_AGAIN) {
			tcp_watch(n->tcp, TCP_READABLE | TCP_WRITABLE);
			return;
		}
		if (r) {
			close_connection(n);
			return;
		}
		n->sent += put;
	}
	if (n->answered || buf_error(&n->out)) {
		close_connection(n);
		return;
	}
	buf_reset(&n->out);
	n->sent = 0;
	tcp_watch(n->tcp, TCP_READABLE);
}

/* --- what the command says ------------------------------------------------ */

static void
on_text(void *arg, struct slice text)
{
	struct connection *n = arg;

	/* Sent with what follows in this turn, or when the loop comes round.
	 */
	admin_frame_encode(ADMIN_FRAME_TEXT, text, &n->out);
	tcp_watch(n->tcp, TCP_READABLE | TCP_WRITABLE);
}

static void
on_alive(void *arg)
{
	struct connection *n = arg;

	admin_frame_encode(ADMIN_FRAME_ALIVE, SLICE(NULL, 0), &n->out);
	tcp_watch(n->tcp, TCP_READABLE | TCP_WRITABLE);
}

static void
on_done(void *arg, int code)
{
	struct connection *n = arg;
	uint8_t byte = (uint8_t)code;

	n->command = NULL;
	n->answered = 1;
	admin_frame_encode(ADMIN_FRAME_EXIT, SLICE(&byte, 1), &n->out);
	send_out(n);
}

static const struct command_events command_events = {
    on_text, on_alive, on_done};

/* --- what the client says ------------------------------------------------- */

/* All of the request is there. */
static void
begin(struct connection *n)
{
	struct admin_request q;
	int r;

	n->asked = 1;
	r = admin_request_decode(buf_slice(&n->in), &q);
	admin_frame_encode(
	    ADMIN_FRAME_NAME, SLICE_STR(n->control->host->self), &n->out);
	if (r == 0)
		r = command_start(
		    n->control->commands, &q, &command_events, n, &n->command);
	if (r)
		close_connection(n);
}

/* Reads on towards the end of the request; 0 when there is more to read. */
static int
read_request(struct connection *n)
{
	size_t want = ADMIN_REQUEST_HEAD, got;
	uint8_t *p;
	int r;

	if (n->in.n >= ADMIN_REQUEST_HEAD) {
		want = admin_request_size(n->in.p);
		if (want <= n->in.n) {
			if (want == n->in.n)
				begin(n);
			else
				close_connection(n);
			return 1;
		}
	}
	p = buf_reserve(&n->in, want - n->in.n);
	r = p ? tcp_read(n->tcp, p, want - n->in.n, &got) : -ERR_NOMEM;
	if (r == TCP_E_AGAIN)
		return 1;
	if (r) {
		close_connection(n);
		return 1;
	}
	n->in.n += got;
	return 0;
}

/* Behind its request a client sends nothing: what comes is its end. */
static void
on_readable(void *arg)
{
	struct connection *n = arg;

	if (n->asked) {
		close_connection(n);
		return;
	}
	while (read_request(n) == 0)
		;
}

static void
on_writable(void *arg)
{
	send_out(arg);
}

static const struct tcp_events tcp_events = {on_readable, on_writable};

static void
on_accepted(void *arg, struct tcp *tcp)
{
	struct control *c = arg;
	struct connection *n = NULL;

	if (c->n_connections < CONTROL_CONNECTIONS_MAX)
		n = mem_zalloc(sizeof(*n));
	if (!n) {
		tcp_close(tcp);
		return;
	}
	n->control = c;
	n->tcp = tcp;
	buf_init(&n->in, ADMIN_REQUEST_MAX);
	buf_init(&n->out, 2 * COMMAND_OUT_MAX);
	list_add_tail(&c->connections, &n->link);
	c->n_connections++;
	tcp_set_events(tcp, &tcp_events, n);
	tcp_watch(tcp, TCP_READABLE);
}

/* --- open and close ------------------------------------------------------- */

int
control_open(struct control **out, struct os *os, const struct admin_host *host)
{
	struct control *c = mem_zalloc(sizeof(*c));
	int r;

	if (!c)
		return -ERR_NOMEM;
	c->host = host;
	list_init(&c->connections);
	c->commands = commands_new(os_env(os), host);
	r = c->commands ? tcp_listen_local(
			      os, 0, ADMIN_SOCKET, &c->listener, on_accepted, c)
			: -ERR_NOMEM;
	if (r) {
		control_close(c);
		return r;
	}
	*out = c;
	return 0;
}

void
control_stop(struct control *c, int removed)
{
	c->listener = tcp_listener_close(c->listener);
	commands_stop(c->commands, removed);
}

struct control *
control_close(struct control *c)
{
	struct list *p;

	if (!c)
		return NULL;
	tcp_listener_close(c->listener);
	while ((p = list_first(&c->connections)))
		close_connection(LIST_ENTRY(p, struct connection, link));
	commands_free(c->commands);
	return mem_free(c);
}
