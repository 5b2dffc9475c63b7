/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * store - requests to vnodes, turns, and the journal's answers.
 *
 * The path of a PUT: store_handle -> request_take (does this replica lead?) ->
 * store_put -> group_propose; at the end of the turn store_turn ->
 * replica_propose -> journal_submit and frames to the other replicas; the
 * journal's sync -> MSG_JOURNAL_DONE -> replica_recorded -> committed ->
 * group_apply -> store_answer.
 */
#include "vnode/store.h"

#include <stdarg.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/replica.h"

#define REPORT_BYTES 512

void
store_answer(struct store *s, struct msg *m)
{
	m->answer = 1;
	s->env->post.to_worker(s->env->post.ctx, m->from, m);
}

void
store_changed(struct store *s, uint32_t group)
{
	if (s->config.changed && group == s->config.watched)
		s->config.changed(s->config.above_arg);
}

void
store_tell(
    struct store *s, const uint8_t node[16], struct slice bytes, int can_wait)
{
	/* Of group 0, so that worker 0 gets it there, too. */
	struct wire_message m = {.type = WIRE_ABOVE, .index = bytes.n};

	ASSERT(bytes.n <= STORE_TELL_MAX);
	outbox_add_bytes(&s->workers[0].outbox, node, &m, bytes, can_wait);
}

void
store_call(
    struct store *s, uint32_t worker, struct msg *m, void (*fn)(struct msg *m))
{
	*m = (struct msg){.kind = MSG_CALL, .fn = fn};
	s->env->post.to_worker(s->env->post.ctx, worker, m);
}

uint64_t
store_room(const struct store *s)
{
	uint64_t free_bytes = atomic_load(&s->free_bytes);
	uint64_t kept = s->config.disk_reserve_bytes;

	return free_bytes > kept ? free_bytes - kept : 0;
}

void
store_step(const struct store *s, enum step step)
{
	if (s->config.step)
		s->config.step(s->config.arg, step);
}

void
store_report(struct store *s, int is_error, const char *fmt, ...)
{
	char line[REPORT_BYTES];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (s->config.report)
		s->config.report(s->config.arg, is_error, line);
}

void
store_fatal(struct store *s, const char *what, int r)
{
	char line[REPORT_BYTES];

	if (atomic_exchange(&s->dead, 1))
		return;
	snprintf(line, sizeof(line), "%s: %s; the node stops: %sstart it again",
	    what, err_text(r), r == -ERR_NOMEM ? "" : "check the disk, then ");
	if (s->config.fatal)
		s->config.fatal(s->config.arg, line);
}

/* --- writes --------------------------------------------------------------- */

/* Why a write must not be proposed now, or 0. */
static int
refusal(const struct store *s)
{
	if (atomic_load_explicit(&s->stopping, memory_order_relaxed))
		return -ERR_STOPPING;
	if (atomic_load_explicit(&s->dead, memory_order_relaxed))
		return -ERR_UNAVAILABLE;
	if (atomic_load_explicit(&s->disk_full, memory_order_relaxed) ||
	    !journal_has_room(s->journal))
		return -ERR_NOSPC;
	return 0;
}

int
store_is_pinned(const struct store *s)
{
	for (uint32_t i = 0; i < s->n_workers; i++)
		if (atomic_load_explicit(
			&s->workers[i].pinned, memory_order_relaxed))
			return 1;
	return 0;
}

/* Whether writes must wait until flushes and checkpoints have caught up. */
static int
congested(const struct store_worker *w)
{
	const struct store *s = w->store;
	struct journal_stats js;

	if (w->cache.dirty_bytes * s->n_workers > s->config.dirty_max_bytes ||
	    w->dirty.n > DIRTY_STREAMS_MAX)
		return 1;
	journal_stats(s->journal, &js);
	if (js.used_bytes <= js.max_bytes / 4 * 3)
		return 0;
	return !store_is_pinned(s) || js.used_bytes / s->config.segment_bytes >
					  JOURNAL_SEGMENTS_MAX / 4 * 3;
}

static void
refuse(struct store *s, struct msg *m, int r)
{
	*request_result(m) = r;
	store_answer(s, m);
}

/* What became of an earlier request with the key of REQ. */
static void
judge_key(struct vnode_put *req, const struct dedup_key *k)
{
	req->replayed = memcmp(k->id.body, req->key_body, 16) == 0;
	req->r = req->replayed ? 0 : -ERR_MISMATCH;
	req->first = k->first;
	req->last = k->first + k->id.n_events - 1;
	req->t_ms = k->t_ms;
	req->incarnation = k->stream->id;
}

/*
 * Against the proposed tail: what is in flight counts.  1: REQ is not to be
 * appended, and its answer is there.  The key comes first: the condition of a
 * request that succeeded does not hold when it comes again.
 */
static int
judge(const struct vnode *v, struct vnode_put *req, struct wall now)
{
	const struct stream *st = NULL;
	const struct dedup_key *k = NULL;

	req->r = req->replayed = 0;
	if (req->has_expect || req->has_key)
		st = group_proposed(v, req->bucket, req->stream);
	if (req->has_key && st)
		k = dedup_find(
		    &v->dedup, st, req->key, group_next_clock(&v->group, now));
	if (k) {
		judge_key(req, k);
		return 1;
	}
	if (!req->has_expect)
		return 0;
	req->newest = st ? st->proposed : 0;
	if (req->newest != req->expect ||
	    (req->patch_of && (!st || st->id != req->patch_of)))
		req->r = -ERR_CONFLICT;
	return req->r != 0;
}

/* 1: REQ is not to be appended; what it was judged by is in the log, unless
 * there is no memory for that. */
static int
is_settled(struct store_worker *w, struct vnode *v, struct vnode_put *req,
    struct wall now)
{
	if (!judge(v, req, now))
		return 0;
	if (!v->group.open)
		return 1;
	replica_propose(w, v);
	return judge(v, req, now); /* it may have been taken back */
}

static void
propose(struct store_worker *w, struct vnode_put *req)
{
	struct store *s = w->store;
	struct vnode *v = &s->vnodes[req->group];
	struct wall now = s->env->clock.wall(s->env->clock.ctx);
	int r;

	if (is_settled(w, v, req, now)) {
		if (v->group.open)
			refuse(s, &req->msg, -ERR_NOMEM);
		else
			request_settled(w, v, &req->msg);
		return;
	}
	if (group_must_seal(v, req))
		replica_propose(w, v);
	r = v->group.open && group_must_seal(v, req)
		? -ERR_NOMEM
		: group_propose(v, req, now);
	if (v->group.open && list_empty(&v->group.turn))
		list_add_tail(&w->open, &v->group.turn);
	if (r)
		refuse(s, &req->msg, r);
}

static void
propose_delete(struct store_worker *w, struct vnode_delete *req)
{
	struct store *s = w->store;
	struct vnode *v = &s->vnodes[req->group];
	struct stream *st;
	int r;

	if (group_must_seal_delete(v))
		replica_propose(w, v);
	st = group_proposed(v, req->bucket, req->stream);
	if (!st && v->group.open) {
		replica_propose(w, v);
		/* It may have been taken back. */
		st = group_proposed(v, req->bucket, req->stream);
	}
	if (!st) { /* nothing to do, once that is certain */
		if (v->group.open)
			refuse(s, &req->msg, -ERR_NOMEM);
		else
			request_settled(w, v, &req->msg);
		return;
	}
	r = v->group.open && group_must_seal_delete(v)
		? -ERR_NOMEM
		: group_propose_delete(
		      v, st, req, s->env->clock.wall(s->env->clock.ctx));
	if (v->group.open && list_empty(&v->group.turn))
		list_add_tail(&w->open, &v->group.turn);
	if (r)
		refuse(s, &req->msg, r);
}

/* --- waiting for room ------------------------------------------------------ */

/* Since when M has waited. */
static uint64_t *
parked_us(struct msg *m)
{
	return m->kind == MSG_DELETE
		   ? &CONTAINER_OF(m, struct vnode_delete, msg)->parked_us
		   : &CONTAINER_OF(m, struct vnode_put, msg)->t_ms;
}

/* 1: M waits until flushes and checkpoints have caught up. */
static int
park(struct store_worker *w, struct msg *m)
{
	const struct env_clock *c = &w->store->env->clock;

	if (w->unparking || (!w->parked && !congested(w)))
		return 0;
	m->next = NULL;
	*parked_us(m) = c->mono(c->ctx).us;
	*w->last_parked = m;
	w->last_parked = &m->next;
	w->n_parked++;
	return 1;
}

void
store_delete(struct store_worker *w, struct vnode_delete *req)
{
	int r = refusal(w->store);

	if (r)
		refuse(w->store, &req->msg, r);
	else if (!park(w, &req->msg))
		propose_delete(w, req);
}

void
store_put(struct store_worker *w, struct vnode_put *req)
{
	struct store *s = w->store;
	int r = refusal(s);
	uint64_t bytes = 0;

	ASSERT(req->group < s->config.n_groups && req->n_events > 0);
	for (uint32_t i = 0; i < req->n_events; i++)
		bytes += EVENT_HEADER_BYTES + req->events[i].type.n +
			 req->events[i].data.n;
	if (r == 0 && (bytes > JOURNAL_PAYLOAD_MAX - 4096 ||
			  bytes > s->config.segment_bytes / 2))
		r = -ERR_LIMIT;
	if (r)
		refuse(s, &req->msg, r);
	else if (!park(w, &req->msg))
		propose(w, req);
}

void
store_unpark(struct store_worker *w)
{
	struct store *s = w->store;
	struct mono now = s->env->clock.mono(s->env->clock.ctx);

	w->unparking = 1;
	while (w->parked) {
		struct msg *m = w->parked;
		struct mono since = {*parked_us(m)};
		int r = refusal(s);

		if (r == 0 && congested(w)) {
			if (mono_diff_us(since, now) < w->request_timeout_us)
				break;
			r = -ERR_UNAVAILABLE;
		}
		w->parked = m->next;
		w->n_parked--;
		if (!w->parked)
			w->last_parked = &w->parked;
		if (r)
			refuse(s, m, r);
		else /* it may lead no more */
			request_take(w, &s->vnodes[request_group(m)], m);
	}
	w->unparking = 0;
}

/* --- the journal's answers ------------------------------------------------ */

static void
journal_failed(struct store_worker *w, int r)
{
	struct store *s = w->store;

	if (r == -ERR_NOSPC)
		store_report(s, 1,
		    "the disk is full: what was not acknowledged yet was not "
		    "written");
	else
		store_fatal(s, "the journal cannot be written", r);
	for (uint32_t g = w->id; g < s->n_vnodes; g += s->n_workers) {
		struct vnode *v = &s->vnodes[g];

		if (v->group.raft && !v->group.failed) {
			v->group.failed = 1;
			replica_abandon(w, v);
		}
	}
}

static void
journal_back(struct store_worker *w, struct journal_done *done)
{
	struct store *s = w->store;
	struct journal_append *a, *next;

	/* Nothing of a failed sync may count as durable. */
	if (done->r)
		journal_failed(w, done->r);
	else
		w->durable = done->durable;
	for (a = done->list; a; a = next) {
		next = a->next;
		w->n_in_flight--;
		if (a->head.type == JOURNAL_CHECKPOINT)
			checkpoint_marked(s, done->r);
		else
			replica_recorded(w, a, done->r);
	}
	replica_recorded_all(w);
	mem_free(done);
}

/* --- turns ---------------------------------------------------------------- */

static void
publish_stats(struct store_worker *w)
{
	atomic_store_explicit(
	    &w->dirty_bytes, w->cache.dirty_bytes, memory_order_relaxed);
	atomic_store_explicit(
	    &w->clean_bytes, w->cache.clean_bytes, memory_order_relaxed);
}

void
store_turn(struct store *s, uint32_t worker)
{
	struct store_worker *w = &s->workers[worker];

	LIST_FOREACH_SAFE (node, tmp, &w->open)
		replica_propose(
		    w, CONTAINER_OF(LIST_ENTRY(node, struct group, turn),
			   struct vnode, group));
	if (w->chain)
		journal_submit(s->journal, w->chain);
	w->chain = NULL;
	w->last_chain = &w->chain;
	outbox_flush(&w->outbox);
	if (!w->flush &&
	    (w->cache.dirty_bytes > FLUSH_BYTES || w->dirty.n > FLUSH_STREAMS))
		flush_start(w, 0);
	publish_stats(w);
}

static void
ping(struct store *s, struct vnode_ping *req)
{
	req->r = atomic_load(&s->dead) ? -ERR_UNAVAILABLE : 0;
	store_answer(s, &req->msg);
}

void
store_handle(struct store *s, uint32_t worker, struct msg *m)
{
	struct store_worker *w = &s->workers[worker];

	switch (m->kind) {
	case MSG_PUT:
	case MSG_DELETE:
	case MSG_READ:
	case MSG_LIST:
	case MSG_NEWS:
	case MSG_CHANGE:
		ASSERT(request_group(m) < s->config.n_groups);
		request_take(w, &s->vnodes[request_group(m)], m);
		break;
	case MSG_PING:
		ping(s, CONTAINER_OF(m, struct vnode_ping, msg));
		break;
	case MSG_JOURNAL_DONE:
		journal_back(w, CONTAINER_OF(m, struct journal_done, msg));
		break;
	case MSG_FRAME:
	case MSG_FRAME_PART:
		replica_frame(w, CONTAINER_OF(m, struct net_frame, msg));
		break;
	default:
		ASSERT_UNREACHED();
	}
}

void
store_group(const struct store *s, uint32_t group, struct store_group *out)
{
	const struct vnode *v = &s->vnodes[group];
	const struct group *g = &v->group;
	const uint8_t *leader;

	*out = (struct store_group){.generation = g->generation};
	if (!g->raft || g->failed)
		return;
	out->here = 1;
	out->leads = raft_role(g->raft) == RAFT_LEADER;
	out->ready = replica_is_ready(v);
	out->damaged = raft_damaged(g->raft);
	out->term = raft_term(g->raft);
	out->vote = raft_vote(g->raft);
	out->applied = g->applied_index;
	out->commit = raft_commit(g->raft);
	out->last = raft_last(g->raft);
	entry_members_copy(&out->members, raft_members(g->raft));
	leader = replica_node(v, raft_leader(g->raft));
	if (leader)
		memcpy(out->leader, leader, 16);
}

void
store_set_timeout(struct store *s, uint32_t worker, uint64_t us)
{
	s->workers[worker].request_timeout_us = us;
}

static void
add_groups(struct store_stats *out, const struct store_worker *w)
{
	int32_t off = atomic_load(&w->clock_offset_ms);

	out->n_replicas += atomic_load(&w->n_replicas);
	out->n_leads += atomic_load(&w->n_leads);
	out->n_leaderless += atomic_load(&w->n_leaderless);
	out->n_parked += atomic_load(&w->seen_parked);
	out->n_in_flight += atomic_load(&w->seen_flying);
	if (abs(off) > abs(out->clock_offset_ms))
		out->clock_offset_ms = off;
}

void
store_stats(const struct store *s, struct store_stats *out)
{
	*out = (struct store_stats){0};
	for (uint32_t i = 0; i < s->n_workers; i++) {
		const struct store_worker *w = &s->workers[i];

		out->n_streams += atomic_load(&w->n_streams);
		out->n_events += atomic_load(&w->n_events);
		out->bytes += atomic_load(&w->bytes);
		out->dirty_bytes += atomic_load(&w->dirty_bytes);
		out->clean_bytes += atomic_load(&w->clean_bytes);
		out->n_damaged += atomic_load(&w->n_damaged);
		add_groups(out, w);
	}
	out->n_checkpoints = atomic_load(&s->n_checkpoints);
	out->free_bytes = atomic_load(&s->free_bytes);
	out->writable = !atomic_load(&s->disk_full) && !atomic_load(&s->dead);
	out->n_files = files_open(s->files);
}

void
store_journal_stats(const struct store *s, struct journal_stats *out)
{
	journal_stats(s->journal, out);
}
