/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* The stories that a replicated log must survive, one by one. */
#include <criterion/criterion.h>

#include "src/base/err.h"
#include "tests/consensus/lab.h"

static struct raft *
at(struct lab *l, uint32_t i)
{
	return l->nodes[i].raft;
}

static raft_id
add(struct lab *l, uint32_t leader, uint32_t node)
{
	struct raft_effects fx = {0};
	raft_id id = 0;

	cr_assert_eq(
	    raft_add_learner(at(l, leader), l->nodes[node].name, &id, &fx), 0);
	lab_effects(l, leader, &fx);
	raft_effects_deinit(&fx);
	return id;
}

static int
change(struct lab *l, uint32_t leader, raft_id id,
    int (*what)(struct raft *, raft_id, struct raft_effects *))
{
	struct raft_effects fx = {0};
	int r = what(at(l, leader), id, &fx);

	lab_effects(l, leader, &fx);
	raft_effects_deinit(&fx);
	return r;
}

/* --- figure 8 of the paper ------------------------------------------------ */

Test(scenario, figure_8_entry_of_an_old_term_is_not_committed_by_counting)
{
	struct lab *l = lab_new(5);
	uint64_t index;

	l->config.msg_entries = l->config.window_entries = 1;
	for (uint32_t i = 0; i < 5; i++) {
		lab_crash(l, i);
		lab_start(l, i);
	}
	/* a: S1 leads, and its entry reaches S2 alone. */
	cr_assert(lab_campaign(l, 0));
	lab_run(l, 50);
	for (uint32_t i = 2; i < 5; i++)
		lab_cut(l, 0, i);
	index = lab_propose(l, 0, 2);
	lab_run(l, 10);
	cr_assert_eq(raft_last(at(l, 1)), index);
	/* b: S5 is elected without it, and has another entry there. */
	lab_crash(l, 0);
	lab_mend(l);
	lab_isolate(l, 1, 1);
	cr_assert(lab_campaign(l, 4));
	lab_crash(l, 4); /* its first entry reaches nobody */
	lab_mend(l);
	/* c: S1 is back, and gives S3 the old entry, no more. */
	lab_start(l, 0);
	lab_isolate(l, 3, 1);
	cr_assert(lab_campaign(l, 0));
	while (raft_last(at(l, 2)) < index)
		lab_run(l, 1);
	l->nodes[2].stuck = 1; /* the entry of this term is not durable */
	lab_run(l, 20);
	cr_assert_geq(raft_stable(at(l, 2)), index);
	cr_assert_lt(raft_commit(at(l, 0)), index);
	/* d: S5 wins, and replaces it everywhere. */
	lab_crash(l, 0);
	lab_crash(l, 1);
	lab_crash(l, 2);
	lab_mend(l);
	l->nodes[2].stuck = 0;
	for (uint32_t i = 1; i < 5; i++)
		if (!at(l, i))
			lab_start(l, i);
	cr_assert(lab_campaign(l, 4));
	lab_start(l, 0);
	lab_run(l, 500);
	cr_assert(lab_agrees(l));
	cr_assert_neq(l->nodes[0].values[index], 2);
	lab_free(l);
}

/* --- nets ----------------------------------------------------------------- */

Test(scenario, split_net_only_the_majority_goes_on_and_the_rest_follows_it)
{
	struct lab *l = lab_new(5);
	uint64_t lost, kept;
	int leader;

	lab_make_leader(l, 0);
	for (uint32_t a = 0; a < 2; a++)
		for (uint32_t b = 2; b < 5; b++) {
			lab_cut(l, a, b);
			lab_cut(l, b, a);
		}
	lost = lab_propose(l, 0, 77);
	lab_run(l, 1000);
	cr_assert_lt(raft_commit(at(l, 0)), lost);
	cr_assert_neq(raft_role(at(l, 0)), RAFT_LEADER);
	leader = lab_elect(l);
	cr_assert_geq(leader, 2);
	kept = lab_propose(l, (uint32_t)leader, 88);
	lab_run(l, 50);
	cr_assert_eq(l->nodes[leader].values[kept], 88);
	lab_mend(l);
	lab_run(l, 1000);
	cr_assert(lab_agrees(l));
	cr_assert_eq(l->nodes[0].values[kept], 88);
	for (uint64_t i = 0; i < LAB_ENTRIES; i++)
		cr_assert_neq(l->nodes[0].values[i], 77);
	lab_free(l);
}

Test(scenario, leader_that_hears_nobody_gives_way)
{
	struct lab *l = lab_new(3);

	lab_make_leader(l, 0);
	lab_cut(l, 1, 0);
	lab_cut(l, 2, 0);
	lab_run(l, 310);
	cr_assert_neq(raft_role(at(l, 0)), RAFT_LEADER);
	lab_run(l, 700);
	cr_assert_gt(lab_elect(l), 0);
	lab_free(l);
}

Test(scenario, follower_that_hears_nobody_disturbs_nobody)
{
	struct lab *l = lab_new(3);
	uint64_t term;

	lab_make_leader(l, 0);
	term = raft_term(at(l, 0));
	lab_cut(l, 0, 2);
	lab_cut(l, 1, 2);
	lab_run(l, 3000);
	cr_assert_eq(raft_role(at(l, 0)), RAFT_LEADER);
	cr_assert_eq(raft_term(at(l, 0)), term);
	lab_mend(l);
	lab_run(l, 200);
	cr_assert_eq(raft_term(at(l, 0)), term);
	cr_assert(lab_agrees(l));
	lab_free(l);
}

Test(scenario, follower_is_filled_after_an_hour)
{
	struct lab *l = lab_new(3);
	uint64_t term;

	lab_make_leader(l, 0);
	term = raft_term(at(l, 0));
	lab_isolate(l, 2, 1);
	for (uint64_t i = 1; i <= 100; i++) {
		lab_propose(l, 0, i);
		lab_run(l, 36000);
	}
	lab_compact(l, 0, l->nodes[0].applied);
	lab_compact(l, 1, l->nodes[1].applied);
	lab_mend(l);
	lab_run(l, 500);
	cr_assert_eq(l->nodes[0].n_fills, 1);
	cr_assert_eq(raft_term(at(l, 0)), term);
	cr_assert(lab_agrees(l));
	lab_free(l);
}

/* --- disks ---------------------------------------------------------------- */

Test(scenario, leader_with_a_full_disk_hands_over_and_loses_nothing)
{
	struct lab *l = lab_new(3);
	struct raft_effects fx = {0};
	uint64_t index;

	lab_make_leader(l, 0);
	l->nodes[0].stuck = 1;
	index = lab_propose(l, 0, 5);
	lab_run(l, 50);
	/* The others are a majority; here it is not durable. */
	cr_assert_geq(raft_commit(at(l, 0)), index);
	cr_assert_lt(l->nodes[0].applied, index);
	cr_assert_eq(raft_transfer(at(l, 0), 2, &fx), 0);
	lab_effects(l, 0, &fx);
	raft_effects_deinit(&fx);
	lab_run(l, 100);
	cr_assert_eq(raft_role(at(l, 1)), RAFT_LEADER);
	cr_assert_eq(l->nodes[1].values[index], 5);
	lab_propose(l, 1, 6);
	lab_run(l, 50);
	lab_unstick(l, 0);
	lab_run(l, 200);
	cr_assert(lab_agrees(l));
	lab_free(l);
}

Test(scenario, replaced_disk_does_not_vote_until_it_is_a_new_member)
{
	struct lab *l = lab_new(3);
	raft_id id;

	lab_make_leader(l, 0);
	lab_propose(l, 0, 5);
	lab_run(l, 50);
	lab_replace_disk(l, 2);
	lab_isolate(l, 1, 1);
	lab_run(l, 1000); /* one of three: no leader, whatever is asked */
	cr_assert_neq(raft_role(at(l, 0)), RAFT_LEADER);
	cr_assert_null(at(l, 2));
	lab_mend(l);
	lab_make_leader(l, 0);
	cr_assert_eq(change(l, 0, 3, raft_remove), 0);
	lab_run(l, 100);
	id = add(l, 0, 2);
	lab_run(l, 200);
	cr_assert_eq(change(l, 0, id, raft_promote), 0);
	lab_run(l, 100);
	lab_isolate(l, 1, 1);
	cr_assert(lab_propose(l, 0, 6));
	lab_run(l, 100);
	cr_assert_eq(l->nodes[0].applied, raft_last(at(l, 0)));
	lab_mend(l);
	lab_run(l, 200);
	cr_assert(lab_agrees(l));
	lab_free(l);
}

Test(scenario, damaged_replica_neither_votes_nor_counts_until_it_is_whole)
{
	struct lab *l = lab_new(3);
	uint64_t index;

	lab_make_leader(l, 0);
	lab_propose(l, 0, 5);
	lab_run(l, 50);
	lab_crash(l, 2);
	l->nodes[2].last = l->nodes[2].base;
	l->nodes[2].damaged = 1;
	lab_isolate(l, 1, 1);
	lab_start(l, 2);
	lab_run(l, 1000);
	/* The log is there again; the other voter has not confirmed that. */
	cr_assert_eq(raft_last(at(l, 2)), raft_last(at(l, 0)));
	cr_assert(raft_damaged(at(l, 2)));
	index = lab_propose(l, 0, 6);
	lab_run(l, 100);
	cr_assert_lt(raft_commit(at(l, 0)), index);
	lab_mend(l);
	lab_run(l, 1000);
	cr_assert_not(raft_damaged(at(l, 2)));
	cr_assert_eq(l->nodes[2].n_healed, 1);
	lab_crash(l, 1);
	lab_run(l, 1000);
	cr_assert_geq(lab_elect(l), 0);
	lab_free(l);
}

/* --- members, clocks, leaders --------------------------------------------- */

Test(scenario, node_removed_and_added_again_is_a_new_life)
{
	struct lab *l = lab_new(3);
	raft_id id;

	lab_make_leader(l, 0);
	lab_propose(l, 0, 5);
	lab_isolate(l, 2, 1); /* it does not hear that it is removed */
	cr_assert_eq(change(l, 0, 3, raft_remove), 0);
	lab_run(l, 2000);
	lab_mend(l);
	lab_run(l, 500);
	cr_assert_eq(raft_role(at(l, 0)), RAFT_LEADER);
	id = add(l, 0, 2);
	cr_assert_gt(id, 3);
	lab_run(l, 200);
	cr_assert_eq(l->nodes[2].id, id);
	cr_assert(lab_agrees(l));
	cr_assert_eq(change(l, 0, id, raft_promote), 0);
	lab_run(l, 100);
	lab_crash(l, 0);
	lab_run(l, 1000);
	cr_assert_gt(lab_elect(l), 0);
	lab_free(l);
}

Test(scenario, clock_that_jumps_costs_no_entry_and_no_leader_but_its_own)
{
	struct lab *l = lab_new(3);
	uint64_t term, index;

	lab_make_leader(l, 0);
	term = raft_term(at(l, 0));
	l->nodes[2].ahead_us = 3600u * 1000000u;
	lab_run(l, 1000);
	cr_assert_eq(raft_role(at(l, 0)), RAFT_LEADER);
	cr_assert_eq(raft_term(at(l, 0)), term);
	l->nodes[2].ahead_us = 0; /* back: it waits until it is that late */
	lab_run(l, 1000);
	cr_assert_eq(raft_term(at(l, 0)), term);
	index = lab_propose(l, 0, 5);
	l->nodes[0].ahead_us = 3600u * 1000000u;
	lab_run(l, 2000);
	cr_assert_geq(lab_elect(l), 0);
	cr_assert(lab_agrees(l));
	cr_assert_eq(l->nodes[1].values[index], 5);
	lab_free(l);
}

static int
loses_first_entry(const struct lab *l, const struct raft_msg *m)
{
	(void)l;
	return m->type == RAFT_APPEND && m->n == 1 && m->index == 4;
}

Test(scenario, pipelined_append_is_lost_with_its_predecessor)
{
	struct lab *l = lab_new(3);
	uint64_t a, b;

	l->config.msg_entries = 1;
	for (uint32_t i = 0; i < 3; i++) {
		lab_crash(l, i);
		lab_start(l, i);
	}
	cr_assert(lab_campaign(l, 0));
	lab_run(l, 50);
	cr_assert_eq(raft_last(at(l, 0)), 4);
	l->loses = loses_first_entry;
	a = lab_propose(l, 0, 5);
	b = lab_propose(l, 0, 6); /* "if the tail is A" */
	cr_assert_eq(a, 5);
	lab_run(l, 3);
	/* B has arrived everywhere and is in no log: A is not there. */
	cr_assert_eq(raft_last(at(l, 1)), 4);
	cr_assert_eq(raft_last(at(l, 2)), 4);
	lab_crash(l, 0);
	l->loses = NULL;
	cr_assert(lab_campaign(l, 1));
	cr_assert_eq(lab_propose(l, 1, 7), b);
	lab_start(l, 0);
	lab_run(l, 500);
	cr_assert(lab_agrees(l));
	cr_assert_eq(l->nodes[0].values[b], 7);
	lab_free(l);
}

Test(scenario, leadership_goes_to_whom_it_is_handed_without_a_pause)
{
	struct lab *l = lab_new(3);
	struct raft_effects fx = {0};
	uint64_t begin;

	lab_make_leader(l, 0);
	begin = l->now;
	cr_assert_eq(raft_transfer(at(l, 0), 3, &fx), 0);
	cr_assert_eq(lab_propose(l, 0, 5), 0); /* not proposed: ask node 2 */
	cr_assert_eq(raft_transfer(at(l, 0), 2, &fx), -ERR_NOTLEADER);
	lab_effects(l, 0, &fx);
	while (raft_role(at(l, 2)) != RAFT_LEADER && l->now < begin + 100000)
		lab_run(l, 1);
	cr_assert_lt(l->now - begin, 10000);
	raft_effects_deinit(&fx);
	lab_free(l);
}

Test(scenario, hand_over_waits_for_what_is_in_flight)
{
	struct lab *l = lab_new(3);
	struct raft_effects fx = {0};
	uint64_t index;

	lab_make_leader(l, 0);
	l->nodes[0].stuck = 1;
	index = lab_propose(l, 0, 5);
	cr_assert_eq(raft_transfer(at(l, 0), 3, &fx), 0);
	lab_effects(l, 0, &fx);
	raft_effects_deinit(&fx);
	cr_assert(raft_hands_over(at(l, 0)));
	lab_run(l, 20); /* the heir has it, and so has a majority */
	cr_assert_geq(raft_match(at(l, 0), 3), index);
	cr_assert_eq(raft_role(at(l, 0)), RAFT_LEADER);
	lab_unstick(l, 0);
	for (int ms = 0; raft_role(at(l, 0)) == RAFT_LEADER && ms < 100; ms++)
		lab_run(l, 1);
	cr_assert_eq(l->nodes[0].applied, index); /* so it was answered */
	lab_run(l, 20);
	cr_assert_eq(raft_role(at(l, 2)), RAFT_LEADER);
	cr_assert(lab_agrees(l));
	lab_free(l);
}

Test(scenario, hand_over_that_fails_leaves_the_leader_at_work)
{
	struct lab *l = lab_new(3);
	struct raft_effects fx = {0};

	lab_make_leader(l, 0);
	lab_crash(l, 2);
	cr_assert_eq(raft_transfer(at(l, 0), 3, &fx), 0);
	lab_effects(l, 0, &fx);
	raft_effects_deinit(&fx);
	lab_run(l, 160);
	cr_assert(lab_propose(l, 0, 5));
	lab_free(l);
}
