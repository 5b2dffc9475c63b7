/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * Three whole nodes on one virtual time: groups go where they should be, and
 * appends that come with a condition.
 */
#include <criterion/criterion.h>

#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/vnode/nodes_rig.h"

TestSuite(placing, .timeout = 120);

/* All nodes hear that the group should be on the nodes of ORDER, digits; the
 * first is to lead; the ones behind a comma only listen. */
static void
place(struct nodes *rig, uint64_t epoch, const char *order)
{
	for (int i = 0; i < N_NODES; i++) {
		struct placement *p = mem_zalloc(
		    sizeof(*p) + N_NODES * sizeof(struct placement_replica));
		int voter = 1;

		p->epoch = epoch;
		memcpy(p->preferred, rig->nodes[order[0] - '1'].id, 16);
		for (const char *c = order; *c; c++) {
			if (*c == ',') {
				voter = 0;
				continue;
			}
			memcpy(p->at[p->n].node, rig->nodes[*c - '1'].id, 16);
			p->at[p->n++].voter = voter;
		}
		if (rig->nodes[i].up)
			cr_assert_eq(
			    store_place(rig->nodes[i].store, rig->group, p), 0);
		else
			mem_free(p);
	}
}

static uint64_t
placed(struct nodes *rig)
{
	uint64_t max = 0;

	for (int i = 0; i < N_NODES; i++)
		if (rig->nodes[i].up &&
		    store_placed(rig->nodes[i].store, rig->group) > max)
			max = store_placed(rig->nodes[i].store, rig->group);
	return max;
}

static void
wait_for_epoch(struct nodes *rig, uint64_t epoch)
{
	for (int i = 0; i < 300 && placed(rig) != epoch; i++)
		nodes_run_for(rig, SECOND / 10);
	cr_assert_eq(placed(rig), epoch);
}

static void
check_members(struct nodes *rig, const char *voters, const char *learners)
{
	struct store_group g;

	store_group(nodes_leader(rig)->store, rig->group, &g);
	cr_assert_eq(g.members.n, strlen(voters) + strlen(learners));
	for (uint32_t i = 0; i < g.members.n; i++) {
		const struct raft_member *m = &g.members.at[i];

		cr_assert_not_null(
		    strchr(m->voter ? voters : learners, '0' + m->node[0]),
		    "node %d", m->node[0]);
	}
}

Test(placing, a_group_goes_where_it_should_be_and_says_so)
{
	struct nodes *rig = nodes_new();

	nodes_put_many(rig, 1, 300);
	place(rig, 7, "231");
	wait_for_epoch(rig, 7);
	check_members(rig, "123", "");
	nodes_run_for(rig, 5 * SECOND);
	cr_assert_eq(nodes_leader(rig), &rig->nodes[1]);
	nodes_put_many(rig, 301, 20);
	nodes_check_all(rig, 320);
}

Test(placing, a_leader_that_is_not_wanted_hands_over_and_goes)
{
	struct nodes *rig = nodes_new();
	struct store_group g;

	nodes_put_many(rig, 1, 50);
	place(rig, 2, "23");
	wait_for_epoch(rig, 2);
	check_members(rig, "23", "");
	nodes_put_many(rig, 51, 10);
	nodes_run_for(rig, 5 * SECOND);
	store_group(rig->nodes[0].store, rig->group, &g);
	cr_assert_not(g.here);
	place(rig, 3, "1");
	wait_for_epoch(rig, 3);
	check_members(rig, "1", "");
	nodes_put_many(rig, 61, 10);
	nodes_check_events(rig, 70);
}

Test(placing, a_voter_that_should_only_listen_is_added_again_as_a_learner)
{
	struct nodes *rig = nodes_new();

	place(rig, 2, "123");
	wait_for_epoch(rig, 2);
	place(rig, 3, "2,13");
	wait_for_epoch(rig, 3);
	check_members(rig, "2", "13");
	nodes_put_many(rig, 1, 10);
}

/* Nobody sends it anything, and it wants no votes: it has to ask. */
Test(placing, a_learner_removed_while_it_was_away_hears_of_it_and_goes)
{
	struct nodes *rig = nodes_new();
	struct node *away = &rig->nodes[2];
	struct store_group g;

	place(rig, 2, "12,3");
	wait_for_epoch(rig, 2);
	nodes_put_many(rig, 1, 10);
	nodes_kill(away);
	place(rig, 3, "12");
	wait_for_epoch(rig, 3);
	check_members(rig, "12", "");
	nodes_start(away, 0);
	store_group(away->store, rig->group, &g);
	cr_assert(g.here);
	place(rig, 3, "12");
	nodes_run_for(rig, 10 * SECOND);
	store_group(away->store, rig->group, &g);
	cr_assert_not(g.here);
	nodes_put_many(rig, 11, 10);
	nodes_check_events(rig, 20);
}

Test(placing, the_preferred_leader_gets_the_group_back_when_it_returns)
{
	struct nodes *rig = nodes_new();

	place(rig, 2, "123");
	wait_for_epoch(rig, 2);
	nodes_run_for(rig, 5 * SECOND);
	cr_assert_eq(nodes_leader(rig), &rig->nodes[0]);
	nodes_kill(&rig->nodes[0]);
	nodes_put_many(rig, 1, 10);
	cr_assert_neq(nodes_leader(rig), &rig->nodes[0]);
	nodes_start(&rig->nodes[0], 1);
	nodes_run_for(rig, 10 * SECOND);
	cr_assert_eq(nodes_leader(rig), &rig->nodes[0]);
	nodes_put_many(rig, 11, 10);
	nodes_check_all(rig, 20);
}

/* --- clocks --------------------------------------------------------------- */

static void
jump(struct node *n, int64_t ms)
{
	const struct env *env = simenv_env(n->sim);
	uint64_t now = env->clock.wall(env->clock.ctx).ms;

	simenv_set_wall(n->sim, (struct wall){now + (uint64_t)ms});
}

static uint64_t
newest_time(struct nodes *rig)
{
	struct ask *a = mem_zalloc(sizeof(*a));
	struct node *n = nodes_leader(rig);
	uint64_t t;

	a->put = (struct vnode_put){.msg = {.kind = MSG_PUT},
	    .group = rig->group,
	    .bucket = SLICE_LIT("b"),
	    .stream = SLICE_LIT("s"),
	    .n_events = 1,
	    .events = &a->event};
	a->event = (struct vnode_put_event){.data = SLICE_LIT("now")};
	nodes_post(n, rig->group, &a->put.msg);
	nodes_wait_for(rig, a);
	cr_assert_eq(a->put.r, 0);
	t = a->put.t_ms;
	mem_free(a);
	return t;
}

Test(placing, a_leader_whose_clock_is_off_hands_over_until_it_is_right)
{
	struct nodes *rig = nodes_new();
	uint64_t before, t;

	place(rig, 2, "123");
	wait_for_epoch(rig, 2);
	nodes_run_for(rig, 5 * SECOND);
	cr_assert_eq(nodes_leader(rig), &rig->nodes[0]);
	before = newest_time(rig);
	jump(&rig->nodes[0], 9000); /* not enough */
	nodes_run_for(rig, 5 * SECOND);
	cr_assert_eq(nodes_leader(rig), &rig->nodes[0]);
	jump(&rig->nodes[0], 3600000);
	nodes_run_for(rig, 5 * SECOND);
	cr_assert_neq(nodes_leader(rig), &rig->nodes[0]);
	t = newest_time(rig);
	cr_assert(t >= before && t < before + 3600000);
	nodes_run_for(rig, 10 * SECOND); /* nor does it get the group back */
	cr_assert_neq(nodes_leader(rig), &rig->nodes[0]);
	jump(&rig->nodes[0], -3609000);
	nodes_run_for(rig, 10 * SECOND);
	cr_assert_eq(nodes_leader(rig), &rig->nodes[0]);
	cr_assert_geq(newest_time(rig), t);
}

Test(placing, time_in_a_group_goes_on_when_the_clocks_of_all_go_back)
{
	struct nodes *rig = nodes_new();
	uint64_t before;

	place(rig, 2, "123");
	wait_for_epoch(rig, 2);
	before = newest_time(rig);
	for (int i = 0; i < N_NODES; i++)
		jump(&rig->nodes[i], -3600000);
	nodes_run_for(rig, 5 * SECOND);
	cr_assert_eq(nodes_leader(rig), &rig->nodes[0]);
	for (int i = 0; i < 3; i++) {
		uint64_t t = newest_time(rig);

		cr_assert_geq(t, before);
		before = t;
		nodes_kill(&rig->nodes[0]);
		nodes_start(&rig->nodes[0], 1);
	}
}

/* --- conditions ----------------------------------------------------------- */

static struct ask *
ask_put(struct nodes *rig, struct node *n, uint64_t expect)
{
	struct ask *a = mem_zalloc(sizeof(*a));

	a->event = (struct vnode_put_event){.data = SLICE_LIT("x")};
	a->put = (struct vnode_put){.msg = {.kind = MSG_PUT},
	    .group = rig->group,
	    .bucket = SLICE_LIT("b"),
	    .stream = SLICE_LIT("s"),
	    .n_events = 1,
	    .events = &a->event,
	    .has_expect = 1,
	    .expect = expect};
	nodes_post(n, rig->group, &a->put.msg);
	return a;
}

static int
put_if(struct nodes *rig, uint64_t expect, uint64_t *newest)
{
	struct ask *a = ask_put(rig, nodes_leader(rig), expect);
	int r;

	nodes_wait_for(rig, a);
	r = a->put.r;
	*newest = r == 0 ? a->put.first : a->put.newest;
	mem_free(a);
	return r;
}

Test(placing, an_append_under_a_condition_is_judged_by_what_is_in_flight)
{
	struct nodes *rig = nodes_new();
	struct ask *a[8];
	uint64_t newest;

	for (int alone = 1; alone >= 0; alone--) {
		uint64_t base = alone ? 0 : 3;
		int ok = 0;

		if (!alone)
			nodes_join_all(rig);
		cr_assert_eq(put_if(rig, base + 1, &newest), -ERR_CONFLICT);
		cr_assert_eq(newest, base);
		cr_assert_eq(put_if(rig, base, &newest), 0);
		cr_assert_eq(newest, base + 1);
		/* Eight at once that want the same: one gets it. */
		for (int i = 0; i < 8; i++)
			a[i] = ask_put(rig, nodes_leader(rig), base + 1);
		for (int i = 0; i < 8; i++) {
			nodes_wait_for(rig, a[i]);
			ok += a[i]->put.r == 0;
			if (a[i]->put.r) {
				cr_assert_eq(a[i]->put.r, -ERR_CONFLICT);
				cr_assert_eq(a[i]->put.newest, base + 2);
			}
			mem_free(a[i]);
		}
		cr_assert_eq(ok, 1);
		cr_assert_eq(put_if(rig, base + 2, &newest), 0);
	}
}

/* What a refusal rests on must be committed: else the client hears of an event
 * that never was. */
Test(placing, a_refusal_never_rests_on_what_is_lost_with_its_leader)
{
	struct nodes *rig = nodes_new();
	struct node *old;
	struct ask *first, *second;
	uint64_t newest;

	nodes_join_all(rig);
	cr_assert_eq(put_if(rig, 0, &newest), 0);
	old = nodes_leader(rig);
	old->cut = 1;
	first = ask_put(rig, old, 1);  /* never committed */
	second = ask_put(rig, old, 1); /* would be refused because of it */
	nodes_run_for(rig, SECOND / 2);
	cr_assert_not(first->done);
	cr_assert_not(second->done);
	nodes_run_for(rig, 15 * SECOND);
	cr_assert_eq(put_if(rig, 1, &newest), 0); /* at the new leader */
	old->cut = 0;
	nodes_wait_for(rig, first);
	nodes_wait_for(rig, second);
	cr_assert_eq(first->put.r, -ERR_UNKNOWN);
	cr_assert_neq(second->put.r, 0);
	cr_assert(second->put.r != -ERR_CONFLICT || second->put.newest == 2);
	mem_free(first);
	mem_free(second);
}
