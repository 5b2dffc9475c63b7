/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * Tables and objects against tests/golden/admin, byte for byte.  Those named
 * spec_* are the samples of cluster.md.
 */
#include "admin/render.h"
#include "src/base/json.h"
#include "tests/golden/golden.h"
#include "tests/ring/grow.h"

TestSuite(render);

#define OUT_MAX (1u << 20)

/* What B holds is NAME's; B is empty again. */
static void
is(struct buf *b, const char *name)
{
	cr_assert_eq(buf_error(b), 0);
	golden(name, buf_slice(b));
	buf_reset(b);
}

static void
is_object(struct buf *b, const char *name)
{
	struct json_checker *c = json_checker_new();

	cr_assert_eq(
	    json_check(c, buf_slice(b), JSON_MAX_DEPTH, NULL), 0, "%s", name);
	json_checker_free(c);
	is(b, name);
}

static int
has(const struct buf *b, const char *text)
{
	return memmem(b->p, b->n, text, strlen(text)) != NULL;
}

static uint16_t
place(const struct ring *r, unsigned node)
{
	return ring_named(r, grow_name(node));
}

/* The first N slots that move to NODE have moved. */
static struct ring *
flip(struct ring *r, unsigned node, unsigned n)
{
	struct ring *next;

	for (uint16_t g = 0; g < r->q && n; g++) {
		if (r->owners[g] == r->next_owners[g] ||
		    r->next_owners[g] != place(r, node))
			continue;
		cr_assert_eq(ring_flip(r, &g, 1, &next), RING_OK);
		r = grow_next(r, next);
		n--;
	}
	cr_assert_eq(n, 0);
	return r;
}

static struct ring *
joining(unsigned n)
{
	struct ring *r = grow_one(64, 3);

	for (unsigned i = 2; i <= n; i++)
		r = grow_join(r, i);
	return r;
}

/* --- member-status -------------------------------------------------------- */

Test(render, members_from_joining_to_done)
{
	struct ring *r = joining(4);
	struct buf b;

	buf_init(&b, OUT_MAX);
	render_members(&b, r);
	is(&b, "spec_members_joining.txt");
	r = grow_commit(r);
	r = flip(flip(flip(r, 2, 6), 3, 5), 4, 5);
	render_members(&b, r);
	is(&b, "members_half.txt");
	r = grow_done(r);
	render_members(&b, r);
	is(&b, "members_done.txt");
	buf_deinit(&b);
	ring_unref(r);
}

Test(render, members_of_every_state_in_the_order_of_the_words)
{
	struct ring *r = grow_done(grow_cluster(64, 3, 5));
	struct ring *next;
	struct buf b;

	r = grow_to(r, ring_stage_leave, 2);
	r = grow_commit(r);
	r = grow_join(r, 6);
	cr_assert_eq(ring_mark_down(r, grow_name(4), 0, &next), RING_OK);
	r = grow_next(r, next);
	r->members[place(r, 5)].state = RING_EXITING;
	buf_init(&b, OUT_MAX);
	render_members(&b, r);
	is(&b, "members_states.txt");
	buf_deinit(&b);
	ring_unref(r);
}

Test(render, members_as_an_object)
{
	struct ring *r = grow_cluster(64, 3, 3);
	uint8_t up[3];
	struct admin_view v = {.ring = r, .up = up};
	struct buf b;

	memset(up, 1, sizeof(up));
	up[place(r, 3)] = 0;
	v.claimant = place(r, 2);
	buf_init(&b, OUT_MAX);
	render_members_json(&b, &v);
	is_object(&b, "members.json");
	v.ring = r = grow_done(r);
	v.up = NULL;
	render_members_json(&b, &v);
	is_object(&b, "members_done.json");
	buf_deinit(&b);
	ring_unref(r);
}

/* --- cluster plan --------------------------------------------------------- */

static void
plan_is(struct ring *r, const char *text, const char *object)
{
	struct ring_plan *p;
	struct buf b;

	buf_init(&b, OUT_MAX);
	cr_assert_eq(ring_plan_new(r, &p), RING_OK);
	cr_assert_eq(render_plan(&b, r, p), 0);
	is(&b, text);
	cr_assert_eq(render_plan_json(&b, r, p), 0);
	is_object(&b, object);
	ring_plan_free(p);
	buf_deinit(&b);
	ring_unref(r);
}

Test(render, plan_of_three_that_join)
{
	plan_is(joining(4), "spec_plan_join.txt", "plan_join.json");
}

Test(render, plan_of_a_leave_has_two_transitions)
{
	struct ring *r = grow_done(grow_cluster(64, 3, 4));

	plan_is(grow_to(r, ring_stage_leave, 2), "plan_leave.txt",
	    "plan_leave.json");
}

Test(render, plan_of_fewer_members_than_copies_warns)
{
	plan_is(joining(2), "plan_two.txt", "plan_two.json");
}

Test(render, plan_of_a_forced_removal_warns_and_reassigns)
{
	struct ring *r = grow_done(grow_cluster(64, 3, 4));

	plan_is(grow_to(r, ring_stage_remove, 3), "plan_remove.txt",
	    "plan_remove.json");
}

Test(render, plan_of_replacements_has_one_row_each)
{
	struct ring *r = grow_done(grow_cluster(64, 3, 4)), *next;

	r = grow_join(grow_join(r, 5), 6);
	cr_assert_eq(
	    ring_stage_replace(r, grow_name(2), grow_name(5), 0, &next),
	    RING_OK);
	r = grow_next(r, next);
	cr_assert_eq(
	    ring_stage_replace(r, grow_name(3), grow_name(6), 1, &next),
	    RING_OK);
	plan_is(grow_next(r, next), "plan_replace.txt", "plan_replace.json");
}

/* --- ring-status, ringready ----------------------------------------------- */

/* Slots 1 and 5 of iorio1 move to iorio2. */
static struct ring *
two_slots_move(void)
{
	struct ring *r = joining(2);

	r->members[place(r, 2)].state = RING_VALID;
	r->next_owners[1] = r->next_owners[5] = place(r, 2);
	return r;
}

Test(render, ring_with_slots_that_wait)
{
	struct ring *r = two_slots_move();
	uint8_t complete[64] = {[5] = 1}, up[2] = {1, 1};
	struct admin_view v = {.ring = r, .ready = 1, .complete = complete};
	struct buf b;

	v.claimant = place(r, 1);
	buf_init(&b, OUT_MAX);
	render_ring(&b, &v);
	is(&b, "spec_ring_moving.txt");
	render_ring_json(&b, &v);
	is_object(&b, "ring_moving.json");
	v.up = up;
	up[place(r, 2)] = 0;
	render_ring(&b, &v);
	is(&b, "ring_down.txt");
	render_ring_json(&b, &v);
	is_object(&b, "ring_down.json");
	/* Marked: down in the middle, not among the unreachable. */
	r->members[place(r, 2)].state = RING_DOWN;
	render_ring(&b, &v);
	is(&b, "ring_marked.txt");
	buf_deinit(&b);
	ring_unref(r);
}

Test(render, ring_without_its_claimant)
{
	struct ring *r = grow_done(grow_cluster(64, 3, 4));
	uint8_t up[4];
	struct admin_view v = {.ring = r, .ready = -1, .up = up};
	struct buf b;

	memset(up, 0, sizeof(up));
	up[place(r, 4)] = 1;
	v.claimant = place(r, 1);
	buf_init(&b, OUT_MAX);
	render_ring(&b, &v);
	is(&b, "ring_lost.txt");
	v.claimant = RING_NOBODY;
	render_ring(&b, &v);
	cr_assert(has(&b, "Claimant:  unknown\nStatus:     down\n"
			  "Ring Ready: unknown\n"));
	v.claimant = place(r, 4);
	v.ready = 0;
	buf_reset(&b);
	render_ring(&b, &v);
	cr_assert(has(&b, "Status:     up\nRing Ready: false\n"));
	buf_deinit(&b);
	ring_unref(r);
}

Test(render, ring_of_several_pairs_sorts_them_by_name)
{
	struct ring *r = grow_cluster(8, 3, 3);
	struct admin_view v = {.ring = r, .ready = 1};
	struct buf b;

	v.claimant = place(r, 1);
	buf_init(&b, OUT_MAX);
	render_ring(&b, &v);
	is(&b, "ring_pairs.txt");
	buf_deinit(&b);
	ring_unref(r);
}

Test(render, ringready_says_who_agrees_and_who_does_not)
{
	struct ring *r = grow_done(grow_cluster(64, 3, 4));
	uint8_t up[4] = {1, 1, 1, 1}, agrees[4] = {1, 1, 1, 1};
	struct admin_view v = {.ring = r, .up = up, .agrees = agrees};
	struct buf b;

	buf_init(&b, OUT_MAX);
	cr_assert_eq(render_ringready(&b, &v), 1);
	agrees[place(r, 2)] = 0;
	cr_assert_eq(render_ringready(&b, &v), 0);
	up[place(r, 2)] = 0;
	cr_assert_eq(render_ringready(&b, &v), 0);
	is(&b, "spec_ringready.txt");
	up[place(r, 2)] = 1;
	agrees[place(r, 2)] = 1;
	agrees[place(r, 1)] = 0;
	cr_assert_eq(render_ringready(&b, &v), 0);
	cr_assert(has(&b, "FALSE Node 'iorio2@127.0.0.1' and "
			  "'iorio1@127.0.0.1' list"));
	buf_deinit(&b);
	ring_unref(r);
}

/* --- transfers ------------------------------------------------------------ */

#define START_MS 1795453848000 /* 2026-11-23 17:10:48 */

Test(render, transfers_that_run)
{
	struct ring *r = grow_cluster(64, 3, 3);
	uint32_t sending[3] = {0}, queued[3] = {0}, receiving[3] = {0};
	uint32_t limit[3] = {2, 2, 4};
	struct admin_transfer t[3] = {
	    {.group = 2,
		.objects = 5720,
		.total_objects = 13000,
		.bytes = 50000000,
		.total_bytes = 100000000,
		.started_ms = START_MS,
		.updated_ms = START_MS + 2002,
		.rate = 24735907},
	    {.group = 63,
		.repair = 1,
		.bytes = 1 << 20,
		.total_bytes = 1 << 20,
		.objects = 7,
		.started_ms = START_MS - 90000,
		.updated_ms = START_MS,
		.rate = 512,
		.error = "15 s without a byte"},
	    {.group = 0, .started_ms = START_MS},
	};
	struct admin_view v = {.ring = r,
	    .transfers = t,
	    .n_transfers = 1,
	    .sending = sending,
	    .queued = queued,
	    .receiving = receiving,
	    .limit = limit};
	uint64_t now = (START_MS + 2002) * 1000ull + 16970;
	struct buf b;

	for (int i = 0; i < 3; i++) {
		t[i].from = place(r, 1);
		t[i].to = place(r, i == 2 ? 3 : 2);
	}
	sending[place(r, 1)] = 1;
	receiving[place(r, 2)] = 1;
	queued[place(r, 1)] = 30;
	buf_init(&b, OUT_MAX);
	render_transfers(&b, &v, now);
	is(&b, "spec_transfers.txt");
	v.n_transfers = 3;
	v.n_queued = 30;
	render_transfers(&b, &v, now);
	is(&b, "transfers_three.txt");
	render_transfers_json(&b, &v);
	is_object(&b, "transfers.json");
	buf_deinit(&b);
	ring_unref(r);
}

Test(render, transfers_of_nobody)
{
	struct ring *r = grow_done(grow_cluster(64, 3, 3));
	uint8_t up[3] = {1, 1, 1};
	struct admin_view v = {.ring = r, .up = up};
	struct buf b;

	buf_init(&b, OUT_MAX);
	render_transfers(&b, &v, 0);
	cr_assert(
	    slice_equal(buf_slice(&b), SLICE_LIT("No transfers active\n")));
	buf_reset(&b);
	up[place(r, 2)] = 0;
	render_transfers(&b, &v, 0);
	is(&b, "transfers_down.txt");
	render_transfers_json(&b, &v);
	is_object(&b, "transfers_none.json");
	buf_deinit(&b);
	ring_unref(r);
}

Test(render, long_names_take_more_lines_of_the_box)
{
	struct ring *r = grow_cluster(64, 3, 2);
	struct admin_transfer t = {.group = 1, .started_ms = START_MS};
	struct admin_view v = {.ring = r, .transfers = &t, .n_transfers = 1};
	struct buf b;

	t.to = place(r, 2);
	t.from = place(r, 1);
	snprintf(r->members[t.from].name, RING_NAME_MAX,
	    "iorio-of-the-north@a-host-with-a-long-name.example.org:18099");
	buf_init(&b, OUT_MAX);
	render_transfers(&b, &v, START_MS * 1000ull);
	is(&b, "transfers_long_names.txt");
	buf_deinit(&b);
	ring_unref(r);
}

Test(render, transfer_limits)
{
	struct ring *r = grow_done(grow_cluster(64, 3, 3));
	uint8_t up[3] = {1, 1, 1};
	uint32_t limit[3] = {2, 2, 2};
	struct admin_view v = {.ring = r, .up = up, .limit = limit};
	struct buf b;

	up[place(r, 2)] = 0;
	limit[place(r, 3)] = 1000;
	buf_init(&b, OUT_MAX);
	render_transfer_limit(&b, &v);
	is(&b, "transfer_limit.txt");
	buf_deinit(&b);
	ring_unref(r);
}

/* --- cluster status ------------------------------------------------------- */

Test(render, cluster_status_is_a_box)
{
	struct ring *r = grow_done(grow_cluster(64, 3, 3));
	uint8_t up[3] = {1, 1, 1};
	struct admin_view v = {.ring = r, .ready = 1, .up = up};
	uint32_t most = 0;
	struct ring_count counts[3];
	struct buf b;

	/* 22, 21, 21: which one has most is the claim's to say. */
	ring_counts(r, counts);
	for (uint16_t i = 0; i < 3; i++)
		if (counts[i].owned > counts[most].owned)
			most = i;
	if (most != place(r, 1))
		for (uint32_t g = 0; g < 64; g++)
			if (r->owners[g] == most) {
				r->owners[g] = r->next_owners[g] = place(r, 1);
				break;
			}
	v.claimant = place(r, 1);
	buf_init(&b, OUT_MAX);
	render_cluster(&b, &v);
	cr_assert(has(&b,
	    "---- Cluster Status ----\n"
	    "Ring ready: true\n"
	    "\n"
	    "+------------------------+------+-------+-----+-------+\n"
	    "|          node          |status| avail |ring |pending|\n"
	    "+------------------------+------+-------+-----+-------+\n"
	    "| (C) iorio1@127.0.0.1   |valid |  up   | 34.4|  --   |\n"));
	is(&b, "cluster_status.txt");
	ring_unref(r);
	/* Down as it should be, down and nobody said so, up and marked. */
	r = grow_cluster(64, 3, 12);
	v = (struct admin_view){.ring = r, .ready = 0};
	v.claimant = place(r, 12);
	v.up = mem_calloc(r->n_members, 1);
	memset(v.up, 1, r->n_members);
	r->members[place(r, 2)].state = RING_DOWN;
	v.up[place(r, 2)] = v.up[place(r, 3)] = 0;
	r->members[place(r, 4)].state = RING_DOWN;
	render_cluster(&b, &v);
	is(&b, "cluster_status_odd.txt");
	mem_free(v.up);
	buf_deinit(&b);
	ring_unref(r);
}
