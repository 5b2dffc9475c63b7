/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * idle - what groups cost that nobody asks for anything: 64 of them on three
 * nodes.
 *
 * First their cores alone, whose messages arrive at once; then whole stores on
 * machines in memory, whose events are part of the time.  Prints processor time
 * a second of virtual time and node, and heap a replica: of a store what 32
 * groups more take, buffers that grow with them included.  Exit code 1 when a
 * core has more than 2 KiB.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/consensus/raft.h"
#include "tests/lib/memdisk.h"
#include "tests/lib/simstore.h"
#include "tests/world/arena.h"
#include "vnode/placement.h"
#include "vnode/store.h"

#define NODES     3
#define MANY      64
#define FEW       32
#define SECOND    1000000ull
#define SETTLE_S  60
#define IDLE_S    200
#define BEAT_US   100000
#define CORES     1 /* owners of memory; those of node I: STORES + I */
#define STORES    2
#define HEAP_MOST 2048

static double
cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* --- cores ------------------------------------------------------------------
 */

static struct raft *cores[MANY][NODES];
static struct raft_effects fx[NODES];

/* What core AT of GROUP wants, from effect FROM on; how many there were. */
static uint32_t
carry_out(uint32_t group, uint32_t at, uint32_t from)
{
	struct raft *r = cores[group][at];
	uint32_t i = from;

	for (; i < fx[at].n; i++) {
		struct raft_effect e = fx[at].items[i];
		uint32_t to = (uint32_t)e.msg.to - 1;

		if (e.type == RAFT_PERSIST_HARD ||
		    e.type == RAFT_PERSIST_ENTRIES)
			raft_persisted(r, e.seq, &fx[at]);
		if (e.type != RAFT_SEND)
			continue;
		if (e.msg.n)
			e.msg.entries = raft_entry_at(r, e.msg.index + 1);
		raft_receive(cores[group][to], &e.msg, &fx[to]);
	}
	return i;
}

static void
tick(uint32_t group, uint32_t at, uint64_t now)
{
	uint32_t done[NODES] = {0}, before;

	raft_tick(cores[group][at], now, &fx[at]);
	do {
		before = done[0] + done[1] + done[2];
		for (uint32_t i = 0; i < NODES; i++)
			done[i] = carry_out(group, i, done[i]);
	} while (done[0] + done[1] + done[2] > before);
	for (uint32_t i = 0; i < NODES; i++)
		fx[i].n = 0;
}

static void
make_cores(uint32_t group)
{
	struct raft_member at[NODES] = {{0}};

	for (uint32_t i = 0; i < NODES; i++)
		at[i] = (struct raft_member){.id = i + 1, .voter = 1};
	for (uint32_t i = 0; i < NODES; i++) {
		struct raft_config c = {.self = i + 1,
		    .seed = group * NODES + i,
		    .heartbeat_us = BEAT_US,
		    .election_us = SECOND,
		    .rank_us = 300000,
		    .jitter_us = 200000,
		    .window_entries = 512,
		    .window_bytes = 8u << 20,
		    .msg_entries = 1,
		    .msg_bytes = 128u << 10};
		struct raft_state st = {.term = 1,
		    .base_index = NODES,
		    .base_term = 1,
		    .members = {NODES, at}};

		cores[group][i] = raft_new(&c, &st);
		ASSERT(cores[group][i]);
		raft_set_rank(cores[group][i], (group + i) % NODES);
	}
}

static uint64_t
run_cores(uint64_t now, uint32_t seconds)
{
	uint64_t end = now + seconds * SECOND;

	for (; now < end; now += BEAT_US)
		for (uint32_t i = 0; i < NODES; i++)
			for (uint32_t g = 0; g < MANY; g++)
				tick(g, i, now);
	return now;
}

/* Bytes of heap a replica. */
static double
measure_cores(void)
{
	double heap;
	uint32_t led = 0;
	uint64_t now;
	double ms;

	arena_enter(CORES);
	for (uint32_t g = 0; g < MANY; g++)
		make_cores(g);
	now = run_cores(SECOND, SETTLE_S);
	for (uint32_t i = 0; i < NODES; i++)
		raft_effects_deinit(&fx[i]);
	heap = (double)arena_bytes(CORES) / (MANY * NODES);
	printf("core: %.0f bytes of heap a replica\n", heap);
	ms = cpu_ms();
	run_cores(now, IDLE_S);
	ms = cpu_ms() - ms;
	for (uint32_t g = 0; g < MANY; g++)
		for (uint32_t i = 0; i < NODES; i++)
			led += raft_ready(cores[g][i]);
	ASSERT(led == MANY);
	printf("core: %.3f ms a second and node\n", ms / (IDLE_S * NODES));
	arena_enter(0);
	return heap;
}

/* --- stores -----------------------------------------------------------------
 */

struct machine {
	uint8_t id[16];
	uint32_t owner;
	struct memdisk *disk;
	struct simenv *sim;
	struct store *store;
};

static struct machine machines[NODES];

static int
send_frame(void *ctx, uint32_t worker, const uint8_t to[16],
    enum env_channel channel, const struct iovec *iov, int count)
{
	const struct machine *from = ctx;
	const struct machine *n = &machines[to[0]];
	const struct env_post *post = &simenv_env(n->sim)->post;
	struct net_frame *f = net_frame_new(from->id, iov, count);

	(void)worker;
	(void)channel;
	ASSERT(f);
	post->to_worker(post->ctx, 0, &f->msg);
	return 0;
}

static void
nothing(void *arg, int is_error, const char *what)
{
	(void)arg;
	(void)is_error;
	(void)what;
}

static void
fatal(void *arg, const char *what)
{
	(void)arg;
	(void)what;
	ASSERT_UNREACHED();
}

static void
start(struct machine *n, uint32_t n_groups)
{
	struct env_net net = {.send = send_frame, .ctx = n};
	struct simenv_config sc = {.seed = n->owner, .n_workers = 1};
	struct store_config c = {.dir = "c",
	    .cluster_id = "0123456789abcde",
	    .n_groups = n_groups,
	    .found = n == machines,
	    .segment_bytes = 1u << 20,
	    .journal_max_bytes = 8u << 20,
	    .request_timeout_us = 5 * SECOND,
	    .report = nothing,
	    .fatal = fatal};
	const struct env_disk *d;
	char why[512];

	n->disk = memdisk_new(NULL);
	d = memdisk_disk(n->disk);
	d->mkdir(d->ctx, "c");
	sc.disk = d;
	n->sim = simenv_new(&sc);
	simstore_serve(n->sim, &n->store);
	simenv_set_net(n->sim, &net);
	c.env = simenv_env(n->sim);
	memcpy(c.node_id, n->id, 16);
	arena_enter(n->owner);
	ASSERT(store_open(&n->store, &c, why, sizeof(why)) == 0);
	ASSERT(store_start(n->store) == 0);
	arena_enter(0);
}

/* All groups on all nodes, led by one after the other. */
static void
place_all(struct machine *n, uint32_t n_groups)
{
	arena_enter(n->owner);
	for (uint32_t g = 0; g < n_groups; g++) {
		struct placement *p =
		    mem_zalloc(sizeof(*p) + NODES * sizeof(p->at[0]));

		ASSERT(p);
		p->epoch = 1;
		p->n = NODES;
		memcpy(p->preferred, machines[g % NODES].id, 16);
		for (uint32_t i = 0; i < NODES; i++) {
			const struct machine *at = &machines[(g + i) % NODES];

			memcpy(p->at[i].node, at->id, 16);
			p->at[i].voter = 1;
		}
		ASSERT(store_place(n->store, g, p) == 0);
	}
	arena_enter(0);
}

static void
run_stores(uint32_t seconds)
{
	uint64_t end = simenv_mono(machines[0].sim).us + seconds * SECOND;

	for (;;) {
		struct machine *first = machines;

		for (uint32_t i = 1; i < NODES; i++)
			if (simenv_next(machines[i].sim).us <
			    simenv_next(first->sim).us)
				first = &machines[i];
		if (simenv_next(first->sim).us >= end)
			return;
		for (uint32_t i = 0; i < NODES; i++)
			simenv_advance_to(
			    machines[i].sim, simenv_next(first->sim));
		arena_enter(first->owner);
		simenv_step(first->sim);
		arena_enter(0);
	}
}

/* Bytes of heap a node, with N_GROUPS that have settled; *MS a second and node
 * of those that are idle. */
static double
measure_stores(uint32_t n_groups, uint32_t owner, double *ms)
{
	double heap = 0;

	for (uint32_t i = 0; i < NODES; i++) {
		machines[i] = (struct machine){.owner = owner + i};
		machines[i].id[0] = (uint8_t)i;
		machines[i].id[1] = 1;
		start(&machines[i], n_groups);
	}
	for (uint32_t i = 0; i < NODES; i++)
		place_all(&machines[i], n_groups);
	run_stores(SETTLE_S * 4);
	for (uint32_t i = 0; i < NODES; i++)
		heap += (double)arena_bytes(owner + i) / NODES;
	*ms = cpu_ms();
	run_stores(IDLE_S);
	*ms = (cpu_ms() - *ms) / (IDLE_S * NODES);
	for (uint32_t g = 0; g < n_groups; g++) {
		struct store_group at;

		store_group(machines[g % NODES].store, g, &at);
		ASSERT(at.ready && at.members.n == NODES);
	}
	return heap;
}

int
main(void)
{
	double ms, few, many, core = measure_cores();

	few = measure_stores(FEW, STORES, &ms);
	printf("store: %.3f ms a second and node with %u groups\n", ms, FEW);
	many = measure_stores(MANY, STORES + NODES, &ms);
	printf("store: %.3f ms a second and node with %u groups\n", ms, MANY);
	printf("store: %.0f bytes of heap a replica, its core included\n",
	    (many - few) / (MANY - FEW));
	return core > HEAP_MOST;
}
