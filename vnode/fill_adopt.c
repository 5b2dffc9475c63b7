/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fill_adopt - what was filled in becomes the replica.
 *
 * Crash argument.  All chunks are synced before the manifest is written, which
 * is by rename; the directory counts from then on, and counts more than the one
 * before it (a later life, or generation).  A crash before leaves the replica as
 * it was; the remains are removed at the next start.  A crash after finds the
 * filled replica, whose manifest
 *  - has the term and vote of this replica, never the sender's: it may have
 *    voted since, and the sender's vote is not its own;
 *  - voids, by `journal floor`, the log that this replica had, unless that log
 *    has the entry the fill ends with: then what follows it may have been
 *    acknowledged, and stays ([paper] figure 13, receiver 6).
 * Nothing of the replica is in the journal's hands meanwhile, and no message
 * reaches its core, so what the manifest says is the newest there is.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/fill_impl.h"
#include "vnode/mutants.h"
#include "vnode/removal.h"

/* --- all chunks are there ------------------------------------------------- */

static void
run_sync(struct env_job *job)
{
	struct fill *f = CONTAINER_OF(job, struct fill, job);
	const struct env_disk *d = &f->store->env->disk;

	f->r = fill_remove_unwanted(f);
	if (f->r == 0 && !VNODE_MUTANT(FILL_NOT_SYNCED))
		f->r = d->sync_all(d->ctx);
	store_call(f->store, fill_worker(f)->id, &f->msg, f->msg.fn);
}

static void
synced(struct msg *m)
{
	struct fill *f = fill_came_back(m);

	if (!f)
		return;
	store_step(f->store, STEP_FILL_SYNCED);
	f->synced = fill_now(f);
	f->stage = FILL_STAGE_WAITING;
	fill_try_adopt(f);
}

void
fill_sync(struct fill *f)
{
	if (f->n_kept)
		store_report(f->store, 0,
		    "group %u: %llu chunks, %llu bytes of an interrupted fill "
		    "were here and whole",
		    f->group, (unsigned long long)f->n_kept,
		    (unsigned long long)f->kept_bytes);
	metrics_add(
	    fill_worker(f)->metrics, METRICS_FILL_KEPT_BYTES, f->kept_bytes);
	f->stage = FILL_STAGE_SYNCING;
	fill_job(f, run_sync, synced);
}

/* --- the manifest --------------------------------------------------------- */

/* The log of this replica goes on behind the fill. */
static int
keeps_log(const struct fill *f)
{
	const struct vnode *v = fill_vnode(f);
	const struct group *filled = &f->shadow->group;

	return v->group.generation == f->generation &&
	       raft_term_at(v->group.raft, filled->applied_index) ==
		   filled->applied_term &&
	       filled->applied_index > 0;
}

static int
make_manifest(struct fill *f)
{
	const struct vnode *v = fill_vnode(f);
	const struct group *old = &v->group;
	struct vnode *n = f->shadow;
	int same = old->generation == f->generation;
	struct manifest_writer mw = {&f->rows, 0};
	struct manifest_id id = {.group = f->group,
	    .generation = f->generation,
	    .number = same ? v->manifest.number + 1 : 1};
	struct journal_stats js;
	struct manifest_state st = {
	    .checkpoint = same ? v->manifest.checkpoint + 1 : 1,
	    .term = same ? raft_term(old->raft) : f->leader_term,
	    .vote = VNODE_MUTANT(FILL_TAKES_LEADERS_VOTE) ? f->leader
		    : same                                ? raft_vote(old->raft)
							  : 0,
	    .applied_index = n->group.applied_index,
	    .applied_term = n->group.applied_term,
	    .next_stream_id = n->group.next_stream_id,
	    .clock_ms = n->group.clock_ms,
	    .policy_version = retain_version(&n->retain),
	    .damaged = same && raft_damaged(old->raft),
	    .members = n->recovered->members,
	};

	journal_stats(f->store->journal, &js);
	st.journal_floor = keeps_log(f) || VNODE_MUTANT(FILL_KEEPS_OLD_LOG)
			       ? old->journal_floor
			       : fill_worker(f)->durable + 1;
	memcpy(id.cluster_id, f->store->config.cluster_id, 16);
	buf_reset(&f->rows);
	manifest_add_head(&mw, &id);
	flush_add_all_rows(&mw, n);
	manifest_add_commit(&mw, &st);
	n->group.journal_floor = st.journal_floor;
	n->manifest = (struct vnode_manifest){
	    .number = id.number,
	    .crc = mw.crc,
	    .bytes = f->rows.n,
	    .snapshot_bytes = f->rows.n,
	    .checkpoint = st.checkpoint,
	    .saved_index = st.applied_index,
	    .saved_term = st.term,
	    .saved_vote = st.vote,
	    .previous_index = st.applied_index,
	};
	return buf_error(&f->rows);
}

static void
run_adopt(struct env_job *job)
{
	struct fill *f = CONTAINER_OF(job, struct fill, job);

	f->r = flush_write_snapshot(f->store, f->shadow,
	    f->shadow->manifest.number, buf_slice(&f->rows));
	store_step(f->store, STEP_FILL_NAMED);
	store_call(f->store, fill_worker(f)->id, &f->msg, f->msg.fn);
}

/* --- the change ----------------------------------------------------------- */

static void
leave_dirty(struct store_worker *w, struct vnode *v)
{
	for (uint32_t i = 0; i < v->n_by_id; i++)
		if (!list_empty(&v->by_id[i]->dirty))
			dirty_remove(&w->dirty, v->by_id[i]);
}

void
fill_not_adopted(struct fill *f)
{
	struct store_worker *w = fill_worker(f);
	struct vnode *v = fill_vnode(f);

	for (uint32_t i = 0; i < v->n_by_id; i++)
		if (v->by_id[i]->last > v->by_id[i]->flushed)
			dirty_add(&w->dirty, v->by_id[i]);
}

/* The content of the shadow becomes V's; its core stays. */
static void
take_over(struct store_worker *w, struct vnode *v, struct vnode *n)
{
	char old_dir[VNODE_DIR_BYTES];
	int had_files = v->group.generation != 0;

	memcpy(old_dir, v->dir, sizeof(old_dir));
	vnode_clear(v, &w->cache);
	v->streams = n->streams;
	v->buckets = n->buckets;
	v->by_id = n->by_id;
	v->n_by_id = n->n_by_id;
	v->cap_by_id = n->cap_by_id;
	dedup_move(&v->dedup, &n->dedup);
	if (VNODE_MUTANT(ENDED_NOT_FILLED))
		ended_clear(&n->ended);
	ended_move(&v->ended, &n->ended);
	retain_move(&v->retain, &n->retain);
	v->n_events = n->n_events;
	v->bytes = n->bytes;
	v->manifest = n->manifest;
	v->life = n->life;
	memcpy(v->dir, n->dir, sizeof(v->dir));
	v->group.generation = n->group.generation;
	v->group.applied_index = n->group.applied_index;
	v->group.applied_term = n->group.applied_term;
	v->group.next_stream_id = n->group.next_stream_id;
	v->group.clock_ms = n->group.clock_ms;
	v->group.journal_floor = n->group.journal_floor;
	atomic_fetch_add(&w->store->moves[v->group.id], 1);
	if (had_files) /* should they come back: an older life */
		removal_start(w, old_dir, 0);
}

static int
fresh_core(struct fill *f, struct vnode *v)
{
	const struct entry_members *m = &f->shadow->recovered->members;
	struct raft_state st = {
	    .term = v->manifest.saved_term,
	    .base_index = v->group.applied_index,
	    .base_term = v->group.applied_term,
	    .applied = v->group.applied_index,
	    .members = entry_members_view(m),
	};

	v->group.persisted = 0;
	v->group.failed = 0;
	v->group.others_commit = v->group.others_first.us = 0;
	v->group.retiring = 0; /* that was the one before */
	return replica_open(f->store, v, &st);
}

static void
say_filled(const struct fill *f)
{
	store_report(f->store, 0,
	    "group %u: filled: %llu bytes came and were synced in %llu ms, "
	    "adopted after %llu ms",
	    f->group, (unsigned long long)f->position,
	    (unsigned long long)mono_diff_us(f->begun, f->synced) / 1000,
	    (unsigned long long)mono_diff_us(f->begun, fill_now(f)) / 1000);
}

static void
adopted(struct msg *m)
{
	struct fill *f = fill_came_back(m);
	struct store_worker *w;
	struct vnode *v;
	int fresh, r = 0;

	if (!f)
		return;
	w = fill_worker(f);
	v = fill_vnode(f);
	say_filled(f);
	fresh = v->group.generation != f->generation;
	if (fresh)
		replica_close(w, v);
	take_over(w, v, f->shadow);
	v->group.fill = NULL;
	if (fresh) {
		r = fresh_core(f, v);
	} else {
		const struct entry_members *em = &f->shadow->recovered->members;
		struct raft_fill rf = {
		    .leader_term = f->leader_term,
		    .index = v->group.applied_index,
		    .term = v->group.applied_term,
		    .members = entry_members_view(em),
		};

		raft_filled(v->group.raft, &rf, &w->fx);
		replica_effects(w, v);
	}
	if (r)
		store_fatal(w->store, "a replica that was filled", r);
	store_changed(w->store, f->group);
	store_step(w->store, STEP_FILL_ADOPTED);
	fill_say(w, f->group, f->generation, f->leader, f->node, 0,
	    &(struct fill_message){.op = FILL_DONE,
		.transfer = f->transfer,
		.a = v->group.applied_index});
	recovered_free(f->shadow);
	f->shadow = mem_free(f->shadow);
	fill_free(f);
	fill_next_offer(w);
}

void
fill_try_adopt(struct fill *f)
{
	struct store_worker *w = fill_worker(f);
	struct vnode *v = fill_vnode(f);
	int r;

	if (v->group.n_in_journal || w->flush || w->chain ||
	    retire_is_under_way(v))
		return;
	if (f->generation <= v->group.removed ||
	    (v->group.generation == f->generation && v->group.retiring)) {
		fill_drop(f, "the replica was removed");
		return;
	}
	if (v->group.raft && v->group.generation == f->generation &&
	    raft_role(v->group.raft) == RAFT_LEADER) {
		fill_abort(f, "the replica leads");
		return;
	}
	if (v->group.raft && v->group.generation == f->generation &&
	    v->group.applied_index >= f->shadow->group.applied_index) {
		fill_drop(f, "it is not needed any more");
		return;
	}
	r = make_manifest(f);
	if (r) {
		fill_abort(f, err_text(r));
		return;
	}
	f->stage = FILL_STAGE_ADOPTING;
	leave_dirty(w, v);
	fill_job(f, run_adopt, adopted);
}
