/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* chaos - what clients, operators and misfortune do. */
#include "tests/sim/sim.h"

static struct sim_node *
some_leader(struct sim *s)
{
	uint32_t from = (uint32_t)sim_below(s, SIM_NODES);

	for (uint32_t i = 0; i < SIM_NODES; i++) {
		struct sim_node *n = &s->nodes[(from + i) % SIM_NODES];

		if (n->up && raft_role(n->raft) == RAFT_LEADER)
			return n;
	}
	return NULL;
}

static struct sim_node *
some_node(struct sim *s)
{
	uint32_t from = (uint32_t)sim_below(s, SIM_NODES);

	for (uint32_t i = 0; i < SIM_NODES; i++)
		if (s->nodes[(from + i) % SIM_NODES].id)
			return &s->nodes[(from + i) % SIM_NODES];
	return NULL;
}

/* --- clients -------------------------------------------------------------- */

static void
propose(struct sim *s)
{
	struct sim_node *n = some_leader(s);
	struct raft_entry e[3] = {{0}};
	uint32_t k = 1 + (uint32_t)sim_below(s, 3);
	struct raft_effects fx = {0};
	uint64_t first;

	if (!n || n->full || s->next_command + 3 >= SIM_ENTRIES / 4)
		return;
	for (uint32_t i = 0; i < k; i++) {
		e[i].kind = RAFT_DATA;
		e[i].bytes = 100;
		e[i].body = (void *)(uintptr_t)++s->next_command;
	}
	raft_propose(n->raft, e, k, &first, &fx);
	sim_effects(s, n, &fx);
	raft_effects_deinit(&fx);
}

static void
read_something(struct sim *s)
{
	struct sim_node *n = some_leader(s);
	struct raft_effects fx = {0};
	uint64_t ctx = ++s->next_read;

	if (!n)
		return;
	s->reads[ctx % 256] = (struct sim_read){ctx, s->acked};
	if (raft_read(n->raft, ctx, &fx))
		s->reads[ctx % 256].ctx = 0;
	sim_effects(s, n, &fx);
	raft_effects_deinit(&fx);
}

/* --- operators ------------------------------------------------------------ */

static void
transfer(struct sim *s)
{
	struct sim_node *n = some_leader(s), *to = some_node(s);
	struct raft_effects fx = {0};

	if (!n || !to)
		return;
	raft_transfer(n->raft, to->id, &fx);
	sim_effects(s, n, &fx);
	raft_effects_deinit(&fx);
}

static struct sim_node *
free_machine(struct sim *s)
{
	for (uint32_t i = 0; i < SIM_NODES; i++)
		if (!s->nodes[i].id)
			return &s->nodes[i];
	return NULL;
}

static uint32_t
count_voters(const struct raft_members *m)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->n; i++)
		n += m->at[i].voter != 0;
	return n;
}

enum change { ADD = 1, PROMOTE, REMOVE };

static void
change(struct sim *s, struct sim_node *n, enum change what, raft_id id,
    const uint8_t *name)
{
	struct raft_effects fx = {0};
	int r = what == ADD       ? raft_add_learner(n->raft, name, &id, &fx)
		: what == PROMOTE ? raft_promote(n->raft, id, &fx)
				  : raft_remove(n->raft, id, &fx);

	if (r == 0) {
		sim_trace(s, "n%d changes the members: %d n%d", (int)n->id,
		    (int)what, (int)id);
		s->n_changes++;
		if (what == PROMOTE)
			check_promoted(s, n, id);
		if (s->operators > 2 && sim_chance(s, 100))
			sim_schedule(s, EV_CRASH, (uint32_t)(n - s->nodes),
			    sim_below(s, 20000));
	}
	sim_effects(s, n, &fx);
	raft_effects_deinit(&fx);
}

/* A member that is in nobody's way any more loses its slot. */
static void
collect(struct sim *s)
{
	struct sim_node *leader = some_leader(s);

	if (!leader)
		return;
	for (uint32_t i = 0; i < SIM_NODES; i++) {
		struct sim_node *n = &s->nodes[i];
		int member = 0;

		for (uint32_t k = 0; k < SIM_NODES; k++) {
			const struct raft_members *m;

			if (s->nodes[k].id && !s->nodes[k].up)
				member = 1; /* who knows what it has */
			if (!s->nodes[k].up)
				continue;
			m = raft_members(s->nodes[k].raft);
			for (uint32_t j = 0; j < m->n; j++)
				member |= m->at[j].id == n->id;
		}
		if (n->id && !member && sim_chance(s, 100)) {
			sim_trace(s, "n%d is taken away", (int)n->id);
			node_remove(n);
		}
	}
}

static int
any_damaged(const struct sim *s)
{
	for (uint32_t i = 0; i < SIM_NODES; i++)
		if (s->nodes[i].id && s->nodes[i].disk.damaged)
			return 1;
	return 0;
}

static void
alter_members(struct sim *s, struct sim_node *n)
{
	struct sim_node *machine = free_machine(s);
	const struct raft_members *m;
	const struct raft_member *who;

	if (raft_role(n->raft) != RAFT_LEADER || any_damaged(s))
		return;
	m = raft_members(n->raft);
	who = &m->at[sim_below(s, m->n)];
	if (!who->voter && sim_chance(s, 800))
		change(s, n, PROMOTE, who->id, NULL);
	else if (m->n < 6 && machine && sim_chance(s, 500))
		change(s, n, ADD, 0, machine->name);
	else if (!who->voter || count_voters(m) > 2)
		change(s, n, REMOVE, who->id, NULL);
}

static void
change_members(struct sim *s)
{
	struct sim_node *n = some_leader(s);

	if (n)
		alter_members(s, n);
}

/* The cache of bodies is full. */
static void
drop_bodies(struct sim *s)
{
	struct sim_node *n = some_node(s);

	if (!n || !n->up)
		return;
	for (uint64_t i = raft_base(n->raft) + 1; i <= raft_stable(n->raft);
	     i++)
		raft_drop_body(n->raft, i);
}

static void
compact(struct sim *s)
{
	struct sim_node *n = some_node(s);
	uint64_t from, to;

	if (!n || !n->up)
		return;
	from = raft_base(n->raft);
	to = n->applied;
	if (to > from)
		disk_compact(s, n,
		    sim_chance(s, 500) ? to
				       : from + 1 + sim_below(s, to - from));
}

/* --- fills ---------------------------------------------------------------- */

void
chaos_fill(struct sim *s, struct sim_node *leader, raft_id peer)
{
	struct sim_node *to = sim_machine(s, leader, peer);
	struct sim_event *ev;

	sim_trace(s, "n%d fills n%d up to %d", (int)leader->id, (int)peer,
	    (int)leader->applied);
	if (!to)
		return;
	ev = sim_schedule(s, EV_FILL, (uint32_t)(to - s->nodes),
	    1000 + sim_below(s, s->straggling_us / 4));
	ev->msg.to = peer;
	ev->msg.from = leader->id;
	ev->from_slot = (uint32_t)(leader - s->nodes);
	ev->from_life = leader->life;
	ev->fill = (struct raft_fill){
	    .leader_term = raft_term(leader->raft),
	    .index = leader->applied,
	    .term = raft_term_at(leader->raft, leader->applied),
	    .members =
		*sim_members(s, raft_members_at(leader->raft, leader->applied)),
	};
}

/* Adopted by rename: durable at once.  Unless entries that follow are kept,
 * what is on its way to the old journal is void. */
static void
adopt(struct sim *s, struct sim_node *n, struct sim_event *ev)
{
	struct raft_effects fx = {0};
	struct sim_disk *d = &n->disk;
	int replace = ev->fill.index > raft_commit(n->raft);
	int same = ev->fill.index > d->base && ev->fill.index <= d->last &&
		   d->entries[ev->fill.index].term == ev->fill.term;

	raft_filled(n->raft, &ev->fill, &fx);
	if (replace) {
		int keep = raft_last(n->raft) > ev->fill.index;

		for (uint32_t i = 0; i < n->n_ops && !keep; i++)
			if (n->ops[i].type == OP_ENTRIES) {
				n->ops[i].n = 0;
				n->ops[i].first = 1;
			}
		if (!same || !keep) {
			d->last = ev->fill.index;
			d->cut = d->n_records;
		}
		d->base = ev->fill.index;
		d->base_term = ev->fill.term;
		d->base_members = sim_members(s, &ev->fill.members);
		n->applied = ev->fill.index;
		s->n_fills++;
	}
	sim_effects(s, n, &fx);
	raft_effects_deinit(&fx);
}

/* The first fill makes the replica.  One of an older life is in its way no
 * more: it was removed, or it would not have been added again. */
static int
has_replica(struct sim *s, struct sim_node *n, raft_id id)
{
	if (n->id == id)
		return n->up;
	if (id <= n->newest)
		return 0;
	node_remove(n);
	node_create(s, n, id);
	node_start(s, n);
	return 1;
}

void
chaos_fill_arrives(struct sim *s, struct sim_event *ev)
{
	struct sim_node *to = &s->nodes[ev->slot];
	struct sim_node *from = &s->nodes[ev->from_slot];
	struct raft_effects fx = {0};

	if ((s->quiet || !sim_chance(s, 200)) && has_replica(s, to, ev->msg.to))
		adopt(s, to, ev);
	if (!from->up || from->life != ev->from_life)
		return;
	raft_fill_ended(from->raft, ev->msg.to, &fx);
	sim_effects(s, from, &fx);
	raft_effects_deinit(&fx);
}

void
chaos_unknown(struct sim *s, struct sim_event *ev)
{
	struct sim_node *n = &s->nodes[ev->slot];
	struct raft_effects fx = {0};

	raft_fill_needed(n->raft, ev->msg.from, &fx);
	sim_effects(s, n, &fx);
	raft_effects_deinit(&fx);
}

/* One that nobody needs: a repair, or a second one that comes late. */
static void
fill_again(struct sim *s)
{
	struct sim_node *n = some_leader(s), *to = some_node(s);

	if (n && to && to != n)
		chaos_fill(s, n, to->id);
}

/* Just elected. */
void
chaos_change(struct sim *s, struct sim_node *n)
{
	struct sim_node *to = some_node(s);

	if (raft_role(n->raft) != RAFT_LEADER)
		return;
	if (to != n && sim_chance(s, 500))
		chaos_fill(s, n, to->id);
	alter_members(s, n);
	if (sim_chance(s, 300))
		sim_schedule(
		    s, EV_CRASH, (uint32_t)(n - s->nodes), sim_below(s, 20000));
}

/* --- misfortune ----------------------------------------------------------- */

/* A damaged replica has no vote: the others must be a majority, and agree on
 * who they are, or nobody may be electable until it is repaired. */
static int
may_damage(struct sim *s)
{
	const struct raft_members *first = NULL;

	for (uint32_t i = 0; i < SIM_NODES; i++) {
		const struct sim_node *n = &s->nodes[i];
		const struct raft_members *m;

		if (!n->id)
			continue;
		if (!n->up)
			return 0;
		m = sim_members(s, raft_members(n->raft));
		if (count_voters(m) < 3 || (first && m != first))
			return 0;
		first = m;
	}
	return !any_damaged(s);
}

static void
crash_one(struct sim *s)
{
	int damage = may_damage(s) && sim_chance(s, 300);

	struct sim_node *n = sim_chance(s, 500) ? some_leader(s) : some_node(s);

	if (!n || !n->up)
		return;
	node_crash(s, n);
	if (damage)
		disk_damage(s, n);
	sim_schedule(
	    s, EV_START, (uint32_t)(n - s->nodes), 1000 + sim_below(s, 600000));
}

void
chaos_crash(struct sim *s, struct sim_node *n)
{
	node_crash(s, n);
	sim_schedule(
	    s, EV_START, (uint32_t)(n - s->nodes), 500 + sim_below(s, 50000));
}

static void
stop_one(struct sim *s)
{
	struct sim_node *n = sim_chance(s, 500) ? some_leader(s) : some_node(s);

	if (!n || !n->up)
		return;
	n->stopped = 1;
	sim_trace(s, "n%d is stopped", (int)n->id);
	sim_schedule(s, EV_RESUME, (uint32_t)(n - s->nodes),
	    10000 + sim_below(s, 500000));
}

static void
cut_some(struct sim *s)
{
	uint32_t side = (uint32_t)sim_below(s, 1u << SIM_NODES);
	int one_way = sim_chance(s, 300);

	if (sim_chance(s, 400)) {
		memset(s->cut, 0, sizeof(s->cut));
		return;
	}
	for (uint32_t a = 0; a < SIM_NODES; a++)
		for (uint32_t b = 0; b < SIM_NODES; b++)
			s->cut[a][b] = (side >> a & 1) != (side >> b & 1) &&
				       !(one_way && (side >> a & 1));
	sim_trace(
	    s, "the net is cut: side %x%s", side, one_way ? ", one way" : "");
}

/* A disk that fills up takes no more, and goes on when there is room. */
static void
fill_disk(struct sim *s)
{
	struct sim_node *n = some_node(s);

	if (n && n->up)
		n->full = !n->full;
	if (n && !n->full)
		disk_start_sync(s, n);
}

/* Some begin alone, as a new group does; others as if they had a past. */
static void
begin_group(struct sim *s)
{
	struct raft_member at[SIM_NODES] = {{0}};
	struct raft_members m = {.n = s->o.n_voters, .at = at};

	for (uint32_t i = 0; i < SIM_NODES; i++)
		s->nodes[i].name[0] = (uint8_t)(i + 1);
	for (uint32_t i = 0; i < m.n; i++) {
		at[i].id = i + 1;
		at[i].voter = 1;
		memcpy(at[i].node, s->nodes[i].name, sizeof(at[i].node));
	}
	for (uint32_t i = 0; i < m.n; i++) {
		struct sim_node *n = &s->nodes[i];

		node_create(s, n, i + 1);
		n->disk.base_members = sim_members(s, &m);
		if (m.n > 1) {
			n->disk.base = n->disk.last = s->n_history = m.n;
			n->disk.base_term = n->disk.term = 1;
		}
		node_start(s, n);
	}
}

void
chaos_begin(struct sim *s)
{

	s->delay_max = 1000;
	s->drop = s->dup = s->straggling = 5;
	s->jitter_us = 60000;
	s->straggling_us = 400000;
	s->operators = 2;
	if (s->o.hostile) {
		s->delay_max = 200 + sim_below(s, 20000);
		s->drop = (uint32_t)sim_below(s, 300);
		s->dup = (uint32_t)sim_below(s, 100);
		s->straggling = sim_chance(s, 500) ? 5 : 60;
		s->jitter_us = sim_chance(s, 500) ? 60000 : 8000;
		s->straggling_us = sim_chance(s, 500) ? 400000 : 1500000;
		s->operators = sim_chance(s, 700) ? 2 : 20;
		s->aimed =
		    sim_chance(s, 500) ? 0 : 1 + (uint32_t)sim_below(s, 20);
	}
	begin_group(s);
}

void
chaos_tick(struct sim *s)
{
	uint32_t harm = s->o.hostile ? 8 : 2;

	if (!s->last_ticks && sim_chance(s, 300))
		propose(s);
	if (sim_chance(s, 100))
		read_something(s);
	collect(s);
	if (s->quiet)
		return;
	if (sim_chance(s, harm))
		crash_one(s);
	if (sim_chance(s, harm))
		cut_some(s);
	if (sim_chance(s, harm / 2))
		stop_one(s);
	if (sim_chance(s, harm / 2))
		fill_disk(s);
	if (sim_chance(s, harm))
		drop_bodies(s);
	if (sim_chance(s, s->operators / 2 * harm))
		transfer(s);
	if (sim_chance(s, s->operators / 2 * harm))
		fill_again(s);
	if (sim_chance(s, s->operators * harm))
		compact(s);
	if (sim_chance(s, s->operators * harm))
		change_members(s);
}

void
chaos_end(struct sim *s)
{
	s->quiet = 1;
	s->drop = 0;
	s->dup = 0;
	s->delay_max = 1000;
	memset(s->cut, 0, sizeof(s->cut));
	for (uint32_t i = 0; i < SIM_NODES; i++) {
		struct sim_node *n = &s->nodes[i];

		n->stopped = 0;
		n->full = 0;
		if (n->id && !n->up)
			node_start(s, n);
		if (n->id)
			disk_start_sync(s, n);
	}
	sim_trace(s, "the faults end");
}
