/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* net_rig - nodes that only send and keep frames. */
#include "tests/os/net_rig.h"

#include <poll.h>

#define PING 'p', 'i', 'n', 'g'

static void
keep(struct rig *rig, uint32_t worker, struct net_frame *f)
{
	struct node *n = rig->user;

	(void)worker;
	if (f->bytes.n == 8 && memcmp(f->bytes.p, (uint8_t[4]){PING}, 4) == 0) {
		uint32_t number;

		memcpy(&number, f->bytes.p + 4, 4);
		atomic_store(&n->ping, number);
		net_frame_free(f);
		return;
	}
	if (n->stall) {
		pthread_mutex_lock(n->stall);
		pthread_mutex_unlock(n->stall);
	}
	pthread_mutex_lock(&n->lock);
	if (n->n_frames == n->n_room) {
		n->n_room = n->n_room ? 2 * n->n_room : 64;
		n->frames = realloc(n->frames, n->n_room * sizeof(*n->frames));
		CHECK(n->frames);
	}
	n->frames[n->n_frames] = f;
	atomic_fetch_add(&n->n_frames, 1);
	pthread_mutex_unlock(&n->lock);
}

static void
report(void *arg, int is_error, const char *line)
{
	struct node *n = arg;

	CHECK(is_error == 0 || is_error == 1);
	CHECK(strchr(line, '\n') == NULL && line[0]);
	pthread_mutex_lock(&n->lock);
	snprintf(n->last_line, sizeof(n->last_line), "%s", line);
	pthread_mutex_unlock(&n->lock);
	atomic_fetch_add(&n->n_lines, 1);
}

static void
twin(void *arg)
{
	atomic_fetch_add(&((struct node *)arg)->n_twins, 1);
}

void
node_start(struct node *n)
{
	struct os_net_config c = {
	    .name = n->own_name,
	    .ip = "127.0.0.1",
	    .port = n->port,
	    .line_ip = n->line_ip ? n->line_ip : "127.0.0.1",
	    .line_port = n->line_port,
	    .cookie = n->cookie ? n->cookie : "a cookie",
	    .report = report,
	    .twin = twin,
	    .arg = n,
	};
	char why[256] = "";
	char runtime[96];

	pthread_mutex_init(&n->lock, NULL);
	n->rig = rig_new(n->n_workers ? n->n_workers : 1, 0);
	n->rig->on_frame = keep;
	n->rig->user = n;
	snprintf(runtime, sizeof(runtime), "%s/run", n->rig->dir);
	c.runtime_dir = n->runtime_dir ? n->runtime_dir : runtime;
	if (n->name)
		snprintf(n->own_name, sizeof(n->own_name), "%s", n->name);
	else
		snprintf(n->own_name, sizeof(n->own_name), "node%u@127.0.0.1",
		    n->number);
	memset(c.cluster_id, n->cluster ? n->cluster : 1, 16);
	memset(c.node_id, n->number, 16);
	memset(c.boot, ++n->boot, 16);
	if (os_net_open(n->rig->os, &c, why, sizeof(why)))
		rig_fail(__FILE__, __LINE__, why);
	CHECK(!why[0]);
	rig_start(n->rig);
}

void
node_forget(struct node *n)
{
	pthread_mutex_lock(&n->lock);
	for (uint32_t i = 0; i < n->n_frames; i++)
		net_frame_free(n->frames[i]);
	n->n_frames = 0;
	pthread_mutex_unlock(&n->lock);
}

void
node_stop(struct node *n)
{
	rig_free(n->rig);
	node_forget(n);
	free(n->frames);
	n->frames = NULL;
	n->n_room = 0;
	n->rig = NULL;
	pthread_mutex_destroy(&n->lock);
}

void
node_restart(struct node *n)
{
	uint16_t given = n->port;

	n->port = node_port(n);
	node_stop(n);
	node_start(n);
	n->port = given;
}

uint16_t
node_port(const struct node *n)
{
	return os_net_port(n->rig->os);
}

void
node_id(const struct node *n, uint8_t out[16])
{
	memset(out, n->number, 16);
}

void
node_peers(struct node *n, struct node *const *others, uint32_t count)
{
	struct os_net_peer peers[8] = {0};

	CHECK(count <= 8);
	for (uint32_t i = 0; i < count; i++) {
		node_id(others[i], peers[i].id);
		snprintf(peers[i].name, sizeof(peers[i].name), "%s",
		    others[i]->own_name);
		snprintf(peers[i].address, sizeof(peers[i].address),
		    "127.0.0.1:%u", node_port(others[i]));
	}
	CHECK_EQ(os_net_set_peers(n->rig->os, peers, count), 0);
}

void
node_peer_at(struct node *n, const struct node *other, uint16_t port)
{
	struct os_net_peer peer = {0};

	node_id(other, peer.id);
	snprintf(peer.name, sizeof(peer.name), "%s", other->own_name);
	snprintf(peer.address, sizeof(peer.address), "127.0.0.1:%u", port);
	CHECK_EQ(os_net_set_peers(n->rig->os, &peer, 1), 0);
}

void
node_pair(struct node *a, struct node *b)
{
	node_peers(a, &b, 1);
	node_peers(b, &a, 1);
}

struct send_call {
	struct node *from;
	uint32_t worker;
	uint8_t to[16];
	enum env_channel channel;
	struct iovec iov[3];
	int r;
};

static void
send_it(void *arg)
{
	struct send_call *s = arg;
	const struct env_net *net = &s->from->rig->env->net;

	s->r = net->send(net->ctx, s->worker, s->to, s->channel, s->iov, 3);
}

int
node_send_on(struct node *from, uint32_t w, const struct node *to,
    enum env_channel channel, const void *p, size_t bytes)
{
	struct send_call s = {.from = from, .worker = w, .channel = channel};
	uint8_t *q = (uint8_t *)(uintptr_t)p;

	/* In slices, one of them empty. */
	node_id(to, s.to);
	s.iov[0] = (struct iovec){q, bytes / 3};
	s.iov[1] = (struct iovec){NULL, 0};
	s.iov[2] = (struct iovec){q + bytes / 3, bytes - bytes / 3};
	rig_on(from->rig, w, send_it, &s);
	return s.r;
}

int
node_send(struct node *from, const struct node *to, enum env_channel channel,
    const void *p, size_t bytes)
{
	return node_send_on(from, 0, to, channel, p, bytes);
}

void
node_must_send(struct node *from, const struct node *to,
    enum env_channel channel, const void *p, size_t bytes)
{
	int r;

	while ((r = node_send(from, to, channel, p, bytes))) {
		CHECK(r == -ERR_NOTFOUND || r == -ERR_BUSY);
		rig_pause_us(500);
	}
}

/* One at a time, but for those that get lost. */
static void
ping(struct node *from, struct node *to)
{
	uint8_t p[8] = {PING};
	uint32_t n;

	for (;;) {
		uint64_t start = rig_now_us();

		n = ((uint32_t)from->number << 24) + ++from->pinged;
		memcpy(p + 4, &n, 4);
		node_must_send(from, to, NET_CONTROL, p, sizeof(p));
		while (rig_now_us() - start < 50000) {
			if (atomic_load(&to->ping) == n)
				return;
			rig_pause_us(200);
		}
	}
}

void
node_await_peers(struct node *a, struct node *b)
{
	ping(a, b);
	ping(b, a);
}

struct net_frame *
node_frame(struct node *n, uint32_t i)
{
	struct net_frame *f;

	AWAIT(n->n_frames > i);
	pthread_mutex_lock(&n->lock);
	f = n->frames[i];
	pthread_mutex_unlock(&n->lock);
	return f;
}

struct os_net_stats
node_stats(const struct node *n)
{
	struct os_net_stats s;

	os_net_stats(n->rig->os, &s);
	return s;
}

/* --- relay ---------------------------------------------------------------- */

void
relay_inject(struct relay *r, const void *p, size_t n)
{
	void *m = way_message_new(n);

	CHECK(m);
	memcpy(m, p, n);
	while (way_send(&r->out, m)) {
		if (atomic_load(&r->stops)) {
			way_message_free(m);
			return;
		}
		rig_pause_us(200);
	}
	atomic_fetch_add(&r->n_handed, 1);
}

static void
hand_on(struct relay *r, const uint8_t *p, size_t n)
{
	struct relay_message *kept = &r->kept[r->n_kept];
	int is_hello = n > 5 && p[5] == SEAL_HELLO;

	if (atomic_load(&r->n_kept) < 256) {
		kept->p = malloc(n + 1);
		CHECK(kept->p);
		memcpy(kept->p, p, n);
		kept->n = n;
		atomic_fetch_add(&r->n_kept, 1);
	}
	if (is_hello || !atomic_load(&r->holds))
		relay_inject(r, p, n);
}

static void *
run_relay(void *arg)
{
	struct relay *r = arg;
	void *m;
	size_t n;

	while (!atomic_load(&r->stops)) {
		struct pollfd p = {r->in.fd, POLLIN, 0};

		if (atomic_load(&r->pauses)) {
			rig_pause_us(500);
			continue;
		}
		if (poll(&p, 1, 5) == 1 && way_receive(&r->in, &m, &n) == 0) {
			hand_on(r, m, n);
			way_message_free(m);
		}
	}
	return NULL;
}

void
relay_start(struct relay *r, const struct node *to)
{
	char address[64];

	snprintf(address, sizeof(address), "127.0.0.1:%u", node_port(to));
	CHECK_EQ(way_in(&r->in, "127.0.0.1", &r->port), 0);
	CHECK_EQ(way_out(&r->out, address), 0);
	CHECK(!pthread_create(&r->thread, NULL, run_relay, r));
}

void
relay_stop(struct relay *r)
{
	atomic_store(&r->stops, 1);
	pthread_join(r->thread, NULL);
	way_close(&r->in);
	way_close(&r->out);
	for (uint32_t i = 0; i < r->n_kept; i++)
		free(r->kept[i].p);
}

int
relay_is_frame(const struct relay *r, uint32_t i)
{
	return r->kept[i].p[5] != SEAL_HELLO;
}
