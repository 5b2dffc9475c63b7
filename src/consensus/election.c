/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * election - candidates and voters ([paper] 5.2, 5.4.1; pre-vote and stickiness
 * [thesis] 9.6, 4.2.3).
 *
 * Term and vote are durable before a vote is answered, and before one is asked
 * for: a candidate that forgot its term could win it with an older log by
 * answers to its former self.
 */
#include "src/consensus/raft_impl.h"

static uint64_t
last_term(const struct raft *r)
{
	return log_term(r, r->log.last);
}

/* [paper] 5.4.1: whose log is more up to date. */
static int
is_up_to_date(const struct raft *r, const struct raft_msg *m)
{
	if (MUTANT(r, VOTES_FOR_OLDER_LOG))
		return 1;
	return m->log_term > last_term(r) ||
	       (m->log_term == last_term(r) && m->index >= r->log.last);
}

/* There is a leader, as far as this replica knows ([thesis] 4.2.3). */
static int
has_leader(const struct raft *r)
{
	if (r->role == RAFT_LEADER)
		return 1;
	return r->leader && r->now_us - r->heard_us < r->config.election_us;
}

static int
may_vote(const struct raft *r)
{
	return !r->damaged || MUTANT(r, DAMAGED_VOTES);
}

/* --- candidates ----------------------------------------------------------- */

static void
ask_all(struct raft *r, enum raft_msg_type type, uint64_t term,
    struct raft_effects *fx)
{
	r->beat_at_us = r->now_us + r->config.heartbeat_us;
	for (uint32_t i = 0; i < r->members->n; i++) {
		const struct raft_member *to = &r->members->at[i];
		struct raft_msg *m;

		if (to->id == r->config.self || !to->voter ||
		    (r->votes >> i & 1))
			continue;
		m = new_msg(r, fx, type, to->id);
		if (!m)
			return;
		m->term = term;
		m->index = r->log.last;
		m->log_term = last_term(r);
		m->transfer = r->forced;
		m->round = r->run;
	}
}

static void
add_vote(struct raft *r, raft_id from)
{
	uint32_t i = members_find(r->members, from);

	if (i == r->members->n ||
	    ((r->votes >> i & 1) && !MUTANT(r, COUNTS_A_VOTE_TWICE)))
		return;
	r->votes |= UINT64_C(1) << i;
	r->n_votes += r->members->at[i].voter || MUTANT(r, LEARNER_COUNTED);
}

static void
forget_votes(struct raft *r)
{
	r->votes = 0;
	r->n_votes = 0;
}

static int
has_won(const struct raft *r)
{
	return r->n_votes >= members_majority(r);
}

static void
begin_vote(struct raft *r, struct raft_effects *fx)
{
	r->role = RAFT_CANDIDATE;
	r->term++;
	r->vote = r->config.self;
	r->leader = 0;
	forget_votes(r);
	r->asked = 0;
	r->answer_to = 0;
	restart_election_timer(r);
	persist_hard(r, fx);
	emit_role(r, fx);
	if (MUTANT(r, VOTES_ASKED_BEFORE_SYNC)) {
		r->asked = 1;
		add_vote(r, r->config.self);
		ask_all(r, RAFT_VOTE, r->term, fx);
	}
}

/* One whose removal is not committed may be the only one that can lead until it
 * is ([thesis] 4.2.2). */
static int
is_electable(const struct raft *r)
{
	if (r->damaged && !MUTANT(r, DAMAGED_CAMPAIGNS))
		return 0;
	if (r->voter || MUTANT(r, LEARNER_CAMPAIGNS))
		return 1;
	return r->members_index > r->commit &&
	       members_has_voter(
		   raft_members_at(r, r->members_index - 1), r->config.self);
}

void
campaign(struct raft *r, int forced, struct raft_effects *fx)
{
	int may = is_electable(r);

	restart_election_timer(r);
	if (!may || r->role == RAFT_LEADER)
		return;
	r->forced = forced;
	if (forced) {
		begin_vote(r, fx);
		return;
	}
	r->role = RAFT_PRE_CANDIDATE;
	r->leader = 0;
	forget_votes(r);
	add_vote(r, r->config.self);
	emit_role(r, fx);
	if (has_won(r))
		begin_vote(r, fx);
	else
		ask_all(r, RAFT_PREVOTE, r->term + 1, fx);
}

void
raft_campaign(struct raft *r, struct raft_effects *fx)
{
	if (!r->failed && r->role == RAFT_FOLLOWER && r->voter &&
	    members_count_voters(r->members) == 1)
		campaign(r, 0, fx);
}

void
election_tick(struct raft *r, struct raft_effects *fx)
{
	if (r->now_us >= r->election_at_us)
		campaign(r, 0, fx);
	else if (r->role == RAFT_CANDIDATE && r->asked &&
		 r->now_us >= r->beat_at_us)
		ask_all(r, RAFT_VOTE, r->term, fx); /* it may be lost */
}

/* --- voters --------------------------------------------------------------- */

static void
answer(struct raft *r, enum raft_msg_type type, raft_id to, uint64_t term,
    uint64_t round, int reject, struct raft_effects *fx)
{
	struct raft_msg *m = new_msg(r, fx, type, to);

	if (!m)
		return;
	m->term = term;
	m->round = round;
	m->reject = reject;
}

void
on_prevote(struct raft *r, const struct raft_msg *m, struct raft_effects *fx)
{
	int yes = m->term > r->term && is_up_to_date(r, m) && !has_leader(r) &&
		  may_vote(r);

	answer(r, RAFT_PREVOTE_ANSWER, m->from, yes ? m->term : r->term,
	    m->round, !yes, fx);
}

/* The term of M is ours by now. */
void
on_vote(struct raft *r, const struct raft_msg *m, struct raft_effects *fx)
{
	int free =
	    r->vote == 0 || r->vote == m->from || MUTANT(r, VOTES_TWICE_A_TERM);

	if (m->term < r->term || !free || r->role == RAFT_LEADER ||
	    !is_up_to_date(r, m) || !may_vote(r)) {
		answer(r, RAFT_VOTE_ANSWER, m->from, r->term, m->round, 1, fx);
		return;
	}
	restart_election_timer(r);
	if (r->vote != m->from) {
		r->vote = m->from;
		persist_hard(r, fx);
	}
	r->answer_to = m->from;
	r->answer_round = m->round;
	election_persisted(r, fx);
}

void
election_persisted(struct raft *r, struct raft_effects *fx)
{
	raft_id to = r->answer_to;

	if (!hard_is_durable(r) && !MUTANT(r, VOTE_ANSWERED_BEFORE_SYNC))
		return;
	if (to) {
		r->answer_to = 0;
		answer(
		    r, RAFT_VOTE_ANSWER, to, r->term, r->answer_round, 0, fx);
	}
	if (!hard_is_durable(r))
		return;
	if (r->role != RAFT_CANDIDATE)
		return;
	add_vote(r, r->config.self);
	if (has_won(r)) {
		become_leader(r, fx);
	} else if (!r->asked) {
		r->asked = 1;
		ask_all(r, RAFT_VOTE, r->term, fx);
	}
}

void
on_vote_answer(
    struct raft *r, const struct raft_msg *m, struct raft_effects *fx)
{
	int pre = m->type == RAFT_PREVOTE_ANSWER;
	uint64_t want = pre ? r->term + 1 : r->term;

	if (m->reject || m->term != want ||
	    r->role != (pre ? RAFT_PRE_CANDIDATE : RAFT_CANDIDATE))
		return;
	/* Whoever asked before a restart may have forgotten it, and who voted
	 * then may have, too. */
	if (m->round != r->run)
		return;
	add_vote(r, m->from);
	if (!has_won(r))
		return;
	if (pre)
		begin_vote(r, fx);
	else if (hard_is_durable(r) || MUTANT(r, VOTES_ASKED_BEFORE_SYNC))
		become_leader(r, fx);
}
