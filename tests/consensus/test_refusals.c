/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * What a group refuses: messages that make no sense, lies, and anything once it
 * has failed.  None of it ends the process, and a failed group says nothing.
 */
#include <criterion/criterion.h>

#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/consensus/lab.h"

static struct raft *
at(struct lab *l, uint32_t i)
{
	return l->nodes[i].raft;
}

/* Led by node 0, with two entries, everywhere. */
static struct lab *
led(uint32_t n)
{
	struct lab *l = lab_new(n);

	if (n > 1)
		lab_make_leader(l, 0);
	lab_propose(l, 0, 5);
	lab_propose(l, 0, 6);
	lab_run(l, 100);
	return l;
}

/* Node I gets M, with everything in it right but what is given. */
static void
tell(struct lab *l, uint32_t i, struct raft_msg m)
{
	struct raft_effects fx = {0};

	raft_receive(at(l, i), &m, &fx);
	lab_effects(l, i, &fx);
	raft_effects_deinit(&fx);
}

/* --- messages that make no sense ------------------------------------------ */

static const struct raft_member twice[] = {{.id = 1, .voter = 1}, {.id = 1}};
static const struct raft_member nobody[] = {{.id = 0, .voter = 1}};
static const struct raft_member no_voter[] = {{.id = 1}, {.id = 2}};

Test(refusals, messages_that_make_no_sense_change_nothing)
{
	struct raft_members bad[] = {{2, twice}, {1, nobody}, {2, no_voter},
	    {RAFT_MEMBERS_MAX + 1, twice}};
	struct raft_entry e[] = {
	    {.term = 1, .kind = RAFT_DATA}, /* older than its predecessor */
	    {.term = 99, .kind = RAFT_DATA},
	    {.term = 9, .kind = (enum raft_kind)0},
	    {.term = 9, .kind = (enum raft_kind)9},
	    {.term = 9, .kind = RAFT_MEMBERS, .members = NULL},
	    {.term = 9, .kind = RAFT_MEMBERS, .members = &bad[0]},
	    {.term = 9, .kind = RAFT_MEMBERS, .members = &bad[1]},
	    {.term = 9, .kind = RAFT_MEMBERS, .members = &bad[2]},
	    {.term = 9, .kind = RAFT_MEMBERS, .members = &bad[3]},
	};
	struct raft_msg good = {
	    .type = RAFT_APPEND, .from = 1, .to = 2, .term = 9};
	struct lab *l = led(3);
	uint64_t term = raft_term(at(l, 1)), last = raft_last(at(l, 1));

	good.index = last;
	good.log_term = term;
	for (size_t i = 0; i < sizeof(e) / sizeof(*e); i++) {
		struct raft_msg m = good;

		m.n = 1;
		m.entries = &e[i];
		tell(l, 1, m);
	}
	for (int i = 0; i < 9; i++) {
		struct raft_msg m = good;

		if (i == 0)
			m.to = 3;
		else if (i == 1)
			m.from = 0;
		else if (i == 2)
			m.from = 2;
		else if (i == 3)
			m.term = UINT64_MAX;
		else if (i == 4)
			m.log_term = 10;
		else if (i == 5)
			m.type = RAFT_MSG_TYPES;
		else if (i == 6)
			m.type = (enum raft_msg_type)0;
		else
			m.type = i == 7 ? RAFT_VOTE : RAFT_APPEND_ANSWER;
		m.n = i > 6;
		m.entries = &e[1];
		if (i == 5 || i == 6)
			m.term = term;
		tell(l, 1, m);
	}
	cr_assert_eq(raft_term(at(l, 1)), term);
	cr_assert_eq(raft_last(at(l, 1)), last);
	cr_assert_not(raft_failed(at(l, 1)));
	lab_free(l);
}

Test(refusals, an_append_that_ends_beyond_all_indexes_is_dropped)
{
	static const struct raft_entry e = {.term = 9, .kind = RAFT_DATA};
	struct lab *l = led(3);
	uint64_t term = raft_term(at(l, 1));

	tell(l, 1,
	    (struct raft_msg){.type = RAFT_APPEND,
		.from = 1,
		.to = 2,
		.term = 9,
		.log_term = 9,
		.index = UINT64_MAX,
		.n = 1,
		.entries = &e});
	cr_assert_eq(raft_term(at(l, 1)), term);
	lab_free(l);
}

/* --- lies ----------------------------------------------------------------- */

/* Everything that a host may ask of a group that has failed. */
static void
check_failed(struct lab *l, uint32_t i)
{
	struct raft *r = at(l, i);
	struct raft_entry e = {.kind = RAFT_DATA};
	struct raft_fill fill = {.leader_term = 99, .index = 99, .term = 99};
	struct raft_effects fx = {0};
	uint64_t first, base = raft_base(r);
	raft_id id;

	cr_assert(raft_failed(r));
	cr_assert_not(raft_ready(r));
	cr_assert_eq(raft_propose(r, &e, 1, &first, &fx), -ERR_NOTLEADER);
	cr_assert_eq(raft_read(r, 1, &fx), -ERR_NOTLEADER);
	cr_assert_eq(raft_transfer(r, 2, &fx), -ERR_NOTLEADER);
	cr_assert_eq(raft_promote(r, 2, &fx), -ERR_NOTLEADER);
	cr_assert_eq(raft_remove(r, 2, &fx), -ERR_NOTLEADER);
	cr_assert_eq(
	    raft_add_learner(r, l->nodes[5].name, &id, &fx), -ERR_NOTLEADER);
	cr_assert_eq(raft_fill_needed(r, 2, &fx), -ERR_NOTLEADER);
	cr_assert_not(raft_wants_fill(r, &fill));
	raft_fill_ended(r, 2, &fx);
	raft_filled(r, &fill, &fx);
	raft_campaign(r, &fx);
	raft_tick(r, l->now + 10000000, &fx);
	raft_persisted(r, 1000000, &fx);
	raft_compact(r, raft_last(r));
	raft_receive(r,
	    &(struct raft_msg){.type = RAFT_VOTE,
		.from = 3,
		.to = i + 1,
		.term = 99,
		.index = 99,
		.log_term = 99},
	    &fx);
	cr_assert_eq(fx.n, 0);
	cr_assert_eq(raft_base(r), base);
	raft_effects_deinit(&fx);
}

Test(refusals, a_second_leader_of_a_term_quarantines_the_group)
{
	struct lab *l = led(3);
	struct raft_msg m = {.type = RAFT_APPEND,
	    .from = 2,
	    .to = 1,
	    .term = raft_term(at(l, 0)) - 1};

	tell(l, 0, m); /* an old one is told */
	cr_assert_not(raft_failed(at(l, 0)));
	m.term++;
	tell(l, 0, m);
	cr_assert_eq(l->nodes[0].n_failed, 1);
	check_failed(l, 0);
	lab_free(l);
}

Test(refusals, a_leader_that_contradicts_what_is_committed_is_not_followed)
{
	struct lab *l = led(3);
	uint64_t last = raft_last(at(l, 1));
	struct raft_entry e[2] = {
	    {.term = 9, .kind = RAFT_DATA}, {.term = 9, .kind = RAFT_DATA}};

	cr_assert_eq(raft_commit(at(l, 1)), last);
	tell(l, 1,
	    (struct raft_msg){.type = RAFT_APPEND,
		.from = 1,
		.to = 2,
		.term = 9,
		.index = last - 1,
		.log_term = raft_term_at(at(l, 1), last - 1),
		.n = 2,
		.entries = e});
	cr_assert_eq(raft_last(at(l, 1)), last);
	check_failed(l, 1);
	lab_free(l);
}

Test(refusals, a_follower_that_has_more_than_its_leader_quarantines_the_group)
{
	struct lab *l = led(3);

	tell(l, 0,
	    (struct raft_msg){.type = RAFT_APPEND_ANSWER,
		.from = 2,
		.to = 1,
		.term = raft_term(at(l, 0)),
		.round = 1u << 30, /* that there never was */
		.index = raft_last(at(l, 0)) + 1});
	check_failed(l, 0);
	lab_free(l);
}

/* --- questions to the wrong one ------------------------------------------- */

Test(refusals, a_follower_refuses_what_only_a_leader_does)
{
	struct lab *l = led(3);
	struct raft_entry e = {.kind = RAFT_DATA};
	struct raft_effects fx = {0};
	struct raft *r = at(l, 1);
	uint64_t first;

	cr_assert_eq(raft_propose(r, &e, 1, &first, &fx), -ERR_NOTLEADER);
	cr_assert_eq(raft_read(r, 1, &fx), -ERR_NOTLEADER);
	cr_assert_eq(raft_transfer(r, 3, &fx), -ERR_NOTLEADER);
	cr_assert_eq(raft_promote(r, 3, &fx), -ERR_NOTLEADER);
	cr_assert_eq(raft_remove(r, 3, &fx), -ERR_NOTLEADER);
	cr_assert_not(raft_caught_up(r, 3));
	raft_fill_ended(r, 3, &fx);
	cr_assert_eq(fx.n, 0);
	raft_effects_deinit(&fx);
	lab_free(l);
}

Test(refusals, a_leader_refuses_what_is_about_nobody)
{
	struct lab *l = led(3);
	struct raft_effects fx = {0};
	struct raft *r = at(l, 0);

	cr_assert_eq(raft_transfer(r, 1, &fx), -ERR_INVAL);
	cr_assert_eq(raft_transfer(r, 99, &fx), -ERR_INVAL);
	cr_assert_eq(raft_promote(r, 99, &fx), -ERR_INVAL);
	cr_assert_eq(raft_promote(r, 2, &fx), -ERR_INVAL);
	cr_assert_eq(raft_remove(r, 99, &fx), -ERR_INVAL);
	cr_assert_eq(raft_fill_needed(r, 1, &fx), -ERR_INVAL);
	cr_assert_not(raft_caught_up(r, 99));
	raft_fill_ended(r, 99, &fx);
	raft_fill_ended(r, 2, &fx); /* there was none */
	raft_campaign(r, &fx);
	raft_compact(r, raft_last(r) + 1);
	raft_persisted(r, 1, &fx); /* long since */
	cr_assert_eq(fx.n, 0);
	cr_assert_eq(raft_role(r), RAFT_LEADER);
	raft_effects_deinit(&fx);
	lab_free(l);
}

Test(refusals, a_learner_that_is_not_committed_is_not_filled)
{
	struct lab *l = led(3);
	struct raft_effects fx = {0};
	raft_id id;

	lab_isolate(l, 0, 1);
	cr_assert_eq(raft_add_learner(at(l, 0), l->nodes[3].name, &id, &fx), 0);
	cr_assert_eq(raft_fill_needed(at(l, 0), id, &fx), -ERR_BUSY);
	lab_effects(l, 0, &fx);
	raft_effects_deinit(&fx);
	lab_free(l);
}

Test(refusals, a_group_has_no_more_than_64_members)
{
	struct lab *l = led(1);
	struct raft_effects fx = {0};
	uint8_t name[16] = {0};
	raft_id id;

	l->fills_by_hand = 1;
	for (uint32_t i = 1; i <= RAFT_MEMBERS_MAX; i++) {
		name[0] = (uint8_t)(100 + i);
		cr_assert_eq(raft_add_learner(at(l, 0), name, &id, &fx),
		    i < RAFT_MEMBERS_MAX ? 0 : -ERR_LIMIT);
		/* The lab keeps few members: it is on the disk all the same. */
		for (uint32_t k = 0; k < fx.n; k++)
			if (fx.items[k].type == RAFT_PERSIST_ENTRIES) {
				uint64_t seq = fx.items[k].seq;

				fx.n = 0;
				raft_persisted(at(l, 0), seq, &fx);
				break;
			}
		fx.n = 0;
	}
	cr_assert_eq(raft_members(at(l, 0))->n, RAFT_MEMBERS_MAX);
	raft_effects_deinit(&fx);
	lab_free(l);
}

Test(refusals, a_leader_knows_who_has_caught_up)
{
	struct lab *l = led(3);

	cr_assert(raft_caught_up(at(l, 0), 2));
	lab_crash(l, 1);
	cr_assert(raft_caught_up(at(l, 0), 2));
	for (uint32_t i = 0; i < 100; i++)
		lab_propose(l, 0, 100 + i);
	lab_run(l, 100);
	cr_assert_not(raft_caught_up(at(l, 0), 2)); /* too much behind */
	lab_start(l, 1);
	lab_run(l, 200);
	cr_assert(raft_caught_up(at(l, 0), 2));
	lab_crash(l, 1);
	lab_run(l, 400);
	cr_assert_not(raft_caught_up(at(l, 0), 2)); /* it says nothing */
	lab_free(l);
}

/* --- memory --------------------------------------------------------------- */

static int
refuse_after(void *arg, size_t n)
{
	uint32_t *left = arg;

	(void)n;
	return *left == 0 || (*left)-- == 0;
}

Test(refusals, without_memory_there_is_no_group)
{
	struct raft_config c = {
	    .self = 1, .window_entries = 1, .msg_entries = 1};
	struct raft_state st = {0};

	for (uint32_t i = 0; i < 2; i++) {
		uint32_t left = i;

		mem_set_hook(refuse_after, &left);
		cr_assert_null(raft_new(&c, &st));
		mem_set_hook(NULL, NULL);
	}
}

/* Not even RAFT_FAILED may find room: raft_failed says it. */
Test(refusals, without_memory_for_effects_the_group_has_failed)
{
	struct lab *l = led(3);
	struct raft_effects fx = {0};
	uint32_t left = 0;

	mem_set_hook(refuse_after, &left);
	raft_tick(at(l, 0), l->now + 1000000, &fx);
	mem_set_hook(NULL, NULL);
	cr_assert_eq(fx.n, 0);
	check_failed(l, 0);
	lab_free(l);
}
