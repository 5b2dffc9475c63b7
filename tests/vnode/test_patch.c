/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* A patch: an event of a stream and one of its stream of patches, in one log
 * entry. */
#include <criterion/criterion.h>

#include "src/base/err.h"
#include "src/base/list.h"
#include "tests/vnode/store_rig.h"

TestSuite(patch, .timeout = 60);

#define PATCHES "s-$patch"

static struct sr rig;

static void
answered(struct msg *m)
{
	m->fn = NULL;
}

static int
is_answered(void *arg)
{
	return ((struct msg *)arg)->fn == NULL;
}

static void
send(struct msg *m)
{
	const struct env_post *post = &rig.config.env->post;

	m->fn = answered;
	post->to_worker(post->ctx, 0, m);
	cr_assert(simenv_run_until(rig.sim, is_answered, m, SR_STEPS));
}

/* Event SEQ of NAME of group 0, and what is known of the stream. */
static struct vnode_read
read_one(const char *name, uint64_t seq)
{
	struct vnode_read r = {
	    .msg = {.kind = MSG_READ},
	    .bucket = SLICE_LIT("b"),
	    .stream = SLICE_STR(name),
	    .from = seq,
	    .to = seq,
	    .limit = 1,
	    .max_bytes = 1,
	};

	send(&r.msg);
	cr_assert_eq(r.r, 0);
	return r;
}

/* The N events at E to "s"; as a patch if OF is not 0. */
static struct vnode_put
put(const struct vnode_put_event *e, uint32_t n, uint64_t expect, uint64_t of)
{
	struct vnode_put p = {
	    .msg = {.kind = MSG_PUT},
	    .bucket = SLICE_LIT("b"),
	    .stream = SLICE_LIT("s"),
	    .n_events = n,
	    .events = e,
	    .has_expect = of != 0,
	    .expect = expect,
	    .patch_of = of,
	};

	send(&p.msg);
	return p;
}

/* Event SEQ of NAME is E, the ORDINAL-th of its entry. */
static void
check(const char *name, uint64_t seq, const struct vnode_put_event *want,
    uint32_t ordinal, uint64_t t_ms)
{
	struct vnode_read r = read_one(name, seq);
	struct event e;
	uint32_t n;

	cr_assert_eq(
	    r.page.n_parts, 1, "%s %llu", name, (unsigned long long)seq);
	cr_assert_eq(event_decode(r.page.parts[0].records, 1, &e, &n), 0);
	cr_expect_eq(n, r.page.parts[0].records.n);
	cr_expect_eq(e.seq, seq);
	cr_expect(slice_equal(e.data, want->data));
	cr_expect_eq(e.flags, want->flags);
	cr_expect_eq(e.ordinal, ordinal);
	cr_expect_eq(e.t_ms, t_ms);
	vnode_page_deinit(&r.page);
}

static uint64_t
newest(const char *name)
{
	struct vnode_read r = read_one(name, 1);

	vnode_page_deinit(&r.page);
	return r.newest;
}

static void
start(void)
{
	sr_init(&rig);
	rig.config.segment_bytes = 4u << 20;
	rig.config.journal_max_bytes = 16u << 20;
	rig.config.checkpoint_bytes = 2u << 20;
	sr_start(&rig);
}

static void
both_are_there_after_a_crash(size_t result_bytes, size_t patch_bytes)
{
	char *data = malloc(result_bytes + patch_bytes);
	struct vnode_put_event e[2] = {
	    {EVENT_JSON, {0}, SLICE(data, result_bytes)},
	    {EVENT_JSON | EVENT_NEWLINE, {0},
		SLICE(data + result_bytes, patch_bytes)},
	};
	struct vnode_put first, p[3];
	struct vnode_read r;

	memset(data, 'r', result_bytes);
	memset(data + result_bytes, 'p', patch_bytes);
	start();
	first = put(e, 1, 0, 0);
	cr_assert_eq(first.r, 0);
	r = read_one("s", 1);
	vnode_page_deinit(&r.page);
	for (uint64_t i = 0; i < 3; i++) {
		p[i] = put(e, 2, i + 1, r.incarnation);
		cr_assert_eq(p[i].r, 0, "%s", err_text(p[i].r));
		cr_expect_eq(p[i].first, i + 2);
		cr_expect_eq(p[i].last, i + 2);
	}
	for (int again = 0; again < 2; again++) {
		cr_expect_eq(newest("s"), 4);
		cr_expect_eq(newest(PATCHES), 3);
		for (uint64_t i = 0; i < 3; i++) {
			check("s", i + 2, &e[0], 0, p[i].t_ms);
			check(PATCHES, i + 1, &e[1], 1, p[i].t_ms);
		}
		sr_kill(&rig);
		sr_start(&rig);
	}
	sr_deinit(&rig);
	free(data);
}

Test(patch, and_what_it_led_to_are_both_there_after_a_crash)
{
	both_are_there_after_a_crash(30, 10);
}

Test(patch, of_a_large_document_is_there_after_a_crash)
{
	both_are_there_after_a_crash(200000, 100000);
}

Test(patch, that_came_too_late_leaves_nothing)
{
	struct vnode_put_event e[2] = {
	    {EVENT_JSON, {0}, SLICE_LIT("1")},
	    {EVENT_JSON, {0}, SLICE_LIT("[]")},
	};
	struct vnode_put p;
	struct vnode_read r;

	start();
	put(e, 1, 0, 0);
	put(e, 1, 0, 0);
	r = read_one("s", 1);
	vnode_page_deinit(&r.page);
	p = put(e, 2, 1, r.incarnation);
	cr_expect_eq(p.r, -ERR_CONFLICT);
	cr_expect_eq(p.newest, 2);
	/* As many events, but another stream of that name. */
	p = put(e, 2, 2, r.incarnation + 1);
	cr_expect_eq(p.r, -ERR_CONFLICT);
	cr_expect_eq(newest("s"), 2);
	cr_expect_eq(newest(PATCHES), 0);
	p = put(e, 2, 2, r.incarnation);
	cr_expect_eq(p.r, 0);
	cr_expect_eq(newest(PATCHES), 1);
	sr_deinit(&rig);
}
