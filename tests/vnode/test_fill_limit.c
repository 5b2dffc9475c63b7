/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Three whole nodes on one virtual time: how many fills run at once, and what is
 * seen of those that fail. */
#include <criterion/criterion.h>

#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/vnode/nodes_rig.h"

TestSuite(fill_limit, .timeout = 120);

/* All groups go to all nodes. */
static void
place_all(struct nodes *rig)
{
	for (uint32_t g = 0; g < N_GROUPS; g++)
		for (int i = 0; i < N_NODES; i++) {
			struct placement *p = mem_zalloc(
			    sizeof(*p) +
			    N_NODES * sizeof(struct placement_replica));

			p->epoch = 2;
			p->n = N_NODES;
			memcpy(p->preferred, rig->nodes[0].id, 16);
			for (int k = 0; k < N_NODES; k++) {
				memcpy(p->at[k].node, rig->nodes[k].id, 16);
				p->at[k].voter = 1;
			}
			cr_assert_eq(store_place(rig->nodes[i].store, g, p), 0);
		}
}

static void
set_limit(struct nodes *rig, uint32_t n)
{
	for (int i = 0; i < N_NODES; i++)
		store_set_fill_limit(rig->nodes[i].store, n);
}

static int
all_placed(const struct nodes *rig)
{
	for (uint32_t g = 0; g < N_GROUPS; g++)
		if (store_placed(rig->nodes[0].store, g) != 2)
			return 0;
	return 1;
}

struct most {
	uint32_t sending, receiving, queued, rows;
	uint64_t bytes, events;
};

static void
look(struct nodes *rig, struct most *m)
{
	struct store_fills f;

	for (int i = 0; i < N_NODES; i++) {
		store_fills(rig->nodes[i].store, &f);
		m->sending = f.sending > m->sending ? f.sending : m->sending;
		m->queued = f.queued > m->queued ? f.queued : m->queued;
		m->receiving =
		    f.receiving > m->receiving ? f.receiving : m->receiving;
		cr_assert_eq(f.n, f.sending);
		for (uint32_t k = 0; k < f.n; k++) {
			cr_assert_neq(f.at[k].to[0], rig->nodes[i].id[0]);
			cr_assert_not(f.at[k].repair);
			if (f.at[k].total_bytes)
				cr_assert_leq(
				    f.at[k].events, f.at[k].total_events);
			m->rows++;
			m->bytes |= f.at[k].bytes;
			m->events |= f.at[k].total_events;
		}
	}
}

/* Until all is where it should be. */
static struct most
run(struct nodes *rig)
{
	struct most m = {0};

	for (int i = 0; i < 60000 && !all_placed(rig); i++) {
		nodes_run_for(rig, SECOND / 1000);
		look(rig, &m);
	}
	cr_assert(all_placed(rig));
	return m;
}

Test(fill_limit, so_many_are_given_and_taken_at_once)
{
	for (uint32_t limit = 1; limit <= 3; limit++) {
		struct nodes *rig = nodes_new();
		struct most m;

		set_limit(rig, limit);
		nodes_put_many(rig, 1, 300);
		nodes_run_for(rig, 100 * SECOND); /* in files */
		place_all(rig);
		m = run(rig);
		cr_assert_eq(m.sending, limit);
		cr_assert_leq(m.receiving, limit);
		cr_assert_gt(m.queued, 0);
		cr_assert_gt(m.rows, 0);
		nodes_check_all(rig, 300);
	}
}

Test(fill_limit, of_none_begins_none_until_it_is_raised)
{
	struct nodes *rig = nodes_new();
	struct most m = {0};

	set_limit(rig, 0);
	nodes_put_many(rig, 1, 300);
	nodes_run_for(rig, 100 * SECOND);
	place_all(rig);
	for (int i = 0; i < 2000; i++) {
		nodes_run_for(rig, SECOND / 100);
		look(rig, &m);
	}
	cr_assert_eq(m.sending + m.receiving, 0);
	cr_assert_gt(m.queued, 0);
	set_limit(rig, 2);
	m = run(rig);
	cr_assert_gt(m.bytes, 0);
	cr_assert_gt(m.events, 0);
	nodes_check_all(rig, 300);
	nodes_run_for(rig, 20 * SECOND);
	m = (struct most){0};
	look(rig, &m);
	cr_assert_eq(m.sending + m.receiving + m.queued, 0);
}

/* How many rows of the first node have ERROR; one of a fill that runs has none. */
static uint32_t
rows_with(struct nodes *rig, int error)
{
	struct store_fills f;
	uint32_t n = 0;

	store_fills(rig->nodes[0].store, &f);
	cr_assert_leq(f.sending, f.n);
	for (uint32_t k = 0; k < f.n; k++) {
		cr_assert_neq(f.at[k].started_ms, 0);
		n += f.at[k].error == error;
	}
	return n;
}

Test(fill_limit, who_wants_them_by_a_wrong_address_is_seen_until_it_is_right)
{
	struct nodes *rig = nodes_new();
	struct store_fills f;

	nodes_put_many(rig, 1, 300);
	nodes_run_for(rig, 100 * SECOND);
	rig->bulk_error = -ERR_STRANGER;
	place_all(rig);
	nodes_run_for(rig, 6 * SECOND);
	for (int i = 0; i < 600; i++) {
		nodes_run_for(rig, SECOND / 10);
		cr_assert_gt(rows_with(rig, ERR_STRANGER), 0, "%d", i);
		cr_assert_eq(rows_with(rig, ERR_CANCELED), 0);
		store_fills(rig->nodes[0].store, &f);
		cr_assert_eq(f.sending, 0);
		cr_assert_gt(f.queued, 0);
	}
	rig->bulk_error = -ERR_ITSELF; /* the newest is what is seen */
	nodes_run_for(rig, 60 * SECOND);
	cr_assert_gt(rows_with(rig, ERR_ITSELF), 0);
	cr_assert_eq(rows_with(rig, ERR_STRANGER), 0);
	rig->bulk_error = 0;
	for (int i = 0; i < 600 && !all_placed(rig); i++)
		nodes_run_for(rig, SECOND / 10);
	cr_assert(all_placed(rig));
	nodes_run_for(rig, 20 * SECOND);
	store_fills(rig->nodes[0].store, &f);
	cr_assert_eq(f.n + f.sending + f.queued, 0);
	nodes_check_all(rig, 300);
}
