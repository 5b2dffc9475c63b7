/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * net_line - lines: TCP connections of their own for bulk frames, so that no
 * page stands in the way of a heartbeat (cluster.md section 7.2).
 *
 * Whoever has a bulk frame for a peer and no line to it dials one: to the host of
 * the peer's name, and the port that the peer's hello has told.  What passes
 * over a line, either way, little endian:
 *
 *	0  u32  bytes of the message that follows, at most WAY_MESSAGE_MAX
 *	4       the message: a sealed frame (seal.c)
 *
 *	who dialed                      who listens
 *	|  greeting                     |
 *	|------------------------------>|  a member, of this cluster, of the boot
 *	|                               |  that was confirmed; and meant for us
 *	|  greeting                     |
 *	|<------------------------------|  the same
 *	|  frames, both ways            |
 *
 * A greeting is a sealed frame without a body: its head names the cluster, both
 * nodes and both boots, and the cookie's key has sealed it.  Its counter is new
 * under the window of that key, so one that was recorded opens no line.  Until
 * it is there nothing longer is read.  So a line that ends at this node itself,
 * at a stranger, at a node of another cluster or at the start before (or a copy)
 * of a data directory is closed before anything is sent.  What follows is sealed
 * as well, each frame for itself; which transfer, group and generations it is of
 * stands in the frame (vnode/fill.c), so that one line serves all transfers
 * between two nodes.
 *
 * What is lost with a line is asked for again by the receiver, over the next.
 */
#include "src/os/net.h"

#include <errno.h>
#include <sys/socket.h>

#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "src/os/net_impl.h"

#define PAUSE_US          250000 /* before the next try, doubled up to */
#define PAUSE_MOST_US     4000000
#define REPORT_US         10000000
#define REPORT_OTHER_US   1000000 /* when it is not what was said before */
#define MESSAGES_PER_TURN 32

/* --- saying so ------------------------------------------------------------ */

/* Whether WHAT of L is said now.  Of lines that others dial they decide how
 * often there is something to say. */
static int
may_say(struct net *net, const struct net_line *l, const char *what)
{
	struct mono *at =
	    l->is_ours ? &net->own_line_reported : &net->line_reported;
	int is_other = l->is_ours && net->own_line_said != what;
	struct mono now = net_now(net);

	if (!net->config.report ||
	    (at->us && mono_diff_us(*at, now) <
			   (is_other ? REPORT_OTHER_US : REPORT_US)))
		return 0;
	*at = now;
	if (l->is_ours)
		net->own_line_said = what;
	return 1;
}

/* WHAT is a text that stays. */
static void
complain(struct net *net, const struct net_line *l, const char *what)
{
	char line[ADDRESS_BYTES + 128];

	net_count(net, NET_refused_lines, 1);
	if (!may_say(net, l, what))
		return;
	if (l->is_ours)
		snprintf(
		    line, sizeof(line), "handoff to %s: %s", l->address, what);
	else
		snprintf(line, sizeof(line),
		    "refused a connection to the handoff port: %s", what);
	net->config.report(net->config.arg, 1, line);
}

/* --- life ----------------------------------------------------------------- */

struct net_line *
net_line_new(struct net *net, int fd, int is_ours)
{
	struct net_line *l = mem_zalloc(sizeof(*l));

	if (!l)
		return NULL;
	l->fd = fd;
	l->is_ours = is_ours;
	l->begun = l->moved = l->used = net_now(net);
	l->next = net->lines;
	net->lines = l;
	net->n_lines++;
	net_count(net, NET_lines, 1);
	return l;
}

/* Of no use any more; freed by sweep. */
void
net_line_end(struct net_line *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	l->state = LINE_DEAD;
}

static void
free_line(struct net_line *l)
{
	lookup_free(l->lookup);
	mem_free(l->in);
	if (l->out)
		way_message_free(l->out);
	mem_free(l);
}

void
net_sweep_lines(struct net *net)
{
	struct net_line **at = &net->lines, *l;

	while ((l = *at)) {
		if (l->state != LINE_DEAD) {
			at = &l->next;
			continue;
		}
		*at = l->next;
		net->n_lines--;
		free_line(l);
	}
}

void
net_close_lines(struct net *net)
{
	for (struct net_line *l = net->lines; l; l = l->next)
		net_line_end(l);
	net_sweep_lines(net);
	if (net->line_fd >= 0)
		close(net->line_fd);
	net->line_fd = -1;
}

/* For who wants to send: what is wrong with P's handoff address. */
static void
set_error(struct net *net, struct net_peer *p, int error)
{
	pthread_mutex_lock(&net->lock);
	p->line_error = error;
	pthread_mutex_unlock(&net->lock);
}

/* One that was ours and did not open: not again at once. */
void
net_line_fail(struct net *net, struct net_line *l, int error, const char *what)
{
	struct net_peer *p = l->is_ours ? net_find_serial(net, l->peer) : NULL;

	complain(net, l, what);
	if (p && l->state != LINE_OPEN) {
		set_error(net, p, error);
		p->line_pause_us = p->line_pause_us == 0 ? PAUSE_US
				   : p->line_pause_us * 2 < PAUSE_MOST_US
				       ? p->line_pause_us * 2
				       : PAUSE_MOST_US;
		p->line_at = mono_add_us(net_now(net), p->line_pause_us);
	}
	net_line_end(l);
}

void
net_hang_up(struct net *net, struct net_peer *p)
{
	for (struct net_line *l = net->lines; l; l = l->next)
		if (l->peer == p->serial && l->state != LINE_DEAD)
			net_line_end(l);
	p->line_at = (struct mono){0};
	p->line_pause_us = 0;
	set_error(net, p, 0);
}

/* --- greeting ------------------------------------------------------------- */

int
net_line_greet(struct net *net, struct net_line *l, const struct net_peer *p)
{
	struct seal_head h = {.kind = SEAL_GREETING};

	memcpy(h.cluster, net->config.cluster_id, 16);
	memcpy(h.receiver, p->id, 16);
	memcpy(h.receiver_boot, p->boot, 16);
	l->out = net_seal(net, net_own_key(net), &h, NULL, 0, &l->out_n);
	l->out_put = 0;
	if (!l->out)
		return -ERR_NOMEM;
	memcpy(l->greeting, l->out, SEAL_BYTES);
	return 0;
}

/* The line that we dialed whose greeting is M: it has come back to this node.
 * NULL: there is none. */
static struct net_line *
find_loop(struct net *net, struct slice m)
{
	for (struct net_line *l = net->lines; l; l = l->next)
		if (l->is_ours && l->state == LINE_GREETING &&
		    slice_equal(m, SLICE(l->greeting, SEAL_BYTES)))
			return l;
	return NULL;
}

/* The first message on L, which was taken, is from P. */
static void
greeted(struct net *net, struct net_line *l, struct net_peer *p)
{
	if (l->is_ours && l->peer != p->serial) {
		net_line_fail(
		    net, l, ERR_STRANGER, "another node answers there");
		return;
	}
	l->peer = p->serial;
	p->line_pause_us = 0;
	set_error(net, p, 0);
	if (!l->is_ours && net_line_greet(net, l, p))
		net_line_end(l);
	else
		l->state = LINE_OPEN;
}

static void
take_message(struct net *net, struct net_line *l)
{
	struct slice m = SLICE(l->in, l->in_n);
	struct seal_head h;
	int greets = l->state == LINE_GREETING;
	struct net_line *loop =
	    greets && !l->is_ours ? find_loop(net, m) : NULL;
	int r = loop ? -ERR_ITSELF : net_on_line_message(net, m, greets, &h);
	struct net_peer *p = r == 0 ? net_find(net, h.sender) : NULL;

	if (loop) {
		net_line_fail(
		    net, loop, ERR_ITSELF, "this node itself answers there");
		net_line_end(l);
	} else if (!p || (!greets && p->serial != l->peer))
		net_line_fail(net, l, ERR_STRANGER,
		    greets ? "it does not greet as a member of this cluster "
			     "does"
			   : "a message is not from its member");
	else if (greets)
		greeted(net, l, p);
	l->in = mem_free(l->in);
	l->in_n = l->in_got = 0;
}

/* --- bytes ---------------------------------------------------------------- */

/* 1: some came; 0: none now, or it has ended. */
static int
receive_some(struct net *net, struct net_line *l, uint8_t *to, size_t n)
{
	ssize_t k;

	do
		k = recv(l->fd, to, n, 0);
	while (k < 0 && errno == EINTR);
	if (k < 0 && errno == EAGAIN)
		return 0;
	if (k <= 0 && l->state == LINE_GREETING)
		net_line_fail(net, l, ERR_STRANGER,
		    l->is_ours ? "who answers there does not greet: it is "
				 "no node, or another than is meant"
			       : "closed before a greeting");
	if (k <= 0) {
		net_line_end(l);
		return 0;
	}
	l->in_got += (size_t)k;
	l->moved = l->used = net_now(net);
	return 1;
}

static int
begin_message(struct net *net, struct net_line *l)
{
	uint32_t n = le_get32(l->head);
	uint32_t most =
	    l->state == LINE_GREETING ? SEAL_BYTES : WAY_MESSAGE_MAX;

	if (n < SEAL_BYTES || n > most) {
		net_line_fail(net, l, ERR_STRANGER,
		    l->is_ours ? "what answers there is no node"
			       : "not such messages");
		return 0;
	}
	l->in = mem_alloc(n);
	l->in_n = n;
	l->in_got = 0;
	if (!l->in)
		net_line_end(l);
	return l->in != NULL;
}

void
net_line_receive(struct net *net, struct net_line *l)
{
	for (int i = 0; i < MESSAGES_PER_TURN && l->state != LINE_DEAD;) {
		if (!l->in) {
			if (!receive_some(net, l, l->head + l->in_got,
				sizeof(l->head) - l->in_got))
				return;
			if (l->in_got == sizeof(l->head) &&
			    !begin_message(net, l))
				return;
			continue;
		}
		if (!receive_some(
			net, l, l->in + l->in_got, l->in_n - l->in_got))
			return;
		if (l->in_got == l->in_n) {
			take_message(net, l);
			i++;
		}
	}
}

/* What goes next on L, if it has nothing. */
int
net_line_has_out(struct net *net, struct net_line *l)
{
	struct net_peer *p;

	if (l->out || l->state != LINE_OPEN)
		return l->out != NULL;
	p = net_find_serial(net, l->peer);
	l->out = p ? net_take_bulk(net, p, &l->out_n) : NULL;
	l->out_put = 0;
	return l->out != NULL;
}

void
net_line_send(struct net *net, struct net_line *l)
{
	for (int i = 0; i < MESSAGES_PER_TURN && net_line_has_out(net, l);
	     i++) {
		size_t head = sizeof(l->out_head);
		size_t at = l->out_put < head ? 0 : l->out_put - head;
		size_t left = head - (l->out_put < head ? l->out_put : head);
		struct iovec iov[2] = {
		    {l->out_head + head - left, left},
		    {(uint8_t *)l->out + at, l->out_n - at},
		};
		struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
		ssize_t k;

		le_put32(l->out_head, (uint32_t)l->out_n);
		k = sendmsg(l->fd, &m, MSG_NOSIGNAL);
		if (k < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (k < 0) {
			net_line_end(l);
			return;
		}
		l->out_put += (size_t)k;
		l->moved = l->used = net_now(net);
		if (l->out_put < head + l->out_n)
			return;
		net_count(net, NET_frames_sent, 1);
		net_count(net, NET_bytes_sent, l->out_n);
		way_message_free(l->out);
		l->out = NULL;
	}
}
