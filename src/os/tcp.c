/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * tcp - listeners and connections of one worker.
 *
 * SO_REUSEPORT lets each worker have its own accept queue, but would also let a
 * second ioriod share the port in silence.  So the first listener of a port
 * binds a probe without the option first: that fails while anybody listens
 * there.
 */
#include "src/os/tcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/os/os_impl.h"
#include "src/os/tls.h"

#define BACKLOG          1024
#define ACCEPTS_PER_TURN 64

struct tcp {
	int fd;
	unsigned watched; /* by the owner */
	unsigned armed;   /* of the socket: the same, but for TLS */
	struct tls *tls;  /* or NULL */
	/* What one direction needs of the other one of the socket. */
	int read_waits_to_write, write_waits_to_read;
	struct event_base *base;
	struct event *read_ev, *write_ev;
	struct tcp_events events;
	void *arg;
	char peer[TCP_PEER_BYTES];
	uint8_t key[8];
	uint8_t key_bytes;
};

struct tcp_listener {
	int fd;
	uint16_t port;
	struct os_worker *worker;
	struct event *ev, *pause;
	void (*accepted)(void *arg, struct tcp *c);
	void *arg;
	struct tls_context *tls;
	int root_fd; /* of a unix socket: where it lies */
	char name[64];
};

union address {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un local;
};

static int
parse_address(const char *ip, uint16_t port, union address *a, socklen_t *n)
{
	memset(a, 0, sizeof(*a));
	if (inet_pton(AF_INET, ip, &a->v4.sin_addr) == 1) {
		a->v4.sin_family = AF_INET;
		a->v4.sin_port = htons(port);
		*n = sizeof(a->v4);
		return 0;
	}
	if (inet_pton(AF_INET6, ip, &a->v6.sin6_addr) == 1) {
		a->v6.sin6_family = AF_INET6;
		a->v6.sin6_port = htons(port);
		*n = sizeof(a->v6);
		return 0;
	}
	return -ERR_INVAL;
}

static int
bind_socket(const union address *a, socklen_t n, int share, int *out)
{
	int one = 1, r;
	int fd = socket(
	    a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_from_errno(errno);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (share)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (bind(fd, &a->sa, n)) {
		r = err_from_errno(errno);
		close(fd);
		return r;
	}
	*out = fd;
	return 0;
}

/* Whether anybody listens there already. */
static int
probe(const union address *a, socklen_t n)
{
	int fd, r = bind_socket(a, n, 0, &fd);

	if (r)
		return r;
	if (listen(fd, 1))
		r = err_from_errno(errno);
	close(fd);
	return r;
}

static const struct timeval pause_time = {0, 200000};

/* Out of descriptors: let the connections wait in the backlog for a moment. */
static void
pause_accepting(struct tcp_listener *l)
{
	event_del(l->ev);
	event_add(l->pause, &pause_time);
}

static void
on_pause_over(evutil_socket_t fd, short what, void *arg)
{
	struct tcp_listener *l = arg;

	(void)fd;
	(void)what;
	event_add(l->ev, NULL);
}

static void
name_v6(struct tcp *c, const struct in6_addr *a)
{
	int is_v4 = IN6_IS_ADDR_V4MAPPED(a);

	c->key_bytes = is_v4 ? 4 : 8;
	memcpy(c->key, a->s6_addr + (is_v4 ? 12 : 0), c->key_bytes);
}

static void
name_peer(struct tcp *c, const union address *a)
{
	char ip[INET6_ADDRSTRLEN] = "?";
	uint16_t port = 0;

	if (a->sa.sa_family == AF_UNIX) {
		snprintf(c->peer, sizeof(c->peer), "local");
		return;
	}
	if (a->sa.sa_family == AF_INET) {
		c->key_bytes = 4;
		memcpy(c->key, &a->v4.sin_addr, 4);
		inet_ntop(AF_INET, &a->v4.sin_addr, ip, sizeof(ip));
		port = ntohs(a->v4.sin_port);
	} else if (a->sa.sa_family == AF_INET6) {
		name_v6(c, &a->v6.sin6_addr);
		inet_ntop(AF_INET6, &a->v6.sin6_addr, ip, sizeof(ip));
		port = ntohs(a->v6.sin6_port);
	}
	snprintf(c->peer, sizeof(c->peer), "%s:%u", ip, port);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct tcp *c = arg;

	(void)fd;
	(void)what;
	if (c->write_waits_to_read && (c->watched & TCP_WRITABLE)) {
		c->write_waits_to_read = 0;
		c->events.writable(c->arg);
	} else if (c->watched & TCP_READABLE) {
		c->events.readable(c->arg);
	}
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct tcp *c = arg;

	(void)fd;
	(void)what;
	if (c->read_waits_to_write && (c->watched & TCP_READABLE)) {
		c->read_waits_to_write = 0;
		c->events.readable(c->arg);
	} else if (c->watched & TCP_WRITABLE) {
		c->events.writable(c->arg);
	}
}

static struct tcp *
new_connection(struct os_worker *w, int fd, const union address *a)
{
	struct tcp *c = mem_zalloc(sizeof(*c));
	int one = 1;

	if (!c)
		return NULL;
	c->fd = fd;
	c->base = w->base;
	c->read_ev =
	    event_new(w->base, fd, EV_READ | EV_PERSIST, on_readable, c);
	c->write_ev =
	    event_new(w->base, fd, EV_WRITE | EV_PERSIST, on_writable, c);
	if (!c->read_ev || !c->write_ev) {
		if (c->read_ev)
			event_free(c->read_ev);
		return mem_free(c);
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	name_peer(c, a);
	return c;
}

static void
on_accept(evutil_socket_t listening, short what, void *arg)
{
	struct tcp_listener *l = arg;

	(void)what;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		union address a = {0};
		socklen_t n = sizeof(a);
		int fd =
		    accept4(listening, &a.sa, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct tcp *c;

		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE ||
			    errno == ENOBUFS || errno == ENOMEM)
				pause_accepting(l);
			if (errno == ECONNABORTED || errno == EINTR)
				continue;
			return;
		}
		c = new_connection(l->worker, fd, &a);
		if (!c) {
			close(fd);
			pause_accepting(l);
			return;
		}
		if (l->tls && !(c->tls = tls_new(l->tls, fd))) {
			tcp_close(c);
			pause_accepting(l);
			return;
		}
		l->accepted(l->arg, c);
	}
}

static int
start_listening(struct tcp_listener *l)
{
	union address a;
	socklen_t n = sizeof(a);

	if (listen(l->fd, BACKLOG) || getsockname(l->fd, &a.sa, &n))
		return err_from_errno(errno);
	if (a.sa.sa_family != AF_UNIX)
		l->port = ntohs(
		    a.sa.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
	l->ev = event_new(
	    l->worker->base, l->fd, EV_READ | EV_PERSIST, on_accept, l);
	l->pause = evtimer_new(l->worker->base, on_pause_over, l);
	if (!l->ev || !l->pause || event_add(l->ev, NULL))
		return -ERR_NOMEM;
	return 0;
}

static int
new_listener(struct os *os, uint32_t worker, struct tcp_listener **out,
    void (*accepted)(void *arg, struct tcp *c), void *arg)
{
	struct tcp_listener *l = mem_zalloc(sizeof(*l));

	if (!l)
		return -ERR_NOMEM;
	l->fd = -1;
	l->worker = &os->workers[worker];
	l->accepted = accepted;
	l->arg = arg;
	*out = l;
	return 0;
}

int
tcp_listen(struct os *os, uint32_t worker, const char *ip, uint16_t port,
    struct tcp_listener **out, void (*accepted)(void *arg, struct tcp *c),
    void *arg)
{
	struct tcp_listener *l;
	union address a;
	socklen_t n;
	int r = parse_address(ip, port, &a, &n);

	if (r == 0 && worker == 0 && port)
		r = probe(&a, n);
	if (r == 0)
		r = new_listener(os, worker, &l, accepted, arg);
	if (r)
		return r;
	r = bind_socket(&a, n, 1, &l->fd);
	if (r == 0)
		r = start_listening(l);
	if (r) {
		tcp_listener_close(l);
		return r;
	}
	*out = l;
	return 0;
}

/* By way of its directory's descriptor, since a path to it may be too long for
 * an address.  The mode is set before anybody could connect. */
static int
bind_local(struct tcp_listener *l, int root_fd, const char *name)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/%s", root_fd,
	    name);
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0 || fchmod(l->fd, 0600) ||
	    (unlinkat(root_fd, name, 0) && errno != ENOENT) ||
	    bind(l->fd, (struct sockaddr *)&a, sizeof(a)))
		return err_from_errno(errno);
	l->root_fd = root_fd;
	snprintf(l->name, sizeof(l->name), "%s", name);
	return 0;
}

int
tcp_listen_local(struct os *os, uint32_t worker, const char *name,
    struct tcp_listener **out, void (*accepted)(void *arg, struct tcp *c),
    void *arg)
{
	struct tcp_listener *l;
	int r;

	ASSERT(strlen(name) < sizeof(l->name));
	r = new_listener(os, worker, &l, accepted, arg);
	if (r)
		return r;
	r = bind_local(l, os->root_fd, name);
	if (r == 0)
		r = start_listening(l);
	if (r) {
		tcp_listener_close(l);
		return r;
	}
	*out = l;
	return 0;
}

uint16_t
tcp_listener_port(const struct tcp_listener *l)
{
	return l->port;
}

void
tcp_listener_set_tls(struct tcp_listener *l, struct tls_context *context)
{
	struct tls_context *before = l->tls;

	l->tls = tls_context_ref(context);
	tls_context_unref(before);
}

struct tcp_listener *
tcp_listener_close(struct tcp_listener *l)
{
	if (!l)
		return NULL;
	if (l->ev)
		event_free(l->ev);
	if (l->pause)
		event_free(l->pause);
	if (l->fd >= 0)
		close(l->fd);
	if (l->name[0])
		unlinkat(l->root_fd, l->name, 0);
	tls_context_unref(l->tls);
	return mem_free(l);
}

void
tcp_set_events(struct tcp *c, const struct tcp_events *events, void *arg)
{
	c->events = *events;
	c->arg = arg;
}

static void
watch_one(struct event *ev, unsigned bit, unsigned want, unsigned had)
{
	if ((want & bit) && !(had & bit))
		event_add(ev, NULL);
	else if (!(want & bit) && (had & bit))
		event_del(ev);
}

/* Of a socket that speaks TLS a direction may have to wait for the other one. */
static void
arm(struct tcp *c)
{
	unsigned what = c->watched;

	if (c->read_waits_to_write && (what & TCP_READABLE))
		what |= TCP_WRITABLE;
	if (c->write_waits_to_read && (what & TCP_WRITABLE))
		what |= TCP_READABLE;
	watch_one(c->read_ev, TCP_READABLE, what, c->armed);
	watch_one(c->write_ev, TCP_WRITABLE, what, c->armed);
	c->armed = what;
	/* The socket does not know of what was decrypted already. */
	if (c->tls && (c->watched & TCP_READABLE) && tls_has_pending(c->tls))
		event_active(c->read_ev, EV_READ, 1);
}

void
tcp_watch(struct tcp *c, unsigned what)
{
	if (what == c->watched && !c->tls)
		return;
	c->watched = what;
	arm(c);
}

int
tcp_read(struct tcp *c, void *out, size_t n, size_t *got)
{
	ssize_t k;

	if (c->tls) {
		int r;

		c->read_waits_to_write = 0;
		r = tls_read(c->tls, out, n, got, &c->read_waits_to_write);
		arm(c);
		return r;
	}

	do
		k = recv(c->fd, out, n, 0);
	while (k < 0 && errno == EINTR);
	if (k > 0) {
		*got = (size_t)k;
		return 0;
	}
	if (k == 0)
		return TCP_E_EOF;
	return errno == EAGAIN ? TCP_E_AGAIN : -ERR_IO;
}

int
tcp_writev(struct tcp *c, const struct iovec *iov, int n, size_t *put)
{
	struct msghdr m = {
	    .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n};
	ssize_t k;

	if (c->tls) {
		c->write_waits_to_read = 0;
		return tls_writev(c->tls, iov, n, put, &c->write_waits_to_read);
	}
	do
		k = sendmsg(c->fd, &m, MSG_NOSIGNAL);
	while (k < 0 && errno == EINTR);
	if (k >= 0) {
		*put = (size_t)k;
		return 0;
	}
	return errno == EAGAIN ? TCP_E_AGAIN : -ERR_IO;
}

void
tcp_shutdown_write(struct tcp *c)
{
	if (c->tls)
		tls_shutdown(c->tls);
	shutdown(c->fd, SHUT_WR);
}

const char *
tcp_peer(const struct tcp *c)
{
	return c->peer;
}

struct slice
tcp_peer_key(const struct tcp *c)
{
	return SLICE(c->key, c->key_bytes);
}

void
tcp_close(struct tcp *c)
{
	event_free(c->read_ev);
	event_free(c->write_ev);
	tls_free(c->tls);
	close(c->fd);
	mem_free(c);
}

void
tcp_reset(struct tcp *c)
{
	struct linger now = {.l_onoff = 1};

	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	tcp_close(c);
}
