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

#define WAITS UINT64_MAX /* the round of a read that waits for the next */

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

/* Have a majority of the voters confirmed ROUND?  Not those that are damaged:
 * they may have forgotten that they voted for another. */
static int
is_confirmed(const struct raft *r, uint64_t round)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < r->n_peers; i++) {
		const struct peer *p = &r->peers[i];

		n += p->voter && (p->id == r->config.self || p->round >= round);
	}
	return n >= members_majority(r) || MUTANT(r, READ_WITHOUT_ROUND);
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
	uint32_t n = 0;

	for (; n < r->n_reads && r->reads[n].round != WAITS; n++) {
		uint64_t round = r->reads[n].round;

		if (!is_confirmed(
			r, round - MUTANT(r, READ_CONFIRMED_BY_OLD_ROUND)))
			break;
		answer(r, fx, RAFT_READ_READY, &r->reads[n]);
	}
	if (n == 0)
		return;
	r->n_reads -= n;
	memmove(r->reads, r->reads + n, r->n_reads * sizeof(*r->reads));
	reads_begin(r, fx);
}

void
reads_lose(struct raft *r, struct raft_effects *fx)
{
	for (uint32_t i = 0; i < r->n_reads; i++)
		answer(r, fx, RAFT_READ_LOST, &r->reads[i]);
	r->n_reads = 0;
}

void
reads_begin(struct raft *r, struct raft_effects *fx)
{
	if (r->n_reads == 0 || r->reads[0].round != WAITS || !has_begun(r))
		return;
	r->round++;
	for (uint32_t i = 0; i < r->n_reads; i++) {
		r->reads[i].round = r->round;
		r->reads[i].index = r->commit;
	}
	reads_confirm(r, fx); /* the only voter asks nobody */
	if (r->n_reads)
		send_heartbeats(r, fx);
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
	r->reads[r->n_reads++] = (struct read){.ctx = ctx, .round = WAITS};
	reads_begin(r, fx);
	return 0;
}

void
raft_lose_reads(struct raft *r, struct raft_effects *fx)
{
	reads_lose(r, fx);
}
