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

static void
move(struct member *m, struct ring *to, enum ring_state was)
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
		move(m, NULL, was);
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

static int
is_set(struct rig *rig, void *arg)
{
	(void)rig;
	return *(int *)arg;
}

void
rig_on_worker_0(struct member *member, struct msg *m, void (*fn)(struct msg *m))
{
	const struct env_post *post = &simenv_env(member->sim)->post;

	*m = (struct msg){.kind = MSG_CALL, .fn = fn};
	post->to_worker(post->ctx, 0, m);
}

/* --- joining -------------------------------------------------------------- */

struct joining {
	struct msg msg;
	struct join_call call;
	struct member *member;
	enum admin_result result;
	int done;
};

static void
joined(struct join_call *call, enum admin_result result, struct ring *ring,
    int known)
{
	struct joining *j = CONTAINER_OF(call, struct joining, call);

	(void)known;
	j->done = 1;
	j->result = result;
	if (result == ADMIN_OK)
		move(j->member, ring, RING_VALID);
}

static void
begin_joining(struct msg *m)
{
	struct joining *j = CONTAINER_OF(m, struct joining, msg);

	cr_assert_eq(join_ask(core_join(j->member->core), &j->call), 0);
}

enum admin_result
rig_join(struct member *a, struct member *b)
{
	struct joining j = {.member = a, .call = {.done = joined}};

	memcpy(j.call.contact, b->name, sizeof(b->name));
	rig_on_worker_0(a, &j.msg, begin_joining);
	rig_run_until(a->rig, is_set, &j.done, 20);
	return j.result;
}

/* --- changes -------------------------------------------------------------- */

enum rig_op { OP_PLAN, OP_COMMIT, OP_LEAVE, OP_REMOVE, OP_DOWN, OP_CLEAR };

struct editing_call {
	struct msg msg;
	struct cluster_edit edit;
	struct member *member;
	enum rig_op op;
	const char *name;
	int done, result;
};

static enum ring_refusal
make(struct cluster_edit *e, struct ring *now, struct ring **out)
{
	struct editing_call *call = CONTAINER_OF(e, struct editing_call, edit);
	struct ring_plan *p;
	enum ring_refusal r;

	switch (call->op) {
	case OP_PLAN:
		r = ring_plan_new(now, &p);
		if (r == RING_OK) {
			r = ring_plan_store(now, p, out);
			ring_plan_free(p);
		}
		return r;
	case OP_COMMIT:
		return ring_commit(now, NULL, out);
	case OP_LEAVE:
		return ring_stage_leave(now, call->name, out);
	case OP_REMOVE:
		return ring_stage_remove(now, call->name, out);
	case OP_DOWN:
		return ring_mark_down(now, call->name, 0, out);
	default:
		return ring_clear(now, out);
	}
}

static void
edited(struct cluster_edit *e, int r, enum ring_refusal refusal,
    struct ring *after)
{
	struct editing_call *call = CONTAINER_OF(e, struct editing_call, edit);

	(void)after;
	call->done = 1;
	call->result = r ? -1 : (int)refusal;
}

static void
begin_edit(struct msg *m)
{
	struct editing_call *call = CONTAINER_OF(m, struct editing_call, msg);

	cluster_edit(core_cluster(call->member->core), &call->edit);
}

static int
edit(struct member *m, enum rig_op op, const char *name)
{
	struct editing_call call = {
	    .member = m,
	    .op = op,
	    .name = name,
	    .edit = {.make = make, .done = edited},
	};

	rig_on_worker_0(m, &call.msg, begin_edit);
	rig_run_until(m->rig, is_set, &call.done, 60);
	return call.result;
}

int
rig_plan(struct member *m)
{
	return edit(m, OP_PLAN, NULL);
}

int
rig_commit(struct member *m)
{
	return edit(m, OP_COMMIT, NULL);
}

int
rig_leave(struct member *m, const char *name)
{
	return edit(m, OP_LEAVE, name);
}

int
rig_remove(struct member *m, const char *name)
{
	return edit(m, OP_REMOVE, name);
}

int
rig_down(struct member *m, const char *name)
{
	return edit(m, OP_DOWN, name);
}

int
rig_clear(struct member *m)
{
	return edit(m, OP_CLEAR, NULL);
}

/* --- events --------------------------------------------------------------- */

struct asking {
	struct msg msg;
	struct vnode_put put;
	struct vnode_put_event event;
	struct vnode_read read;
	struct member *member;
	uint32_t group;
	int done, reads;
	char data[64];
};

static uint32_t
group_of(const char *stream)
{
	struct ring_hash *h = ring_hash_new();
	uint32_t g =
	    ring_hash_group(h, SLICE_LIT("b"), SLICE_STR(stream), RIG_Q);

	ring_hash_free(h);
	return g;
}

static void
put_back(struct msg *m)
{
	CONTAINER_OF(m, struct asking, put.msg)->done = 1;
}

static void
read_back(struct msg *m)
{
	CONTAINER_OF(m, struct asking, read.msg)->done = 1;
}

static void
ask(struct msg *m)
{
	struct asking *a = CONTAINER_OF(m, struct asking, msg);
	struct vnode_route route = core_route(a->member->core);

	route.send(route.ctx, a->group, a->reads ? &a->read.msg : &a->put.msg);
}

static void
make_data(char *out, size_t n, const char *stream, uint32_t nth)
{
	snprintf(out, n, "event %u of %s", nth, stream);
}

int64_t
rig_put(struct member *m, const char *stream, uint32_t nth)
{
	struct asking *a = mem_zalloc(sizeof(*a));
	int64_t r;

	a->member = m;
	a->group = group_of(stream);
	make_data(a->data, sizeof(a->data), stream, nth);
	a->event = (struct vnode_put_event){.data = SLICE_STR(a->data)};
	a->put = (struct vnode_put){
	    .msg = {.kind = MSG_PUT, .fn = put_back},
	    .group = a->group,
	    .bucket = SLICE_LIT("b"),
	    .stream = SLICE_STR(stream),
	    .n_events = 1,
	    .events = &a->event,
	};
	rig_on_worker_0(m, &a->msg, ask);
	rig_run_until(m->rig, is_set, &a->done, 20);
	r = a->put.r ? a->put.r : (int64_t)a->put.first;
	mem_free(a);
	return r;
}

static void
check_page(const struct vnode_page *page, const char *stream)
{
	for (uint32_t i = 0; i < page->n_parts; i++) {
		struct slice in = page->parts[i].records;

		while (in.n) {
			char want[64];
			struct event e;
			uint32_t bytes;

			cr_assert_eq(event_decode(in, 1, &e, &bytes), 0);
			make_data(want, sizeof(want), stream, (uint32_t)e.seq);
			cr_assert(slice_equal(e.data, SLICE_STR(want)),
			    "event %u of %s is '%.*s'", (unsigned)e.seq, stream,
			    (int)e.data.n, (const char *)e.data.p);
			in = SLICE(in.p + bytes, in.n - bytes);
		}
	}
}

int64_t
rig_read(struct member *m, const char *stream)
{
	struct asking *a = mem_zalloc(sizeof(*a));
	int64_t r;

	a->member = m;
	a->reads = 1;
	a->group = group_of(stream);
	a->read = (struct vnode_read){
	    .msg = {.kind = MSG_READ, .fn = read_back},
	    .group = a->group,
	    .bucket = SLICE_LIT("b"),
	    .stream = SLICE_STR(stream),
	    .to = UINT64_MAX,
	    .limit = 1000,
	    .max_bytes = 1u << 20,
	};
	rig_on_worker_0(m, &a->msg, ask);
	rig_run_until(m->rig, is_set, &a->done, 20);
	r = a->read.r ? a->read.r : (int64_t)a->read.newest;
	check_page(&a->read.page, stream);
	vnode_page_deinit(&a->read.page);
	mem_free(a);
	return r;
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
