/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * members - who belongs to the group, one change at a time ([thesis] 4.1, with
 * the correction of 2015: none before the leader's term has committed
 * something), and the hand-over of leadership ([thesis] 3.10).
 */
#include "src/base/mem.h"
#include "src/consensus/raft_impl.h"

#define CAUGHT_UP 64 /* entries behind that a promotion may find */

uint32_t
members_count_voters(const struct raft_members *m)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->n; i++)
		n += m->at[i].voter != 0;
	return n;
}

uint32_t
members_majority(const struct raft *r)
{
	uint32_t n = MUTANT(r, LEARNER_COUNTED)
			 ? r->members->n
			 : members_count_voters(r->members);

	if (MUTANT(r, HALF_IS_A_MAJORITY))
		return (n + 1) / 2;
	return n / 2 + 1;
}

const struct raft_members *
members_copy(const struct raft_members *m)
{
	size_t bytes = m->n * sizeof(*m->at);
	struct raft_members *copy = mem_alloc(sizeof(*copy) + bytes);
	struct raft_member *at;

	if (!copy)
		return NULL;
	at = (struct raft_member *)(copy + 1);
	if (m->n)
		memcpy(at, m->at, bytes);
	*copy = (struct raft_members){.n = m->n, .at = at};
	return copy;
}

uint32_t
members_find(const struct raft_members *m, raft_id id)
{
	uint32_t i = 0;

	while (i < m->n && m->at[i].id != id)
		i++;
	return i;
}

int
members_has_voter(const struct raft_members *m, raft_id id)
{
	uint32_t i = members_find(m, id);

	return i < m->n && m->at[i].voter;
}

int
members_are_sane(const struct raft_members *m)
{
	if (!m || m->n > RAFT_MEMBERS_MAX)
		return 0;
	for (uint32_t i = 0; i < m->n; i++) {
		if (m->at[i].id == 0 || members_find(m, m->at[i].id) != i)
			return 0;
	}
	return members_count_voters(m) > 0;
}

const struct raft_member *
raft_member(const struct raft *r, raft_id id)
{
	uint32_t i = members_find(r->members, id);

	return i < r->members->n ? &r->members->at[i] : NULL;
}

/* The newest entry with members up to INDEX; base: none above it. */
static uint64_t
find_members(const struct raft *r, uint64_t index)
{
	while (index > r->log.base && log_at(r, index)->kind != RAFT_MEMBERS)
		index--;
	return index;
}

const struct raft_members *
raft_members_at(const struct raft *r, uint64_t index)
{
	uint64_t i = find_members(r, index);

	return i > r->log.base ? log_at(r, i)->members : r->log.base_members;
}

int
members_refresh(struct raft *r)
{
	uint64_t i;

	if (!r->members_stale)
		return 0;
	i = find_members(r, r->log.last);
	r->members_stale = 0;
	if (MUTANT(r, MEMBERS_NOT_REVERTED) && i < r->members_index)
		return 0;
	r->members_index = i;
	r->members = raft_members_at(r, i);
	r->voter = members_has_voter(r->members, r->config.self);
	return r->role == RAFT_LEADER ? peers_refresh(r) : 0;
}

/* --- a leader's peers ----------------------------------------------------- */

struct peer *
find_peer(struct raft *r, raft_id id)
{
	for (uint32_t i = 0; i < r->n_peers; i++)
		if (r->peers[i].id == id)
			return &r->peers[i];
	return NULL;
}

void
peers_forget(struct raft *r)
{
	r->peers = mem_free(r->peers);
	r->n_peers = 0;
}

static enum peer_state
first_state(const struct raft *r, const struct raft_member *m)
{
	return !m->voter && m->id > r->commit ? PEER_NEW : PEER_PROBE;
}

int
peers_refresh(struct raft *r)
{
	const struct raft_members *m = r->members;
	struct peer *peers = mem_calloc(m->n, sizeof(*peers));

	if (!peers)
		return -ERR_NOMEM;
	for (uint32_t i = 0; i < m->n; i++) {
		const struct peer *old = find_peer(r, m->at[i].id);

		if (old)
			peers[i] = *old;
		else
			peers[i] = (struct peer){.id = m->at[i].id,
			    .state = first_state(r, &m->at[i]),
			    .next = r->log.last + 1,
			    .heard_us = r->now_us};
		peers[i].voter = m->at[i].voter;
	}
	peers_forget(r);
	r->peers = peers;
	r->n_peers = m->n;
	return 0;
}

void
peers_charge(struct raft *r, uint64_t index, uint32_t before, uint32_t now)
{
	for (uint32_t i = 0; i < r->n_peers; i++) {
		struct peer *p = &r->peers[i];

		if (p->state == PEER_STREAM && index > p->match &&
		    index < p->next) {
			p->sent_bytes += now;
			p->sent_bytes -= before;
		}
	}
}

/* --- changes -------------------------------------------------------------- */

/* 0, -ERR_NOTLEADER, -ERR_BUSY. */
static int
may_change(const struct raft *r)
{
	if (r->failed || r->role != RAFT_LEADER)
		return -ERR_NOTLEADER;
	if (r->transfer_to)
		return -ERR_BUSY;
	if (r->members_index > r->commit && !MUTANT(r, TWO_CHANGES_AT_ONCE))
		return -ERR_BUSY;
	if (log_term(r, r->commit) != r->term &&
	    !MUTANT(r, CHANGE_BEFORE_COMMIT_OF_TERM))
		return -ERR_BUSY;
	return 0;
}

static int
has_caught_up(struct raft *r, raft_id id)
{
	const struct peer *p = find_peer(r, id);

	if (MUTANT(r, PROMOTED_AT_ONCE))
		return 1;
	return p && p->state == PEER_STREAM && !p->uncounted &&
	       p->match + CAUGHT_UP > r->log.last && p->match >= r->term_first;
}

int
raft_caught_up(const struct raft *r, raft_id id)
{
	struct raft *raft = (struct raft *)(uintptr_t)r; /* only looked at */
	const struct peer *p =
	    r->role == RAFT_LEADER ? find_peer(raft, id) : NULL;

	return p && p->answered && has_caught_up(raft, id) &&
	       r->now_us - p->heard_us < r->config.election_us;
}

int
raft_members_settled(const struct raft *r)
{
	return r->members_index <= r->commit;
}

static void
change_to(struct raft *r, uint32_t n, const struct raft_member *at,
    struct raft_effects *fx)
{
	struct raft_members m = {.n = n, .at = at};
	struct raft_entry e = {.kind = RAFT_MEMBERS, .members = &m};

	leader_append(r, &e, 1, fx);
	leader_commit(r, fx);
}

/* The members in force, to be changed. */
static uint32_t
copy_members(const struct raft *r, struct raft_member *at)
{
	memcpy(at, r->members->at, r->members->n * sizeof(*at));
	return r->members->n;
}

int
raft_add_learner(struct raft *r, const uint8_t node[16], raft_id *id,
    struct raft_effects *fx)
{
	struct raft_member at[RAFT_MEMBERS_MAX];
	uint32_t n = r->members->n;
	int bad = may_change(r);

	if (bad)
		return bad;
	for (uint32_t i = 0; i < n; i++)
		if (memcmp(r->members->at[i].node, node, 16) == 0)
			return -ERR_EXISTS;
	if (n == RAFT_MEMBERS_MAX)
		return -ERR_LIMIT;
	copy_members(r, at);
	at[n] = (struct raft_member){.id = r->log.last + 1};
	memcpy(at[n].node, node, 16);
	*id = at[n].id;
	change_to(r, n + 1, at, fx);
	return 0;
}

int
raft_promote(struct raft *r, raft_id id, struct raft_effects *fx)
{
	struct raft_member at[RAFT_MEMBERS_MAX];
	uint32_t i = members_find(r->members, id);
	int bad = may_change(r);

	if (bad)
		return bad;
	if (i == r->members->n || r->members->at[i].voter)
		return -ERR_INVAL;
	if (!has_caught_up(r, id))
		return -ERR_BUSY;
	copy_members(r, at);
	at[i].voter = 1;
	change_to(r, r->members->n, at, fx);
	return 0;
}

/* Whether those of AT who answer, and have nearly all of the log, are enough of
 * them.  A change that needs one who is not well may never be committed, and
 * then there is no other either. */
static int
can_decide(const struct raft *r, uint32_t n, const struct raft_member *at)
{
	struct raft_members m = {.n = n, .at = at};
	uint32_t well = 0;

	if (MUTANT(r, CHANGE_BEFORE_COMMIT_OF_TERM)) /* else it hides it */
		return 1;
	for (uint32_t i = 0; i < n; i++)
		well += at[i].voter && (at[i].id == r->config.self ||
					   raft_caught_up(r, at[i].id));
	return well > members_count_voters(&m) / 2;
}

int
raft_remove(struct raft *r, raft_id id, struct raft_effects *fx)
{
	struct raft_member at[RAFT_MEMBERS_MAX];
	uint32_t n = r->members->n, i = members_find(r->members, id);
	int bad = may_change(r);

	if (bad)
		return bad;
	if (i == n ||
	    (r->members->at[i].voter && members_count_voters(r->members) == 1))
		return -ERR_INVAL;
	copy_members(r, at);
	at[i] = at[n - 1];
	if (!can_decide(r, n - 1, at))
		return -ERR_BUSY;
	change_to(r, n - 1, at, fx);
	return 0;
}

/* [thesis] 4.2.2: a leader that is removed leads until that is committed. */
void
members_committed(struct raft *r, struct raft_effects *fx)
{
	if (r->role != RAFT_LEADER || r->voter ||
	    r->members_index > r->commit || MUTANT(r, REMOVED_LEADER_STAYS))
		return;
	apply(r, fx);
	send_heartbeats(r, fx); /* so that others hear of the commit */
	become_follower(r, r->term, 0, fx);
}

/* --- hand-over ------------------------------------------------------------ */

/* The heir has the whole log.  What was proposed here must be applied here too,
 * or its outcome is unknown once another leads; but a disk that syncs nothing
 * any more must not hold the group up for that. */
static int
has_drained(const struct raft *r)
{
	return r->applied == r->log.last ||
	       r->now_us >= r->transfer_until_us - r->config.election_us / 2;
}

int
raft_transfer(struct raft *r, raft_id to, struct raft_effects *fx)
{
	if (r->failed || r->role != RAFT_LEADER || r->transfer_to)
		return -ERR_NOTLEADER;
	if (to == r->config.self || !members_has_voter(r->members, to))
		return -ERR_INVAL;
	r->transfer_to = to;
	r->transfer_until_us = r->now_us + r->config.election_us;
	transfer_try(r, fx);
	return 0;
}

void
transfer_try(struct raft *r, struct raft_effects *fx)
{
	const struct peer *p;

	if (r->role != RAFT_LEADER || !r->transfer_to)
		return;
	p = find_peer(r, r->transfer_to);
	if (p && p->match == r->log.last && !p->uncounted && has_drained(r))
		new_msg(r, fx, RAFT_TIMEOUT_NOW, p->id);
}

void
transfer_tick(struct raft *r, struct raft_effects *fx)
{
	if (!r->transfer_to)
		return;
	if (r->now_us >= r->transfer_until_us)
		r->transfer_to = 0; /* it does not want: go on */
	else
		transfer_try(r, fx);
}
