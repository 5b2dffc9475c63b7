/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* store_run - start, what time brings, and stop. */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/base/name.h"
#include "vnode/attic.h"
#include "vnode/dropped.h"
#include "vnode/fill.h"
#include "vnode/removal.h"
#include "vnode/repair.h"
#include "vnode/replica.h"

#define BEAT_US        100000 /* the core's heartbeat */
#define BEATS_PER_TICK 2

static void
check_space(struct store *s)
{
	const struct env_disk *d = &s->env->disk;
	uint64_t free_bytes = 0, need = s->config.disk_reserve_bytes;
	int full = atomic_load(&s->disk_full) || !journal_has_room(s->journal);

	if (d->free_bytes(d->ctx, &free_bytes))
		return;
	atomic_store(&s->free_bytes, free_bytes);
	/* Once something found no room: until the journal's next file does. */
	if (full && need < s->config.segment_bytes)
		need = s->config.segment_bytes;
	full = free_bytes < need;
	if (full == atomic_load(&s->disk_full))
		return;
	atomic_store(&s->disk_full, full);
	store_report(s, full,
	    full ? "the disk is nearly full (%llu bytes free): writes are "
		   "refused until there is room"
		 : "the disk has room again (%llu bytes free)",
	    (unsigned long long)free_bytes);
}

static void
count_groups(struct store_worker *w)
{
	struct store *s = w->store;
	uint32_t here = 0, leads = 0, leaderless = 0;

	for (uint32_t g = w->id; g < s->n_vnodes; g += s->n_workers) {
		const struct group *at = &s->vnodes[g].group;

		if (!at->raft)
			continue;
		here++;
		leads += raft_role(at->raft) == RAFT_LEADER;
		leaderless += at->failed || raft_leader(at->raft) == 0;
	}
	atomic_store(&w->n_replicas, here);
	atomic_store(&w->n_leads, leads);
	atomic_store(&w->n_leaderless, leaderless);
	atomic_store(&w->seen_parked, w->n_parked);
	atomic_store(&w->seen_flying, w->n_in_flight);
	atomic_store(&w->clock_offset_ms, clocks_offset(&w->clocks));
}

void
store_count(struct store *s, uint32_t worker)
{
	struct store_worker *w = &s->workers[worker];
	uint64_t streams = 0, events = 0, bytes = 0;

	for (uint32_t g = w->id; g < s->n_vnodes; g += s->n_workers) {
		if (s->config.changed && g == s->config.watched)
			continue; /* the node's own, not users' */
		streams +=
		    s->vnodes[g].n_by_id - vnode_count_streams(&s->vnodes[g],
					       SLICE_LIT(NAME_SYSTEM_BUCKET));
		events += s->vnodes[g].n_events;
		bytes += s->vnodes[g].bytes;
	}
	count_groups(w);
	atomic_store(&w->n_streams, streams);
	atomic_store(&w->n_events, events);
	atomic_store(&w->bytes, bytes);
}

/* A quarter of the time is for finding what goes, half of it for the checkpoint:
 * checkpoint.c. */
static void
cut_tick(struct store_worker *w)
{
	const struct env_clock *c = &w->store->env->clock;
	struct mono now = c->mono(c->ctx);

	if (mono_diff_us(w->cut_at, now) <
	    w->store->config.retention_interval_us / 4)
		return;
	w->cut_at = now;
	retain_cut(w, CUT_STREAMS);
}

static void
tick(struct store_worker *w)
{
	struct store *s = w->store;

	store_count(s, w->id);
	store_unpark(w);
	removal_tick(w);
	cut_tick(w);
	retain_look(w);
	dropped_tick(w);
	if (atomic_load(&s->disk_full))
		for (uint32_t g = w->id; g < s->n_vnodes; g += s->n_workers)
			replica_hand_over(w, &s->vnodes[g]);
	if (w->id != 0)
		return;
	check_space(s);
	if (atomic_load(&s->dead))
		return;
	checkpoint_tick(s, 0);
	if (!w->stop)
		attic_tick(s);
}

static void go_on_stopping(struct store_worker *w);

static void
on_beat(void *arg)
{
	struct store_worker *w = arg;
	struct store *s = w->store;

	if (w->stop) {
		go_on_stopping(w);
		if (!w->beat)
			return;
	}
	if (w->id == 0)
		journal_beat(s->journal);
	outbox_beat(&w->outbox);
	watch_tick(w);
	repair_tick(w);
	if (++w->n_beats % BEATS_PER_TICK == 0)
		tick(w);
	if (atomic_load(&s->dead))
		return;
	for (uint32_t g = w->id; g < s->n_vnodes; g += s->n_workers) {
		struct vnode *v = &s->vnodes[g];

		if (v->group.raft)
			replica_tick(w, v);
		if (v->group.fill)
			fill_receive_tick(w, v);
		else
			fill_staged_tick(w, g);
		if (v->group.offer.waits)
			fill_offered_again(w, v);
		if (v->group.waiting)
			request_retry(w, v);
	}
}

int
store_start(struct store *s)
{
	const struct env_timers *t = &s->env->timers;
	struct journal_stats js;

	journal_stats(s->journal, &js);
	s->checkpoint.last_at = s->env->clock.mono(s->env->clock.ctx);
	/* What was replayed counts as written since the last one.  Each start
	 * takes a segment: without this a few in a row would fill the journal. */
	s->checkpoint.last_bytes = 0 - js.used_bytes;
	check_space(s);
	for (uint32_t g = 0; g < s->n_vnodes; g++)
		if (s->vnodes[g].group.raft && !s->vnodes[g].group.failed)
			replica_start(store_worker_of(s, g), &s->vnodes[g]);
	for (uint32_t i = 0; i < s->n_workers; i++) {
		struct store_worker *w = &s->workers[i];

		w->durable = js.durable;
		store_turn(s, i);
		w->beat = t->start(t->ctx, i, BEAT_US, on_beat, w);
		if (!w->beat)
			return -ERR_NOMEM;
	}
	checkpoint_tick(s, 0);
	return 0;
}

/* --- stop: worker by worker, then the last checkpoint ------------------------- */

#define STOP_COMMIT_US 2000000 /* for what other replicas have to confirm */

static void
begin_stop(struct msg *m)
{
	struct stop *st = CONTAINER_OF(m, struct stop, msg);
	struct store *s = st->store;
	struct store_worker *w = &s->workers[st->worker];

	st->since = s->env->clock.mono(s->env->clock.ctx);
	w->stop = st;
	store_unpark(w);
	store_turn(s, w->id);
	for (uint32_t g = w->id; g < s->n_vnodes; g += s->n_workers) {
		watch_refuse_all(w, &s->vnodes[g], -ERR_STOPPING);
		replica_hand_over(w, &s->vnodes[g]);
	}
}

static int
has_proposals(const struct store_worker *w)
{
	const struct store *s = w->store;

	for (uint32_t g = w->id; g < s->n_vnodes; g += s->n_workers)
		if (!list_empty(&s->vnodes[g].group.in_flight))
			return 1;
	return 0;
}

static void
end_worker(struct store_worker *w)
{
	struct store *s = w->store;
	const struct env_timers *t = &s->env->timers;

	for (uint32_t g = w->id; g < s->n_vnodes; g += s->n_workers) {
		struct vnode *v = &s->vnodes[g];

		fill_receive_end(w, v);
		fill_send_end_all(w, v);
		repair_serve_end(s, v);
		v->group.failed = 1; /* says nothing any more */
		replica_abandon(w, v);
		replica_let_go(w, v);
	}
	t->stop(t->ctx, w->beat);
	w->beat = NULL;
}

/* At each beat, until nothing of W is under way. */
static void
go_on_stopping(struct store_worker *w)
{
	struct store *s = w->store;
	struct stop *st = w->stop;
	struct mono now = s->env->clock.mono(s->env->clock.ctx);

	/* Also while the journal is dead: its failures come back. */
	if (w->n_in_flight > 0 || w->n_reading > 0 || w->flush ||
	    (w->id == 0 && s->checkpoint.running) ||
	    (has_proposals(w) && !atomic_load(&s->dead) &&
		mono_diff_us(st->since, now) < STOP_COMMIT_US))
		return;
	end_worker(w);
	w->stop = NULL;
	if (++st->worker < s->n_workers) {
		store_call(s, st->worker, &st->msg, begin_stop);
		return;
	}
	st->worker = 0;
	store_call(s, 0, &st->msg, store_last_checkpoint);
}

void
store_last_checkpoint(struct msg *m)
{
	struct stop *st = CONTAINER_OF(m, struct stop, msg);
	struct store *s = st->store;

	s->checkpoint.stopped = st->done;
	s->checkpoint.stopped_arg = st->arg;
	if (atomic_load(&s->dead))
		s->checkpoint.stopped(s->checkpoint.stopped_arg);
	else
		checkpoint_tick(s, 1);
}

void
store_stop(struct store *s, void (*done)(void *arg), void *arg)
{
	if (atomic_exchange(&s->stopping, 1))
		return;
	journal_give_up(s->journal);
	s->stop = (struct stop){.store = s, .done = done, .arg = arg};
	store_call(s, 0, &s->stop.msg, begin_stop);
}
