/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* groups - what the nodes know of the groups, seen from above. */
#include "tests/world/world.h"

struct node *
groups_leader(struct world *w, uint32_t group)
{
	struct node *best = NULL;
	uint64_t term = 0;

	for (uint32_t i = 0; i < w->n_nodes; i++) {
		struct node *n = &w->nodes[i];
		struct store_group g;

		if (n->state == NODE_DOWN ||
		    memcmp(n->identity.cluster_id, w->cluster, 16) != 0)
			continue; /* or in a cluster of its own */
		store_group(n->store, group, &g);
		if (g.leads && g.term > term) {
			term = g.term;
			best = n;
		}
	}
	return best;
}

int
groups_standing(const struct store_group *g, const uint8_t node[16])
{
	for (uint32_t i = 0; i < g->members.n; i++)
		if (memcmp(g->members.at[i].node, node, 16) == 0)
			return g->members.at[i].voter ? 2 : 1;
	return 0;
}

int
groups_are_equal(struct world *w, uint32_t group)
{
	struct node *n = groups_leader(w, group);
	struct store_group at, g;

	if (!n)
		return 0;
	store_group(n->store, group, &at);
	for (uint32_t i = 0; i < w->n_nodes; i++) {
		if (!groups_standing(&at, w->nodes[i].id))
			continue;
		if (w->nodes[i].state != NODE_UP)
			return 0;
		store_group(w->nodes[i].store, group, &g);
		if (!g.here || g.applied != at.last || at.applied != at.last)
			return 0;
	}
	return 1;
}

void
groups_describe(struct world *w)
{
	for (uint32_t i = 0; i < w->n_logs * w->n_nodes; i++) {
		struct node *n = &w->nodes[i % w->n_nodes];
		char members[256] = "";
		struct store_group g;
		int at = 0;

		if (n->state == NODE_DOWN)
			continue;
		store_group(n->store, i / w->n_nodes, &g);
		for (uint32_t k = 0; g.here && k < g.members.n; k++)
			at += snprintf(members + at,
			    sizeof(members) - (size_t)at, " %s%llu@%u",
			    g.members.at[k].voter ? "" : "learner ",
			    (unsigned long long)g.members.at[k].id,
			    g.members.at[k].node[0]);
		world_trace(w,
		    "group %u at node %u: %s%s%s term %llu applied %llu commit "
		    "%llu last %llu, replica %llu of%s",
		    i / w->n_nodes, n->slot, g.here ? "here" : "not here",
		    g.leads ? " leads" : "",
		    g.damaged ? " damaged"
		    : g.ready ? " ready"
			      : "",
		    (unsigned long long)g.term, (unsigned long long)g.applied,
		    (unsigned long long)g.commit, (unsigned long long)g.last,
		    (unsigned long long)g.generation, members);
	}
}
