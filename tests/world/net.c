/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * net - frames between nodes: late, lost, twice, in another order.
 *
 * What is on its way belongs to no process: it may reach one that was started
 * later than it was sent, from one that is no more.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/world/arena.h"
#include "tests/world/world.h"

#define OUTBOX_BYTES (4u << 20) /* to one node and channel */
#define LATE_US      3000000

struct packet {
	uint32_t from, n_copies;
	enum env_channel channel;
	uint8_t sender[16], cluster[16];
	int stranger;
	size_t n;
	uint8_t bytes[];
};

static struct link *
link_of(struct world *w, uint32_t from, uint32_t to, enum env_channel channel)
{
	return &w->net.links[from][to][channel];
}

static void
arrive(struct world *w, struct happening *ev)
{
	struct packet *p = ev->arg;
	struct node *n = &w->nodes[ev->slot];

	link_of(w, p->from, ev->slot, p->channel)->bytes -= p->n;
	if (!w->net.cut[p->from][ev->slot] && n->state != NODE_DOWN &&
	    (p->stranger || process_hears(n, p->sender, p->cluster))) {
		w->counts.frames++;
		node_receive(n, p->sender, p->stranger, SLICE(p->bytes, p->n));
	}
	if (--p->n_copies == 0)
		mem_free(p);
}

void
net_forget(struct happening *ev)
{
	struct packet *p = ev->arg;

	if (ev->run == arrive && --p->n_copies == 0)
		mem_free(p);
}

/* When a frame of BYTES that is sent now arrives. */
static uint64_t
delay(struct world *w, struct link *l, size_t bytes)
{
	uint64_t us =
	    world_between(w, w->net.delay_min_us, w->net.delay_max_us);

	if (world_one_in(w, w->net.late))
		us += world_below(w, LATE_US);
	if (l->us_per_kb) {
		uint64_t at =
		    l->free_at_us > w->now_us ? l->free_at_us : w->now_us;

		l->free_at_us = at + bytes * l->us_per_kb / 1024;
		us += l->free_at_us - w->now_us;
	}
	return us;
}

static void
launch(struct world *w, struct packet *p, uint32_t to)
{
	struct link *l = link_of(w, p->from, to, p->channel);

	l->bytes += p->n;
	p->n_copies++;
	world_schedule(w, 1 + delay(w, l, p->n),
	    (struct happening){.run = arrive, .slot = to, .arg = p});
}

static uint32_t
find(const struct world *w, const uint8_t id[16])
{
	uint32_t i = 0;

	while (i < w->n_nodes && memcmp(w->nodes[i].id, id, 16) != 0)
		i++;
	return i;
}

static struct packet *
pack(const struct node *from, enum env_channel channel, const struct iovec *iov,
    int n)
{
	size_t bytes = 0;
	struct packet *p;

	for (int i = 0; i < n; i++)
		bytes += iov[i].iov_len;
	ASSERT(bytes <= NET_FRAME_MAX);
	p = mem_alloc(sizeof(*p) + bytes);
	ASSERT(p);
	*p = (struct packet){.from = from->slot, .channel = channel};
	memcpy(p->sender, from->id, 16);
	memcpy(p->cluster, from->identity.cluster_id, 16);
	for (int i = 0; i < n; p->n += iov[i++].iov_len)
		if (iov[i].iov_len)
			memcpy(
			    p->bytes + p->n, iov[i].iov_base, iov[i].iov_len);
	return p;
}

static void
send_off(struct node *from, struct packet *p, uint32_t to)
{
	struct world *w = from->world;

	if (w->net.cut[from->slot][to] || world_one_in(w, w->net.drop)) {
		mem_free(p);
		return;
	}
	launch(w, p, to);
	if (world_one_in(w, w->net.twice))
		launch(w, p, to);
}

static int
net_send(void *ctx, uint32_t worker, const uint8_t id[16],
    enum env_channel channel, const struct iovec *iov, int n)
{
	struct node *from = ctx;
	struct world *w = from->world;
	uint32_t to = find(w, id);
	unsigned before;
	struct packet *p;

	ASSERT(simenv_worker(from->sim) == worker && to != from->slot);
	if (to < w->n_nodes &&
	    !process_hears(from, id, from->identity.cluster_id))
		return 0;
	if (to == w->n_nodes)
		return -ERR_NOTFOUND;
	if (link_of(w, from->slot, to, channel)->bytes > OUTBOX_BYTES)
		return -ERR_BUSY;
	before = arena_enter(0);
	p = pack(from, channel, iov, n);
	words_check(from, SLICE(p->bytes, p->n));
	send_off(from, p, to);
	arena_enter(before);
	return 0;
}

int
net_tell(struct node *from, uint32_t to, const struct iovec *iov, int n)
{
	unsigned before = arena_enter(0);
	struct packet *p = pack(from, NET_CONTROL, iov, n);

	p->stranger = 1;
	send_off(from, p, to);
	arena_enter(before);
	return 0;
}

void
net_attach(struct node *n)
{
	struct env_net net = {.send = net_send, .ctx = n};

	simenv_set_net(n->sim, &net);
}

void
net_cut(struct world *w, uint32_t from, uint32_t to, int cut)
{
	if (w->net.cut[from][to] != cut)
		world_trace(w, "node %u %s node %u", from,
		    cut ? "no longer reaches" : "reaches", to);
	w->net.cut[from][to] = cut;
}

void
net_heal(struct world *w)
{
	for (uint32_t a = 0; a < w->n_nodes; a++) {
		for (uint32_t b = 0; b < w->n_nodes; b++) {
			net_cut(w, a, b, 0);
			for (int c = 0; c < NET_CHANNEL_COUNT; c++)
				w->net.links[a][b][c].us_per_kb = 0;
		}
	}
	w->net.drop = w->net.twice = w->net.late = 0;
	w->net.delay_min_us = 50;
	w->net.delay_max_us = 500;
}

static void
fast_again(struct world *w, struct happening *ev)
{
	for (uint32_t from = 0; from < w->n_nodes; from++)
		link_of(w, from, ev->slot, NET_BULK)->us_per_kb = 0;
}

void
net_slow_fills(struct world *w, uint32_t to, uint64_t for_us)
{
	uint32_t us_per_kb = (uint32_t)world_between(w, 2000, 60000);

	world_trace(w, "node %u is filled slowly", to);
	for (uint32_t from = 0; from < w->n_nodes; from++)
		link_of(w, from, to, NET_BULK)->us_per_kb = us_per_kb;
	world_schedule(
	    w, for_us, (struct happening){.run = fast_again, .slot = to});
}
