/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * Histories that once went wrong, each as short as it can be.  The simulator of
 * whole nodes (tests/world) found them.
 */
#include <criterion/criterion.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/lib/memdisk.h"
#include "tests/lib/simenv.h"
#include "vnode/store.h"
#include "vnode/vnode_msg.h"

TestSuite(store_trouble, .timeout = 60);

#define SEGMENT  (32u << 10)
#define N_GROUPS 2
#define SECOND   1000000ull
#define STEPS    200000

struct rig {
	struct memdisk *md;
	struct simenv *sim;
	struct store *store;
	struct store_config config;
	int fatal;
	uint32_t n_pending, n_acked;
};

static void
dispatch(void *arg, uint32_t worker, struct msg *m)
{
	struct rig *rig = arg;

	if (m->kind == MSG_CALL || m->answer)
		m->fn(m);
	else
		store_handle(rig->store, worker, m);
}

static void
turn(void *arg, uint32_t worker)
{
	store_turn(((struct rig *)arg)->store, worker);
}

static void
on_fatal(void *arg, const char *what)
{
	(void)what;
	((struct rig *)arg)->fatal = 1;
}

static void
rig_init(struct rig *rig)
{
	const struct env_disk *d;
	struct memdisk_config mc = {.capacity_bytes = 64u << 20};
	struct simenv_config sc = {.seed = 1, .n_workers = 1};

	*rig = (struct rig){.md = memdisk_new(&mc)};
	d = memdisk_disk(rig->md);
	d->mkdir(d->ctx, "c");
	d->sync_all(d->ctx);
	sc.disk = d;
	rig->sim = simenv_new(&sc);
	simenv_set_dispatch(rig->sim, dispatch, rig);
	simenv_set_turn(rig->sim, turn, rig);
	rig->config = (struct store_config){
	    .env = simenv_env(rig->sim),
	    .dir = "c",
	    .cluster_id = "0123456789abcde",
	    .node_id = "fedcba987654321",
	    .n_groups = N_GROUPS,
	    .found = 1,
	    .seed = 42,
	    .segment_bytes = SEGMENT,
	    .journal_max_bytes = 4 * SEGMENT,
	    .request_timeout_us = 5 * SECOND,
	    .clean_max_bytes = 1,
	    .checkpoint_bytes = SEGMENT / 2,
	    .fatal = on_fatal,
	    .arg = rig,
	};
}

static void
start(struct rig *rig)
{
	char why[512];

	cr_assert_eq(store_open(&rig->store, &rig->config, why, sizeof(why)), 0,
	    "%s", why);
	cr_assert_eq(store_start(rig->store), 0);
}

static void
run_for(struct rig *rig, uint64_t us)
{
	uint64_t end = simenv_mono(rig->sim).us + us;

	while (simenv_mono(rig->sim).us < end)
		if (!simenv_step(rig->sim) && !simenv_skip(rig->sim))
			break;
}

/* The process dies; its memory is nobody's. */
static void
kill_it(struct rig *rig)
{
	simenv_kill(rig->sim);
	memdisk_close_all(rig->md);
	rig->store = NULL;
}

static void
rig_deinit(struct rig *rig)
{
	kill_it(rig);
	simenv_free(rig->sim);
	memdisk_free(rig->md);
}

/* --- requests ---------------------------------------------------------------
 */

struct put {
	struct vnode_put req;
	struct vnode_put_event event;
	struct rig *rig;
	uint8_t data[];
};

static void
answered(struct msg *m)
{
	struct vnode_put *req = CONTAINER_OF(m, struct vnode_put, msg);
	struct put *p = CONTAINER_OF(req, struct put, req);

	p->rig->n_pending--;
	p->rig->n_acked += req->r == 0;
	free(p);
}

static void
append(struct rig *rig, uint32_t group, size_t bytes)
{
	const struct env_post *post = &rig->config.env->post;
	struct put *p = calloc(1, sizeof(*p) + bytes);

	memset(p->data, 'a', bytes);
	p->rig = rig;
	p->event = (struct vnode_put_event){.data = SLICE(p->data, bytes)};
	p->req = (struct vnode_put){
	    .msg = {.kind = MSG_PUT, .fn = answered},
	    .group = group,
	    .bucket = SLICE_LIT("b"),
	    .stream = SLICE_LIT("s"),
	    .n_events = 1,
	    .events = &p->event,
	};
	rig->n_pending++;
	post->to_worker(post->ctx, 0, &p->req.msg);
}

static int
none_pending(void *arg)
{
	struct rig *rig = arg;

	return rig->n_pending == 0 || rig->fatal || memdisk_is_down(rig->md);
}

static void
append_and_wait(struct rig *rig, uint32_t group, size_t bytes)
{
	append(rig, group, bytes);
	cr_assert(simenv_run_until(rig->sim, none_pending, rig, STEPS));
}

static void
got(struct msg *m)
{
	m->fn = NULL;
}

static int
is_back(void *arg)
{
	return ((struct vnode_read *)arg)->msg.fn == NULL;
}

static void
read_stream(struct rig *rig, struct vnode_read *req, uint32_t group)
{
	const struct env_post *post = &rig->config.env->post;

	req->msg = (struct msg){.kind = MSG_READ, .fn = got};
	req->group = group;
	req->bucket = SLICE_LIT("b");
	req->stream = SLICE_LIT("s");
	req->to = UINT64_MAX;
	req->limit = UINT64_MAX;
	post->to_worker(post->ctx, 0, &req->msg);
	cr_assert(simenv_run_until(rig->sim, is_back, req, STEPS));
}

/* Every event of GROUP can be read; how many there are. */
static uint64_t
count_events(struct rig *rig, uint32_t group)
{
	uint64_t next = 1;

	for (;;) {
		struct vnode_read req = {.from = next, .max_bytes = 4096};

		read_stream(rig, &req, group);
		cr_assert_eq(req.r, 0, "from %llu: %s",
		    (unsigned long long)next, err_text(req.r));
		if (req.page.n_parts == 0)
			return next - 1;
		cr_assert_eq(req.page.first, next);
		next = req.page.last + 1;
		vnode_page_deinit(&req.page);
	}
}

/* --- histories --------------------------------------------------------------
 */

/* Each start begins a segment of the journal. */
Test(store_trouble, a_node_that_was_killed_many_times_takes_writes_again)
{
	struct rig rig;

	rig_init(&rig);
	for (int i = 0; i < 12; i++) {
		start(&rig);
		run_for(&rig, SECOND / 20);
		kill_it(&rig);
	}
	start(&rig);
	append_and_wait(&rig, 0, 100);
	cr_expect_eq(rig.n_acked, 1);
	rig_deinit(&rig);
}

/* A segment that a checkpoint released may be named by the newest header. */
Test(store_trouble, a_node_starts_wherever_it_dies_between_checkpoints)
{
	struct rig rig;
	struct store_stats st;

	rig_init(&rig);
	rig.config.journal_max_bytes = 16 * SEGMENT;
	start(&rig);
	for (uint32_t i = 1; i <= 300; i++) {
		append_and_wait(&rig, i % N_GROUPS, 1000);
		run_for(&rig, SECOND / 50);
		if (i % 3)
			continue;
		store_stats(rig.store, &st);
		if (st.n_checkpoints < 2)
			continue;
		kill_it(&rig);
		start(&rig);
		cr_assert_eq(count_events(&rig, 0) + count_events(&rig, 1), i);
	}
	rig_deinit(&rig);
}

static void
set_free(struct rig *rig, uint64_t bytes)
{
	const struct env_disk *d = memdisk_disk(rig->md);
	uint64_t room;

	memdisk_set_capacity(rig->md, 64u << 20);
	cr_assert_eq(d->free_bytes(d->ctx, &room), 0);
	memdisk_set_capacity(rig->md, (64u << 20) - room + bytes);
}

Test(store_trouble, what_waits_for_room_is_written_when_there_is_some)
{
	struct rig rig;

	rig_init(&rig);
	rig.config.checkpoint_bytes = 16 * SEGMENT;
	start(&rig);
	append_and_wait(&rig, 0, 100);
	set_free(&rig, 0);
	for (int i = 0; i < 10; i++) {
		append(&rig, 0, SEGMENT / 4);
		run_for(&rig, SECOND / 10);
	}
	cr_assert_gt(rig.n_pending, 0, "the disk was not full");
	memdisk_set_capacity(rig.md, 64u << 20);
	simenv_run_until(rig.sim, none_pending, &rig, 5000);
	cr_expect_eq(rig.n_pending, 0);
	rig_deinit(&rig);
}

/* Room runs out between the manifests of one checkpoint; the power is cut
 * before any chunk is synced again. */
struct half {
	int armed, failed;
};

static enum memdisk_fault
fail_half(void *arg, enum memdisk_op op, const char *path)
{
	struct half *h = arg;

	if (!h->armed)
		return MEMDISK_OK;
	if (op == MEMDISK_PWRITEV && strstr(path, "/1-1.0/manifest")) {
		h->failed = 1;
		return MEMDISK_ENOSPC;
	}
	if (h->failed && op == MEMDISK_SYNC && strstr(path, ".chunk"))
		return MEMDISK_CRASH_BEFORE;
	return MEMDISK_OK;
}

Test(store_trouble, what_one_manifest_of_a_failed_checkpoint_names_stays)
{
	struct rig rig;
	struct half half = {0};
	uint32_t n = 0;

	rig_init(&rig);
	memdisk_set_hook(rig.md, fail_half, &half);
	start(&rig);
	for (; n < 4; n++)
		append_and_wait(&rig, n % 2, 500);
	run_for(&rig, 40 * SECOND); /* one checkpoint as it should be */
	half.armed = 1;
	for (; n < 8; n++)
		append_and_wait(&rig, n % 2, 500);
	run_for(&rig, 100 * SECOND);
	cr_assert(half.failed);
	kill_it(&rig);
	half.armed = 0;
	memdisk_crash(rig.md, MEMDISK_LOSE_ALL, 1);
	memdisk_restart(rig.md);
	start(&rig);
	cr_expect_eq(count_events(&rig, 0), 4);
	cr_expect_eq(count_events(&rig, 1), 4);
	rig_deinit(&rig);
}

/* --- effort -----------------------------------------------------------------
 */

static struct env_disk counted;
static uint32_t n_preads;

static int
count_pread(void *ctx, struct disk_file *f, void *out, size_t n,
    uint64_t offset, size_t *got)
{
	n_preads++;
	return counted.pread(ctx, f, out, n, offset, got);
}

Test(store_trouble, small_pages_and_seeks_do_not_read_a_chunk_over_and_over)
{
	struct rig rig;
	struct env_disk d;
	struct vnode_read req = {
	    .op = VNODE_READ_SEEK, .seek_ms = UINT64_MAX, .max_bytes = 1};

	rig_init(&rig);
	d = counted = *memdisk_disk(rig.md);
	d.pread = count_pread;
	simenv_set_disk(rig.sim, &d);
	start(&rig);
	for (int i = 0; i < 1000; i++)
		append_and_wait(&rig, 0, 40);
	run_for(&rig, 40 * SECOND);
	n_preads = 0;
	req.seek_ms = 1767225600000 + 20000;
	read_stream(&rig, &req, 0);
	cr_expect_eq(req.r, 0);
	req = (struct vnode_read){.from = 500, .max_bytes = 1};
	read_stream(&rig, &req, 0);
	cr_expect_eq(req.page.first, 500);
	vnode_page_deinit(&req.page);
	cr_expect_leq(n_preads, 60, "%u", n_preads);
	rig_deinit(&rig);
}
