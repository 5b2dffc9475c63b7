/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* disk - the journal of a simulated node: synced in order, lost from any point.
 */
#include "src/base/assert.h"
#include "src/base/mem.h"
#include "tests/sim/sim.h"

#define BODIES (UINT64_C(1) << 40) /* of what the core makes itself */

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
	struct sim_entry out = {.term = e->term,
	    .id = (uintptr_t)e->body,
	    .position = e->position,
	    .kind = e->kind};

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
	for (uint32_t i = 0; i < op->n; i++) {
		uint64_t index = e->first + i;

		if (raft_entry_at(n->raft, index)->kind != RAFT_DATA &&
		    !raft_entry_at(n->raft, index)->body)
			raft_set_body(n->raft, index,
			    (void *)(uintptr_t)(BODIES + ++s->next_body), 100);
		raft_set_position(n->raft, index, ++n->position);
		op->entries[i] = entry_of(s, raft_entry_at(n->raft, index));
	}
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
add_record(struct sim_disk *d, uint64_t index, const struct sim_entry *e)
{
	if (d->n_records == d->cap_records) {
		d->cap_records = d->cap_records ? d->cap_records * 2 : 256;
		d->records = mem_realloc(
		    d->records, d->cap_records * sizeof(*d->records));
		ASSERT(d->records);
	}
	d->records[d->n_records++] =
	    (struct sim_record){.index = index, .entry = *e};
}

static void
put_entries(struct sim_disk *d, const struct sim_op *op)
{
	for (uint32_t i = 0; i < op->n; i++) {
		uint64_t index = op->first + i;

		ASSERT(index < SIM_ENTRIES);
		add_record(d, index, &op->entries[i]);
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
	if (n->n_ops && k)
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

/* Segments are recycled whole: often more is left than is needed. */
static void
recycle(struct sim *s, struct sim_disk *d)
{
	uint32_t to = d->n_records;

	for (uint32_t i = d->cut; i < d->n_records; i++)
		if (d->base < d->last && d->records[i].index == d->base + 1 &&
		    d->records[i].entry.position ==
			d->entries[d->base + 1].position)
			to = i;
	if (sim_chance(s, 500))
		d->cut = to;
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
	recycle(s, d);
}

static int
restore(struct sim_node *n, const struct sim_record *rec)
{
	struct raft_entry e = {.term = rec->entry.term,
	    .position = rec->entry.position,
	    .kind = rec->entry.kind,
	    .bytes = 100,
	    .body = (void *)(uintptr_t)rec->entry.id,
	    .members = rec->entry.members};

	return raft_restore(n->raft, &e, rec->index);
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
disk_restore(struct sim *s, struct sim_node *n)
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

static const struct sim_entry *
find_entry(const struct sim_node *n, uint64_t index)
{
	for (uint32_t i = n->n_ops; i-- > 0;) {
		const struct sim_op *op = &n->ops[i];

		if (op->type == OP_ENTRIES && index >= op->first &&
		    index < op->first + op->n)
			return &op->entries[index - op->first];
	}
	return &n->disk.entries[index];
}

uint64_t
disk_body(const struct sim_node *n, uint64_t index)
{
	const struct raft_entry *e = raft_entry_at(n->raft, index);
	const struct sim_entry *there;

	if (e->body)
		return (uintptr_t)e->body;
	there = find_entry(n, index);
	ASSERT(there->position == e->position && e->position);
	return there->id;
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

	if (d->last == d->base || d->cut == d->n_records)
		return;
	d->lost = d->last;
	d->n_records = d->cut + (uint32_t)sim_below(s, d->n_records - d->cut);
	d->damaged = 1;
	sim_trace(s, "n%d: the journal is damaged", (int)n->id);
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
	mem_free(n->disk.records);
	n->disk = (struct sim_disk){0};
}
