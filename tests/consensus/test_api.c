/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* What a host relies on: bodies, positions, restoring, new members, memory. */
#include <criterion/criterion.h>
#include <malloc.h>

#include "src/base/err.h"
#include "tests/consensus/lab.h"

Test(raft, alone_leads_without_waiting)
{
	struct lab *l = lab_new(1);

	cr_assert(raft_ready(l->nodes[0].raft));
	cr_assert_eq(lab_propose(l, 0, 7), 2);
	cr_assert_eq(l->nodes[0].values[2], 7);
	lab_free(l);
}

Test(raft, campaign_does_nothing_when_others_vote)
{
	struct lab *l = lab_new(3);

	for (uint32_t i = 0; i < 3; i++)
		cr_assert_eq(raft_role(l->nodes[i].raft), RAFT_FOLLOWER);
	lab_free(l);
}

Test(raft, is_ready_once_its_first_entry_is_applied)
{
	struct lab *l = lab_new(1);

	lab_crash(l, 0);
	l->nodes[0].stuck = 1;
	lab_start(l, 0);
	cr_assert_not(raft_ready(l->nodes[0].raft));
	lab_unstick(l, 0);
	cr_assert(raft_ready(l->nodes[0].raft));
	lab_free(l);
}

/* --- new members ---------------------------------------------------------- */

static raft_id
add(struct lab *l, uint32_t leader, uint32_t node)
{
	struct raft_effects fx = {0};
	raft_id id = 0;

	cr_assert_eq(raft_add_learner(
			 l->nodes[leader].raft, l->nodes[node].name, &id, &fx),
	    0);
	lab_effects(l, leader, &fx);
	raft_effects_deinit(&fx);
	return id;
}

Test(raft, learner_has_the_index_of_its_entry_and_begins_with_a_fill)
{
	struct lab *l = lab_new(1);
	raft_id id;

	lab_propose(l, 0, 7);
	id = add(l, 0, 1);
	cr_assert_eq(id, 3);
	cr_assert_eq(l->nodes[0].n_fills, 1);
	cr_assert_eq(l->nodes[1].id, 3);
	lab_run(l, 200);
	cr_assert(lab_agrees(l));
	cr_assert_eq(l->nodes[1].values[2], 7);
	lab_free(l);
}

Test(raft, learner_is_not_created_before_its_entry_is_committed)
{
	struct lab *l = lab_new(3);

	lab_make_leader(l, 0);
	l->fills_by_hand = 1;
	lab_isolate(l, 0, 1);
	add(l, 0, 3);
	lab_run(l, 20);
	cr_assert_eq(l->nodes[0].n_fills, 0);
	lab_mend(l);
	lab_run(l, 100);
	cr_assert_eq(l->nodes[0].n_fills, 1);
	lab_free(l);
}

Test(raft, next_leader_asks_about_learners_that_say_nothing)
{
	struct lab *l = lab_new(3);
	raft_id id;

	lab_make_leader(l, 0);
	l->fills_by_hand = 1;
	id = add(l, 0, 3);
	lab_run(l, 100);
	lab_make_leader(l, 1);
	cr_assert_eq(l->nodes[1].n_fills, 0);
	lab_run(l, 250);
	cr_assert_eq(l->nodes[1].n_fills, 1);
	cr_assert_eq(l->nodes[1].fill, id);
	lab_fill(l, 1, id);
	lab_run(l, 500);
	cr_assert_eq(l->nodes[1].n_fills, 1);
	cr_assert(lab_agrees(l));
	lab_free(l);
}

Test(raft, silent_learner_is_filled_again_but_a_silent_voter_is_not)
{
	struct lab *l = lab_new(3);
	struct raft_effects fx = {0};
	raft_id id;

	lab_make_leader(l, 0);
	id = add(l, 0, 3);
	lab_run(l, 100);
	lab_replace_disk(l, 3);
	lab_replace_disk(l, 2);
	l->fills_by_hand = 1;
	cr_assert_eq(raft_fill_needed(l->nodes[0].raft, 3, &fx), -ERR_INVAL);
	cr_assert_eq(raft_fill_needed(l->nodes[0].raft, 99, &fx), -ERR_INVAL);
	cr_assert_eq(raft_fill_needed(l->nodes[0].raft, id, &fx), 0);
	cr_assert_eq(raft_fill_needed(l->nodes[0].raft, id, &fx), 0);
	lab_effects(l, 0, &fx);
	cr_assert_eq(l->nodes[0].n_fills, 2);
	cr_assert_eq(
	    raft_fill_needed(l->nodes[1].raft, id, &fx), -ERR_NOTLEADER);
	raft_effects_deinit(&fx);
	lab_free(l);
}

Test(raft, node_has_one_member_at_a_time)
{
	struct lab *l = lab_new(1);
	struct raft_effects fx = {0};
	raft_id id = add(l, 0, 1), again = 0;

	lab_run(l, 100);
	cr_assert_eq(
	    raft_add_learner(l->nodes[0].raft, l->nodes[1].name, &again, &fx),
	    -ERR_EXISTS);
	cr_assert_eq(raft_remove(l->nodes[0].raft, 1, &fx), -ERR_INVAL);
	cr_assert_eq(raft_remove(l->nodes[0].raft, id, &fx), 0);
	lab_effects(l, 0, &fx);
	again = add(l, 0, 1);
	cr_assert_gt(again, id);
	lab_run(l, 200);
	cr_assert(lab_agrees(l));
	cr_assert_eq(l->nodes[1].id, again);
	raft_effects_deinit(&fx);
	lab_free(l);
}

/* --- entries -------------------------------------------------------------- */

Test(raft, body_may_leave_memory_while_the_entry_stays)
{
	struct lab *l = lab_new(1);
	struct raft *r = l->nodes[0].raft;

	lab_propose(l, 0, 7);
	raft_set_position(r, 2, 4096);
	raft_drop_body(r, 2);
	cr_assert_null(raft_entry_at(r, 2)->body);
	cr_assert_eq(raft_entry_at(r, 2)->position, 4096);
	cr_assert_eq(raft_entry_at(r, 2)->bytes, 10);
	raft_set_body(r, 2, (void *)8, 10);
	cr_assert_eq(raft_entry_at(r, 2)->body, (void *)8);
	raft_drop_body(r, 99);
	raft_set_position(r, 99, 1);
	lab_free(l);
}

struct step {
	uint64_t index, term;
	int want;
	uint64_t last;
};

static void
restore(uint64_t base, uint64_t base_term, const struct step *steps, int n)
{
	struct raft_config c = {
	    .self = 1, .window_entries = 1, .msg_entries = 1};
	struct raft_state st = {
	    .base_index = base, .base_term = base_term, .term = 9};
	struct raft *r = raft_new(&c, &st);

	for (int i = 0; i < n; i++) {
		struct raft_entry e = {
		    .kind = RAFT_DATA, .term = steps[i].term};

		cr_assert_eq(raft_restore(r, &e, steps[i].index), steps[i].want,
		    "step %d", i);
		cr_assert_eq(raft_last(r), steps[i].last, "step %d", i);
		cr_assert_eq(raft_stable(r), steps[i].last, "step %d", i);
	}
	raft_free(r);
}

#define RESTORE(base, base_term, ...)                                          \
	do {                                                                   \
		static const struct step steps[] = {__VA_ARGS__};              \
                                                                               \
		restore(base, base_term, steps,                                \
		    (int)(sizeof(steps) / sizeof(steps[0])));                  \
	} while (0)

Test(raft, restored_entry_replaces_what_there_is_from_it_on)
{
	RESTORE(0, 0, {1, 1, 0, 1}, {2, 1, 0, 2}, {3, 1, 0, 3}, {2, 2, 0, 2},
	    {3, 2, 0, 3});
}

Test(raft, restoring_refuses_a_gap_and_a_term_that_goes_back)
{
	RESTORE(0, 0, {1, 3, 0, 1}, {3, 3, -ERR_CORRUPT, 1},
	    {2, 2, -ERR_CORRUPT, 1}, {2, 3, 0, 2});
}

Test(raft, restoring_skips_what_was_replaced_before_the_base)
{
	/* 8 and 9 came before 7 was replaced; 9 has a newer term. */
	RESTORE(7, 3, {6, 2, 0, 7}, {7, 2, 0, 7}, {8, 2, 0, 7}, {9, 4, 0, 7},
	    {7, 3, 0, 7}, {8, 5, 0, 8}, {9, 5, 0, 9});
	/* The beginning of that was recycled. */
	RESTORE(7, 3, {9, 2, 0, 7}, {8, 5, 0, 8});
	/* A replacement at or below the base takes along what is behind it. */
	RESTORE(7, 3, {8, 4, 0, 8}, {9, 4, 0, 9}, {7, 3, 0, 7});
}

/* --- memory --------------------------------------------------------------- */

#ifdef __SANITIZE_ADDRESS__
size_t __sanitizer_get_current_allocated_bytes(void);
#define IN_USE() __sanitizer_get_current_allocated_bytes()
#else
#define IN_USE() mallinfo2().uordblks
#endif

static struct raft *
idle_replica(raft_id self)
{
	static const struct raft_member three[] = {{.id = 1, .voter = 1},
	    {.id = 2, .voter = 1}, {.id = 3, .voter = 1}};
	struct raft_config c = {
	    .self = self, .window_entries = 64, .msg_entries = 64};
	struct raft_state st = {.term = 4,
	    .base_index = 100,
	    .base_term = 4,
	    .members = {.n = 3, .at = three}};

	return raft_new(&c, &st);
}

/* A burst, as a leader sends it; then it is committed and compacted. */
static void
burst(struct raft *r, uint64_t *seq, struct raft_effects *fx)
{
	static const struct raft_entry e = {.kind = RAFT_DATA, .term = 5};
	struct raft_msg m = {.type = RAFT_APPEND,
	    .from = 1,
	    .to = 2,
	    .term = 5,
	    .n = 1,
	    .entries = &e};

	for (uint64_t i = 101; i <= 600; i++) {
		m.index = m.commit = i - 1;
		m.log_term = i == 101 ? 4 : 5;
		raft_receive(r, &m, fx);
		for (uint32_t k = 0; k < fx->n; k++)
			if (fx->items[k].seq)
				*seq = fx->items[k].seq;
		fx->n = 0;
		raft_persisted(r, *seq, fx);
	}
	raft_compact(r, 599);
}

Test(raft, idle_replica_costs_little_heap)
{
	static struct raft *many[200];
	struct raft_effects fx = {0};
	uint64_t seq = 0;
	size_t before, bytes;

	burst(many[0] = idle_replica(2), &seq, &fx); /* FX has grown */
	raft_free(many[0]);
	before = IN_USE();
	for (int i = 0; i < 200; i++) {
		many[i] = idle_replica(2);
		raft_tick(many[i], 1, &fx);
		if (i % 2)
			burst(many[i], &seq, &fx);
	}
	bytes = (IN_USE() - before) / 200;
	cr_log_info("%zu bytes of heap in an idle replica", bytes);
	cr_assert_leq(bytes, 2048);
	for (int i = 0; i < 200; i++)
		raft_free(many[i]);
	raft_effects_deinit(&fx);
}
