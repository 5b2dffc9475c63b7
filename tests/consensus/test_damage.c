/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* A replica that has lost part of its log, and the promises that it forgot. */
#include <criterion/criterion.h>

#include "src/base/err.h"
#include "tests/consensus/lab.h"

#define LATE 5 /* the first entry after the no-op */

static struct raft *
at(struct lab *l, uint32_t i)
{
	return l->nodes[i].raft;
}

static int
remove_member(struct lab *l, raft_id id)
{
	struct raft_effects fx = {0};
	int r = raft_remove(at(l, 0), id, &fx);

	lab_effects(l, 0, &fx);
	raft_effects_deinit(&fx);
	return r;
}

static struct lab *
led_by_0(void)
{
	struct lab *l = lab_new(3);

	l->config.msg_entries = 1;
	for (uint32_t i = 0; i < 3; i++) {
		lab_crash(l, i);
		lab_start(l, i);
	}
	cr_assert(lab_campaign(l, 0));
	lab_run(l, 50);
	cr_assert_eq(raft_last(at(l, 0)), LATE - 1);
	return l;
}

static void
damage(struct lab *l, uint32_t i)
{
	lab_crash(l, i);
	l->nodes[i].last = l->nodes[i].base;
	l->nodes[i].damaged = 1;
	lab_start(l, i);
}

/* Entry LATE reaches replica 3 only, whose answer gets lost. */
static int
loses_answers(const struct lab *l, const struct raft_msg *m)
{
	(void)l;
	if (m->type == RAFT_APPEND_ANSWER)
		return m->from == 3 && m->index >= LATE;
	return m->type == RAFT_APPEND && m->to == 2 && m->index + m->n >= LATE;
}

/* It reaches nobody. */
static int
loses_entry(const struct lab *l, const struct raft_msg *m)
{
	(void)l;
	return m->type == RAFT_APPEND && m->n && m->index + m->n >= LATE;
}

Test(damage, an_answer_of_before_it_counts_for_nothing_however_late_it_comes)
{
	struct lab *l = led_by_0();
	struct raft_msg late = {.type = RAFT_APPEND_ANSWER,
	    .from = 3,
	    .to = 1,
	    .term = raft_term(at(l, 0)),
	    .index = LATE};
	struct raft_effects fx = {0};

	l->loses = loses_answers;
	cr_assert_eq(lab_propose(l, 0, 5), LATE);
	lab_run(l, 20);
	cr_assert_eq(l->nodes[2].last, LATE);
	l->loses = loses_entry;
	damage(l, 2);
	lab_run(l, 1000);
	cr_assert_not(raft_damaged(at(l, 2)));
	cr_assert_lt(l->nodes[2].last, LATE);
	raft_receive(at(l, 0), &late, &fx);
	lab_effects(l, 0, &fx);
	cr_assert_lt(raft_commit(at(l, 0)), LATE);
	l->loses = NULL;
	lab_run(l, 500);
	cr_assert(lab_agrees(l));
	raft_effects_deinit(&fx);
	lab_free(l);
}

/* Who is being removed may lead, by the vote that was forgotten. */
Test(damage, is_not_whole_again_while_members_change)
{
	struct lab *l = led_by_0();

	lab_isolate(l, 1, 1);
	lab_isolate(l, 2, 1);
	cr_assert_eq(remove_member(l, 2), 0);
	damage(l, 2);
	l->cut[0][2] = l->cut[2][0] = 0;
	lab_run(l, 1000);
	cr_assert_eq(raft_role(at(l, 0)), RAFT_LEADER);
	cr_assert(raft_damaged(at(l, 2)));
	cr_assert_lt(raft_commit(at(l, 0)), raft_last(at(l, 0)));
	lab_free(l);
}

Test(damage, keeps_the_others_from_being_removed)
{
	struct lab *l = led_by_0();

	lab_isolate(l, 1, 1);
	damage(l, 2);
	lab_run(l, 50);
	cr_assert(raft_damaged(at(l, 2)));
	cr_assert_eq(remove_member(l, 2), -ERR_BUSY);
	lab_mend(l);
	lab_run(l, 500);
	cr_assert_not(raft_damaged(at(l, 2)));
	cr_assert_eq(remove_member(l, 2), 0);
	lab_free(l);
}

static uint64_t asked_in; /* the run of the last question for a vote */

static int
notes_run(const struct lab *l, const struct raft_msg *m)
{
	(void)l;
	if (m->type == RAFT_VOTE)
		asked_in = m->round;
	return m->type == RAFT_VOTE;
}

/* Who asked before a restart may have forgotten that it did, and who voted then
 * may vote again. */
Test(damage, a_vote_that_was_given_to_a_former_run_does_not_count)
{
	struct lab *l = led_by_0();
	struct raft_msg m = {.from = 1, .to = 2, .term = raft_term(at(l, 0))};
	struct raft_effects fx = {0};

	l->loses = notes_run;
	m.type = RAFT_TIMEOUT_NOW;
	raft_receive(at(l, 1), &m, &fx);
	lab_effects(l, 1, &fx);
	cr_assert_eq(raft_role(at(l, 1)), RAFT_CANDIDATE);
	cr_assert_neq(asked_in, 0);
	m.type = RAFT_VOTE_ANSWER;
	m.from = 3;
	m.term++;
	m.round = asked_in + 2;
	raft_receive(at(l, 1), &m, &fx);
	lab_effects(l, 1, &fx);
	cr_assert_eq(raft_role(at(l, 1)), RAFT_CANDIDATE);
	m.round = asked_in;
	raft_receive(at(l, 1), &m, &fx);
	lab_effects(l, 1, &fx);
	cr_assert_eq(raft_role(at(l, 1)), RAFT_LEADER);
	raft_effects_deinit(&fx);
	lab_free(l);
}

/* Of the last message that would heal replica 3 and is lost; those that would
 * heal FORMER_RUN arrive. */
static uint64_t healed_run, former_run;

static int
loses_healing(const struct lab *l, const struct raft_msg *m)
{
	(void)l;
	if (m->type != RAFT_APPEND || m->to != 3 || m->heal == 0 ||
	    m->heal == former_run)
		return 0;
	healed_run = m->heal;
	return 1;
}

/* Replica 3 is damaged, and only needs to be told that it is whole. */
static struct lab *
could_be_whole(void)
{
	struct lab *l = led_by_0();

	healed_run = former_run = 0;
	l->loses = loses_healing;
	damage(l, 2);
	lab_run(l, 500);
	cr_assert(raft_damaged(at(l, 2)));
	cr_assert_neq(healed_run, 0);
	return l;
}

/* Between the two damages it may have been whole, and have voted. */
Test(damage, is_not_healed_by_what_was_meant_for_a_former_run)
{
	struct lab *l = could_be_whole();

	former_run = healed_run;
	lab_crash(l, 2); /* this time its log is whole, and a vote is gone */
	l->nodes[2].damaged = 1;
	lab_start(l, 2);
	lab_run(l, 500);
	cr_assert(raft_damaged(at(l, 2)));
	cr_assert_neq(healed_run, former_run);
	l->loses = NULL;
	lab_run(l, 500);
	cr_assert_not(raft_damaged(at(l, 2)));
	lab_free(l);
}

/* What the others confirmed before the second says nothing of what was forgotten
 * in it. */
Test(damage, that_comes_again_has_to_be_healed_again)
{
	struct lab *l = could_be_whole();

	lab_isolate(l, 1, 1);
	l->loses = NULL;
	damage(l, 2);
	lab_run(l, 500);
	cr_assert_eq(raft_role(at(l, 0)), RAFT_LEADER);
	cr_assert(raft_damaged(at(l, 2)));
	lab_mend(l);
	lab_run(l, 500);
	cr_assert_not(raft_damaged(at(l, 2)));
	lab_free(l);
}

/* Of five: in each majority there is one that forgot nothing. */
Test(damage, of_two_replicas_heals_when_the_others_confirm_the_leader)
{
	struct lab *l = lab_new(5);

	cr_assert(lab_campaign(l, 0));
	lab_propose(l, 0, 5);
	lab_run(l, 50);
	lab_isolate(l, 4, 1);
	damage(l, 2);
	damage(l, 3);
	lab_run(l, 1000);
	cr_assert(raft_damaged(at(l, 2)) && raft_damaged(at(l, 3)));
	lab_mend(l);
	lab_run(l, 1000);
	cr_assert_not(raft_damaged(at(l, 2)));
	cr_assert_not(raft_damaged(at(l, 3)));
	cr_assert(lab_agrees(l));
	lab_free(l);
}
