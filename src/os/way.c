/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * way - nanomsg.
 *
 * The port that the kernel chose for a bound socket can not be asked for, so a
 * socket of our own is bound first and gives it free again; another process
 * may take it in between, then the next one is tried.
 */
#include "src/os/way.h"

#include <arpa/inet.h>
#include <errno.h>
#include <nanomsg/nn.h>
#include <nanomsg/pipeline.h>
#include <nanomsg/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include "src/base/err.h"

#define RECONNECT_MS 100
#define PORT_TRIES   16

/* The library's thread must not take the signals of the workers. */
static int
new_socket(int protocol)
{
	sigset_t all, old;
	int s;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	s = nn_socket(AF_SP, protocol);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return s;
}

static int
set(int s, int level, int option, int value)
{
	return nn_setsockopt(s, level, option, &value, sizeof(value));
}

static int
open_way(struct way *w, int protocol, int is_v6)
{
	size_t n = sizeof(w->fd);
	int in = protocol == NN_PULL;

	w->fd = -1;
	w->socket = new_socket(protocol);
	if (w->socket < 0)
		return err_from_errno(nn_errno());
	/* -1 would let eight bytes of a stranger end the process. */
	if (set(w->socket, NN_SOL_SOCKET, NN_RCVMAXSIZE, WAY_MESSAGE_MAX) ||
	    set(w->socket, NN_SOL_SOCKET, NN_LINGER, 0) ||
	    set(w->socket, NN_SOL_SOCKET, NN_RECONNECT_IVL, RECONNECT_MS) ||
	    set(w->socket, NN_SOL_SOCKET, NN_RECONNECT_IVL_MAX, 0) ||
	    set(w->socket, NN_SOL_SOCKET, NN_IPV4ONLY, !is_v6) ||
	    set(w->socket, NN_TCP, NN_TCP_NODELAY, 1) ||
	    nn_getsockopt(w->socket, NN_SOL_SOCKET, in ? NN_RCVFD : NN_SNDFD,
		&w->fd, &n)) {
		way_close(w);
		return -ERR_SYSTEM;
	}
	return 0;
}

/* A port of IP that nobody has at this moment. */
static int
free_port(const char *ip, uint16_t *out)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} a = {0};
	socklen_t n = sizeof(a);
	int fd, r = 0;

	if (inet_pton(AF_INET, ip, &a.v4.sin_addr) == 1)
		a.sa.sa_family = AF_INET;
	else if (inet_pton(AF_INET6, ip, &a.v6.sin6_addr) == 1)
		a.sa.sa_family = AF_INET6;
	else
		return -ERR_INVAL;
	fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_from_errno(errno);
	if (bind(fd, &a.sa, n) || getsockname(fd, &a.sa, &n))
		r = errno == EADDRNOTAVAIL ? -ERR_INVAL : err_from_errno(errno);
	else
		*out = ntohs(
		    a.sa.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
	close(fd);
	return r;
}

static int
bind_way(struct way *w, const char *ip, uint16_t port)
{
	char url[128];

	snprintf(url, sizeof(url),
	    strchr(ip, ':') ? "tcp://[%s]:%u" : "tcp://%s:%u", ip, port);
	if (nn_bind(w->socket, url) >= 0)
		return 0;
	if (nn_errno() == EADDRINUSE)
		return -ERR_INUSE;
	if (nn_errno() == EADDRNOTAVAIL || nn_errno() == ENODEV ||
	    nn_errno() == EINVAL)
		return -ERR_INVAL;
	return err_from_errno(nn_errno());
}

int
way_in(struct way *out, const char *ip, uint16_t *port)
{
	int r = open_way(out, NN_PULL, strchr(ip, ':') != NULL);
	uint16_t chosen = *port;

	if (r)
		return r;
	for (int i = 0; i < PORT_TRIES; i++) {
		if (*port == 0)
			r = free_port(ip, &chosen);
		if (r == 0)
			r = bind_way(out, ip, chosen);
		if (*port || r != -ERR_INUSE)
			break;
		r = 0;
	}
	if (r) {
		way_close(out);
		return r;
	}
	*port = chosen;
	return 0;
}

int
way_out(struct way *out, const char *address)
{
	char url[512];
	int r = open_way(out, NN_PUSH, address[0] == '[');

	if (r)
		return r;
	snprintf(url, sizeof(url), "tcp://%s", address);
	if (nn_connect(out->socket, url) < 0) {
		way_close(out);
		return -ERR_INVAL;
	}
	return 0;
}

void
way_close(struct way *w)
{
	if (w->socket >= 0)
		while (nn_close(w->socket) && nn_errno() == EINTR)
			;
	w->socket = w->fd = -1;
}

int
way_has_room(const struct way *w)
{
	struct pollfd p = {w->fd, POLLIN, 0};

	return w->socket >= 0 && poll(&p, 1, 0) == 1;
}

void *
way_message_new(size_t n)
{
	return nn_allocmsg(n, 0);
}

void
way_message_free(void *m)
{
	nn_freemsg(m);
}

int
way_send(struct way *w, void *m)
{
	if (w->socket < 0)
		return WAY_E_AGAIN;
	for (;;) {
		if (nn_send(w->socket, &m, NN_MSG, NN_DONTWAIT) >= 0)
			return 0;
		if (nn_errno() == EAGAIN)
			return WAY_E_AGAIN;
		if (nn_errno() != EINTR)
			return -ERR_SYSTEM;
	}
}

int
way_receive(struct way *w, void **m, size_t *n)
{
	for (;;) {
		int got = nn_recv(w->socket, m, NN_MSG, NN_DONTWAIT);

		if (got >= 0) {
			*n = (size_t)got;
			return 0;
		}
		if (nn_errno() == EAGAIN)
			return WAY_E_AGAIN;
		if (nn_errno() != EINTR)
			return -ERR_SYSTEM;
	}
}
