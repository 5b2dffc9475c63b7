/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* chaos - what befalls machines and the net. */
#include <string.h>

#include "tests/sim/sim.h"

int
chaos_any_damaged(const struct sim *s)
{
	for (uint32_t i = 0; i < SIM_NODES; i++)
		if (s->nodes[i].id && s->nodes[i].disk.damaged)
			return 1;
	return 0;
}

/* Somebody may still count on a machine that is no more. */
static int
any_lost(struct sim *s)
{
	for (uint32_t i = 0; i < SIM_NODES; i++) {
		const struct raft *r = s->nodes[i].raft;

		if (s->nodes[i].id &&
		    (!r || members_lost(s, raft_members(r)) ||
			members_lost(s, raft_members_at(r, raft_commit(r)))))
			return 1;
	}
	return 0;
}

/* Everybody is there, and they agree on who they are, on their disks too. */
static int
all_agree(struct sim *s)
{
	const struct raft_members *first = NULL;

	for (uint32_t i = 0; i < SIM_NODES; i++) {
		const struct sim_node *n = &s->nodes[i];
		const struct raft_members *m;

		if (!n->id)
			continue;
		if (!n->up || n->n_ops)
			return 0;
		m = members_keep(s, raft_members(n->raft));
		if (first && m != first)
			return 0;
		first = m;
	}
	return first && members_voters(first) > 2;
}

static uint32_t
count_damaged(const struct sim *s)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < SIM_NODES; i++)
		n += s->nodes[i].id && s->nodes[i].disk.damaged;
	return n;
}

/* How many voters there are, as those believe who are up. */
static uint32_t
fewest_voters(struct sim *s)
{
	uint32_t fewest = UINT32_MAX;

	for (uint32_t i = 0; i < SIM_NODES; i++) {
		const struct raft *r = s->nodes[i].raft;
		uint32_t n = r ? members_voters(raft_members(r)) : 0;

		if (n && n < fewest)
			fewest = n;
	}
	return fewest;
}

/* A damaged replica has no vote, and one without its disk is no more: unless
 * the others are a majority, and agree, there may be no leader for good. */
static int
may_lose_one(struct sim *s)
{
	if (any_lost(s))
		return 0;
	if (s->reckless && fewest_voters(s) >= 5)
		return count_damaged(s) < 2;
	return !chaos_any_damaged(s) && (s->reckless || all_agree(s));
}

static struct sim_node *
victim(struct sim *s)
{
	struct sim_node *leader = sim_chance(s, 500) ? node_leader(s) : NULL;

	return leader ? leader : node_any(s);
}

static void
crash_one(struct sim *s)
{
	int damage = may_lose_one(s) && sim_chance(s, s->reckless ? 700 : 300);
	struct sim_node *n = victim(s);

	if (!n->up)
		return;
	node_crash(s, n);
	if (damage)
		disk_damage(s, n);
	sim_schedule(s, EV_START, sim_slot(s, n), 1000 + sim_below(s, 600000));
}

void
chaos_crash(struct sim *s, struct sim_node *n)
{
	int damage =
	    s->reckless && !s->quiet && sim_chance(s, 300) && may_lose_one(s);

	node_crash(s, n);
	if (damage)
		disk_damage(s, n);
	sim_schedule(s, EV_START, sim_slot(s, n),
	    500 +
		sim_below(s, s->hunted && sim_chance(s, 500) ? 400000 : 50000));
}

/* The machine comes back under another name, with nothing. */
static void
replace_disk(struct sim *s)
{
	struct sim_node *n = victim(s);

	if (!may_lose_one(s) || !n->up ||
	    members_voters(raft_members(n->raft)) < 2)
		return;
	sim_trace(s, "n%d: the disk is replaced", (int)n->id);
	node_remove(s, n);
	n->boot++;
	n->newest = 0;
	n->name[1]++;
}

static void
stop_one(struct sim *s)
{
	struct sim_node *n = victim(s);

	if (!n->up)
		return;
	n->stopped = 1;
	sim_trace(s, "n%d is stopped", (int)n->id);
	sim_schedule(
	    s, EV_RESUME, sim_slot(s, n), 10000 + sim_below(s, 500000));
}

static void
cut_some(struct sim *s)
{
	uint32_t side = (uint32_t)sim_below(s, 1u << SIM_NODES);
	int one_way = sim_chance(s, 300);

	if (sim_chance(s, 400)) {
		memset(s->cut, 0, sizeof(s->cut));
		sim_trace(s, "the net is whole");
		return;
	}
	for (uint32_t a = 0; a < SIM_NODES; a++)
		for (uint32_t b = 0; b < SIM_NODES; b++)
			s->cut[a][b] = (side >> a & 1) != (side >> b & 1) &&
				       !(one_way && (side >> a & 1));
	sim_trace(
	    s, "the net is cut: side %x%s", side, one_way ? ", one way" : "");
}

void
chaos_mute(struct sim *s, struct sim_node *n, int mute)
{
	uint32_t slot = sim_slot(s, n);

	memset(s->cut[slot], mute && !s->quiet, sizeof(s->cut[slot]));
	sim_trace(s, "n%d is %s", (int)n->id, mute ? "mute" : "heard again");
	if (mute)
		sim_schedule(s, EV_HEARD, slot, sim_below(s, 800000));
}

/* One that leads in an older term. */
static struct sim_node *
deposed(struct sim *s, const struct sim_node *n)
{
	for (uint32_t i = 0; i < SIM_NODES; i++) {
		struct sim_node *old = &s->nodes[i];

		if (old != n && old->up && !old->stopped &&
		    raft_role(old->raft) == RAFT_LEADER &&
		    raft_term(old->raft) < raft_term(n->raft))
			return old;
	}
	return NULL;
}

/* Somebody else, who is up. */
static struct sim_node *
third(struct sim *s, const struct sim_node *a, const struct sim_node *b)
{
	uint32_t from = (uint32_t)sim_below(s, SIM_NODES);

	for (uint32_t i = 0; i < SIM_NODES; i++) {
		struct sim_node *n = &s->nodes[(from + i) % SIM_NODES];

		if (n != a && n != b && n->up)
			return n;
	}
	return NULL;
}

static void
cut_both(struct sim *s, uint32_t a, uint32_t b, uint8_t cut)
{
	s->cut[a][b] = s->cut[b][a] = cut;
}

/*
 * Who was deposed sleeps through it, and finds a voter that has forgotten who
 * leads now, since its journal is damaged: does that one's word count?  It must
 * happen at once, or the deposed one knows by the time that it is deposed.
 */
void
chaos_plot(struct sim *s, struct sim_node *n)
{
	struct sim_node *old = deposed(s, n);
	struct sim_node *voter = old ? third(s, n, old) : NULL;
	uint64_t at = 5000 + sim_below(s, 60000);

	if (!voter)
		return;
	sim_trace(s, "n%d sleeps while n%d leads", (int)old->id, (int)n->id);
	old->stopped = 1;
	cut_both(s, sim_slot(s, old), sim_slot(s, n), 1);
	cut_both(s, sim_slot(s, old), sim_slot(s, voter), 1);
	if (sim_chance(s, 500))
		people_remove(s, old, n->id);
	sim_schedule(s, EV_FORGET, sim_slot(s, voter), at)->from_slot =
	    sim_slot(s, old);
	sim_schedule(s, EV_MUTE, sim_slot(s, n), at);
	sim_schedule(s, EV_RESUME, sim_slot(s, old), at + 1000);
}

void
chaos_forget(struct sim *s, struct sim_node *n, uint32_t old)
{
	cut_both(s, sim_slot(s, n), old, 0);
	if (s->quiet || !may_lose_one(s))
		return;
	node_crash(s, n);
	disk_damage(s, n);
	sim_schedule(s, EV_START, sim_slot(s, n), 100 + sim_below(s, 1000));
}

void
chaos_deafen(struct sim *s, struct sim_node *n)
{
	for (uint32_t i = 0; i < SIM_NODES; i++)
		s->cut[i][sim_slot(s, n)] = 1;
	sim_trace(s, "n%d is deaf", (int)n->id);
}

static void
has_room(struct sim *s, struct sim_node *n)
{
	n->full = 0;
	disk_start_sync(s, n);
}

/* A disk that fills up takes no more, and goes on when there is room.  A leader
 * hands over, as its host would do. */
static void
fill_disk(struct sim *s)
{
	struct sim_node *n = node_any(s), *to = node_any(s);
	struct raft_effects fx = {0};

	if (!n->up)
		return;
	sim_trace(s, "n%d: the disk %s", (int)n->id,
	    n->full ? "has room" : "is full");
	if (n->full) {
		has_room(s, n);
		return;
	}
	n->full = 1;
	if (raft_role(n->raft) == RAFT_LEADER) {
		raft_transfer(sim_core(s, n), to->id, &fx);
		sim_done(s, n, &fx);
	}
}

/* Forward: a monotonic clock does not go back, but its machine may sleep. */
static void
jump_clock(struct sim *s)
{
	struct sim_node *n = node_any(s);

	n->ahead_us += sim_below(s, 1000000);
	sim_trace(s, "n%d: the clock jumps", (int)n->id);
}

void
chaos_begin(struct sim *s)
{
	s->harm = s->cuts = 2;
	s->delay_max = 1000;
	s->drop = s->dup = s->straggling = 5;
	s->jitter_us = 60000;
	s->straggling_us = 400000;
	s->operators = 2;
	if (!s->o.hostile)
		return;
	s->harm = 8;
	s->cuts = sim_chance(s, 700) ? 8 : 30;
	s->hunted = sim_chance(s, 500) ? 0 : 400 + (uint32_t)sim_below(s, 600);
	s->delay_max = 200 + sim_below(s, 20000);
	s->drop = (uint32_t)sim_below(s, 300);
	s->dup = (uint32_t)sim_below(s, 100);
	s->straggling = sim_chance(s, 500) ? 5 : 60;
	s->held = sim_chance(s, 700) ? 0 : 1 + (uint32_t)sim_below(s, 30);
	s->jitter_us = sim_chance(s, 500) ? 60000 : 8000;
	s->straggling_us = sim_chance(s, 500) ? 400000 : 1500000;
	s->operators = sim_chance(s, 500) ? 2 : 20 * sim_chance(s, 600);
	s->aimed = sim_chance(s, 500) ? 0 : 1 + (uint32_t)sim_below(s, 20);
	s->no_memory = sim_chance(s, 800) ? 0 : (uint32_t)sim_below(s, 2000);
	s->reckless = sim_chance(s, 250);
}

void
chaos_tick(struct sim *s)
{
	if (sim_chance(s, s->harm))
		crash_one(s);
	if (sim_chance(s, s->cuts))
		cut_some(s);
	if (sim_chance(s, s->harm / 2))
		stop_one(s);
	if (sim_chance(s, s->harm / 2))
		fill_disk(s);
	if (sim_chance(s, s->harm / 2))
		jump_clock(s);
	if (sim_chance(s, s->harm / 4))
		replace_disk(s);
}

void
chaos_end(struct sim *s)
{
	s->quiet = 1;
	s->drop = 0;
	s->dup = 0;
	s->held = 0;
	s->delay_max = 1000;
	memset(s->cut, 0, sizeof(s->cut));
	for (uint32_t i = 0; i < SIM_NODES; i++) {
		struct sim_node *n = &s->nodes[i];

		n->stopped = 0;
		if (n->id && !n->up)
			node_start(s, n);
		if (n->id && n->full)
			has_room(s, n);
	}
	sim_trace(s, "the faults end");
}
