/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* nodes_rig - three whole nodes on one virtual time. */
#include "tests/vnode/nodes_rig.h"

#include <criterion/criterion.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/lib/simstore.h"
#include "vnode/event.h"

static void
on_fatal(void *arg, const char *what)
{
	struct node *n = arg;

	n->fatal = 1;
	fprintf(stderr, "# node %d: %s\n", n->id[0], what);
}

static void
on_report(void *arg, int is_error, const char *what)
{
	struct node *n = arg;

	if (is_error)
		fprintf(stderr, "# node %d: %s\n", n->id[0], what);
}

static void
on_told(void *arg, const uint8_t from[16], struct slice bytes)
{
	struct node *n = arg;

	(void)from;
	snprintf(n->told, sizeof(n->told), "%.*s", (int)bytes.n,
	    (const char *)bytes.p);
	n->n_told++;
}

void
nodes_frame(
    struct node *to, const uint8_t from[16], const struct iovec *iov, int count)
{
	const struct env_post *post = &simenv_env(to->sim)->post;
	struct net_frame *f = net_frame_new(from, iov, count);

	cr_assert_not_null(f);
	to->rig->n_frames++;
	post->to_worker(
	    post->ctx, to->rig->n_frames % post->n_workers, &f->msg);
}

static int
send_frame(void *ctx, uint32_t worker, const uint8_t to[16],
    enum env_channel channel, const struct iovec *iov, int count)
{
	struct node *from = ctx;
	struct nodes *rig = from->rig;

	(void)worker;
	if (channel == NET_BULK && rig->bulk_error)
		return rig->bulk_error;
	for (int i = 0; i < N_NODES; i++) {
		struct node *n = &rig->nodes[i];

		if (memcmp(n->id, to, 16) != 0)
			continue;
		if (n->up && !n->cut && !from->cut &&
		    !(rig->hook && rig->hook(rig->arg, from, n, iov, count)))
			nodes_frame(n, from->id, iov, count);
		return 0;
	}
	return -ERR_NOTFOUND;
}

void
nodes_start(struct node *n, int found)
{
	struct store_config c = {
	    .env = simenv_env(n->sim),
	    .dir = "c",
	    .cluster_id = "0123456789abcde",
	    .n_groups = N_GROUPS,
	    .found = found,
	    .seed = 42,
	    .segment_bytes = SEGMENT,
	    .journal_max_bytes = 8 * SEGMENT,
	    .request_timeout_us = 5 * SECOND,
	    .clean_max_bytes = 1,
	    .checkpoint_bytes = SEGMENT / 2,
	    .report = on_report,
	    .told = on_told,
	    .above_arg = n,
	    .fatal = on_fatal,
	    .arg = n,
	};
	char why[512];

	memcpy(c.node_id, n->id, 16);
	cr_assert_eq(store_open(&n->store, &c, why, sizeof(why)), 0, "%s", why);
	cr_assert_eq(store_start(n->store), 0);
	n->up = 1;
}

void
nodes_kill(struct node *n)
{
	simenv_kill(n->sim);
	memdisk_close_all(n->md);
	n->store = NULL;
	n->up = 0;
}

static void
node_init(struct nodes *rig, struct node *n, int i)
{
	struct memdisk_config mc = {.capacity_bytes = 64u << 20};
	struct simenv_config sc = {
	    .seed = (uint64_t)i + 1, .n_workers = 1 + (uint32_t)i % 2};
	struct env_net net = {.send = send_frame, .ctx = n};
	const struct env_disk *d;

	*n = (struct node){.rig = rig, .md = memdisk_new(&mc)};
	memset(n->id, i + 1, sizeof(n->id));
	d = memdisk_disk(n->md);
	d->mkdir(d->ctx, "c");
	d->sync_all(d->ctx);
	sc.disk = d;
	n->sim = simenv_new(&sc);
	simstore_serve(n->sim, &n->store);
	simenv_set_net(n->sim, &net);
}

struct nodes *
nodes_new(void)
{
	struct nodes *rig = mem_zalloc(sizeof(*rig));

	for (int i = 0; i < N_NODES; i++)
		node_init(rig, &rig->nodes[i], i);
	for (int i = 0; i < N_NODES; i++)
		nodes_start(&rig->nodes[i], i == 0);
	return rig;
}

int
nodes_step(struct nodes *rig)
{
	struct node *first = NULL;
	uint64_t at = UINT64_MAX;

	for (int i = 0; i < N_NODES; i++) {
		struct node *n = &rig->nodes[i];

		if (n->up && simenv_next(n->sim).us < at) {
			first = n;
			at = simenv_next(n->sim).us;
		}
	}
	if (!first)
		return 0;
	for (int i = 0; i < N_NODES; i++)
		simenv_advance_to(rig->nodes[i].sim, (struct mono){at});
	simenv_step(first->sim);
	return 1;
}

void
nodes_run_for(struct nodes *rig, uint64_t us)
{
	uint64_t end = simenv_mono(rig->nodes[0].sim).us + us;

	while (simenv_mono(rig->nodes[0].sim).us < end && nodes_step(rig))
		;
}

/* --- asking --------------------------------------------------------------- */

static void
answered(struct msg *m)
{
	struct ask *a;

	if (m->kind == MSG_PUT)
		a = CONTAINER_OF(
		    CONTAINER_OF(m, struct vnode_put, msg), struct ask, put);
	else if (m->kind == MSG_READ)
		a = CONTAINER_OF(
		    CONTAINER_OF(m, struct vnode_read, msg), struct ask, read);
	else
		a = CONTAINER_OF(CONTAINER_OF(m, struct vnode_change, msg),
		    struct ask, change);
	a->done = 1;
}

void
nodes_post(struct node *n, uint32_t group, struct msg *m)
{
	const struct env_post *p = &simenv_env(n->sim)->post;

	m->fn = answered;
	m->from = group % p->n_workers;
	p->to_worker(p->ctx, group % p->n_workers, m);
}

void
nodes_wait_for(struct nodes *rig, struct ask *a)
{
	for (int i = 0; i < 200000 && !a->done; i++)
		nodes_step(rig);
	cr_assert(a->done, "no answer");
}

struct node *
nodes_leader(struct nodes *rig)
{
	for (int i = 0; i < 100; i++) {
		for (int k = 0; k < N_NODES; k++) {
			struct store_group g;

			if (!rig->nodes[k].up || rig->nodes[k].cut)
				continue;
			store_group(rig->nodes[k].store, rig->group, &g);
			if (g.ready)
				return &rig->nodes[k];
		}
		nodes_run_for(rig, SECOND / 10);
	}
	for (int k = 0; k < N_NODES; k++) {
		struct store_group g;

		if (!rig->nodes[k].up)
			continue;
		store_group(rig->nodes[k].store, rig->group, &g);
		fprintf(stderr,
		    "# node %d: here %d leads %d term %llu applied %llu of "
		    "%llu, %u members, leader %d\n",
		    k + 1, g.here, g.leads, (unsigned long long)g.term,
		    (unsigned long long)g.applied, (unsigned long long)g.last,
		    g.members.n, g.leader[0]);
	}
	cr_assert(0, "nobody leads");
	return NULL;
}

static void
make_data(char *out, size_t n, uint32_t nth)
{
	memset(out, 0, n);
	snprintf(out, n, "event %u", nth);
	memset(out + strlen(out), '.', nth % 1000);
}

struct ask *
nodes_begin_put(struct nodes *rig, struct node *n, uint32_t nth)
{
	struct ask *a = mem_zalloc(sizeof(*a));

	make_data(a->data, sizeof(a->data), nth);
	a->event = (struct vnode_put_event){.data = SLICE_STR(a->data)};
	a->put = (struct vnode_put){.msg = {.kind = MSG_PUT},
	    .group = rig->group,
	    .bucket = SLICE_LIT("b"),
	    .stream = SLICE_LIT("s"),
	    .n_events = 1,
	    .events = &a->event};
	nodes_post(n, rig->group, &a->put.msg);
	return a;
}

int
nodes_put(struct nodes *rig, struct node *n, uint32_t nth, uint64_t *seq)
{
	struct ask *a = nodes_begin_put(rig, n, nth);
	int r;

	nodes_wait_for(rig, a);
	r = a->put.r;
	if (r == 0 && seq)
		*seq = a->put.first;
	mem_free(a);
	return r;
}

void
nodes_put_many(struct nodes *rig, uint32_t first, uint32_t n)
{
	for (uint32_t i = first; i < first + n; i++) {
		uint64_t seq = 0;

		cr_assert_eq(nodes_put(rig, nodes_leader(rig), i, &seq), 0);
		cr_assert_eq(seq, i);
	}
}

int
nodes_change(struct nodes *rig, enum vnode_change_op op, struct node *who)
{
	struct ask *a = mem_zalloc(sizeof(*a));
	int r;

	a->change = (struct vnode_change){
	    .msg = {.kind = MSG_CHANGE}, .group = rig->group, .op = op};
	memcpy(a->change.node, who->id, 16);
	nodes_post(nodes_leader(rig), rig->group, &a->change.msg);
	nodes_wait_for(rig, a);
	r = a->change.r;
	mem_free(a);
	return r;
}

void
nodes_change_soon(struct nodes *rig, enum vnode_change_op op, struct node *who)
{
	int r = -ERR_BUSY;

	for (int i = 0; i < 300 && r; i++) {
		r = nodes_change(rig, op, who);
		nodes_run_for(rig, SECOND / 10);
	}
	cr_assert_eq(r, 0, "%d: %s", op, err_text(r));
}

struct ask *
nodes_read(struct nodes *rig, struct node *n, uint64_t from, int any)
{
	struct ask *a = mem_zalloc(sizeof(*a));

	a->read = (struct vnode_read){.msg = {.kind = MSG_READ},
	    .group = rig->group,
	    .bucket = SLICE_LIT("b"),
	    .stream = SLICE_LIT("s"),
	    .from = from,
	    .to = UINT64_MAX,
	    .limit = 1000,
	    .any = any,
	    .max_bytes = 1u << 20};
	nodes_post(n, rig->group, &a->read.msg);
	nodes_wait_for(rig, a);
	return a;
}

void
nodes_read_done(struct ask *a)
{
	vnode_page_deinit(&a->read.page);
	mem_free(a);
}

/* The newest seqnum that NODE reads. */
uint64_t
nodes_newest(struct nodes *rig, struct node *n, int *r)
{
	struct ask *a = nodes_read(rig, n, 0, 0);
	uint64_t last = a->read.newest;

	*r = a->read.r;
	nodes_read_done(a);
	return last;
}

void
nodes_join_all(struct nodes *rig)
{
	for (int i = 1; i < N_NODES; i++) {
		nodes_change_soon(rig, VNODE_ADD, &rig->nodes[i]);
		nodes_change_soon(rig, VNODE_PROMOTE, &rig->nodes[i]);
	}
}

void
nodes_check_all(struct nodes *rig, uint64_t n)
{
	struct store_group g[N_NODES];
	int r;

	cr_assert_eq(nodes_newest(rig, nodes_leader(rig), &r), n);
	cr_assert_eq(r, 0);
	nodes_run_for(rig, 3 * SECOND);
	for (int i = 0; i < N_NODES; i++) {
		cr_assert_not(rig->nodes[i].fatal);
		if (!rig->nodes[i].up)
			continue;
		store_group(rig->nodes[i].store, rig->group, &g[i]);
		cr_assert(g[i].here, "node %d has no replica", i + 1);
		cr_assert_eq(g[i].applied, g[i].last, "node %d", i + 1);
	}
}

/* The events of PAGE are those from NEXT on; the one after them. */
static uint64_t
check_page(const struct vnode_page *page, uint64_t next)
{
	for (uint32_t i = 0; i < page->n_parts; i++) {
		struct slice in = page->parts[i].records;

		for (; in.n; next++) {
			char want[2048];
			struct event e;
			uint32_t n;

			cr_assert_eq(event_decode(in, 1, &e, &n), 0);
			make_data(want, sizeof(want), (uint32_t)next);
			cr_assert_eq(e.seq, next);
			cr_assert(slice_equal(e.data, SLICE_STR(want)),
			    "event %llu is another", (unsigned long long)next);
			in = SLICE(in.p + n, in.n - n);
		}
	}
	return next;
}

void
nodes_check_events(struct nodes *rig, uint64_t n)
{
	uint64_t next = 1;

	while (next <= n) {
		struct ask *a = nodes_read(rig, nodes_leader(rig), next, 0);
		uint64_t before = next;

		cr_assert_eq(a->read.r, 0);
		cr_assert_eq(a->read.newest, n);
		next = check_page(&a->read.page, next);
		cr_assert_gt(next, before);
		nodes_read_done(a);
	}
}
