/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Requests that wait until there is more of a stream, or of a bucket. */
#include <criterion/criterion.h>

#include "src/base/err.h"
#include "src/base/list.h"
#include "tests/vnode/store_rig.h"

TestSuite(watch, .timeout = 120);

static struct sr rig;

struct wait {
	struct vnode_read req;
	int n_answers;
};

static void
back(struct msg *m)
{
	CONTAINER_OF(CONTAINER_OF(m, struct vnode_read, msg), struct wait, req)
	    ->n_answers++;
}

static void
ask(struct wait *w, uint64_t from, uint64_t known, uint32_t wait_ms)
{
	const struct env_post *post = &rig.config.env->post;

	*w = (struct wait){.req = {
			       .msg = {.kind = MSG_READ, .fn = back},
			       .group = 0,
			       .bucket = SLICE_LIT("b"),
			       .stream = SLICE_LIT("s"),
			       .op = VNODE_READ_WAIT,
			       .from = from,
			       .to = UINT64_MAX,
			       .limit = 100,
			       .max_bytes = 65536,
			       .known = known,
			       .wait_ms = wait_ms,
			   }};
	post->to_worker(post->ctx, 0, &w->req.msg);
	sr_run_for(&rig, 1000);
}

static void
start(void)
{
	sr_init(&rig);
	sr_start(&rig);
}

Test(watch, of_a_stream_that_is_not_there_yet_is_answered_with_its_first_event)
{
	struct wait w, other;

	start();
	ask(&w, 1, 0, 10000);
	ask(&other, 3, 0, 10000);
	sr_append_and_wait(&rig, 1, 100); /* another group */
	sr_run_for(&rig, SR_SECOND);
	cr_assert_eq(w.n_answers, 0);
	sr_append_and_wait(&rig, 0, 100);
	cr_assert_eq(w.n_answers, 1);
	cr_assert_eq(w.req.r, 0);
	cr_assert_eq(w.req.page.first, 1);
	cr_assert_eq(w.req.page.last, 1);
	cr_assert_eq(w.req.newest, 1);
	cr_assert_neq(w.req.incarnation, 0);
	vnode_page_deinit(&w.req.page);
	/* Woken, though what it wants is not there: it asks again. */
	cr_assert_eq(other.n_answers, 1);
	cr_assert_eq(other.req.page.n_parts, 0);
	cr_assert_eq(other.req.newest, 1);
	sr_deinit(&rig);
}

Test(watch, of_what_is_there_is_answered_at_once)
{
	struct wait w;

	start();
	for (int i = 0; i < 3; i++)
		sr_append_and_wait(&rig, 0, 10);
	ask(&w, 2, 0, 10000);
	cr_assert_eq(w.n_answers, 1);
	cr_assert_eq(w.req.page.first, 2);
	cr_assert_eq(w.req.page.last, 3);
	vnode_page_deinit(&w.req.page);
	/* Of another incarnation there is nothing to wait for. */
	ask(&w, 4, w.req.incarnation + 1, 10000);
	cr_assert_eq(w.n_answers, 1);
	cr_assert_eq(w.req.r, 0);
	cr_assert_eq(w.req.page.n_parts, 0);
	sr_deinit(&rig);
}

Test(watch, ends_without_an_event_when_its_time_is_over)
{
	struct wait w, longer;

	start();
	ask(&longer, 1, 0, 5000);
	ask(&w, 1, 0, 2000);
	sr_run_for(&rig, 1900000);
	cr_assert_eq(w.n_answers, 0);
	sr_run_for(&rig, 300000);
	cr_assert_eq(w.n_answers, 1);
	cr_assert_eq(w.req.r, 0);
	cr_assert_eq(w.req.page.n_parts, 0);
	cr_assert_eq(longer.n_answers, 0);
	sr_run_for(&rig, 3 * SR_SECOND);
	cr_assert_eq(longer.n_answers, 1);
	sr_deinit(&rig);
}

static void
stopped(void *arg)
{
	*(int *)arg = 1;
}

Test(watch, is_refused_when_the_node_stops)
{
	struct wait w, late;
	int done = 0;

	start();
	ask(&w, 1, 0, 60000);
	store_stop(rig.store, stopped, &done);
	sr_run_for(&rig, 50000);
	cr_assert_eq(w.n_answers, 1);
	cr_assert_eq(w.req.r, -ERR_STOPPING);
	ask(&late, 1, 0, 60000);
	cr_assert_eq(late.n_answers, 1);
	cr_assert_lt(late.req.r, 0);
	sr_run_for(&rig, 3 * SR_SECOND);
	cr_assert(done);
	sr_deinit(&rig);
}

static void
one_disk_page(struct metrics *m, uint64_t *hits, uint64_t *misses)
{
	struct metrics_sums sums;

	metrics_sum(m, &sums);
	*hits = sums.counters[METRICS_CHANNEL_HITS];
	*misses = sums.counters[METRICS_CHANNEL_MISSES];
}

/* The events of what is listened to stay in memory, though others are written
 * that do not fit beside them; once nobody has listened for a while, they go. */
Test(watch, keeps_the_newest_events_in_memory_while_somebody_listens)
{
	struct metrics *m = metrics_new(8);
	uint64_t hits, misses, was;
	struct wait w;

	sr_init(&rig);
	rig.config.metrics = m;
	rig.config.clean_max_bytes = 64u << 10;
	rig.config.channel_items = 50;
	rig.config.channel_bytes = 2u << 20;
	sr_start(&rig);
	for (uint64_t round = 0; round < 3; round++) {
		for (int i = 0; i < 60; i++)
			sr_append_and_wait(&rig, 0, 100);
		if (round == 1) {
			ask(&w, UINT64_MAX, 0, 1);
			sr_run_for(&rig, SR_SECOND);
		}
		for (int i = 0; i < 600; i++)
			sr_append_and_wait(&rig, 1, 2000);
		sr_run_for(&rig, 5 * SR_SECOND);
		one_disk_page(m, &was, &misses);
		was = misses;
		ask(&w, 60 * round + 11, 0, 0);
		sr_run_for(&rig, SR_SECOND);
		cr_assert_eq(w.n_answers, 1);
		cr_assert_eq(w.req.r, 0);
		cr_assert_gt(w.req.page.n_parts, 0);
		vnode_page_deinit(&w.req.page);
		one_disk_page(m, &hits, &misses);
		cr_expect_eq(misses - was, round != 1, "round %d", (int)round);
		sr_run_for(&rig, 130 * SR_SECOND); /* nobody listens */
	}
	sr_deinit(&rig);
	metrics_free(m);
}

/* --- of a bucket --------------------------------------------------------------- */

struct news {
	struct vnode_news req;
	int n_answers;
};

static void
news_back(struct msg *m)
{
	CONTAINER_OF(CONTAINER_OF(m, struct vnode_news, msg), struct news, req)
	    ->n_answers++;
}

/* What comes after AT, an answer. */
static void
ask_news(struct news *n, const struct vnode_news *at, uint32_t wait_ms)
{
	const struct env_post *post = &rig.config.env->post;

	*n = (struct news){.req = {
			       .msg = {.kind = MSG_NEWS, .fn = news_back},
			       .bucket = SLICE_LIT("b"),
			       .after_index = at->index,
			       .after_ordinal = UINT32_MAX,
			       .after_t = at->t_ms,
			       .wait_ms = wait_ms,
			   }};
	post->to_worker(post->ctx, 0, &n->req.msg);
	sr_run_for(&rig, 1000);
}

Test(watch, of_a_bucket_waits_after_a_restart_though_no_event_is_in_memory)
{
	static const struct vnode_news beginning;
	struct news all, more;
	int done = 0;

	start();
	sr_append_and_wait(&rig, 0, 100);
	store_stop(rig.store, stopped, &done);
	sr_run_for(&rig, 3 * SR_SECOND);
	cr_assert(done);
	sr_kill(&rig);
	sr_start(&rig);
	ask_news(&all, &beginning, 0);
	cr_assert_eq(all.n_answers, 1);
	cr_assert_eq(all.req.n_items, 1);
	ask_news(&more, &all.req, 5000);
	cr_assert_eq(more.n_answers, 0);
	sr_append_and_wait(&rig, 0, 100);
	cr_assert_eq(more.n_answers, 1);
	cr_assert_eq(more.req.n_items, 1);
	vnode_news_deinit(&all.req);
	vnode_news_deinit(&more.req);
	sr_deinit(&rig);
}
