/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* node - machines, and the life of a replica: made, started, killed. */
#include <string.h>

#include "src/base/assert.h"
#include "src/base/mem.h"
#include "tests/sim/sim.h"

/* --- who ------------------------------------------------------------------ */

struct sim_node *
node_with(struct sim *s, raft_id id)
{
	for (uint32_t i = 0; i < SIM_NODES; i++)
		if (s->nodes[i].id == id && id)
			return &s->nodes[i];
	return NULL;
}

struct sim_node *
node_named(struct sim *s, const uint8_t name[16])
{
	for (uint32_t i = 0; i < SIM_NODES; i++)
		if (memcmp(s->nodes[i].name, name, 16) == 0)
			return &s->nodes[i];
	return NULL;
}

struct sim_node *
node_leader(struct sim *s)
{
	uint32_t from = (uint32_t)sim_below(s, SIM_NODES);

	for (uint32_t i = 0; i < SIM_NODES; i++) {
		struct sim_node *n = &s->nodes[(from + i) % SIM_NODES];

		if (n->up && raft_role(n->raft) == RAFT_LEADER)
			return n;
	}
	return NULL;
}

struct sim_node *
node_any(struct sim *s)
{
	uint32_t from = (uint32_t)sim_below(s, SIM_NODES);

	while (!s->nodes[from % SIM_NODES].id)
		from++;
	return &s->nodes[from % SIM_NODES];
}

const struct raft_members *
members_keep(struct sim *s, const struct raft_members *m)
{
	size_t bytes = m->n * sizeof(*m->at);
	struct raft_members *copy;

	for (uint32_t i = s->n_pool; i-- > 0;)
		if (s->pool[i]->n == m->n &&
		    (m->n == 0 || memcmp(s->pool[i]->at, m->at, bytes) == 0))
			return s->pool[i];
	ASSERT(s->n_pool < SIM_MEMBERS);
	copy = mem_zalloc(sizeof(*copy) + bytes);
	ASSERT(copy);
	copy->n = m->n;
	copy->at = (struct raft_member *)(copy + 1);
	if (m->n)
		memcpy(copy + 1, m->at, bytes);
	return s->pool[s->n_pool++] = copy;
}

uint32_t
members_voters(const struct raft_members *m)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < m->n; i++)
		n += m->at[i].voter != 0;
	return n;
}

int
members_have(const struct raft_members *m, raft_id id)
{
	for (uint32_t i = 0; i < m->n; i++)
		if (m->at[i].id == id)
			return 1;
	return 0;
}

const struct raft_member *
members_lost(struct sim *s, const struct raft_members *m)
{
	for (uint32_t i = 0; i < m->n; i++)
		if (!node_named(s, m->at[i].node))
			return &m->at[i];
	return NULL;
}

/* --- life ----------------------------------------------------------------- */

void
node_create(struct sim *s, struct sim_node *n, raft_id id)
{
	static const struct raft_members nobody = {0};

	n->id = n->newest = id;
	n->life++;
	n->disk.entries = mem_calloc(SIM_ENTRIES, sizeof(struct sim_entry));
	ASSERT(n->disk.entries);
	n->disk.base_members = members_keep(s, &nobody);
	check_forgets_votes(s, n);
}

static void
drop(void *arg, struct raft_entry *e)
{
	struct sim_node *n = arg;

	n->n_bodies -= e->body != NULL;
}

static struct raft_config
config(struct sim *s, struct sim_node *n)
{
	struct raft_config c = {.self = n->id,
	    .seed = sim_random(s),
	    .heartbeat_us = 30000,
	    .election_us = 150000,
	    .rank_us = 20000,
	    .jitter_us = s->jitter_us,
	    .window_entries = 64,
	    .window_bytes = 1 << 20,
	    .msg_entries = 16,
	    .msg_bytes = 1 << 16,
	    .drop = drop,
	    .ctx = n,
	    .mutant = s->o.mutant};

	if (s->o.hostile) {
		c.rank_us = s->jitter_us / 3;
		c.window_entries = 1 + (uint32_t)sim_below(s, 3);
		c.msg_entries = 1 + (uint32_t)sim_below(s, 3);
		c.window_bytes = sim_chance(s, 500) ? 150 : 1 << 20;
	}
	return c;
}

void
node_start(struct sim *s, struct sim_node *n)
{
	struct sim_disk *d = &n->disk;
	struct raft_config c = config(s, n);
	struct raft_state st = {
	    .term = d->term,
	    .vote = d->vote,
	    .base_index = d->base,
	    .base_term = d->base_term,
	    .members = *d->base_members,
	    .damaged = d->damaged,
	};
	struct raft_effects fx = {0};

	n->raft = raft_new(&c, &st);
	ASSERT(n->raft);
	raft_set_rank(n->raft, sim_slot(s, n));
	node_restore(s, n);
	n->up = 1;
	n->full = 0;
	n->applied = d->base;
	sim_trace(s, "n%d starts on machine %d: term %d, base %d, last %d%s",
	    (int)n->id, (int)sim_slot(s, n), (int)d->term, (int)d->base,
	    (int)d->last, d->damaged ? ", damaged" : "");
	node_tick(s, n);
	if (n->up) {
		raft_campaign(sim_core(s, n), &fx);
		sim_done(s, n, &fx);
	}
}

static void
stop(struct sim *s, struct sim_node *n)
{
	n->life++;
	n->ahead_us = 0;
	n->raft = raft_free(n->raft);
	if (n->n_bodies != 0 && !s->o.mutant)
		sim_fail(s, "n%d has dropped all bodies but %d", (int)n->id,
		    (int)n->n_bodies);
	n->n_bodies = 0;
}

void
node_crash(struct sim *s, struct sim_node *n)
{
	if (!n->up)
		return;
	sim_trace(s, "n%d crashes", (int)n->id);
	stop(s, n);
	n->up = n->stopped = 0;
	n->boot++;
	disk_crash(s, n);
}

void
node_remove(struct sim *s, struct sim_node *n)
{
	stop(s, n);
	disk_forget(n);
	n->id = 0;
	n->up = n->stopped = n->syncing = n->full = 0;
}

void
node_tick(struct sim *s, struct sim_node *n)
{
	struct raft_effects fx = {0};

	raft_tick(sim_core(s, n), s->now + n->ahead_us, &fx);
	sim_done(s, n, &fx);
}

/* --- the journal ---------------------------------------------------------- */

static int
restore(struct sim_node *n, const struct sim_record *rec)
{
	struct raft_entry e = {.term = rec->entry.term,
	    .position = rec->entry.position,
	    .kind = rec->entry.kind,
	    .bytes = 100,
	    .body = (void *)(uintptr_t)rec->entry.id,
	    .members = rec->entry.members};
	int r = rec->index ? raft_restore(n->raft, &e, rec->index) : 0;

	n->n_bodies += rec->index && r == 0;
	return r;
}

/* What a damaged journal still has is all that there is now. */
static void
accept(struct sim_node *n, uint32_t n_records)
{
	struct sim_disk *d = &n->disk;

	d->n_records = n_records;
	d->last = raft_last(n->raft);
	for (uint32_t i = d->cut; i < d->n_records; i++)
		if (d->records[i].index > d->base)
			d->entries[d->records[i].index] = d->records[i].entry;
}

void
node_restore(struct sim *s, struct sim_node *n)
{
	struct sim_disk *d = &n->disk;
	uint32_t i = d->cut;

	while (i < d->n_records && restore(n, &d->records[i]) == 0)
		i++;
	if (d->damaged)
		accept(n, i);
	if (i < d->n_records)
		sim_fail(s, "n%d cannot restore entry %d", (int)n->id,
		    (int)d->records[i].index);
	if (raft_last(n->raft) != d->last)
		sim_fail(s, "n%d has restored %d entries of %d", (int)n->id,
		    (int)raft_last(n->raft), (int)d->last);
	for (uint64_t k = d->base + 1; k <= d->last; k++)
		if (raft_entry_at(n->raft, k)->body !=
		    (void *)(uintptr_t)d->entries[k].id)
			sim_fail(s, "n%d has restored another entry %d",
			    (int)n->id, (int)k);
}
