/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Nodes that join, plan, commit, lose members and get them back. */
#include <criterion/criterion.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "tests/node/cluster_rig.h"

TestSuite(cluster, .timeout = 120);

#define STREAMS 12

static const char *
stream_name(int i)
{
	static char names[STREAMS][16];

	snprintf(names[i], sizeof(names[i]), "s%d", i);
	return names[i];
}

/* Events FROM..TO of each stream, through each node in turn. */
static void
put_all(struct rig *rig, uint32_t n_nodes, uint32_t from, uint32_t to)
{
	for (uint32_t nth = from; nth <= to; nth++)
		for (int i = 0; i < STREAMS; i++) {
			struct member *m =
			    &rig->at[(nth + (uint32_t)i) % n_nodes];
			int64_t seq = rig_put(m, stream_name(i), nth);

			cr_assert_eq(seq, nth, "%s through %s: %s",
			    stream_name(i), m->name,
			    seq < 0 ? err_text((int)seq) : "another seqnum");
		}
}

static void
check_all(struct rig *rig, uint32_t n_nodes, uint32_t n)
{
	for (int i = 0; i < STREAMS; i++)
		for (uint32_t k = 0; k < n_nodes; k++)
			if (rig->at[k].core && !rig->at[k].cut)
				cr_assert_eq(
				    rig_read(&rig->at[k], stream_name(i)), n,
				    "%s through %s", stream_name(i),
				    rig->at[k].name);
}

static void
join_all(struct rig *rig)
{
	for (uint32_t i = 1; i < RIG_NODES; i++)
		cr_assert_eq(rig_join(&rig->at[i], &rig->at[0]), ADMIN_OK);
	rig_run_for(rig, 3 * SECOND);
}

static void
form(struct rig *rig)
{
	join_all(rig);
	cr_assert_eq(rig_plan(&rig->at[1]), RING_OK);
	cr_assert_eq(rig_commit(&rig->at[2]), RING_OK);
	rig_wait_settled(rig, (int[]){4, 4, 4, 4});
}

Test(cluster, four_nodes_become_one_database_while_events_are_written)
{
	struct rig *rig = rig_new();

	put_all(rig, 1, 1, 5);
	join_all(rig);
	put_all(rig, 4, 6, 10); /* through those that are joining as well */
	cr_assert_eq(rig_plan(&rig->at[1]), RING_OK);
	cr_assert_eq(rig_commit(&rig->at[2]), RING_OK);
	put_all(rig, 4, 11, 20);
	rig_wait_settled(rig, (int[]){4, 4, 4, 4});
	put_all(rig, 4, 21, 25);
	check_all(rig, 4, 25);
}

Test(cluster, any_one_node_may_die_and_come_back)
{
	struct rig *rig = rig_new();
	uint32_t nth = 1;

	form(rig);
	put_all(rig, 4, nth, nth + 1);
	nth += 2;
	for (uint32_t k = 0; k < RIG_NODES; k++) {
		struct member *down = &rig->at[k];

		rig_kill(down);
		rig_run_for(rig, 4 * SECOND);
		for (int i = 0; i < STREAMS; i++)
			cr_assert_eq(rig_put(&rig->at[(k + 1) % RIG_NODES],
					 stream_name(i), nth),
			    nth, "without %s", down->name);
		nth++;
		rig_start(down);
		rig_run_for(rig, 3 * SECOND);
		put_all(rig, 4, nth, nth);
		nth++;
	}
	check_all(rig, 4, nth - 1);
}

Test(cluster, joined_nodes_go_back_when_it_is_cleared_and_may_join_again)
{
	struct rig *rig = rig_new();
	uint8_t own[16];

	memcpy(own, rig->at[1].identity.cluster_id, 16);
	cr_assert_eq(rig_join(&rig->at[1], &rig->at[0]), ADMIN_OK);
	rig_run_for(rig, 3 * SECOND);
	cr_assert_eq(rig_clear(&rig->at[0]), RING_OK);
	rig_run_for(rig, 5 * SECOND);
	cr_assert_arr_eq(rig->at[1].identity.cluster_id, own, 16);
	cr_assert_eq(rig_ring(&rig->at[1])->n_members, 1);
	cr_assert_eq(rig_put(&rig->at[1], "own", 1), 1);
	for (uint32_t i = 2; i < 4; i++)
		cr_assert_eq(rig_join(&rig->at[i], &rig->at[0]), ADMIN_OK);
	rig_run_for(rig, 3 * SECOND);
	cr_assert_eq(rig_plan(&rig->at[0]), RING_OK);
	cr_assert_eq(rig_commit(&rig->at[0]), RING_OK);
	rig_wait_settled(rig, (int[]){RIG_ANY, RIG_NONE, RIG_ANY, RIG_ANY});
}

Test(cluster, a_node_that_has_just_taken_a_write_is_not_let_in)
{
	struct rig *rig = rig_new();

	cr_assert_eq(rig_put(&rig->at[1], "own", 1), 1);
	cr_assert_eq(rig_join(&rig->at[1], &rig->at[0]), ADMIN_HOLDS_STREAMS);
	cr_assert_eq(rig_ring(&rig->at[0])->n_members, 1);
	cr_assert_eq(rig_put(&rig->at[1], "own", 2), 2);
}

Test(cluster, a_plan_that_no_longer_fits_is_not_carried_out)
{
	struct rig *rig = rig_new();

	cr_assert_eq(rig_plan(&rig->at[0]), RING_NOTHING_STAGED);
	cr_assert_eq(rig_join(&rig->at[1], &rig->at[0]), ADMIN_OK);
	cr_assert_eq(rig_commit(&rig->at[0]), RING_NOTHING_PLANNED);
	cr_assert_eq(rig_plan(&rig->at[0]), RING_OK);
	cr_assert_eq(rig_join(&rig->at[2], &rig->at[0]), ADMIN_OK);
	cr_assert_eq(rig_commit(&rig->at[0]), RING_PLAN_CHANGED);
}

Test(cluster, a_node_that_leaves_gives_all_away_and_ends)
{
	struct rig *rig = rig_new();

	form(rig);
	put_all(rig, 4, 1, 5);
	cr_assert_eq(rig_leave(&rig->at[0], rig->at[1].name), RING_OK);
	cr_assert_eq(rig_plan(&rig->at[0]), RING_OK);
	cr_assert_eq(rig_commit(&rig->at[0]), RING_OK);
	put_all(rig, 1, 6, 8);
	rig_wait_settled(rig, (int[]){RIG_ANY, RIG_NONE, RIG_ANY, RIG_ANY});
	rig_run_for(rig, 10 * SECOND);
	cr_assert(rig->at[1].exited);
	check_all(rig, 1, 8);
}

/* Each step of a plan waits for such, be it the last one. */
Test(cluster, a_change_is_known_to_all_with_their_next_heartbeats)
{
	struct rig *rig = rig_new();
	uint64_t begun, most = 0;

	form(rig);
	for (int i = 0; i < 10; i++) {
		begun = simenv_mono(rig->at[0].sim).us;
		cr_assert_eq(rig_leave(&rig->at[0], rig->at[1].name), RING_OK);
		if (simenv_mono(rig->at[0].sim).us - begun > most)
			most = simenv_mono(rig->at[0].sim).us - begun;
		cr_assert_eq(rig_clear(&rig->at[0]), RING_OK);
		rig_run_for(rig, 1037000);
	}
	cr_assert_lt(most, 150000, "%llu us", (unsigned long long)most);
}

struct limiting {
	struct fill_limit_call call;
	struct msg msg;
	struct member *member;
	int done, n_failed;
};

static void
limit_is_set(struct fill_limit_call *call, struct ring *ring, uint8_t *failed,
    int n_failed)
{
	struct limiting *l = CONTAINER_OF(call, struct limiting, call);

	l->done = 1;
	l->n_failed = n_failed;
	for (uint16_t i = 0; n_failed > 0 && i < ring->n_members; i++)
		cr_assert_eq(failed[i], strcmp(ring->members[i].name,
					    l->member->rig->at[3].name) == 0);
}

static void
begin_limiting(struct msg *m)
{
	struct limiting *l = CONTAINER_OF(m, struct limiting, msg);

	fill_limit_set(core_fill_limit(l->member->core), &l->call);
}

static int
is_limited(struct rig *rig, void *arg)
{
	(void)rig;
	return ((struct limiting *)arg)->done;
}

/* How many do not have it then; -1: there is no such member. */
static int
set_limit(struct member *m, const char *node, uint32_t limit)
{
	struct limiting l = {.member = m};

	l.call = (struct fill_limit_call){
	    .limit = limit, .node = node, .done = limit_is_set};
	rig_on_worker_0(m, &l.msg, begin_limiting);
	rig_run_until(m->rig, is_limited, &l, 10);
	return l.n_failed;
}

Test(cluster, a_transfer_limit_reaches_one_node_or_all_and_says_who_misses_it)
{
	struct rig *rig = rig_new();

	form(rig);
	cr_assert_eq(set_limit(&rig->at[1], rig->at[2].name, 9), 0);
	for (int i = 0; i < RIG_NODES; i++)
		cr_assert_eq(store_fill_limit(core_store(rig->at[i].core)),
		    i == 2 ? 9 : 2);
	cr_assert_eq(set_limit(&rig->at[1], NULL, 5), 0);
	for (int i = 0; i < RIG_NODES; i++)
		cr_assert_eq(store_fill_limit(core_store(rig->at[i].core)), 5);
	cr_assert_eq(set_limit(&rig->at[1], "nobody@h", 5), -1);
	rig_kill(&rig->at[3]);
	rig_run_for(rig, 2 * SECOND);
	cr_assert_eq(set_limit(&rig->at[0], NULL, 7), 1);
	cr_assert_eq(store_fill_limit(core_store(rig->at[2].core)), 7);
}

static int
is_removed(struct rig *rig, void *arg)
{
	(void)rig;
	return ((struct member *)arg)->removed;
}

static void
remove_by_force(struct rig *rig, const struct member *m)
{
	cr_assert_eq(rig_remove(&rig->at[0], m->name), RING_OK);
	cr_assert_eq(rig_plan(&rig->at[0]), RING_OK);
	cr_assert_eq(rig_commit(&rig->at[0]), RING_OK);
}

Test(cluster, a_node_removed_by_force_is_told_and_keeps_its_data)
{
	struct rig *rig = rig_new();
	struct member *gone = &rig->at[3];

	form(rig);
	put_all(rig, 4, 1, 3);
	remove_by_force(rig, gone);
	rig_run_until(rig, is_removed, gone, 5);
	rig_wait_settled(rig, (int[]){RIG_ANY, RIG_ANY, RIG_ANY, RIG_NONE});
	put_all(rig, 3, 4, 5);
	check_all(rig, 3, 5);
	cr_assert_not(gone->exited || gone->moves);
}

/* Nobody sends it anything, nor takes what it sends. */
Test(cluster, a_node_removed_while_it_was_down_learns_so_each_time_it_returns)
{
	struct rig *rig = rig_new();
	struct member *gone = &rig->at[3];

	form(rig);
	put_all(rig, 4, 1, 3);
	rig_kill(gone);
	rig_run_for(rig, 3 * SECOND);
	remove_by_force(rig, gone);
	rig_wait_settled(rig, (int[]){RIG_ANY, RIG_ANY, RIG_ANY, RIG_NONE});
	put_all(rig, 3, 4, 5);
	for (int life = 0; life < 2; life++) {
		rig_run_for(rig, 15 * SECOND); /* nobody tells it any more */
		rig_start(gone);
		rig_run_until(rig, is_removed, gone, 5);
		rig_run_for(rig, 3 * SECOND);
		cr_assert(cluster_is_gone(core_cluster(gone->core)));
		rig_kill(gone);
	}
	put_all(rig, 3, 6, 7);
	check_all(rig, 3, 7);
}

/* One that is merely alone for a while has nothing to learn. */
Test(cluster, a_member_that_was_cut_off_stays_one)
{
	struct rig *rig = rig_new();

	form(rig);
	rig->at[2].cut = 1;
	rig_run_for(rig, 10 * SECOND);
	rig->at[2].cut = 0;
	rig_run_for(rig, 5 * SECOND);
	cr_assert_not(rig->at[2].removed || rig->at[2].moves);
	put_all(rig, 4, 1, 2);
}

static int
is_valid(struct rig *rig, void *arg)
{
	const struct member *m = arg;
	const struct ring *r = rig_ring(&rig->at[0]);

	return r->members[ring_find(r, m->identity.node_id)].state ==
	       RING_VALID;
}

Test(cluster, a_node_marked_down_is_valid_again_once_it_is_back)
{
	struct rig *rig = rig_new();
	struct member *m = &rig->at[2];

	form(rig);
	rig_kill(m);
	rig_run_for(rig, 2 * SECOND);
	cr_assert_eq(rig_down(&rig->at[0], m->name), RING_OK);
	rig_run_for(rig, 5 * SECOND);
	cr_assert_not(is_valid(rig, m));
	rig_start(m);
	rig_run_until(rig, is_valid, m, 5);
}

/* Each still hears the others, which pass on what it cannot say itself. */
Test(cluster, two_that_do_not_hear_each_other_serve_all_streams)
{
	struct rig *rig = rig_new();

	form(rig);
	put_all(rig, 4, 1, 4);
	rig->at[0].deaf_to = 1u << 1;
	rig->at[1].deaf_to = 1u << 0;
	rig_run_for(rig, 8 * SECOND);
	put_all(rig, 2, 5, 10);
	check_all(rig, 4, 10);
}
