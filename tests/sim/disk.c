/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* disk - the journal of a simulated node: synced in order, lost from any point.
 */
#include "src/base/assert.h"
#include "src/base/mem.h"
#include "tests/sim/sim.h"

static struct sim_op *
add_op(struct sim_node *n)
{
	if (n->n_ops == n->cap_ops) {
		n->cap_ops = n->cap_ops ? n->cap_ops * 2 : 16;
		n->ops = mem_realloc(n->ops, n->cap_ops * sizeof(*n->ops));
		ASSERT(n->ops);
	}
	n->ops[n->n_ops] = (struct sim_op){0};
	return &n->ops[n->n_ops++];
}

static struct sim_entry
entry_of(struct sim *s, const struct raft_entry *e)
{
	struct sim_entry out = {
	    .term = e->term, .id = (uintptr_t)e->body, .kind = e->kind};

	if (e->members)
		out.members = sim_members(s, e->members);
	return out;
}

void
disk_persist(struct sim *s, struct sim_node *n, const struct raft_effect *e)
{
	struct sim_op *op = add_op(n);

	op->seq = e->seq;
	if (e->type == RAFT_PERSIST_HARD) {
		op->type = OP_HARD;
		op->term = e->term;
		op->vote = e->vote;
		return;
	}
	op->type = OP_ENTRIES;
	op->first = e->first;
	op->n = (uint32_t)(e->last - e->first + 1);
	op->entries = mem_calloc(op->n, sizeof(*op->entries));
	ASSERT(op->entries);
	for (uint32_t i = 0; i < op->n; i++)
		op->entries[i] =
		    entry_of(s, raft_entry_at(n->raft, e->first + i));
}

/* Group commit: one sync for all that is there when it begins. */
void
disk_start_sync(struct sim *s, struct sim_node *n)
{
	uint64_t us = 100 + sim_below(s, s->o.hostile ? 8000 : 1000);

	if (!n->up || n->syncing || n->n_ops == 0 || n->full)
		return;
	if (s->o.hostile && !s->quiet && sim_chance(s, 10))
		us += 100000;
	n->syncing = 1;
	n->n_syncing = n->n_ops;
	sim_schedule(s, EV_SYNC, (uint32_t)(n - s->nodes), us);
}

static void
put_entries(struct sim_disk *d, const struct sim_op *op)
{
	for (uint32_t i = 0; i < op->n; i++) {
		uint64_t index = op->first + i;

		ASSERT(index < SIM_ENTRIES);
		if (index > d->base)
			d->entries[index] = op->entries[i];
	}
	d->last = op->first + op->n - 1;
	if (d->last < d->base)
		d->last = d->base;
}

static void
put(struct sim_disk *d, const struct sim_op *op)
{
	switch (op->type) {
	case OP_HARD:
		d->term = op->term;
		d->vote = op->vote;
		break;
	case OP_ENTRIES:
		put_entries(d, op);
		break;
	case OP_BASE: /* a fill: what was here before is replaced */
		d->base = d->last = op->index;
		d->base_term = op->term;
		d->base_members = op->members;
		break;
	}
}

static void
take_ops(struct sim_node *n, uint32_t k)
{
	for (uint32_t i = 0; i < k; i++) {
		put(&n->disk, &n->ops[i]);
		mem_free(n->ops[i].entries);
	}
	n->n_ops -= k;
	memmove(n->ops, n->ops + k, n->n_ops * sizeof(*n->ops));
}

void
disk_synced(struct sim *s, struct sim_node *n)
{
	struct raft_effects fx = {0};
	uint32_t k = n->n_syncing;
	uint64_t seq = n->ops[k - 1].seq;

	n->syncing = 0;
	take_ops(n, k);
	raft_persisted(n->raft, seq, &fx);
	sim_effects(s, n, &fx);
	raft_effects_deinit(&fx);
}

void
disk_compact(struct sim *s, struct sim_node *n, uint64_t index)
{
	struct sim_disk *d = &n->disk;

	if (index <= d->base || index > d->last)
		return;
	d->base_members = sim_members(s, raft_members_at(n->raft, index));
	d->base_term = raft_term_at(n->raft, index);
	d->base = index;
	raft_compact(n->raft, index);
}

void
disk_crash(struct sim *s, struct sim_node *n)
{
	uint32_t keep = (uint32_t)sim_below(s, n->n_ops + 1);

	/* Half the time the last record that is there is there in part. */
	take_ops(n, keep);
	for (uint32_t i = 0; i < n->n_ops; i++)
		mem_free(n->ops[i].entries);
	n->n_ops = 0;
	n->syncing = 0;
}

void
disk_damage(struct sim *s, struct sim_node *n)
{
	struct sim_disk *d = &n->disk;

	if (d->last == d->base)
		return;
	d->lost = d->last;
	d->last = d->base + sim_below(s, d->last - d->base);
	d->damaged = 1;
	sim_trace(s, "n%d: the journal is damaged behind %d", (int)n->id,
	    (int)d->last);
}

int
disk_has(const struct sim_node *n, uint64_t index, const struct sim_entry *e)
{
	const struct sim_disk *d = &n->disk;

	if (index <= d->base)
		return 1; /* applied, so compared with the history before */
	return index <= d->last && d->entries[index].term == e->term &&
	       d->entries[index].id == e->id;
}

void
disk_deinit(struct sim_node *n)
{
	for (uint32_t i = 0; i < n->n_ops; i++)
		mem_free(n->ops[i].entries);
	n->ops = mem_free(n->ops);
	n->n_ops = n->cap_ops = 0;
	mem_free(n->disk.entries);
	n->disk = (struct sim_disk){0};
}
