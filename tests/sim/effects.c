/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* effects - around each event of a core: memory that runs out, effects. */
#include <string.h>

#include "tests/sim/sim.h"

int
sim_refuses(void *sim, size_t n)
{
	struct sim *s = sim;

	(void)n;
	if (!s->in_core || s->quiet || s->no_memory == 0 ||
	    sim_below(s, 100000) >= s->no_memory)
		return 0;
	s->starved = 1;
	return 1;
}

struct raft *
sim_core(struct sim *s, struct sim_node *n)
{
	s->in_core = 1;
	return n->raft;
}

static void
role(struct sim *s, struct sim_node *n)
{
	static const char *const names[] = {
	    "a follower", "a pre-candidate", "a candidate", "the leader"};

	sim_trace(s, "n%d is %s in term %d, led by n%d", (int)n->id,
	    names[raft_role(n->raft)], (int)raft_term(n->raft),
	    (int)raft_leader(n->raft));
	check_role(s, n);
	if (raft_role(n->raft) != RAFT_LEADER || s->quiet)
		return;
	if (s->operators > 2 && sim_chance(s, 500))
		sim_schedule(s, EV_OPERATOR, sim_slot(s, n), sim_below(s, 500));
	if (s->reckless && sim_chance(s, 700))
		chaos_plot(s, n);
	if (sim_chance(s, s->hunted))
		sim_schedule(s, sim_chance(s, 600) ? EV_CRASH : EV_MUTE,
		    sim_slot(s, n),
		    sim_below(s, sim_chance(s, 500) ? 6000 : 60000));
}

static void
carry_out(struct sim *s, struct sim_node *n, const struct raft_effect *e)
{
	switch (e->type) {
	case RAFT_SEND:
		net_send(s, n, &e->msg);
		break;
	case RAFT_PERSIST_HARD:
	case RAFT_PERSIST_ENTRIES:
		disk_persist(s, n, e);
		break;
	case RAFT_APPLY:
		check_apply(s, n, e->last);
		break;
	case RAFT_ROLE:
		role(s, n);
		break;
	case RAFT_READ_READY:
		check_read(s, e->ctx, e->last);
		break;
	case RAFT_READ_LOST:
		break;
	case RAFT_FILL:
		fill_begin(s, n, e->peer);
		break;
	case RAFT_HEALED:
		sim_trace(s, "n%d is whole again", (int)n->id);
		n->disk.damaged = 0;
		s->n_healed++;
		break;
	case RAFT_FAILED:
		if (!s->starved)
			sim_fail(s, "n%d has failed: %s", (int)n->id, e->why);
	}
}

static void
hash(struct sim *s, const struct sim_node *n, const struct raft_effect *e)
{
	s->trace_hash ^= e->type + e->seq * 31 + e->last * 131 + n->id;
	s->trace_hash *= 0x100000001b3u;
}

void
sim_done(struct sim *s, struct sim_node *n, struct raft_effects *fx)
{
	s->in_core = 0;
	for (uint32_t i = 0; i < fx->n; i++) {
		hash(s, n, &fx->items[i]);
		carry_out(s, n, &fx->items[i]);
	}
	raft_effects_deinit(fx);
	disk_start_sync(s, n);
	if (raft_failed(n->raft)) {
		sim_trace(s, "n%d has no memory", (int)n->id);
		chaos_crash(s, n);
	}
	s->starved = 0;
}
