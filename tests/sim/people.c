/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* people - clients, and operators who do not wait. */
#include <string.h>

#include "tests/sim/sim.h"

/* --- clients -------------------------------------------------------------- */

static void
propose(struct sim *s)
{
	struct sim_node *n = node_leader(s);
	struct raft_entry e[3] = {{0}};
	uint32_t k = 1 + (uint32_t)sim_below(s, 3);
	struct raft_effects fx = {0};
	uint64_t first;

	if (!n || n->full || s->next_command + 3 >= SIM_ENTRIES / 3)
		return;
	for (uint32_t i = 0; i < k; i++) {
		e[i].kind = RAFT_DATA;
		e[i].bytes = 100;
		e[i].body = (void *)(uintptr_t)++s->next_command;
	}
	if (raft_propose(sim_core(s, n), e, k, &first, &fx) == 0)
		n->n_bodies += k;
	sim_done(s, n, &fx);
}

static void
read_something(struct sim *s, struct sim_node *n)
{
	uint32_t k = 1 + (uint32_t)sim_below(s, 3);

	for (uint32_t i = 0; n->up && i < k; i++) {
		struct raft_effects fx = {0};
		uint64_t ctx = ++s->next_read;

		s->reads[ctx % 256] = (struct sim_read){ctx, s->acked};
		if (raft_read(sim_core(s, n), ctx, &fx))
			s->reads[ctx % 256].ctx = 0;
		sim_done(s, n, &fx);
	}
}

/* --- operators ------------------------------------------------------------ */

static void
transfer(struct sim *s, struct sim_node *n)
{
	struct sim_node *to = node_any(s);
	struct raft_effects fx = {0};

	if (!n || !n->up)
		return;
	raft_transfer(sim_core(s, n), to->id, &fx);
	sim_done(s, n, &fx);
}

enum change { ADD, PROMOTE, REMOVE };

static void
change(struct sim *s, struct sim_node *n, enum change what, raft_id id,
    const uint8_t *name)
{
	static const char *const names[] = {"adds", "promotes", "removes"};
	struct raft_effects fx = {0};
	struct raft *core = sim_core(s, n);
	int r = what == ADD       ? raft_add_learner(core, name, &id, &fx)
		: what == PROMOTE ? raft_promote(core, id, &fx)
				  : raft_remove(core, id, &fx);

	sim_done(s, n, &fx);
	if (r)
		return;
	sim_trace(s, "n%d %s n%d", (int)n->id, names[what], (int)id);
	s->n_changes++;
	if (what == PROMOTE)
		check_promoted(s, n, id);
	if (s->operators > 2 && !s->quiet && sim_chance(s, 100))
		sim_schedule(s, EV_CRASH, sim_slot(s, n), sim_below(s, 20000));
}

/* A machine without a member; an older life may still be on it. */
static struct sim_node *
free_machine(struct sim *s, const struct raft_members *m)
{
	uint32_t from = (uint32_t)sim_below(s, SIM_NODES);

	for (uint32_t i = 0; i < SIM_NODES; i++) {
		struct sim_node *n = &s->nodes[(from + i) % SIM_NODES];
		int used = 0;

		for (uint32_t k = 0; k < m->n; k++)
			used |= memcmp(n->name, m->at[k].node, 16) == 0;
		if (!used)
			return n;
	}
	return NULL;
}

static void
change_members(struct sim *s, struct sim_node *n)
{
	const struct raft_members *m;
	const struct raft_member *who;
	struct sim_node *machine;

	if (!n || !n->up || raft_role(n->raft) != RAFT_LEADER ||
	    chaos_any_damaged(s))
		return;
	m = raft_members(n->raft);
	machine = free_machine(s, m);
	who = members_lost(s, m);
	if (who) {
		change(s, n, REMOVE, who->id, NULL);
		return;
	}
	who = &m->at[sim_below(s, m->n)];
	if (!who->voter && sim_chance(s, 800))
		change(s, n, PROMOTE, who->id, NULL);
	else if (m->n < 6 && machine && sim_chance(s, 500))
		change(s, n, ADD, 0, machine->name);
	else if (!who->voter || members_voters(m) > 2)
		change(s, n, REMOVE, who->id, NULL);
}

static void
remove_any(struct sim *s, struct sim_node *n)
{
	const struct raft_members *m = raft_members(n->raft);

	if (members_voters(m) > 2 && !chaos_any_damaged(s))
		change(s, n, REMOVE, m->at[sim_below(s, m->n)].id, NULL);
}

void
people_remove(struct sim *s, struct sim_node *leader, raft_id id)
{
	change(s, leader, REMOVE, id, NULL);
}

/* Once the faults are over somebody takes away who cannot come back. */
static void
remove_lost(struct sim *s)
{
	struct sim_node *n = node_leader(s);
	const struct raft_member *who =
	    n ? members_lost(s, raft_members(n->raft)) : NULL;

	if (who)
		change(s, n, REMOVE, who->id, NULL);
}

/* Does anybody think that N is a member?  A removal may still be undone. */
static int
is_member(struct sim *s, const struct sim_node *n)
{
	for (uint32_t i = 0; i < SIM_NODES; i++) {
		struct sim_node *other = &s->nodes[i];
		struct raft *r = other->raft;

		if (!other->id)
			continue;
		if (!other->up)
			return 1; /* who knows */
		if (members_have(raft_members(r), n->id) ||
		    members_have(raft_members_at(r, raft_commit(r)), n->id) ||
		    (other == n && raft_members(r)->n == 0))
			return 1;
	}
	return 0;
}

/* What is in nobody's way any more goes. */
static void
collect(struct sim *s)
{
	for (uint32_t i = 0; i < SIM_NODES; i++) {
		struct sim_node *n = &s->nodes[i];

		if (!n->id || is_member(s, n) || !sim_chance(s, 100))
			continue;
		sim_trace(s, "n%d is taken away", (int)n->id);
		node_remove(s, n);
	}
}

static void
compact(struct sim *s)
{
	struct sim_node *n = node_any(s);
	uint64_t from, to;

	if (!n->up)
		return;
	from = raft_base(n->raft);
	to = n->applied;
	if (to > from)
		disk_compact(s, n,
		    sim_chance(s, 500) ? to
				       : from + 1 + sim_below(s, to - from));
}

/* The cache of bodies is full. */
static void
drop_bodies(struct sim *s)
{
	struct sim_node *n = node_any(s);

	if (!n->up)
		return;
	for (uint64_t i = raft_base(n->raft) + 1; i <= raft_stable(n->raft);
	     i++)
		raft_drop_body(n->raft, i);
}

/* One that nobody needs: a repair, or a second one that comes late. */
static void
fill_again(struct sim *s, struct sim_node *n)
{
	struct sim_node *to = node_any(s);

	if (n && to != n)
		fill_begin(s, n, to->id);
}

/* The newest of two leaders fills somebody who still follows the other. */
static void
fill_in_between(struct sim *s)
{
	struct sim_node *newest = NULL;

	for (uint32_t i = 0; i < SIM_NODES; i++) {
		struct sim_node *n = &s->nodes[i];

		if (n->up && raft_role(n->raft) == RAFT_LEADER &&
		    (!newest || raft_term(n->raft) > raft_term(newest->raft)))
			newest = n;
	}
	for (uint32_t i = 0; newest && i < SIM_NODES; i++) {
		struct sim_node *n = &s->nodes[i];
		raft_id leader = n->up ? raft_leader(n->raft) : 0;

		if (leader && leader != newest->id &&
		    raft_role(n->raft) == RAFT_FOLLOWER && sim_chance(s, 200))
			fill_begin(s, newest, n->id);
	}
}

void
people_watch(struct sim *s, struct sim_node *n)
{
	if (raft_role(n->raft) != RAFT_LEADER)
		return;
	if (sim_chance(s, 500))
		fill_again(s, n);
	if (sim_chance(s, 300))
		remove_any(s, n);
	else
		change_members(s, n);
	if (sim_chance(s, 300))
		sim_schedule(s, EV_CRASH, sim_slot(s, n), sim_below(s, 20000));
}

void
people_tick(struct sim *s)
{
	uint32_t p = s->operators * s->harm;

	if (!s->last_ticks && sim_chance(s, 300))
		propose(s);
	for (uint32_t i = 0; i < SIM_NODES; i++)
		if (s->nodes[i].up && sim_chance(s, 100) &&
		    raft_role(s->nodes[i].raft) == RAFT_LEADER)
			read_something(s, &s->nodes[i]);
	collect(s);
	if (s->quiet) {
		remove_lost(s);
		return;
	}
	if (sim_chance(s, p / 2))
		transfer(s, node_leader(s));
	if (sim_chance(s, p / 2))
		fill_again(s, node_leader(s));
	fill_in_between(s);
	if (sim_chance(s, p))
		compact(s);
	if (sim_chance(s, p))
		change_members(s, node_leader(s));
	if (sim_chance(s, s->harm))
		drop_bodies(s);
}

/* --- the beginning -------------------------------------------------------- */

/* Some begin alone, as a new group does; others as if they had a past. */
void
people_found_group(struct sim *s)
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
		struct sim_disk *d = &n->disk;

		node_create(s, n, i + 1);
		d->base_members = s->founders = members_keep(s, &m);
		if (m.n > 1) {
			d->base = d->last = s->n_history = m.n;
			d->base_term = d->term = d->saved_term = 1;
		}
		node_start(s, n);
	}
}
