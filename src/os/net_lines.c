/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * net_lines - the lines of a node: dialed when something waits for a peer,
 * accepted, polled, and ended when they are idle or stuck.
 */
#include "src/os/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/os/net_impl.h"

#define GREETING_US      5000000  /* from the first packet to the greeting */
#define STUCK_US         15000000 /* nothing of what should go goes */
#define IDLE_US          60000000
#define LOOKUP_POLL_US   10000
#define ACCEPTS_PER_TURN 16

/* --- dialing -------------------------------------------------------------- */

static const char *
not_connected(int error)
{
	return error == ECONNREFUSED ? "nobody listens there"
	       : error == ETIMEDOUT || error == EHOSTUNREACH ||
		       error == ENETUNREACH
		   ? "it is not reached"
		   : err_text(-err_from_errno(error));
}

/* To the first address that there is. */
static void
connect_line(struct net *net, struct net_line *l, const struct addrinfo *a)
{
	struct net_peer *p = net_find_serial(net, l->peer);
	int one = 1;

	if (!p || !p->is_known) {
		net_line_end(l);
		return;
	}
	l->fd =
	    socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0 || net_line_greet(net, l, p)) {
		net_line_fail(net, l, 0, "no descriptor, or no memory");
		return;
	}
	setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	l->state = LINE_CONNECTING;
	if (connect(l->fd, a->ai_addr, a->ai_addrlen) && errno != EINPROGRESS)
		net_line_fail(net, l, ERR_NOBODY, not_connected(errno));
}

static void
tend_lookup(struct net *net, struct net_line *l)
{
	const struct addrinfo *found;

	if (!lookup_done(l->lookup, &found))
		return;
	if (found)
		connect_line(net, l, found);
	else
		net_line_fail(net, l, ERR_NOBODY, "no such host");
	l->lookup = lookup_free(l->lookup);
}

static void
dial(struct net *net, struct net_peer *p)
{
	struct net_line *l = net_line_new(net, -1, 1);

	if (!l)
		return;
	l->peer = p->serial;
	l->state = LINE_LOOKUP;
	if (address_with_port(p->name, p->line_port, l->address)) {
		net_line_fail(net, l, 0, "not a name of a node");
		return;
	}
	l->lookup = lookup_start(l->address);
	if (l->lookup)
		tend_lookup(net, l);
	else
		net_line_fail(net, l, 0, "no memory, or no thread");
}

/* --- listening ------------------------------------------------------------ */

static int
bind_lines(struct net *net, const char *ip, uint16_t port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *a;
	struct sockaddr_storage own;
	socklen_t n = sizeof(own);
	char text[8];
	int one = 1, r = 0;

	snprintf(text, sizeof(text), "%u", port);
	if (net->line_fd >= 0)
		close(net->line_fd);
	hints.ai_flags = AI_NUMERICHOST | AI_PASSIVE;
	if (getaddrinfo(ip, text, &hints, &a))
		return -ERR_INVAL;
	net->line_fd =
	    socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (net->line_fd >= 0)
		setsockopt(
		    net->line_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (net->line_fd < 0 || bind(net->line_fd, a->ai_addr, a->ai_addrlen) ||
	    listen(net->line_fd, 64) ||
	    getsockname(net->line_fd, (struct sockaddr *)&own, &n))
		r = errno == EADDRNOTAVAIL ? -ERR_INVAL : err_from_errno(errno);
	else
		net->line_port = ntohs(
		    own.ss_family == AF_INET
			? ((struct sockaddr_in *)(void *)&own)->sin_port
			: ((struct sockaddr_in6 *)(void *)&own)->sin6_port);
	freeaddrinfo(a);
	return r;
}

int
net_listen_lines(
    struct net *net, const struct os_net_config *c, char *why, size_t why_bytes)
{
	int r = bind_lines(net, c->line_ip, c->line_port);

	if (r == -ERR_INUSE && c->any_line_port)
		r = bind_lines(net, c->line_ip, 0);
	if (r == -ERR_INUSE)
		snprintf(why, why_bytes,
		    "handoff.port %u of %s is in use: stop what listens there, "
		    "or set another handoff.port",
		    c->line_port, c->line_ip);
	else if (r == -ERR_INVAL)
		snprintf(why, why_bytes,
		    "handoff.ip %s (port %u) is no address of this machine: "
		    "set handoff.ip to one",
		    c->line_ip, c->line_port);
	else if (r)
		snprintf(why, why_bytes,
		    "can not listen on %s port %u (handoff.ip, handoff.port): "
		    "%s",
		    c->line_ip, c->line_port, err_text(r));
	return r;
}

/* The oldest of those that others dialed and that are not greeted. */
static struct net_line *
oldest_ungreeted(struct net *net, uint32_t *n)
{
	struct net_line *oldest = NULL;

	*n = 0;
	for (struct net_line *l = net->lines; l; l = l->next)
		if (!l->is_ours && l->state == LINE_GREETING) {
			oldest = l; /* the newest stands first */
			(*n)++;
		}
	return oldest;
}

static void
accept_lines(struct net *net)
{
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int fd = accept4(
		    net->line_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct net_line *l, *old;
		uint32_t n;
		int one = 1;

		if (fd < 0)
			return;
		old = oldest_ungreeted(net, &n);
		if (n >= NET_GREETING_MAX)
			net_line_end(old);
		net_sweep_lines(net);
		l = net->n_lines < NET_LINES_MAX ? net_line_new(net, fd, 0)
						 : NULL;
		if (!l) {
			close(fd);
			return;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		l->state = LINE_GREETING;
	}
}

/* --- the thread ----------------------------------------------------------- */

void
net_poll_lines(struct net *net, struct pollfd *fds, nfds_t *n)
{
	net->line_poll_at = (uint32_t)*n;
	fds[(*n)++] = (struct pollfd){net->line_fd, POLLIN, 0};
	for (struct net_line *l = net->lines; l; l = l->next) {
		short what = POLLIN;

		l->poll_at = 0;
		if (l->fd < 0)
			continue;
		if (l->state == LINE_CONNECTING)
			what = POLLOUT;
		else if (net_line_has_out(net, l))
			what |= POLLOUT;
		l->poll_at = (uint32_t)*n;
		fds[(*n)++] = (struct pollfd){l->fd, what, 0};
	}
}

static void
connected(struct net *net, struct net_line *l)
{
	int error = 0;
	socklen_t n = sizeof(error);

	getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &n);
	if (error)
		net_line_fail(net, l, ERR_NOBODY, not_connected(error));
	else
		l->state = LINE_GREETING;
}

void
net_serve_lines(struct net *net, const struct pollfd *fds)
{
	for (struct net_line *l = net->lines; l; l = l->next) {
		short got = l->poll_at ? fds[l->poll_at].revents : 0;

		l->poll_at = 0;
		if (!got || l->fd < 0)
			continue;
		if (l->state == LINE_CONNECTING)
			connected(net, l);
		if (l->fd >= 0 && got & (POLLIN | POLLHUP | POLLERR))
			net_line_receive(net, l);
		if (l->fd >= 0 && got & POLLOUT)
			net_line_send(net, l);
	}
	if (fds[net->line_poll_at].revents)
		accept_lines(net);
}

static struct net_line *
line_to(struct net *net, const struct net_peer *p)
{
	for (struct net_line *l = net->lines; l; l = l->next)
		if (l->peer == p->serial && l->state != LINE_DEAD)
			return l;
	return NULL;
}

/* Whether P needs a line now, or from when on. */
static int
wants_line(struct net *net, struct net_peer *p)
{
	int waits;

	pthread_mutex_lock(&net->lock);
	waits = p->outboxes[NET_BULK].first != NULL;
	pthread_mutex_unlock(&net->lock);
	return waits && p->is_member && p->is_known && p->line_port &&
	       net->n_lines < NET_LINES_MAX && !line_to(net, p);
}

static uint64_t
end_us(const struct net_line *l)
{
	if (l->state != LINE_OPEN)
		return l->begun.us + GREETING_US;
	return l->out ? l->moved.us + STUCK_US : l->used.us + IDLE_US;
}

void
net_tend_lines(struct net *net, struct mono now)
{
	for (struct net_line *l = net->lines; l; l = l->next) {
		if (l->state == LINE_LOOKUP)
			tend_lookup(net, l);
		if (l->state == LINE_DEAD || end_us(l) > now.us)
			continue;
		if (l->state != LINE_OPEN)
			net_line_fail(net, l,
			    l->state == LINE_GREETING ? ERR_STRANGER
						      : ERR_NOBODY,
			    "no greeting");
		else if (l->out)
			net_line_fail(net, l, 0, "nothing goes out any more");
		else
			net_line_end(l);
	}
	net_sweep_lines(net);
	for (uint32_t i = 0; i < net->n_peers; i++)
		if (wants_line(net, net->peers[i]) &&
		    net->peers[i]->line_at.us <= now.us)
			dial(net, net->peers[i]);
}

uint64_t
net_lines_due_us(struct net *net, struct mono now)
{
	uint64_t due = NET_NEVER, at;

	for (struct net_line *l = net->lines; l; l = l->next) {
		at = l->state == LINE_LOOKUP ? now.us + LOOKUP_POLL_US
		     : l->state == LINE_DEAD ? now.us
					     : end_us(l);
		due = at < due ? at : due;
	}
	for (uint32_t i = 0; i < net->n_peers; i++)
		if (wants_line(net, net->peers[i]) &&
		    net->peers[i]->line_at.us < due)
			due = net->peers[i]->line_at.us;
	return due;
}
