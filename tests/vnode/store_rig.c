/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* store_rig - a store of one worker on a disk in memory. */
#include "tests/vnode/store_rig.h"

#include <criterion/criterion.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/lib/simstore.h"
#include "vnode/vnode_msg.h"

static void
on_fatal(void *arg, const char *what)
{
	(void)what;
	((struct sr *)arg)->fatal++;
}

void
sr_init(struct sr *rig)
{
	const struct env_disk *d;
	struct memdisk_config mc = {.capacity_bytes = 64u << 20};
	struct simenv_config sc = {.seed = 1, .n_workers = 1};

	*rig = (struct sr){.md = memdisk_new(&mc)};
	d = memdisk_disk(rig->md);
	d->mkdir(d->ctx, "c");
	d->sync_all(d->ctx);
	sc.disk = d;
	rig->sim = simenv_new(&sc);
	simstore_serve(rig->sim, &rig->store);
	rig->config = (struct store_config){
	    .env = simenv_env(rig->sim),
	    .dir = "c",
	    .cluster_id = "0123456789abcde",
	    .node_id = "fedcba987654321",
	    .n_groups = SR_GROUPS,
	    .found = 1,
	    .seed = 42,
	    .segment_bytes = SR_SEGMENT,
	    .journal_max_bytes = 4 * SR_SEGMENT,
	    .request_timeout_us = 5 * SR_SECOND,
	    .clean_max_bytes = 1,
	    .checkpoint_bytes = SR_SEGMENT / 2,
	    .fatal = on_fatal,
	    .arg = rig,
	};
}

void
sr_start(struct sr *rig)
{
	char why[512];

	cr_assert_eq(store_open(&rig->store, &rig->config, why, sizeof(why)), 0,
	    "%s", why);
	cr_assert_eq(store_start(rig->store), 0);
}

void
sr_run_for(struct sr *rig, uint64_t us)
{
	uint64_t end = simenv_mono(rig->sim).us + us;

	while (simenv_mono(rig->sim).us < end)
		if (!simenv_step(rig->sim) && !simenv_skip(rig->sim))
			break;
}

void
sr_kill(struct sr *rig)
{
	simenv_kill(rig->sim);
	memdisk_close_all(rig->md);
	rig->store = NULL;
}

void
sr_deinit(struct sr *rig)
{
	sr_kill(rig);
	simenv_free(rig->sim);
	memdisk_free(rig->md);
}

/* --- requests ---------------------------------------------------------------
 */

struct put {
	struct vnode_put req;
	struct vnode_put_event event;
	struct sr *rig;
	uint8_t data[];
};

static void
answered(struct msg *m)
{
	struct vnode_put *req = CONTAINER_OF(m, struct vnode_put, msg);
	struct put *p = CONTAINER_OF(req, struct put, req);

	p->rig->n_pending--;
	p->rig->n_acked += req->r == 0;
	p->rig->last_r = req->r;
	free(p);
}

void
sr_append(struct sr *rig, uint32_t group, size_t bytes)
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

int
sr_none_pending(void *arg)
{
	struct sr *rig = arg;

	return rig->n_pending == 0 || rig->fatal || memdisk_is_down(rig->md);
}

void
sr_append_and_wait(struct sr *rig, uint32_t group, size_t bytes)
{
	sr_append(rig, group, bytes);
	cr_assert(simenv_run_until(rig->sim, sr_none_pending, rig, SR_STEPS));
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

void
sr_read(struct sr *rig, struct vnode_read *req, uint32_t group)
{
	const struct env_post *post = &rig->config.env->post;

	req->msg = (struct msg){.kind = MSG_READ, .fn = got};
	req->group = group;
	req->bucket = SLICE_LIT("b");
	req->stream = SLICE_LIT("s");
	req->to = UINT64_MAX;
	req->limit = UINT64_MAX;
	post->to_worker(post->ctx, 0, &req->msg);
	cr_assert(simenv_run_until(rig->sim, is_back, req, SR_STEPS));
}

uint64_t
sr_count_events(struct sr *rig, uint32_t group)
{
	uint64_t next = 1;

	for (;;) {
		struct vnode_read req = {.from = next, .max_bytes = 4096};

		sr_read(rig, &req, group);
		cr_assert_eq(req.r, 0, "from %llu: %s",
		    (unsigned long long)next, err_text(req.r));
		if (req.page.n_parts == 0)
			return next - 1;
		cr_assert_eq(req.page.first, next);
		next = req.page.last + 1;
		vnode_page_deinit(&req.page);
	}
}
