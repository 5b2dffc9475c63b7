/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * words - what replicas promise each other, seen as it leaves them.
 *
 * A replica has one vote in a term, and knows after a restart in which terms it
 * has given its word, and to whom ([paper] figure 2: both are durable before).  One that was removed and is added again is another one.
 */
#include "tests/world/world.h"
#include "vnode/wire.h"

static void
check_vote(
    struct node *n, struct word *word, const struct wire_message *m, raft_id to)
{
	if (word->voted_in == m->term && word->vote != to)
		world_fail(n->world,
		    "node %u: group %u votes for %llu and %llu in term %llu",
		    n->slot, m->group, (unsigned long long)word->vote,
		    (unsigned long long)to, (unsigned long long)m->term);
	word->voted_in = m->term;
	word->vote = to;
}

static void
check_message(struct node *n, const struct wire_message *m)
{
	struct word *word = &n->words[m->group];

	if (m->reject || /* it promises nothing */
	    (m->type != RAFT_VOTE && m->type != RAFT_VOTE_ANSWER &&
		m->type != RAFT_APPEND_ANSWER))
		return;
	if (m->from < word->generation)
		return;
	if (m->from > word->generation)
		*word = (struct word){.generation = m->from};
	if (m->term > word->term)
		word->term = m->term;
	if (m->type == RAFT_VOTE)
		check_vote(n, word, m, m->from);
	else if (m->type == RAFT_VOTE_ANSWER)
		check_vote(n, word, m, m->to);
}

void
words_kept(struct node *n)
{
	for (uint32_t i = 0; i < n->world->n_logs; i++) {
		const struct word *word = &n->words[i];
		struct store_group g;

		store_group(n->store, i, &g);
		if (!g.here || g.generation != word->generation)
			continue;
		if (g.damaged) { /* what it has forgotten does not count */
			n->words[i] = (struct word){.generation = g.generation};
			continue;
		}
		if (g.term < word->term ||
		    (g.term == word->voted_in && g.vote != word->vote))
			world_fail(n->world,
			    "node %u: group %u forgets its term %llu, or its "
			    "vote for %llu",
			    n->slot, i, (unsigned long long)word->term,
			    (unsigned long long)word->vote);
	}
}

void
words_check(struct node *n, struct slice frame)
{
	struct wire_reader r;
	struct wire_message m;

	if (wire_open(&r, frame))
		return;
	while (wire_next(&r, &m) == 0)
		if (m.group < n->world->n_logs)
			check_message(n, &m);
}
