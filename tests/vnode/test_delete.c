/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Streams that end: what comes behind is another one, and the files go when no
 * start needs them any more. */
#include <criterion/criterion.h>

#include "src/base/err.h"
#include "src/base/list.h"
#include "tests/vnode/store_rig.h"

TestSuite(delete, .timeout = 60);

#define DIR "c/vnodes/0-1.0"

struct del {
	struct vnode_delete req;
	int back;
};

static void
deleted(struct msg *m)
{
	struct vnode_delete *req = CONTAINER_OF(m, struct vnode_delete, msg);

	CONTAINER_OF(req, struct del, req)->back = 1;
}

static int
is_deleted(void *arg)
{
	return ((struct del *)arg)->back;
}

static void
send_delete(struct sr *rig, struct del *d)
{
	const struct env_post *post = &rig->config.env->post;

	*d = (struct del){.req = {.msg = {.kind = MSG_DELETE, .fn = deleted},
			      .bucket = SLICE_LIT("b"),
			      .stream = SLICE_LIT("s")}};
	post->to_worker(post->ctx, 0, &d->req.msg);
}

static void
delete_now(struct sr *rig)
{
	struct del d;

	send_delete(rig, &d);
	cr_assert(simenv_run_until(rig->sim, is_deleted, &d, SR_STEPS));
	cr_assert_eq(d.req.r, 0, "%s", err_text(d.req.r));
}

struct append {
	struct vnode_put req;
	struct vnode_put_event event;
	int back;
};

static void
appended(struct msg *m)
{
	struct vnode_put *req = CONTAINER_OF(m, struct vnode_put, msg);

	CONTAINER_OF(req, struct append, req)->back = 1;
}

/* Only if the newest event is EXPECT. */
static void
send_append(struct sr *rig, struct append *a, uint64_t expect)
{
	const struct env_post *post = &rig->config.env->post;

	*a = (struct append){.event = {.data = SLICE_LIT("data")}};
	a->req = (struct vnode_put){.msg = {.kind = MSG_PUT, .fn = appended},
	    .bucket = SLICE_LIT("b"),
	    .stream = SLICE_LIT("s"),
	    .n_events = 1,
	    .events = &a->event,
	    .has_expect = 1,
	    .expect = expect};
	post->to_worker(post->ctx, 0, &a->req.msg);
}

static int
all_back(void *arg)
{
	struct append *a = arg;

	return a[0].back && a[1].back && a[2].back && a[3].back;
}

static uint64_t
incarnation(struct sr *rig, uint64_t *newest)
{
	struct vnode_read req = {.max_bytes = 4096};

	sr_read(rig, &req, 0);
	cr_assert_eq(req.r, 0);
	vnode_page_deinit(&req.page);
	*newest = req.newest;
	return req.incarnation;
}

Test(delete, what_is_pipelined_behind_it_goes_to_a_new_stream)
{
	struct append a[4];
	struct del d[3];
	uint64_t first, next, newest;
	struct sr rig;

	sr_init(&rig);
	sr_start(&rig);
	sr_append_and_wait(&rig, 0, 10);
	sr_append_and_wait(&rig, 0, 10);
	first = incarnation(&rig, &newest);
	cr_assert_eq(newest, 2);
	send_append(&rig, &a[0], 2); /* 3 */
	send_delete(&rig, &d[0]);
	send_append(&rig, &a[1], 3); /* judged behind the deletion */
	send_append(&rig, &a[2], 0); /* 1 of the next */
	send_delete(&rig, &d[1]);
	send_delete(&rig, &d[2]);    /* of nothing */
	send_append(&rig, &a[3], 0); /* 1 of the one after that */
	cr_assert(simenv_run_until(rig.sim, all_back, a, SR_STEPS));
	for (int i = 0; i < 3; i++)
		cr_assert(
		    simenv_run_until(rig.sim, is_deleted, &d[i], SR_STEPS) &&
		    d[i].req.r == 0);
	cr_expect(a[0].req.r == 0 && a[0].req.first == 3);
	cr_expect(a[1].req.r == -ERR_CONFLICT && a[1].req.newest == 0);
	cr_expect(a[2].req.r == 0 && a[2].req.first == 1);
	cr_expect(a[3].req.r == 0 && a[3].req.first == 1);
	next = incarnation(&rig, &newest);
	cr_expect_eq(newest, 1);
	cr_expect_eq(next, first + 2);
	delete_now(&rig);
	cr_expect_eq(incarnation(&rig, &newest), 0);
	cr_expect_eq(newest, 0);
	sr_deinit(&rig);
}

/* --- files ---------------------------------------------------------------- */

static void
count_chunk(void *arg, const char *name)
{
	*(int *)arg += strstr(name, ".chunk") != NULL;
}

static int
chunks(struct sr *rig)
{
	const struct env_disk *d = memdisk_disk(rig->md);
	int n = 0;

	cr_assert_eq(d->list(d->ctx, DIR, count_chunk, &n), 0);
	return n;
}

static void
write_file(struct sr *rig, const char *path)
{
	const struct env_disk *d = memdisk_disk(rig->md);
	struct disk_file *file;

	cr_assert_eq(d->open(d->ctx, path, DISK_WRITE | DISK_CREATE, &file), 0);
	d->close(d->ctx, file);
}

struct order {
	int manifest; /* was synced since */
	uint32_t n_unlinked;
};

static enum memdisk_fault
watch(void *arg, enum memdisk_op op, const char *path)
{
	struct order *o = arg;

	if (op == MEMDISK_SYNC && strstr(path, DIR "/manifest"))
		o->manifest = 1;
	if (op == MEMDISK_UNLINK && strstr(path, ".chunk")) {
		cr_assert(o->manifest, "%s goes before the checkpoint", path);
		o->n_unlinked++;
	}
	return MEMDISK_OK;
}

Test(delete, files_go_and_the_stream_stays_away_over_a_start)
{
	struct order order = {0};
	uint64_t newest;
	struct sr rig;

	sr_init(&rig);
	sr_start(&rig);
	for (int i = 0; i < 20; i++)
		sr_append_and_wait(&rig, 0, 4000);
	sr_run_for(&rig, 40 * SR_SECOND);
	cr_assert_eq(chunks(&rig), 1);
	delete_now(&rig);
	memdisk_set_hook(rig.md, watch, &order);
	sr_run_for(&rig, 40 * SR_SECOND);
	cr_expect_eq(chunks(&rig), 0);
	cr_expect_eq(order.n_unlinked, 1);
	memdisk_set_hook(rig.md, NULL, NULL);
	sr_kill(&rig);
	sr_start(&rig);
	cr_expect_eq(incarnation(&rig, &newest), 0);
	sr_append_and_wait(&rig, 0, 10);
	cr_expect_eq(incarnation(&rig, &newest), 2);
	cr_expect_eq(newest, 1);
	sr_deinit(&rig);
}

Test(delete, a_start_removes_what_a_crash_has_left_and_nothing_else)
{
	struct sr rig;

	sr_init(&rig);
	sr_start(&rig);
	sr_append_and_wait(&rig, 0, 10);
	delete_now(&rig);
	sr_append_and_wait(&rig, 0, 10);
	sr_run_for(&rig, 40 * SR_SECOND);
	cr_assert_eq(chunks(&rig), 1);
	sr_kill(&rig);
	/* Of the deleted stream, and of one that may still come. */
	write_file(&rig, DIR "/0000000000000001.0000000000000001.chunk");
	write_file(&rig, DIR "/0000000000000001.0000000000000041.chunk");
	write_file(&rig, DIR "/0000000000000003.0000000000000001.chunk");
	sr_start(&rig);
	sr_run_for(&rig, 5 * SR_SECOND);
	cr_expect_eq(chunks(&rig), 2);
	cr_expect_eq(sr_count_events(&rig, 0), 1);
	sr_deinit(&rig);
}
