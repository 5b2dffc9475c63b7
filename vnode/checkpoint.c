/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * checkpoint - all vnodes written behind, so that the journal can let go.
 *
 *	idle -> (due) capture on every worker -> chunks and manifests synced
 *	     -> a mark record for every group in the journal, synced
 *	     -> journal_release(floor) -> idle
 *
 * Floor: for each worker, when it captured: nothing of its own in the journal
 * -> all that was durable then; else what the last completion told; but below
 * the oldest entry of any of its groups that is not applied.  Every record at or
 * below was applied before the capture, so its events are in the chunk files, or
 * is a term or vote that the manifest has.  The lowest of the workers counts.
 *
 * The journal keeps what the checkpoint before needed, and the logs of the
 * groups as much: a replica that was away for less finds in them what it missed.
 * Not so when the journal is half full.
 *
 * Marks of all groups are written each time, so the segments that are kept
 * always hold the newest mark of every group (manifest.c says what for).
 *
 * Runs on worker 0 but for begin_on_worker and flush_done.
 */
#include "src/base/assert.h"
#include "src/base/crc32c.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/fill.h"
#include "vnode/flush_impl.h"
#include "vnode/mutants.h"
#include "vnode/removal.h"
#include "vnode/replica.h"

#define CHECKPOINT_EVERY_US 30000000ull
#define CHECKPOINT_SOON_US  1000000ull

/* A worker's word to worker 0, and the order to begin. */
struct order {
	struct msg msg;
	struct store *store;
	uint32_t worker;
	lsn_t floor;
	uint32_t n_before; /* flushes before the capture; see capture() */
	int r;
};

static void begin_on_worker(struct msg *m);

/* --- marks ---------------------------------------------------------------- */

static int
make_marks(struct store *s)
{
	struct checkpoint *c = &s->checkpoint;
	uint32_t n = s->config.n_groups;

	if (c->marks)
		return 0;
	c->marks = mem_calloc(n, sizeof(*c->marks));
	c->payloads = mem_calloc(n, sizeof(*c->payloads));
	c->iov = mem_calloc(n, sizeof(*c->iov));
	if (c->marks && c->payloads && c->iov)
		return 0;
	c->marks = mem_free(c->marks);
	c->payloads = mem_free(c->payloads);
	c->iov = mem_free(c->iov);
	return -ERR_NOMEM;
}

/* Fills in the mark of group G; worker 0 may read it while nothing flushes. */
static void
make_mark(struct store *s, uint32_t g)
{
	const struct vnode *v = &s->vnodes[g];
	struct checkpoint *c = &s->checkpoint;
	struct manifest_mark mark = {
	    .number = v->manifest.number,
	    .bytes = v->manifest.bytes,
	    .checkpoint = v->manifest.checkpoint,
	    .applied_index = v->manifest.saved_index,
	};

	manifest_encode_mark(&mark, c->payloads[g]);
	c->iov[g] = (struct iovec){c->payloads[g], MANIFEST_MARK_BYTES};
	c->marks[g] = (struct journal_append){
	    .head = {.type = JOURNAL_CHECKPOINT,
		.group = (uint16_t)g,
		.generation = v->group.generation,
		.term = v->manifest.saved_term},
	    .worker = 0,
	    .n_iov = 1,
	    .iov = &c->iov[g],
	    .payload_bytes = MANIFEST_MARK_BYTES,
	    .payload_crc = crc32c(0, c->payloads[g], MANIFEST_MARK_BYTES),
	};
}

static void
finish(struct store *s)
{
	struct checkpoint *c = &s->checkpoint;

	c->running = 0;
	if (!c->failed)
		atomic_fetch_add(&s->n_checkpoints, 1);
	if (c->stopped && atomic_load(&s->stopping)) {
		void (*fn)(void *) = c->stopped;

		c->stopped = NULL;
		fn(c->stopped_arg);
	}
}

static void
submit_marks(struct store *s)
{
	struct checkpoint *c = &s->checkpoint;
	struct journal_append *first = NULL, **chain = &first;

	if (make_marks(s)) {
		c->failed = 1;
		finish(s);
		return;
	}
	c->n_waiting = 0;
	for (uint32_t g = 0; g < s->config.n_groups; g++) {
		if (s->vnodes[g].manifest.number == 0)
			continue;
		make_mark(s, g);
		*chain = &c->marks[g];
		chain = &c->marks[g].next;
		c->n_waiting++;
	}
	*chain = NULL;
	if (!first) {
		finish(s);
		return;
	}
	s->workers[0].n_in_flight += c->n_waiting;
	journal_submit(s->journal, first);
}

void
checkpoint_marked(struct store *s, int r)
{
	struct checkpoint *c = &s->checkpoint;

	if (r)
		c->failed = 1;
	ASSERT(c->n_waiting > 0);
	if (--c->n_waiting)
		return;
	if (!c->failed) {
		journal_release(
		    s->journal, c->tight ? c->floor : c->previous_floor);
		c->previous_floor = c->floor;
	}
	finish(s);
}

/* --- workers -------------------------------------------------------------- */

static void
hear_worker(struct msg *m)
{
	struct order *o = CONTAINER_OF(m, struct order, msg);
	struct store *s = o->store;
	struct checkpoint *c = &s->checkpoint;

	if (o->r)
		c->failed = 1;
	if (o->floor < c->floor)
		c->floor = o->floor;
	mem_free(o);
	if (--c->n_waiting)
		return;
	if (c->failed)
		finish(s);
	else
		submit_marks(s);
}

/* The answer of W goes out: with the order it got, kept in w->order. */
static void
tell(struct store_worker *w, int r)
{
	struct order *o = w->order;

	w->order = NULL;
	o->r = r;
	store_call(w->store, 0, &o->msg, hear_worker);
}

/* Below the oldest record that V needs: of an entry that is durable and not
 * applied, or that a fill under way needs. */
static lsn_t
vnode_floor(const struct vnode *v, lsn_t floor)
{
	const struct group *g = &v->group;
	uint64_t keep = fill_keeps(v);
	lsn_t at;

	if (keep > g->applied_index)
		keep = g->applied_index;
	if (g->half_applied && keep > v->manifest.saved_index)
		keep = v->manifest.saved_index;
	if (keep < raft_base(g->raft))
		keep = raft_base(g->raft);
	/* Beyond: a core without memory did not take a fill over. */
	if (keep >= raft_last(g->raft))
		return floor;
	at = raft_entry_at(g->raft, keep + 1)->position;
	return at && at - 1 < floor ? at - 1 : floor;
}

/* Whether those of M elect a leader and commit without replica ID. */
static int
can_do_without(const struct raft_members *m, raft_id id)
{
	uint32_t voters = 0, others = 0;

	for (uint32_t i = 0; i < m->n; i++) {
		voters += m->at[i].voter;
		others += m->at[i].voter && m->at[i].id != id;
	}
	return others > voters / 2;
}

/* Nobody takes one for well by then that has said nothing. */
#define SILENT_US 10000000

/* The others commit, and go on to do so long after V has fallen silent: no change
 * of members that was made while it still counted as well, and that needs it, is
 * under way; and none is begun any more. */
static int
is_done_without(const struct vnode *v)
{
	const struct group *g = &v->group;

	return g->others_commit > raft_last(g->raft) &&
	       mono_diff_us(g->others_first, g->others_newest) >= SILENT_US;
}

/* Whether others can fill V, which is out of service: now, and as of its
 * manifest, which is all that the next start has. */
static int
can_be_refilled(const struct vnode *v)
{
	const struct raft *r = v->group.raft;
	uint64_t index = v->manifest.saved_index;

	return is_done_without(v) && index >= raft_base(r) &&
	       index <= raft_last(r) &&
	       can_do_without(raft_members_at(r, index), v->group.generation) &&
	       can_do_without(raft_members(r), v->group.generation);
}

/*
 * The journal is half full, and V, out of service, needs the oldest of it.  Where
 * enough others have it, it is given up: a record that says so stands in the
 * journal as long as this lasts, and the next start does not vote there until it
 * is whole again.  Else the journal has to grow.
 */
static int
give_up_log(struct store_worker *w, struct vnode *v)
{
	if (can_be_refilled(v) && replica_say_damaged(w, v) == 0)
		return 1;
	if (!atomic_exchange(&w->pinned, 1))
		store_report(w->store, 1,
		    "group %u is out of service, and the journal keeps what "
		    "it needs: it will grow beyond journal.max until the node "
		    "is started again",
		    v->group.id);
	return 0;
}

/* What the journal may forget, as far as W knows; below FLOOR. */
static lsn_t
needed_floor(struct store_worker *w, lsn_t floor)
{
	struct store *s = w->store;
	int tight = s->checkpoint.tight && !atomic_load(&s->stopping) &&
		    !atomic_load(&s->dead);
	lsn_t all = floor;

	if (VNODE_MUTANT(JOURNAL_LETS_GO_TOO_SOON))
		return floor;
	for (uint32_t i = w->id; i < s->n_vnodes; i += s->n_workers) {
		struct vnode *v = &s->vnodes[i];
		lsn_t at;

		floor = retire_floor(v, floor);
		if (!v->group.raft)
			continue;
		at = vnode_floor(v, all);
		if (at == all ||
		    (tight && v->group.failed && give_up_log(w, v)))
			continue;
		if (at < floor)
			floor = at;
	}
	return removal_floor(w, floor);
}

/* What is dirty already goes first, in flushes of bounded size, so that the one
 * of the checkpoint, which must take everything at one moment, is short. */
static void
capture(struct store_worker *w)
{
	struct journal_stats js;
	int r;

	if (w->dirty.n > FLUSH_STREAMS && w->order->n_before) {
		w->order->n_before--;
		if (flush_start(w, 0) == 0)
			return;
	}
	retain_cut(w, CUT_STREAMS);
	atomic_store(&w->cuts, 0);
	journal_stats(w->store->journal, &js);
	w->order->floor = needed_floor(
	    w, w->n_in_flight || w->chain ? w->durable : js.durable);
	r = flush_start(w, 1);
	if (r)
		tell(w, r);
}

static void
begin_on_worker(struct msg *m)
{
	struct order *o = CONTAINER_OF(m, struct order, msg);
	struct store_worker *w = &o->store->workers[o->worker];

	ASSERT(!w->order);
	w->order = o;
	o->n_before = w->dirty.n / FLUSH_STREAMS;
	if (!w->flush)
		capture(w);
}

/* The manifests are durable, and the journal will let go of what was older than
 * the ones before. */
static void
compact_logs(struct store_worker *w)
{
	struct store *s = w->store;

	for (uint32_t i = w->id; i < s->n_vnodes; i += s->n_workers) {
		struct vnode *v = &s->vnodes[i];
		uint64_t keep;

		if (!v->group.raft)
			continue;
		keep = fill_keeps(v);
		if (keep > v->manifest.previous_index)
			keep = v->manifest.previous_index;
		raft_compact(v->group.raft,
		    s->checkpoint.tight ? v->manifest.saved_index : keep);
		v->manifest.previous_index = v->manifest.saved_index;
	}
}

void
flush_done(struct store_worker *w, int checkpoint, int r)
{
	struct store *s = w->store;

	if (r == -ERR_NOSPC) {
		if (!atomic_exchange(&s->disk_full, 1))
			store_report(s, 1,
			    "the disk is full: writes are refused until "
			    "there is room");
	} else if (r && r != -ERR_NOMEM && r != -ERR_BUSY) {
		store_fatal(s, "chunk files cannot be written", r);
	}
	if (checkpoint && r == 0)
		compact_logs(w);
	if (checkpoint)
		tell(w, r);
	else if (w->order)
		capture(w);
	store_unpark(w);
}

/* --- when ----------------------------------------------------------------- */

static void
begin(struct store *s)
{
	struct checkpoint *c = &s->checkpoint;

	c->tight = journal_is_crowded(s->journal);
	c->running = 1;
	c->failed = 0;
	c->floor = UINT64_MAX;
	c->n_waiting = s->n_workers;
	for (uint32_t i = 0; i < s->n_workers; i++) {
		struct order *o = mem_zalloc(sizeof(*o));

		if (!o) {
			c->failed = 1;
			if (--c->n_waiting == 0)
				finish(s);
			continue;
		}
		o->store = s;
		o->worker = i;
		store_call(s, i, &o->msg, begin_on_worker);
	}
}

/* Chunks that nobody can see wait for it. */
static int
has_cuts(const struct store *s)
{
	for (uint32_t i = 0; i < s->n_workers; i++)
		if (atomic_load(&s->workers[i].cuts))
			return 1;
	return 0;
}

/*
 * Also when the journal is half full, however little was written: writes may
 * wait for it to let go.  One that failed is tried again.
 */
static int
is_due(const struct store *s, const struct journal_stats *js, uint64_t since_us)
{
	const struct checkpoint *c = &s->checkpoint;

	if (js->n_bytes - c->last_bytes >= s->config.checkpoint_bytes)
		return 1;
	if (since_us >= CHECKPOINT_SOON_US &&
	    (c->failed ||
		(journal_is_crowded(s->journal) && !store_is_pinned(s))))
		return 1;
	if (since_us >= s->config.retention_interval_us / 2 && has_cuts(s))
		return 1;
	return since_us >= CHECKPOINT_EVERY_US &&
	       js->n_records != c->last_records;
}

void
checkpoint_tick(struct store *s, int force)
{
	struct checkpoint *c = &s->checkpoint;
	struct mono now = s->env->clock.mono(s->env->clock.ctx);
	struct journal_stats js;

	if (c->running)
		return;
	journal_stats(s->journal, &js);
	if (!force && !is_due(s, &js, mono_diff_us(c->last_at, now)))
		return;
	c->last_at = now;
	c->last_bytes = js.n_bytes;
	/* The marks of this one do not call for the next. */
	c->last_records = js.n_records + s->config.n_groups;
	begin(s);
}
