/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* disk - the journal of a machine: synced in order, lost from any point. */
#include <string.h>

#include "src/base/assert.h"
#include "src/base/mem.h"
#include "tests/sim/sim.h"

#define BODIES (UINT64_C(1) << 40) /* of what the core makes itself */

/* --- writing -------------------------------------------------------------- */

static struct sim_op *
add_op(struct sim_node *n, uint64_t seq, uint32_t n_records)
{
	struct sim_op *op;

	if (n->n_ops == n->cap_ops) {
		n->cap_ops = n->cap_ops ? n->cap_ops * 2 : 16;
		n->ops = mem_realloc(n->ops, n->cap_ops * sizeof(*n->ops));
		ASSERT(n->ops);
	}
	op = &n->ops[n->n_ops++];
	*op = (struct sim_op){.seq = seq, .n = n_records};
	op->records = mem_calloc(n_records, sizeof(*op->records));
	ASSERT(op->records);
	return op;
}

/* The host has encoded it by now. */
static struct sim_record
record(struct sim *s, struct sim_node *n, uint64_t index)
{
	const struct raft_entry *e = raft_entry_at(n->raft, index);
	struct sim_record rec = {.index = index};

	if (!e->body) {
		raft_set_body(n->raft, index,
		    (void *)(uintptr_t)(BODIES + ++s->next_body), 100);
		n->n_bodies++;
	}
	raft_set_position(n->raft, index, ++n->position);
	rec.entry = (struct sim_entry){.term = e->term,
	    .id = (uintptr_t)e->body,
	    .position = e->position,
	    .kind = e->kind};
	if (e->members)
		rec.entry.members = members_keep(s, e->members);
	return rec;
}

void
disk_persist(struct sim *s, struct sim_node *n, const struct raft_effect *e)
{
	int hard = e->type == RAFT_PERSIST_HARD;
	struct sim_op *op =
	    add_op(n, e->seq, hard ? 1 : (uint32_t)(e->last - e->first + 1));

	if (hard)
		op->records[0].entry =
		    (struct sim_entry){.term = e->term, .id = e->vote};
	for (uint32_t i = 0; !hard && i < op->n; i++)
		op->records[i] = record(s, n, e->first + i);
}

/* Group commit: one sync for all that is there when it begins. */
void
disk_start_sync(struct sim *s, struct sim_node *n)
{
	uint64_t us =
	    100 + sim_below(s, s->o.hostile && !s->quiet ? 8000 : 1000);

	if (!n->up || n->syncing || n->n_ops == 0 || n->full)
		return;
	if (s->o.hostile && !s->quiet && sim_chance(s, 10))
		us += 100000;
	n->syncing = 1;
	n->n_syncing = n->n_ops;
	sim_schedule(s, EV_SYNC, sim_slot(s, n), us);
}

static void
add_record(struct sim_disk *d, const struct sim_record *rec)
{
	if (d->n_records == d->cap_records) {
		d->cap_records = d->cap_records ? d->cap_records * 2 : 256;
		d->records = mem_realloc(
		    d->records, d->cap_records * sizeof(*d->records));
		ASSERT(d->records);
	}
	d->records[d->n_records++] = *rec;
}

static void
put(struct sim_disk *d, const struct sim_record *rec)
{
	add_record(d, rec);
	if (rec->index == 0) {
		d->term = rec->entry.term;
		d->vote = rec->entry.id;
		return;
	}
	ASSERT(rec->index < SIM_ENTRIES);
	d->last = rec->index < d->base ? d->base : rec->index;
	if (rec->index > d->base)
		d->entries[rec->index] = rec->entry;
}

/* The first K writes, and of the next the first RECORDS, are on the disk. */
static void
take_ops(struct sim_node *n, uint32_t k, uint32_t records)
{
	for (uint32_t i = 0; i < k; i++) {
		for (uint32_t j = 0; j < n->ops[i].n; j++)
			put(&n->disk, &n->ops[i].records[j]);
		mem_free(n->ops[i].records);
	}
	for (uint32_t j = 0; j < records; j++)
		put(&n->disk, &n->ops[k].records[j]);
	n->n_ops -= k;
	if (n->n_ops && k)
		memmove(n->ops, n->ops + k, n->n_ops * sizeof(*n->ops));
}

/* After an error the pages count as clean: they never reach the disk. */
static void
lose_records(struct sim_node *n, uint32_t k)
{
	for (uint32_t i = 0; i < k; i++)
		n->ops[i].n = 0;
}

/* An error of the disk stops the process; a sync is never tried again. */
void
disk_synced(struct sim *s, struct sim_node *n)
{
	uint32_t k = n->n_syncing;
	struct raft_effects fx = {0};
	uint64_t seq;

	n->syncing = 0;
	if (n->full)
		return; /* there was no room after all */
	if (s->o.hostile && !s->quiet && sim_below(s, 20000) == 0) {
		sim_trace(s, "n%d: input/output error", (int)n->id);
		if (!HAS_MUTANT(s, SYNC_TRIED_AGAIN)) {
			chaos_crash(s, n);
			return;
		}
		lose_records(n, k);
	}
	seq = n->ops[k - 1].seq;
	take_ops(n, k, 0);
	raft_persisted(sim_core(s, n), seq, &fx);
	sim_done(s, n, &fx);
}

/* --- manifests ------------------------------------------------------------ */

static void
save(struct sim *s, struct sim_disk *d, uint64_t index, uint64_t term,
    const struct raft_members *members)
{
	d->base = index;
	d->base_term = term;
	d->base_members = members;
	d->saved_term = d->term;
	d->saved_vote = HAS_MUTANT(s, MANIFEST_WITHOUT_VOTE) ? 0 : d->vote;
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
	save(s, d, index, raft_term_at(n->raft, index),
	    members_keep(s, raft_members_at(n->raft, index)));
	raft_compact(n->raft, index);
	recycle(s, d);
}

/* Unless entries that follow are kept, nothing of the old journal counts, be it
 * still on its way; but for the hard state. */
void
disk_adopt(struct sim *s, struct sim_node *n, const struct raft_fill *fill)
{
	struct sim_disk *d = &n->disk;
	int keep = raft_keeps_tail(n->raft, fill);

	for (uint32_t i = 0; i < n->n_ops && !keep; i++)
		if (n->ops[i].records[0].index)
			n->ops[i].n = 0;
	save(s, d, fill->index, fill->term, members_keep(s, &fill->members));
	if (!keep && !HAS_MUTANT(s, FILL_WITHOUT_CUT)) {
		d->last = fill->index;
		d->cut = d->n_records;
	}
}

/* --- misfortune ----------------------------------------------------------- */

/* As a start would find it. */
static void
read_hard(struct sim_disk *d)
{
	d->term = d->saved_term;
	d->vote = d->saved_vote;
	for (uint32_t i = d->cut; i < d->n_records; i++)
		if (d->records[i].index == 0) {
			d->term = d->records[i].entry.term;
			d->vote = d->records[i].entry.id;
		}
}

/* Half the time the write at which it ends is there in part. */
void
disk_crash(struct sim *s, struct sim_node *n)
{
	uint32_t keep = (uint32_t)sim_below(s, n->n_ops + 1);
	uint32_t part = 0;
	uint64_t term;
	raft_id vote;

	if (keep < n->n_ops && n->ops[keep].n > 1 && sim_chance(s, 500))
		part = (uint32_t)sim_below(s, n->ops[keep].n);
	take_ops(n, keep, part);
	term = n->disk.term;
	vote = n->disk.vote;
	for (uint32_t i = 0; i < n->n_ops; i++)
		mem_free(n->ops[i].records);
	n->n_ops = 0;
	n->syncing = 0;
	read_hard(&n->disk);
	if (n->disk.term != term || n->disk.vote != vote)
		sim_fail(s, "n%d forgets its term %d, or its vote for n%d",
		    (int)n->id, (int)term, (int)vote);
}

/* With the entries goes what was voted since. */
void
disk_damage(struct sim *s, struct sim_node *n)
{
	struct sim_disk *d = &n->disk;

	if (d->cut == d->n_records)
		return;
	d->lost = d->last;
	d->n_records = d->cut + (uint32_t)sim_below(s, d->n_records - d->cut);
	d->damaged = 1;
	read_hard(d);
	check_forgets_votes(s, n);
	sim_trace(s, "n%d: the journal is damaged", (int)n->id);
}

void
disk_forget(struct sim_node *n)
{
	for (uint32_t i = 0; i < n->n_ops; i++)
		mem_free(n->ops[i].records);
	n->ops = mem_free(n->ops);
	n->n_ops = n->cap_ops = 0;
	mem_free(n->disk.entries);
	mem_free(n->disk.records);
	n->disk = (struct sim_disk){0};
}

/* --- reading -------------------------------------------------------------- */

int
disk_has(const struct sim_node *n, uint64_t index, const struct sim_entry *e)
{
	const struct sim_disk *d = &n->disk;

	if (index <= d->base)
		return 1; /* applied, so compared with the history before */
	return index <= d->last && d->entries[index].term == e->term &&
	       d->entries[index].id == e->id;
}

static const struct sim_entry *
find_entry(const struct sim_node *n, uint64_t index)
{
	for (uint32_t i = n->n_ops; i-- > 0;) {
		const struct sim_op *op = &n->ops[i];
		uint64_t first = op->records[0].index;

		if (first && index >= first && index < first + op->n)
			return &op->records[index - first].entry;
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
	if (e->position == 0)
		return 0; /* just made, not written yet */
	there = find_entry(n, index);
	ASSERT(there->position == e->position);
	return there->id;
}
