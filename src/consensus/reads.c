/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * reads - read-index ([thesis] 6.4): a read sees all that was committed when it
 * came, once a majority has confirmed since that this is still the leader.
 *
 * Reads that come while a round is under way share the next one.  A round is a
 * number in the heartbeats, echoed by every answer: an answer to a later round
 * confirms the earlier ones.
 */
#include "src/base/mem.h"
#include "src/consensus/raft_impl.h"

static void
answer(struct raft *r, struct raft_effects *fx, enum raft_effect_type type,
    const struct read *rd)
{
	struct raft_effect *e = emit(r, fx, type);

	if (!e)
		return;
	e->ctx = rd->ctx;
	e->last = rd->index;
}

/* The newest round that a majority of the voters has confirmed. */
static uint64_t
confirmed_round(const struct raft *r)
{
	uint64_t best = 0;

	for (uint32_t i = 0; i < r->n_peers; i++) {
		uint64_t round = r->peers[i].id == r->config.self
				     ? r->round
				     : r->peers[i].round;
		uint32_t n = 0;

		for (uint32_t k = 0; k < r->n_peers; k++)
			n += r->peers[k].voter &&
			     (r->peers[k].id == r->config.self ||
				 r->peers[k].round >= round);
		if (n >= members_majority(r) && round > best)
			best = round;
	}
	return best;
}

static int
has_begun(const struct raft *r)
{
	return log_term(r, r->commit) == r->term ||
	       MUTANT(r, READ_BEFORE_COMMIT_OF_TERM);
}

void
reads_confirm(struct raft *r, struct raft_effects *fx)
{
	uint64_t round = confirmed_round(r);
	uint32_t n = 0;

	if (MUTANT(r, READ_WITHOUT_ROUND))
		round = UINT64_MAX - 1;
	if (MUTANT(r, READ_CONFIRMED_BY_OLD_ROUND))
		round++;
	for (; n < r->n_reads && r->reads[n].round <= round; n++)
		answer(r, fx, RAFT_READ_READY, &r->reads[n]);
	r->n_reads -= n;
	if (n)
		memmove(r->reads, r->reads + n, r->n_reads * sizeof(*r->reads));
}

void
reads_lose(struct raft *r, struct raft_effects *fx)
{
	for (uint32_t i = 0; i < r->n_reads; i++)
		answer(r, fx, RAFT_READ_LOST, &r->reads[i]);
	r->n_reads = 0;
}

static void
begin_round(struct raft *r, struct raft_effects *fx)
{
	r->round++;
	for (uint32_t i = 0; i < r->n_reads; i++) {
		struct read *rd = &r->reads[i];

		if (rd->round != UINT64_MAX)
			continue;
		rd->round = r->round;
		rd->index = r->commit;
	}
	send_heartbeats(r, fx);
	reads_confirm(r, fx);
}

void
reads_begin(struct raft *r, struct raft_effects *fx)
{
	if (r->n_reads && r->reads[r->n_reads - 1].round == UINT64_MAX &&
	    has_begun(r))
		begin_round(r, fx);
}

int
raft_read(struct raft *r, uint64_t ctx, struct raft_effects *fx)
{
	if (r->failed || r->role != RAFT_LEADER)
		return -ERR_NOTLEADER;
	if (r->n_reads == r->cap_reads) {
		uint32_t cap = r->cap_reads ? r->cap_reads * 2 : 8;
		void *p = mem_realloc(r->reads, cap * sizeof(*r->reads));

		if (!p)
			return -ERR_NOMEM;
		r->reads = p;
		r->cap_reads = cap;
	}
	r->reads[r->n_reads++] = (struct read){.ctx = ctx, .round = UINT64_MAX};
	reads_begin(r, fx);
	return 0;
}
