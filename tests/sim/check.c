/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * check - what must hold after each event.
 *
 *	1. a term has one leader
 *	2. a leader has everything that was committed in earlier terms
 *	3. what is committed at an index is the same everywhere, for ever, in
 *	   every life
 *	4. what is applied is durable where it is applied, and in order
 *	5. what is acknowledged is durable on a majority of the voters
 *	6. a read sees what was acknowledged before it began
 *	7. who is removed leads no longer; who is promoted has the log; who is
 *	   created was added by a committed entry
 *	8. what the newest leader believes of others' logs is so
 *	9. two logs that have an equal entry are equal up to it; who the members
 *	   are is what was committed last
 *	10. no word leaves before what it rests on is durable, and nobody votes
 *	    for two in a term
 *	11. once faults end: one leader, all members equal, new writes go through
 */
#include <string.h>

#include "tests/sim/sim.h"

static int
same(const struct sim_entry *a, const struct sim_entry *b)
{
	return a->term == b->term && a->id == b->id && a->kind == b->kind;
}

static struct sim_entry
entry_at(const struct sim_node *n, uint64_t index)
{
	const struct raft_entry *e = raft_entry_at(n->raft, index);

	return (struct sim_entry){
	    .term = e->term, .id = disk_body(n, index), .kind = e->kind};
}

/* --- leaders -------------------------------------------------------------- */

/* [paper] 5.4.3.  One that slept may still win an older term than that in which
 * the newest entries were committed; it cannot commit anything. */
static void
check_complete(struct sim *s, struct sim_node *n)
{
	uint64_t term = raft_term(n->raft);

	for (uint64_t i = raft_base(n->raft) + 1; i <= s->n_history; i++) {
		struct sim_entry e;

		if (s->committed_in[i] >= term)
			return;
		if (i > raft_last(n->raft))
			sim_fail(s, "n%d leads term %d without entry %d",
			    (int)n->id, (int)term, (int)i);
		e = entry_at(n, i);
		if (!same(&e, &s->history[i]))
			sim_fail(s, "n%d leads term %d with another entry %d",
			    (int)n->id, (int)term, (int)i);
	}
}

void
check_role(struct sim *s, struct sim_node *n)
{
	uint64_t term = raft_term(n->raft);

	if (raft_role(n->raft) != RAFT_LEADER)
		return;
	if (term >= SIM_TERMS)
		sim_fail(s, "too many terms");
	if (s->leaders[term] && s->leaders[term] != n->id)
		sim_fail(s, "term %d has two leaders, n%d and n%d", (int)term,
		    (int)s->leaders[term], (int)n->id);
	if (!s->leaders[term])
		s->n_elections++;
	s->leaders[term] = n->id;
	check_complete(s, n);
}

/* One that is removed leads no longer than until it knows that to be committed.
 */
static void
check_steps_down(struct sim *s, struct sim_node *n)
{
	const struct raft_members *m =
	    raft_members_at(n->raft, raft_last(n->raft));

	if (m != raft_members_at(n->raft, raft_commit(n->raft)))
		return;
	for (uint32_t i = 0; i < m->n; i++)
		if (m->at[i].id == n->id && m->at[i].voter)
			return;
	sim_fail(s, "n%d leads, and is no member", (int)n->id);
}

static int
is_newest(const struct sim *s, const struct sim_node *leader)
{
	for (uint32_t i = 0; i < SIM_NODES; i++) {
		const struct sim_node *n = &s->nodes[i];

		if (n->id && n->up &&
		    raft_term(n->raft) > raft_term(leader->raft))
			return 0;
	}
	return 1;
}

/* What the newest leader counts on is there. */
static void
check_match(struct sim *s, struct sim_node *leader, const struct sim_node *n)
{
	uint64_t match = raft_match(leader->raft, n->id);
	struct sim_entry e;

	if (n == leader || n->disk.damaged || match <= n->disk.base ||
	    match <= raft_base(leader->raft))
		return;
	e = entry_at(leader, match);
	if (!disk_has(n, match, &e))
		sim_fail(s, "n%d counts on n%d having entry %d",
		    (int)leader->id, (int)n->id, (int)match);
}

/* A vote is for those who have the log: else a change can stop the group. */
void
check_promoted(struct sim *s, struct sim_node *leader, raft_id id)
{
	const struct sim_node *n = node_with(s, id);

	if (n && !n->disk.damaged && n->disk.last + 200 < s->acked)
		sim_fail(s, "n%d makes n%d a voter, which has %d of %d",
		    (int)leader->id, (int)id, (int)n->disk.last, (int)s->acked);
}

/* --- commit --------------------------------------------------------------- */

static int
on_a_majority(struct sim *s, const struct raft_members *m, uint64_t index,
    const struct sim_entry *e)
{
	uint32_t voters = 0, have = 0;

	for (uint32_t i = 0; i < m->n; i++) {
		struct sim_node *peer = node_with(s, m->at[i].id);

		if (!m->at[i].voter)
			continue;
		voters++;
		/* What it answered before it was lost or damaged was true. */
		if (!peer)
			have += !node_named(s, m->at[i].node);
		else
			have += peer->disk.damaged ? index <= peer->disk.lost
						   : disk_has(peer, index, e);
	}
	return have > voters / 2;
}

/* The leader answers its clients when it applies.  The members in force count;
 * between commit and apply others may have come into force. */
static void
acknowledge(struct sim *s, struct sim_node *n, uint64_t index)
{
	const struct sim_entry *e = &s->history[index];

	if (raft_role(n->raft) != RAFT_LEADER ||
	    raft_term_at(n->raft, index) != raft_term(n->raft))
		return;
	if (!on_a_majority(s, raft_members(n->raft), index, e) &&
	    !on_a_majority(s, raft_members_at(n->raft, index), index, e))
		sim_fail(s, "entry %d is acknowledged without a majority",
		    (int)index);
	s->n_acked++;
	if (index > s->acked)
		s->acked = index;
}

/* A learner is created once the entry that adds it is committed; nobody may
 * have applied that yet. */
void
check_fill(struct sim *s, struct sim_node *leader, raft_id id)
{
	const struct raft_members *m;
	struct sim_entry e;

	if (id <= raft_base(leader->raft) || node_with(s, id))
		return;
	e = entry_at(leader, id);
	m = raft_members_at(leader->raft, id);
	if (e.kind != RAFT_MEMBERS || !members_have(m, id) ||
	    (id <= s->n_history ? !same(&e, &s->history[id])
				: !on_a_majority(s, m, id, &e)))
		sim_fail(s, "n%d creates n%d, which nobody has added",
		    (int)leader->id, (int)id);
}

static void
remember(struct sim *s, struct sim_node *n, uint64_t index)
{
	const struct raft_members *m = raft_entry_at(n->raft, index)->members;

	if (index >= SIM_ENTRIES)
		sim_fail(s, "too many entries");
	s->history[index] = entry_at(n, index);
	if (m)
		s->history[index].members = members_keep(s, m);
	s->committed_in[index] = raft_term(n->raft);
	s->n_history = index;
}

void
check_apply(struct sim *s, struct sim_node *n, uint64_t to)
{
	for (uint64_t i = n->applied + 1; i <= to; i++) {
		struct sim_entry e = entry_at(n, i);

		if (i > s->n_history)
			remember(s, n, i);
		else if (!same(&e, &s->history[i]))
			sim_fail(s, "n%d applies another entry %d", (int)n->id,
			    (int)i);
		if (!disk_has(n, i, &e))
			sim_fail(s,
			    "n%d applies entry %d, which is not on its disk",
			    (int)n->id, (int)i);
		acknowledge(s, n, i);
	}
	n->applied = to;
}

void
check_read(struct sim *s, uint64_t ctx, uint64_t index)
{
	struct sim_read *rd = &s->reads[ctx % 256];

	if (rd->ctx != ctx)
		return;
	rd->ctx = 0;
	s->n_reads++;
	if (index < rd->floor)
		sim_fail(s, "a read at %d misses entry %d", (int)index,
		    (int)rd->floor);
}

/* --- words ---------------------------------------------------------------- */

/* A damaged journal may have lost some; so has a new replica on a machine. */
void
check_forgets_votes(struct sim *s, const struct sim_node *n)
{
	memset(s->votes[sim_slot(s, n)], 0, sizeof(s->votes[0]));
}

static void
check_vote(struct sim *s, struct sim_node *n, uint64_t term, raft_id to)
{
	uint16_t *vote = &s->votes[sim_slot(s, n)][term % SIM_TERMS];

	if (n->disk.term != term || n->disk.vote != to)
		sim_fail(s,
		    "n%d votes for n%d in term %d before that is durable",
		    (int)n->id, (int)to, (int)term);
	if (*vote && *vote != to)
		sim_fail(s, "n%d votes for n%d and n%d in term %d", (int)n->id,
		    (int)*vote, (int)to, (int)term);
	*vote = (uint16_t)to;
}

/* The newest term that N knows of after a crash: the log tells it too. */
static uint64_t
durable_term(const struct sim_node *n)
{
	const struct sim_disk *d = &n->disk;
	uint64_t last =
	    d->last > d->base ? d->entries[d->last].term : d->base_term;

	return last > d->term ? last : d->term;
}

/* What is said to the leader of a term is about its log. */
static void
check_answer(struct sim *s, struct sim_node *n, const struct raft_msg *m)
{
	const struct sim_node *to = node_with(s, m->to);

	if (m->index > n->disk.last)
		sim_fail(s, "n%d answers for entry %d, has %d", (int)n->id,
		    (int)m->index, (int)n->disk.last);
	if (!to || !to->up || raft_role(to->raft) != RAFT_LEADER ||
	    raft_term(to->raft) != m->term || m->index <= raft_base(to->raft))
		return;
	if (raft_term_at(to->raft, m->index) != raft_term_at(n->raft, m->index))
		sim_fail(s, "n%d answers for another entry %d than n%d has",
		    (int)n->id, (int)m->index, (int)to->id);
}

/* cluster.md 6.3 */
void
check_send(struct sim *s, struct sim_node *n, const struct raft_msg *m)
{
	switch (m->type) {
	case RAFT_VOTE:
		check_vote(s, n, m->term, n->id);
		break;
	case RAFT_VOTE_ANSWER:
		if (!m->reject)
			check_vote(s, n, m->term, m->to);
		break;
	case RAFT_APPEND:
	case RAFT_APPEND_ANSWER:
		if (durable_term(n) < m->term && !m->reject)
			sim_fail(s,
			    "n%d speaks in term %d, which is not durable",
			    (int)n->id, (int)m->term);
		if (m->type == RAFT_APPEND_ANSWER && !m->reject)
			check_answer(s, n, m);
		break;
	default:
		break;
	}
}

/* --- now and then --------------------------------------------------------- */

/* [paper] 5.3, log matching. */
static void
check_logs(struct sim *s, const struct sim_node *a, const struct sim_node *b)
{
	uint64_t from = raft_base(a->raft), to = raft_last(a->raft), i;

	if (raft_base(b->raft) > from)
		from = raft_base(b->raft);
	if (raft_last(b->raft) < to)
		to = raft_last(b->raft);
	for (i = to; i > from; i--)
		if (raft_term_at(a->raft, i) == raft_term_at(b->raft, i))
			break;
	for (; i > from; i--) {
		struct sim_entry x = entry_at(a, i), y = entry_at(b, i);

		if (!same(&x, &y))
			sim_fail(s,
			    "n%d and n%d differ at entry %d, and agree "
			    "behind it",
			    (int)a->id, (int)b->id, (int)i);
	}
}

static void
check_members(struct sim *s, const struct sim_node *n)
{
	uint64_t i = raft_commit(n->raft);
	const struct raft_members *m =
	    members_keep(s, raft_members_at(n->raft, i));

	if (i > s->n_history || m->n == 0)
		return; /* or it was just created */
	while (i > 0 && !s->history[i].members)
		i--;
	if (m != (i ? s->history[i].members : s->founders))
		sim_fail(s, "n%d has other members as of entry %d", (int)n->id,
		    (int)raft_commit(n->raft));
}

void
check_tick(struct sim *s)
{
	struct sim_node *a = node_any(s), *b = node_any(s);

	if (a->up)
		check_members(s, a);

	if (a != b && a->up && b->up)
		check_logs(s, a, b);
	for (uint32_t i = 0; i < SIM_NODES; i++) {
		struct sim_node *n = &s->nodes[i];

		if (!n->up || n->stopped || raft_role(n->raft) != RAFT_LEADER)
			continue;
		check_steps_down(s, n);
		for (uint32_t k = 0; k < SIM_NODES && is_newest(s, n); k++)
			if (s->nodes[k].id)
				check_match(s, n, &s->nodes[k]);
	}
}

void
check_converged(struct sim *s)
{
	struct sim_node *leader = NULL;
	const struct raft_members *m;

	for (uint32_t i = 0; i < SIM_NODES; i++) {
		struct sim_node *n = &s->nodes[i];

		if (n->up && raft_role(n->raft) == RAFT_LEADER &&
		    (!leader || raft_term(n->raft) > raft_term(leader->raft)))
			leader = n;
	}
	if (s->reckless && (!leader || s->acked < raft_last(leader->raft)))
		return; /* stopped for good */
	if (!leader)
		sim_fail(s, "no leader at the end");
	if (s->acked < raft_last(leader->raft))
		sim_fail(s, "entry %d is not acknowledged at the end",
		    (int)raft_last(leader->raft));
	m = raft_members(leader->raft);
	for (uint32_t i = 0; i < m->n; i++) {
		struct sim_node *n = node_with(s, m->at[i].id);

		if (!n || n->applied != leader->applied)
			sim_fail(s, "n%d has applied %d of %d at the end",
			    (int)m->at[i].id, n ? (int)n->applied : -1,
			    (int)leader->applied);
		if (n->disk.damaged && !s->reckless)
			sim_fail(s, "n%d is not whole at the end", (int)n->id);
	}
}
