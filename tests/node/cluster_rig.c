/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* cluster_rig - some whole nodes on one virtual time. */
#include "tests/node/cluster_rig.h"

#include <criterion/criterion.h>

#include "ring/hash.h"
#include "ring/ring_file.h"
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/node/home.h"
#include "vnode/event.h"

#define SEGMENT (256u << 10)

/* --- a process ------------------------------------------------------------ */

static void
dispatch(void *arg, uint32_t worker, struct msg *msg)
{
	struct member *m = arg;

	if (msg->kind == MSG_CALL || msg->answer)
		msg->fn(msg);
	else
		core_handle(m->core, worker, msg);
}

static void
turn(void *arg, uint32_t worker)
{
	struct member *m = arg;

	if (m->core)
		core_turn(m->core, worker);
}

static void
on_fatal(void *arg, const char *what)
{
	struct member *m = arg;

	m->fatal = 1;
	fprintf(stderr, "# %s: %s\n", m->name, what);
}

static void
on_report(void *arg, int is_error, const char *what)
{
	struct member *m = arg;

	if (is_error)
		fprintf(stderr, "# %s: %s\n", m->name, what);
}

static void
deliver(struct member *to, const uint8_t from[16], int stranger,
    const struct iovec *iov, int n)
{
	const struct env_post *post = &simenv_env(to->sim)->post;
	struct net_frame *f = net_frame_new(from, iov, n);

	cr_assert_not_null(f);
	f->stranger = stranger;
	to->rig->n_frames++;
	post->to_worker(
	    post->ctx, to->rig->n_frames % post->n_workers, &f->msg);
}

static int
same_cluster(const struct member *a, const struct member *b)
{
	return memcmp(a->identity.cluster_id, b->identity.cluster_id, 16) == 0;
}

/* B is in the address book of A: node.c on_published, on_left. */
static int
is_peer(const struct member *a, const struct member *b)
{
	const struct cluster *c = core_cluster(a->core);
	const struct ring_member *gone[CLUSTER_DEPARTED_MAX];
	uint32_t n = cluster_departed(c, gone);

	if (a->removed)
		return 0;
	for (uint32_t i = 0; i < n; i++)
		if (memcmp(gone[i]->id, b->identity.node_id, 16) == 0)
			return 1;
	return ring_find(cluster_ring(c), b->identity.node_id) != RING_NOBODY;
}

static int
send_frame(void *ctx, uint32_t worker, const uint8_t to[16],
    enum env_channel channel, const struct iovec *iov, int n)
{
	struct member *from = ctx;

	(void)worker;
	(void)channel;
	for (uint32_t i = 0; i < RIG_NODES; i++) {
		struct member *m = &from->rig->at[i];

		if (memcmp(m->identity.node_id, to, 16) != 0)
			continue;
		if (m->core && !m->cut && !from->cut &&
		    !(m->deaf_to >> from->i & 1) && same_cluster(m, from) &&
		    is_peer(m, from) && is_peer(from, m))
			deliver(m, from->identity.node_id, 0, iov, n);
		return 0;
	}
	return -ERR_NOTFOUND;
}

static int
tell(void *arg, const char *name, const struct iovec *iov, int n)
{
	struct member *from = arg;

	for (uint32_t i = 0; i < RIG_NODES; i++) {
		struct member *m = &from->rig->at[i];

		if (strcmp(m->name, name) == 0 && m->core && !m->cut &&
		    !from->cut)
			deliver(m, from->identity.node_id, 1, iov, n);
	}
	return 0;
}

static int
tell_back(void *arg, const uint8_t node[16], const struct iovec *iov, int n)
{
	struct member *from = arg;

	for (uint32_t i = 0; i < RIG_NODES; i++) {
		struct member *m = &from->rig->at[i];

		if (memcmp(m->identity.node_id, node, 16) == 0 && m->core &&
		    !m->cut && !from->cut)
			deliver(m, from->identity.node_id, 1, iov, n);
	}
	return 0;
}

static void
on_stopped(void *arg)
{
	struct member *m = arg;

	m->moves = 2;
}

void
rig_move(struct member *m, struct ring *to, enum ring_state was)
{
	if (m->moves)
		return;
	m->moves = 1;
	m->to = to ? ring_ref(to) : NULL;
	m->was = was;
	core_stop(m->core, on_stopped, m);
}

static void
on_left(void *arg, enum ring_state was)
{
	struct member *m = arg;

	if (was == RING_VALID || was == RING_DOWN)
		m->removed = 1;
	else
		rig_move(m, NULL, was);
}

static int
publish_policies(void *arg, uint32_t worker, struct policies *table)
{
	struct member *m = arg;

	m->n_policies++;
	return worker ? 0 : store_set_policies(core_store(m->core), table);
}

void
rig_start(struct member *m)
{
	const struct env *env = simenv_env(m->sim);
	struct core_config c = {
	    .env = env,
	    .identity = &m->identity,
	    .nodename = m->name,
	    .store =
		{
		    .seed = 42,
		    .segment_bytes = m->segment,
		    .journal_max_bytes = 16 * m->segment,
		    .request_timeout_us = 5 * SECOND,
		    .report = on_report,
		    .fatal = on_fatal,
		    .arg = m,
		},
	    .tell = tell,
	    .tell_back = tell_back,
	    .roots = {.policies_publish = publish_policies},
	    .left = on_left,
	    .arg = m,
	};
	char why[1024] = "";
	struct ring *ring;

	m->removed = 0;
	m->n_policies = 0;

	cr_assert_eq(
	    identity_open(env, m->name, RIG_Q, &m->identity, why, sizeof(why)),
	    0, "%s", why);
	cr_assert_eq(ring_file_open(env, &m->identity, m->name, 3, &ring, why),
	    0, "%s", why);
	cr_assert_eq(
	    core_open(&m->core, &c, ring, why, sizeof(why)), 0, "%s", why);
	ring_unref(ring);
	cr_assert_eq(core_start(m->core), 0);
}

void
rig_kill(struct member *m)
{
	simenv_kill(m->sim);
	memdisk_close_all(m->md);
	m->core = NULL;
}

/* Its process has stopped to live elsewhere. */
static void
go_on_elsewhere(struct member *m)
{
	const struct env *env = simenv_env(m->sim);
	int r;

	m->core = core_close(m->core);
	simenv_kill(m->sim);
	if (m->to)
		r = home_join(env, m->name, &m->identity, m->to);
	else if (m->was == RING_JOINING)
		r = home_go_back(env, m->name, &m->identity);
	else
		r = home_leave(env, m->name, &m->identity);
	cr_assert_eq(r, 0, "%s", err_text(r));
	m->exited = !m->to && m->was != RING_JOINING;
	m->to = ring_unref(m->to);
	m->moves = 0;
	if (!m->exited)
		rig_start(m);
}

/* --- all of them ---------------------------------------------------------- */

static void
member_init(struct rig *rig, uint32_t i)
{
	struct memdisk_config mc = {.capacity_bytes = 256u << 20};
	struct simenv_config sc = {.seed = i + 1, .n_workers = 1 + i % 2};
	struct member *m = &rig->at[i];
	struct env_net net = {.send = send_frame, .ctx = m};

	*m = (struct member){
	    .rig = rig, .i = i, .segment = SEGMENT, .md = memdisk_new(&mc)};
	snprintf(m->name, sizeof(m->name), "n%u@127.0.0.1", i + 1);
	sc.disk = memdisk_disk(m->md);
	m->sim = simenv_new(&sc);
	simenv_set_dispatch(m->sim, dispatch, m);
	simenv_set_turn(m->sim, turn, m);
	simenv_set_net(m->sim, &net);
}

struct rig *
rig_new(void)
{
	struct rig *rig = mem_zalloc(sizeof(*rig));

	for (uint32_t i = 0; i < RIG_NODES; i++)
		member_init(rig, i);
	for (uint32_t i = 0; i < RIG_NODES; i++)
		rig_start(&rig->at[i]);
	return rig;
}

static void
step(struct rig *rig)
{
	struct member *first = NULL;
	uint64_t at = UINT64_MAX;

	for (uint32_t i = 0; i < RIG_NODES; i++) {
		struct member *m = &rig->at[i];

		if (m->core && simenv_next(m->sim).us < at) {
			first = m;
			at = simenv_next(m->sim).us;
		}
	}
	cr_assert_not_null(first);
	for (uint32_t i = 0; i < RIG_NODES; i++)
		simenv_advance_to(rig->at[i].sim, (struct mono){at});
	simenv_step(first->sim);
	if (first->moves == 2)
		go_on_elsewhere(first);
	cr_assert_not(first->fatal);
}

static uint64_t
now_us(const struct rig *rig)
{
	return simenv_mono(rig->at[0].sim).us;
}

void
rig_run_for(struct rig *rig, uint64_t us)
{
	uint64_t end = now_us(rig) + us;

	while (now_us(rig) < end)
		step(rig);
}

void
rig_run_until(struct rig *rig, int (*cond)(struct rig *rig, void *arg),
    void *arg, unsigned seconds)
{
	uint64_t end = now_us(rig) + seconds * SECOND;

	while (!cond(rig, arg)) {
		cr_assert_lt(now_us(rig), end, "it takes too long");
		step(rig);
	}
}

void
rig_wait_for(struct rig *rig, const int *done, unsigned seconds)
{
	uint64_t end = now_us(rig) + seconds * SECOND;

	while (!*done) {
		cr_assert_lt(now_us(rig), end, "it takes too long");
		step(rig);
	}
}

void
rig_on_worker_0(struct member *member, struct msg *m, void (*fn)(struct msg *m))
{
	const struct env_post *post = &simenv_env(member->sim)->post;

	*m = (struct msg){.kind = MSG_CALL, .fn = fn};
	post->to_worker(post->ctx, 0, m);
}

/* --- looking -------------------------------------------------------------- */

struct ring *
rig_ring(struct member *m)
{
	return cluster_ring(core_cluster(m->core));
}

/* Somebody who runs leads group G, and has it where it should be. */
static int
is_placed(const struct rig *rig, uint16_t g)
{
	for (uint32_t i = 0; i < RIG_NODES; i++)
		if (rig->at[i].core &&
		    store_leads(core_store(rig->at[i].core), g) &&
		    store_placed(core_store(rig->at[i].core), g))
			return 1;
	return 0;
}

static int
is_settled(struct rig *rig, void *arg)
{
	const int *owned = arg;
	struct ring *first = NULL;

	for (uint32_t i = 0; i < RIG_NODES; i++) {
		struct member *m = &rig->at[i];
		struct ring *r;
		int n = 0;
		uint16_t me;

		if (owned[i] == RIG_NONE || !m->core)
			continue;
		r = rig_ring(m);
		if (first && (r->epoch != first->epoch || m->moves))
			return 0;
		first = r;
		me = ring_find(r, m->identity.node_id);
		if (me == RING_NOBODY || ring_pending(r))
			return 0;
		for (uint16_t g = 0; g < r->q; g++)
			n += r->owners[g] == me;
		if (n != owned[i] && owned[i] != RIG_ANY)
			return 0;
	}
	/* A group may move though its slot stays where it is. */
	for (uint16_t g = 0; first && g < first->q; g++)
		if (!is_placed(rig, g))
			return 0;
	return 1;
}

void
rig_wait_settled(struct rig *rig, const int owned[RIG_NODES])
{
	rig_run_until(rig, is_settled, (void *)(uintptr_t)owned, 120);
}
