/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* store_rig - one whole store of one worker on a disk in memory. */
#include "tests/fuzz/store_rig.h"

#include "src/base/assert.h"

#define STEPS_MAX 2000000

static void
dispatch(void *arg, uint32_t worker, struct msg *m)
{
	struct store_rig *sr = arg;

	if (m == sr->waiting && m->answer)
		sr->waiting = NULL;
	else if (m->kind == MSG_CALL || m->answer)
		m->fn(m);
	else
		store_handle(sr->store, worker, m);
}

static void
turn(void *arg, uint32_t worker)
{
	struct store_rig *sr = arg;

	if (sr->store)
		store_turn(sr->store, worker);
}

static void
on_fatal(void *arg, const char *what)
{
	(void)what;
	((struct store_rig *)arg)->fatal = 1;
}

void
sr_init(struct store_rig *sr)
{
	*sr = (struct store_rig){0};
	rig_init(&sr->rig);
	simenv_set_dispatch(sr->rig.sim, dispatch, sr);
	simenv_set_turn(sr->rig.sim, turn, sr);
}

void
sr_deinit(struct store_rig *sr)
{
	ASSERT(!sr->store);
	rig_deinit(&sr->rig);
}

int
sr_open(struct store_rig *sr)
{
	struct store_config c = {
	    .env = sr->rig.env,
	    .dir = SR_DIR,
	    .cluster_id = "0123456789abcde",
	    .node_id = "fedcba987654321",
	    .n_groups = SR_GROUPS,
	    .found = 1,
	    .seed = 42,
	    .segment_bytes = SR_SEGMENT,
	    .journal_max_bytes = 16 * SR_SEGMENT,
	    .request_timeout_us = 1000000,
	    .fatal = on_fatal,
	    .arg = sr,
	};
	int r;

	ASSERT(!sr->store);
	sr->stopped = sr->fatal = 0;
	r = store_open(&sr->store, &c, sr->why, sizeof(sr->why));
	if (r)
		sr->store = NULL;
	else
		ASSERT(store_start(sr->store) == 0);
	return r;
}

static int
is_over(void *arg)
{
	struct store_rig *sr = arg;

	return sr->stopped || sr->fatal;
}

static void
on_stopped(void *arg)
{
	((struct store_rig *)arg)->stopped = 1;
}

void
sr_kill(struct store_rig *sr)
{
	simenv_kill(sr->rig.sim);
	sr->store = store_close(sr->store);
}

void
sr_stop(struct store_rig *sr)
{
	store_stop(sr->store, on_stopped, sr);
	ASSERT(simenv_run_until(sr->rig.sim, is_over, sr, STEPS_MAX));
	sr_kill(sr);
}

/* --- requests ------------------------------------------------------------- */

static int
has_answer(void *arg)
{
	return !((struct store_rig *)arg)->waiting;
}

static void
ask(struct store_rig *sr, uint16_t kind, struct msg *m)
{
	const struct env_post *post = &sr->rig.env->post;

	*m = (struct msg){.kind = kind};
	sr->waiting = m;
	post->to_worker(post->ctx, 0, m);
	ASSERT(simenv_run_until(sr->rig.sim, has_answer, sr, STEPS_MAX));
}

void
sr_put(struct store_rig *sr, struct vnode_put *req)
{
	ask(sr, MSG_PUT, &req->msg);
}

void
sr_read(struct store_rig *sr, struct vnode_read *req)
{
	ask(sr, MSG_READ, &req->msg);
}

void
sr_list(struct store_rig *sr, struct vnode_list *req)
{
	ask(sr, MSG_LIST, &req->msg);
}
