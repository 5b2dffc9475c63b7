/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * net - the thread of the transport, and what is asked of it.
 *
 * It sleeps in poll until something comes, something waits that has room, or
 * the earliest of what its peers have to do is due.  A peer that is confirmed
 * and quiet has nothing to do.
 */
#include "src/os/net.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/os/net_impl.h"

#define MESSAGES_PER_TURN 256
#define REPORT_US         10000000
#define PASSING_US        3000000
/* The longest sleep: workers do not say when they sent something. */
#define SLEEP_MS 500

struct mono
net_now(const struct net *net)
{
	const struct env_clock *clock = &net->os->env.clock;

	return clock->mono(clock->ctx);
}

void
net_wake(struct net *net)
{
	uint64_t one = 1;

	while (write(net->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

uint16_t
net_own_key(const struct net *net)
{
	return (uint16_t)(net->os->config.n_workers * NET_CHANNEL_COUNT);
}

/* --- saying so ------------------------------------------------------------ */

/* What a line says of each kind that is refused; NULL: nothing. */
static const char *const complaints[NET_STAT_COUNT] = {
    [NET_refused_seal] = "sealed with another cluster.cookie, or damaged",
    [NET_refused_cluster] = "from a node of another cluster",
    [NET_refused_replay] = "had come before",
    [NET_refused_other] = "for a node that was here before: the disk of this "
			  "one was replaced, or an old one put back",
    [NET_refused_stranger] = "from a node that is no member",
    [NET_refused_malformed] = "not such messages",
    [NET_refused_long] = "too long",
};

/* Who joins or leaves is another's member for a moment before it knows, or
 * after: that is no stranger yet. */
static int
is_passing(struct net *net, enum net_stat which, struct mono now)
{
	struct mono *since = &net->refused_since[which];
	struct mono *last = &net->refused_at[which];

	if (!last->us || mono_diff_us(*last, now) >= REPORT_US)
		*since = now;
	*last = now;
	return (which == NET_refused_cluster || which == NET_refused_other ||
		   which == NET_refused_stranger) &&
	       mono_diff_us(*since, now) < PASSING_US;
}

void
net_refuse(struct net *net, enum net_stat which, const struct seal_head *who)
{
	struct mono now = net_now(net);
	int passing = is_passing(net, which, now);
	uint64_t n;
	char line[320], id[33] = "";

	net_count(net, which, 1);
	if (passing || !complaints[which] || !net->config.report ||
	    (net->reported[which].us &&
		mono_diff_us(net->reported[which], now) < REPORT_US))
		return;
	n = atomic_load(&net->stats[which]);
	for (int i = 0; who && i < 16; i++)
		snprintf(id + 2 * i, 3, "%02x", who->sender[i]);
	snprintf(line, sizeof(line),
	    "refused %llu messages on the cluster port: %s%s%s",
	    (unsigned long long)(n - net->reported_n[which]), complaints[which],
	    who ? "; the last said to be from node " : "", id);
	net->reported[which] = now;
	net->reported_n[which] = n;
	net->config.report(net->config.arg, 1, line);
}

void
net_say_twin(struct net *net)
{
	if (net->twin_told)
		return;
	net->twin_told = 1;
	if (net->config.report)
		net->config.report(net->config.arg, 1,
		    "another process runs with this node's id: its data "
		    "directory was copied; keep one of the two");
	if (net->config.twin)
		net->config.twin(net->config.arg);
}

/* --- the thread ----------------------------------------------------------- */

static struct net_peer *
peer_at(struct net *net, uint32_t i)
{
	struct net_peer *p = NULL;

	pthread_mutex_lock(&net->lock);
	if (i < net->n_peers)
		p = net->peers[i];
	pthread_mutex_unlock(&net->lock);
	return p;
}

static void
tend(struct net *net)
{
	struct mono now = net_now(net);
	struct net_peer *p;

	net_take_book(net);
	net_take_asked(net);
	for (uint32_t i = 0; (p = peer_at(net, i));) {
		net_tend_session(net, p, now);
		net_tend_tells(net, p, now);
		net_tend_ways(net, p, now);
		if (peer_at(net, i) == p) /* else another took its place */
			i++;
	}
	net_tend_lines(net, now);
}

/* What to wait for: *N descriptors, and how long. */
static int
prepare(struct net *net, struct pollfd *fds, nfds_t *n)
{
	struct mono now = net_now(net);
	uint64_t due = now.us + SLEEP_MS * 1000, ms, lines;
	struct net_peer *p;

	fds[0] = (struct pollfd){net->in.fd, POLLIN, 0};
	fds[1] = (struct pollfd){net->wake_fd, POLLIN, 0};
	*n = 2;
	for (uint32_t i = 0; (p = peer_at(net, i)); i++) {
		int wanted = 0;
		uint64_t a = net_session_due_us(p, now, &wanted);
		uint64_t b;

		pthread_mutex_lock(&net->lock);
		b = net_ways_due_us(p);
		if (p->way.fd >= 0 &&
		    (wanted || p->outboxes[NET_CONTROL].first))
			fds[(*n)++] = (struct pollfd){p->way.fd, POLLIN, 0};
		pthread_mutex_unlock(&net->lock);
		due = a < due ? a : due;
		due = b < due ? b : due;
		if (p->tells && p->tells->until.us < due)
			due = p->tells->until.us;
	}
	net_poll_lines(net, fds, n);
	lines = net_lines_due_us(net, now);
	due = lines < due ? lines : due;
	ms = due > now.us ? (due - now.us + 999) / 1000 : 0;
	return (int)ms;
}

static void
receive(struct net *net)
{
	void *m;
	size_t n;

	for (int i = 0; i < MESSAGES_PER_TURN; i++) {
		if (way_receive(&net->in, &m, &n))
			return;
		net_on_message(net, SLICE(m, n));
		way_message_free(m);
	}
}

static void *
run(void *arg)
{
	struct net *net = arg;
	struct pollfd *fds =
	    mem_calloc(3 + NET_PEERS_MAX + NET_LINES_MAX, sizeof(*fds));
	uint64_t ignored;

	ASSERT(fds);
	os_thread_begin("transport");
	while (!atomic_load(&net->stopping)) {
		nfds_t n;
		int ms = prepare(net, fds, &n);

		if (poll(fds, n, ms) > 0) {
			if (fds[1].revents &&
			    read(net->wake_fd, &ignored, 8) < 0 &&
			    errno != EAGAIN && errno != EINTR)
				ASSERT_UNREACHED();
			if (fds[0].revents)
				receive(net);
			net_serve_lines(net, fds);
		}
		tend(net);
	}
	mem_free(fds);
	return NULL;
}

int
net_start(struct net *net)
{
	if (pthread_create(&net->thread, NULL, run, net))
		return -ERR_SYSTEM;
	net->started = 1;
	return 0;
}

void
net_join(struct net *net)
{
	atomic_store(&net->stopping, 1);
	net_wake(net);
	if (net->started)
		pthread_join(net->thread, NULL);
	net->started = 0;
}

/* --- opening and closing -------------------------------------------------- */

struct net *
net_close(struct net *net)
{
	struct net_tell *t;

	if (!net)
		return NULL;
	net_close_lines(net);
	while (net->n_peers)
		net_remove(net, net->peers[0]);
	mem_free(net->book);
	while ((t = net->asked)) {
		net->asked = t->next;
		mem_free(t);
	}
	way_close(&net->in);
	if (net->is_announced)
		runtime_forget(net->config.runtime_dir, net->name);
	for (uint32_t i = 0; net->bundles && i < net->os->config.n_workers; i++)
		net_bundles_free(&net->bundles[i]);
	for (int i = 0; net->keys && i <= net_own_key(net); i++)
		seal_key_free(net->keys[i]);
	if (net->wake_fd >= 0)
		close(net->wake_fd);
	pthread_mutex_destroy(&net->lock);
	mem_free(net->mails);
	mem_free(net->bundles);
	mem_free(net->keys);
	mem_free((void *)(uintptr_t)net->config.runtime_dir);
	mem_free((void *)(uintptr_t)net->config.cookie);
	return mem_free(net);
}

static int
make_keys(struct net *net)
{
	int n = net_own_key(net) + 1;

	net->keys = mem_calloc((size_t)n, sizeof(*net->keys));
	for (int i = 0; net->keys && i < n; i++) {
		net->keys[i] = seal_key_new(net->config.cookie,
		    net->config.node_id, net->config.boot, (uint16_t)i, 1);
		if (!net->keys[i])
			return -ERR_NOMEM;
	}
	return net->keys ? 0 : -ERR_NOMEM;
}

static int
bind_port(
    struct net *net, const struct os_net_config *c, char *why, size_t why_bytes)
{
	int r;

	net->port = c->port;
	r = way_in(&net->in, c->ip, &net->port);
	if (r == -ERR_INUSE)
		snprintf(why, why_bytes,
		    "cluster.port %u of %s is in use: stop what listens there, "
		    "or set another cluster.port",
		    c->port, c->ip);
	else if (r == -ERR_INVAL)
		snprintf(why, why_bytes,
		    "cluster.ip %s (port %u) is no address of this machine: "
		    "set cluster.ip to one",
		    c->ip, c->port);
	else if (r)
		snprintf(why, why_bytes,
		    "can not listen on %s port %u "
		    "(cluster.ip, cluster.port): %s",
		    c->ip, c->port, err_text(r));
	return r;
}

/* Who had our name here before is asked who it is: it may be a twin. */
static void
greet_other(struct net *net)
{
	char address[ADDRESS_BYTES];

	if (runtime_before(net->config.runtime_dir, net->name, address) == 0)
		net_new_stranger(net, NULL, "", address);
}

static int
announce(struct net *net, char *why, size_t why_bytes)
{
	const char *dir = net->config.runtime_dir;
	int r = address_with_port(net->name, net->port, net->own_address);

	if (r) {
		snprintf(why, why_bytes,
		    "nodename %s has no host: it must look like name@host",
		    net->name);
		return r;
	}
	greet_other(net);
	r = runtime_announce(dir, net->name, net->port);
	if (r)
		snprintf(why, why_bytes,
		    "can not write to cluster.runtime_dir %s, where nodes of "
		    "this machine find port %u: %s",
		    dir, net->port, err_text(r));
	net->is_announced = r == 0;
	return r;
}

static struct net *
new_net(struct os *os, const struct os_net_config *config)
{
	struct net *net = mem_zalloc(sizeof(*net));

	if (!net)
		return NULL;
	net->os = os;
	net->config = *config;
	net->config.cookie = mem_strdup(config->cookie);
	net->config.runtime_dir = mem_strdup(config->runtime_dir);
	snprintf(net->name, sizeof(net->name), "%s", config->name);
	net->config.name = net->name;
	net->config.ip = NULL;
	net->in.socket = net->in.fd = net->line_fd = -1;
	net->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	net->last_asked = &net->asked;
	net->budget.max = NET_PIECES_MAX;
	atomic_init(&net->counter, 1);
	pthread_mutex_init(&net->lock, NULL);
	net->mails = mem_calloc(os->config.n_workers, sizeof(*net->mails));
	net->bundles = mem_calloc(os->config.n_workers, sizeof(*net->bundles));
	if (net->config.cookie && net->config.runtime_dir && net->mails &&
	    net->bundles && net->wake_fd >= 0)
		return net;
	return net_close(net);
}

int
os_net_open(struct os *os, const struct os_net_config *config, char *why,
    size_t why_bytes)
{
	struct net *net = new_net(os, config);
	int r = net ? make_keys(net) : -ERR_NOMEM;

	ASSERT(!os->net);
	if (r)
		snprintf(why, why_bytes, "%s", err_text(r));
	else
		r = bind_port(net, config, why, why_bytes);
	if (r == 0)
		r = net_listen_lines(net, config, why, why_bytes);
	if (r == 0)
		r = announce(net, why, why_bytes);
	if (r) {
		net_close(net);
		return r;
	}
	os->net = net;
	return 0;
}

/* --- the address book ----------------------------------------------------- */

int
os_net_set_peers(struct os *os, const struct os_net_peer *peers, uint32_t n)
{
	struct net *net = os->net;
	struct os_net_peer *book, *old;

	if (n > OS_NET_MEMBERS_MAX)
		return -ERR_LIMIT;
	book = mem_alloc(n * sizeof(*book) + 1);
	if (!book)
		return -ERR_NOMEM;
	if (n > 0)
		memcpy(book, peers, n * sizeof(*book));
	pthread_mutex_lock(&net->lock);
	old = net->book;
	net->book = book;
	net->n_book = n;
	pthread_mutex_unlock(&net->lock);
	mem_free(old);
	net_wake(net);
	return 0;
}

uint16_t
os_net_line_port(const struct os *os)
{
	return os->net->line_port;
}

uint16_t
os_net_port(const struct os *os)
{
	return os->net->port;
}

void
os_net_stats(const struct os *os, struct os_net_stats *out)
{
	*out = (struct os_net_stats){0};
	if (!os->net)
		return;
#define READ_STAT(name, text)                                                  \
	out->name = atomic_load_explicit(                                      \
	    &os->net->stats[NET_##name], memory_order_relaxed);
	OS_NET_STAT_TABLE(READ_STAT)
#undef READ_STAT
}
