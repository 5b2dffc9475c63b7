/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* frame_rig - one whole node, for frames to come to. */
#include "tests/fuzz/frame_rig.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "tests/lib/simstore.h"
#include "vnode/event.h"

#define SEGMENT   (16u << 10)
#define STEPS_MAX 100000

static const uint8_t self[16] = "this node";
static const uint8_t others[2][16] = {"the other member", "a stranger"};

/* What it says to others gets lost. */
static int
send_nowhere(void *ctx, uint32_t worker, const uint8_t to[16],
    enum env_channel channel, const struct iovec *iov, int n)
{
	size_t bytes = 0;

	(void)ctx, (void)worker, (void)to, (void)channel;
	for (int i = 0; i < n; i++)
		bytes += iov[i].iov_len;
	ASSERT(bytes <= NET_FRAME_MAX);
	return 0;
}

static void
on_fatal(void *arg, const char *what)
{
	(void)what;
	((struct frame_rig *)arg)->fatal = 1;
}

static void
on_stopped(void *arg)
{
	((struct frame_rig *)arg)->stopped = 1;
}

void
frame_rig_open(struct frame_rig *r, struct memdisk *md, uint32_t n_groups)
{
	struct simenv_config sc = {.seed = 1, .n_workers = 2};
	struct env_net net = {.send = send_nowhere};
	struct store_config c = {.dir = "c",
	    .cluster_id = "0123456789abcde",
	    .n_groups = n_groups,
	    .found = 1,
	    .seed = 42,
	    .segment_bytes = SEGMENT,
	    .journal_max_bytes = 8 * SEGMENT,
	    .request_timeout_us = 5000000,
	    .fatal = on_fatal,
	    .arg = r};
	char why[512];

	*r = (struct frame_rig){.md = md};
	sc.disk = memdisk_disk(md);
	r->sim = simenv_new(&sc);
	ASSERT(r->sim);
	simstore_serve(r->sim, &r->store);
	simenv_set_net(r->sim, &net);
	c.env = simenv_env(r->sim);
	memcpy(c.node_id, self, 16);
	ASSERT(store_open(&r->store, &c, why, sizeof(why)) == 0);
	ASSERT(store_start(r->store) == 0);
}

void
frame_rig_run(struct frame_rig *r, uint64_t us)
{
	uint64_t end = simenv_mono(r->sim).us + us;
	uint64_t n = 0;

	while (simenv_next(r->sim).us < end) {
		if (!simenv_step(r->sim))
			simenv_skip(r->sim);
		ASSERT(n++ < STEPS_MAX); /* nothing goes round in circles */
	}
	simenv_advance_to(r->sim, (struct mono){end});
}

void
frame_rig_close(struct frame_rig *r)
{
	store_stop(r->store, on_stopped, r);
	for (int i = 0; i < 100 && !r->stopped; i++)
		frame_rig_run(r, 100000);
	ASSERT(r->stopped && !r->fatal);
	r->store = store_close(r->store);
	r->sim = simenv_free(r->sim);
	memdisk_close_all(r->md);
}

/* --- asking --------------------------------------------------------------- */

struct ask {
	struct vnode_put put;
	struct vnode_put_event event;
	struct vnode_read read;
	struct vnode_change change;
	int done;
	char data[64];
};

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
	a->done++;
}

static void
ask(struct frame_rig *r, uint32_t group, struct ask *a, struct msg *m)
{
	const struct env_post *p = &simenv_env(r->sim)->post;

	m->fn = answered;
	m->from = group % p->n_workers;
	p->to_worker(p->ctx, group % p->n_workers, m);
	for (int i = 0; i < 1000 && !a->done; i++)
		frame_rig_run(r, 10000);
	ASSERT(a->done == 1);
}

int
frame_rig_put(struct frame_rig *r, uint32_t group, uint32_t nth)
{
	struct ask a = {.put = {.msg = {.kind = MSG_PUT},
			    .group = group,
			    .bucket = SLICE_LIT("b"),
			    .stream = SLICE_LIT("s"),
			    .n_events = 1}};

	snprintf(a.data, sizeof(a.data), "event %u", nth);
	a.event.data = SLICE_STR(a.data);
	a.put.events = &a.event;
	ask(r, group, &a, &a.put.msg);
	return a.put.r;
}

static void
check_page(const struct vnode_page *page)
{
	uint64_t next = 1;

	for (uint32_t i = 0; i < page->n_parts; i++) {
		struct slice in = page->parts[i].records;

		for (; in.n; next++) {
			char want[64];
			struct event e;
			uint32_t n;

			ASSERT(event_decode(in, 1, &e, &n) == 0);
			snprintf(want, sizeof(want), "event %llu",
			    (unsigned long long)next);
			ASSERT(e.seq == next &&
			       slice_equal(e.data, SLICE_STR(want)));
			in = SLICE(in.p + n, in.n - n);
		}
	}
	ASSERT(next == FRAME_RIG_EVENTS + 1);
}

int
frame_rig_check(struct frame_rig *r, uint32_t group)
{
	struct ask a = {.read = {.msg = {.kind = MSG_READ},
			    .group = group,
			    .bucket = SLICE_LIT("b"),
			    .stream = SLICE_LIT("s"),
			    .from = 1,
			    .to = FRAME_RIG_EVENTS,
			    .limit = 1000,
			    .max_bytes = 1u << 20}};

	ask(r, group, &a, &a.read.msg);
	if (a.read.r == 0)
		check_page(&a.read.page);
	vnode_page_deinit(&a.read.page);
	return a.read.r;
}

/* --- founding ------------------------------------------------------------- */

static void
add_member(struct frame_rig *r)
{
	struct ask a = {
	    .change = {.msg = {.kind = MSG_CHANGE}, .op = VNODE_ADD}};
	struct store_group g;

	memcpy(a.change.node, others[0], 16);
	ask(r, 0, &a, &a.change.msg);
	ASSERT(a.change.r == 0);
	frame_rig_run(r, 100000);
	store_group(r->store, 0, &g);
	ASSERT(g.members.n == 2 && g.members.at[1].id == FRAME_RIG_MEMBER);
}

struct memdisk *
frame_rig_found(uint32_t n_groups)
{
	struct memdisk *md = memdisk_new(NULL);
	const struct env_disk *d;
	struct frame_rig r;

	ASSERT(md);
	d = memdisk_disk(md);
	d->mkdir(d->ctx, "c");
	d->sync_all(d->ctx);
	frame_rig_open(&r, md, n_groups);
	frame_rig_run(&r, 10000);
	add_member(&r);
	for (uint32_t g = 0; g < n_groups; g++)
		for (uint32_t i = 1; i <= FRAME_RIG_EVENTS; i++)
			ASSERT(frame_rig_put(&r, g, i) == 0);
	frame_rig_close(&r);
	return md;
}

/* --- frames --------------------------------------------------------------- */

void
frame_rig_frame(struct frame_rig *r, int who, struct slice bytes)
{
	const struct env_post *post = &simenv_env(r->sim)->post;
	struct iovec iov = {(void *)(uintptr_t)bytes.p, bytes.n};
	struct net_frame *f = net_frame_new(others[who != 0], &iov, 1);

	ASSERT(f);
	post->to_worker(post->ctx, 0, &f->msg);
}

int
frame_item_next(struct slice *in, struct frame_item *out)
{
	size_t n;

	if (in->n < FRAME_RIG_HEAD)
		return 0;
	n = le_get32(in->p + 4);
	if (n > in->n - FRAME_RIG_HEAD)
		n = in->n - FRAME_RIG_HEAD;
	out->who = in->p[0];
	out->us = in->p[1] * 10000ull;
	out->bytes = SLICE(in->p + FRAME_RIG_HEAD, n);
	*in = SLICE(in->p + FRAME_RIG_HEAD + n, in->n - FRAME_RIG_HEAD - n);
	return 1;
}
