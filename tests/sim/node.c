/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* node - the life of a simulated node: made, started, killed. */
#include "src/base/assert.h"
#include "src/base/mem.h"
#include "tests/sim/sim.h"

void
node_create(struct sim *s, struct sim_node *n, raft_id id)
{
	static const struct raft_members nobody = {0};

	n->id = n->newest = id;
	n->life++;
	n->disk.entries = mem_calloc(SIM_ENTRIES, sizeof(struct sim_entry));
	ASSERT(n->disk.entries);
	n->disk.base_members = sim_members(s, &nobody);
}

static void
set_limits(struct sim *s, struct raft_config *c)
{
	c->heartbeat_us = 30000;
	c->election_us = 150000;
	c->rank_us = 20000;
	c->jitter_us = s->jitter_us;
	c->window_entries = 64;
	c->window_bytes = 1 << 20;
	c->msg_entries = 16;
	c->msg_bytes = 1 << 16;
	if (s->o.hostile) {
		c->rank_us = s->jitter_us / 3;
		c->window_entries = 1 + (uint32_t)sim_below(s, 3);
		c->msg_entries = 1 + (uint32_t)sim_below(s, 3);
	}
}

void
node_start(struct sim *s, struct sim_node *n)
{
	struct raft_config c = {
	    .self = n->id, .seed = sim_random(s), .mutant = s->o.mutant};
	struct raft_state st = {
	    .term = n->disk.term,
	    .vote = n->disk.vote,
	    .base_index = n->disk.base,
	    .base_term = n->disk.base_term,
	    .members = *n->disk.base_members,
	    .damaged = n->disk.damaged,
	};
	struct raft_effects fx = {0};

	set_limits(s, &c);
	n->raft = raft_new(&c, &st);
	ASSERT(n->raft);
	raft_set_rank(n->raft, (uint32_t)(n - s->nodes));
	disk_restore(s, n);
	n->up = 1;
	n->full = 0;
	n->applied = n->disk.base;
	sim_trace(s, "n%d starts: term %d, base %d, last %d%s", (int)n->id,
	    (int)n->disk.term, (int)n->disk.base, (int)n->disk.last,
	    n->disk.damaged ? ", damaged" : "");
	node_tick(s, n);
	raft_campaign(n->raft, &fx);
	sim_effects(s, n, &fx);
	raft_effects_deinit(&fx);
}

void
node_crash(struct sim *s, struct sim_node *n)
{
	if (!n->up)
		return;
	sim_trace(s, "n%d crashes", (int)n->id);
	n->up = 0;
	n->stopped = 0;
	n->life++;
	n->raft = raft_free(n->raft);
	disk_crash(s, n);
}

void
node_tick(struct sim *s, struct sim_node *n)
{
	struct raft_effects fx = {0};

	raft_tick(n->raft, s->now, &fx);
	sim_effects(s, n, &fx);
	raft_effects_deinit(&fx);
}

void
node_remove(struct sim_node *n)
{
	n->raft = raft_free(n->raft);
	disk_deinit(n);
	n->id = 0;
	n->life++;
	n->up = n->stopped = n->syncing = 0;
}
