/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Many events in one append: all of them or none, whatever their sizes. */
#include <criterion/criterion.h>

#include "src/base/err.h"
#include "src/base/list.h"
#include "tests/vnode/store_rig.h"

TestSuite(batch, .timeout = 120);

#define MOST_BYTES (9u << 20)

struct batch {
	struct vnode_put put;
	struct vnode_put_event *events;
	uint8_t *bytes;
	int done;
};

static struct sr rig;

static void
start(void)
{
	sr_init(&rig);
	rig.config.segment_bytes = 20u << 20;
	rig.config.journal_max_bytes = 80u << 20;
	rig.config.checkpoint_bytes = 10u << 20;
	sr_start(&rig);
}

static void
answered(struct msg *m)
{
	struct vnode_put *put = CONTAINER_OF(m, struct vnode_put, msg);

	CONTAINER_OF(put, struct batch, put)->done = 1;
}

static int
is_done(void *arg)
{
	return ((struct batch *)arg)->done;
}

static size_t
size_of(uint32_t i, uint32_t n)
{
	static const uint32_t odd[] = {65536, 0, 1, 65535, 70000, 300000, 2};

	return n > 1000 ? i % 9 : odd[i % (sizeof(odd) / sizeof(*odd))];
}

/* N events of many sizes; the first bytes of each say which one it is. */
static struct batch
make(uint32_t n)
{
	struct batch b = {.events = calloc(n, sizeof(*b.events)),
	    .bytes = malloc(MOST_BYTES)};
	uint8_t *at = b.bytes;

	for (uint32_t i = 0; i < n; i++) {
		size_t bytes = size_of(i, n);

		memset(at, (int)('a' + i % 26), bytes);
		b.events[i] = (struct vnode_put_event){
		    .type = SLICE_LIT("a/b"), .data = SLICE(at, bytes)};
		at += bytes;
		cr_assert_leq(at - b.bytes, MOST_BYTES);
	}
	b.put = (struct vnode_put){
	    .msg = {.kind = MSG_PUT, .fn = answered},
	    .group = 0,
	    .bucket = SLICE_LIT("b"),
	    .stream = SLICE_LIT("s"),
	    .n_events = n,
	    .events = b.events,
	};
	return b;
}

static void
put(struct batch *b)
{
	const struct env_post *post = &rig.config.env->post;

	b->done = b->put.msg.answer = 0;
	post->to_worker(post->ctx, 0, &b->put.msg);
	cr_assert(simenv_run_until(rig.sim, is_done, b, SR_STEPS));
}

/* All of what is stored is B again and again. */
static uint64_t
check_events(const struct batch *b)
{
	uint64_t next = 1, t = 0;

	for (;;) {
		struct vnode_read req = {.from = next, .max_bytes = 1u << 20};

		sr_read(&rig, &req, 0);
		cr_assert_eq(req.r, 0, "from %llu: %s",
		    (unsigned long long)next, err_text(req.r));
		if (req.page.n_parts == 0)
			return next - 1;
		for (uint32_t i = 0; i < req.page.n_parts; i++) {
			struct slice in = req.page.parts[i].records;
			struct event e;
			uint32_t n;

			for (; in.n; in = SLICE(in.p + n, in.n - n), next++) {
				uint64_t k = (next - 1) % b->put.n_events;

				cr_assert_eq(event_decode(in, 1, &e, &n), 0);
				cr_assert_eq(e.seq, next);
				cr_assert_eq(e.ordinal, k);
				cr_assert(
				    slice_equal(e.data, b->events[k].data));
				cr_assert(
				    slice_equal(e.type, SLICE_LIT("a/b")));
				cr_assert(k == 0 || e.t_ms == t);
				t = e.t_ms;
			}
		}
		vnode_page_deinit(&req.page);
	}
}

static void
comes_back(uint32_t n)
{
	struct batch b = make(n);

	start();
	for (uint64_t i = 0; i < 3; i++) {
		put(&b);
		cr_assert_eq(b.put.r, 0, "%s", err_text(b.put.r));
		cr_assert_eq(b.put.first, i * n + 1);
		cr_assert_eq(b.put.last, (i + 1) * n);
	}
	cr_expect_eq(check_events(&b), 3 * n);
	sr_kill(&rig);
	sr_start(&rig);
	cr_expect_eq(check_events(&b), 3 * n);
	sr_deinit(&rig);
	free(b.events);
	free(b.bytes);
}

Test(batch, of_ten_thousand_small_events_comes_back_after_a_crash)
{
	comes_back(10000);
}

Test(batch, of_events_copied_and_borrowed_comes_back_after_a_crash)
{
	comes_back(30);
}

Test(batch, of_more_than_the_journal_takes_at_once_is_refused_whole)
{
	struct batch b = make(200000);

	start();
	put(&b);
	cr_expect_eq(b.put.r, 0, "8 MB of heads and 1 of payload");
	cr_expect_eq(b.put.last, 200000);
	free(b.events);
	free(b.bytes);
	b = make(450000);
	put(&b);
	cr_expect_eq(b.put.r, -ERR_LIMIT);
	cr_expect_eq(sr_count_events(&rig, 0), 200000);
	sr_deinit(&rig);
	free(b.events);
	free(b.bytes);
}
