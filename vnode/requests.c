/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * requests - which replica may answer, and when.
 *
 * The leader answers.  A write is proposed once all that earlier leaders wrote
 * is applied, so that numbers and conditions are judged against the end of the
 * log; a read is answered once a majority has confirmed this leader since it
 * came (read-index, cluster.md 6.8), at once by a group of one.  Who comes while
 * nobody leads waits, at most request.timeout.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/edge.h"
#include "vnode/mutants.h"
#include "vnode/repair.h"
#include "vnode/replica.h"

static const uint8_t *
known_leader(const struct vnode *v)
{
	raft_id id = v->group.raft ? raft_leader(v->group.raft) : 0;

	return id ? replica_node(v, id) : NULL;
}

void
request_refuse(struct store_worker *w, struct vnode *v, struct msg *m, int r)
{
	const uint8_t *leader = known_leader(v);

	*request_result(m) = r;
	if (r == -ERR_NOTLEADER) {
		memset(request_leader(m), 0, 16);
		if (leader)
			memcpy(request_leader(m), leader, 16);
	}
	if (m->kind == MSG_READ)
		CONTAINER_OF(m, struct vnode_read, msg)->page =
		    (struct vnode_page){0};
	if (m->kind == MSG_NEWS)
		vnode_news_deinit(CONTAINER_OF(m, struct vnode_news, msg));
	if (m->kind == MSG_LIST)
		vnode_list_clear(CONTAINER_OF(m, struct vnode_list, msg));
	store_answer(w->store, m);
}

/* --- reads ---------------------------------------------------------------- */

/* Of a write: the log index of what it was judged by. */
static uint64_t *
rests_on(struct msg *m)
{
	return m->kind == MSG_DELETE
		   ? &CONTAINER_OF(m, struct vnode_delete, msg)->rests_on
		   : &CONTAINER_OF(m, struct vnode_put, msg)->rests_on;
}

/* What M rests on is committed and applied. */
static void
read_now(struct store_worker *w, struct vnode *v, struct msg *m)
{
	switch (m->kind) {
	case MSG_READ:
		store_read(w, CONTAINER_OF(m, struct vnode_read, msg), NULL);
		return;
	case MSG_NEWS:
		store_news(w, CONTAINER_OF(m, struct vnode_news, msg));
		return;
	case MSG_PUT: /* it has been judged */
		CONTAINER_OF(m, struct vnode_put, msg)->n_replicas =
		    replica_count(v, *rests_on(m));
		break;
	case MSG_DELETE: /* there was nothing */
		*request_result(m) = 0;
		break;
	default:
		edge_list(w, v, CONTAINER_OF(m, struct vnode_list, msg));
		return;
	}
	store_answer(w->store, m);
}

/* The read that the core knows as CTX; NULL: it was answered already. */
static struct msg *
take_asked(struct group *g, uint64_t ctx)
{
	struct msg **at = &g->asked, *m;

	while ((m = *at) && (uint64_t)(uintptr_t)m != ctx)
		at = &m->next;
	if (!m)
		return NULL;
	*at = m->next;
	if (!*at)
		g->last_asked = at;
	return m;
}

/* M is answered once INDEX is applied; in the order of the indexes. */
static void
read_after(
    struct store_worker *w, struct vnode *v, struct msg *m, uint64_t index)
{
	struct group *g = &v->group;
	uint64_t last = g->n_reads ? g->read_index[g->n_reads - 1] : 0;

	if (request_is_write(m) && *rests_on(m) > index)
		index = *rests_on(m);
	if (index <= g->applied_index) {
		read_now(w, v, m);
		return;
	}
	if (index < last)
		index = last;
	if (g->n_reads == g->cap_reads) {
		uint32_t cap = g->cap_reads ? g->cap_reads * 2 : 8;
		void *p =
		    mem_realloc(g->read_index, cap * sizeof(*g->read_index));

		if (!p) {
			request_refuse(w, v, m, -ERR_NOMEM);
			return;
		}
		g->read_index = p;
		g->cap_reads = cap;
	}
	g->read_index[g->n_reads++] = index;
	m->next = NULL;
	*g->last_reads = m;
	g->last_reads = &m->next;
}

static void
read_fresh(struct store_worker *w, struct vnode *v, struct msg *m)
{
	struct group *g = &v->group;
	int r;

	if (replica_is_alone(v) || VNODE_MUTANT(READ_WITHOUT_ROUND)) {
		read_after(w, v, m, g->applied_index);
		return;
	}
	m->next = NULL;
	*g->last_asked = m;
	g->last_asked = &m->next;
	r = raft_read(g->raft, (uint64_t)(uintptr_t)m, &w->fx);
	if (r && take_asked(g, (uint64_t)(uintptr_t)m))
		request_refuse(w, v, m, r);
	replica_effects(w, v);
}

void
request_lost(struct store_worker *w, struct vnode *v, uint64_t ctx)
{
	struct msg *m = take_asked(&v->group, ctx);

	if (m)
		request_take(w, v, m);
}

void
request_confirmed(
    struct store_worker *w, struct vnode *v, uint64_t ctx, uint64_t index)
{
	struct msg *m = take_asked(&v->group, ctx);

	if (m)
		read_after(w, v, m, index);
}

void
request_applied(struct store_worker *w, struct vnode *v)
{
	struct group *g = &v->group;
	uint32_t n = 0;

	while (g->reads && g->read_index[n] <= g->applied_index) {
		struct msg *m = g->reads;

		g->reads = m->next;
		n++;
		read_now(w, v, m);
	}
	if (!g->reads)
		g->last_reads = &g->reads;
	g->n_reads -= n;
	if (n)
		memmove(g->read_index, g->read_index + n,
		    g->n_reads * sizeof(*g->read_index));
}

void
request_settled(struct store_worker *w, struct vnode *v, struct msg *m)
{
	ASSERT(!v->group.open);
	*rests_on(m) = raft_last(v->group.raft);
	read_fresh(w, v, m);
}

/* Writes leave the reads that wait, by msg.next. */
static struct msg *
take_settled(struct group *g)
{
	struct msg *out = NULL, **last = &out, **at = &g->reads;
	uint32_t n = 0;

	for (uint32_t i = 0; i < g->n_reads; i++) {
		struct msg *m = *at;

		if (request_is_write(m)) {
			*at = m->next;
			m->next = NULL;
			*last = m;
			last = &m->next;
		} else {
			g->read_index[n++] = g->read_index[i];
			at = &m->next;
		}
	}
	g->last_reads = at;
	g->n_reads = n;
	return out;
}

void
request_deposed(struct store_worker *w, struct vnode *v)
{
	struct msg *m, *next;

	for (m = take_settled(&v->group); m; m = next) {
		next = m->next;
		request_take(w, v, m);
	}
}

/* --- waiting for a leader ------------------------------------------------- */

static void
put_last(struct group *g, struct msg *m)
{
	m->next = NULL;
	*g->last_waiting = m;
	g->last_waiting = &m->next;
}

static void
wait_for_leader(struct store_worker *w, struct group *g, struct msg *m)
{
	const struct env_clock *c = &w->store->env->clock;

	if (!g->waiting)
		g->waiting_since = c->mono(c->ctx);
	put_last(g, m);
}

static void
change(struct store_worker *w, struct vnode *v, struct vnode_change *req)
{
	const struct raft_members *m = raft_members(v->group.raft);
	raft_id id = 0;

	replica_propose(w, v); /* its index was the next */
	if (v->group.open) {
		request_refuse(w, v, &req->msg, -ERR_NOMEM);
		return;
	}
	for (uint32_t i = 0; i < m->n; i++)
		if (memcmp(m->at[i].node, req->node, 16) == 0)
			id = m->at[i].id;
	switch (req->op) {
	case VNODE_ADD:
		req->r =
		    raft_add_learner(v->group.raft, req->node, &id, &w->fx);
		break;
	case VNODE_PROMOTE:
		req->r = raft_promote(v->group.raft, id, &w->fx);
		break;
	case VNODE_REMOVE:
		req->r = raft_remove(v->group.raft, id, &w->fx);
		break;
	case VNODE_TRANSFER:
		req->r = raft_transfer(v->group.raft, id, &w->fx);
		break;
	default:
		req->r = -ERR_INVAL;
	}
	request_refuse(w, v, &req->msg, req->r);
	replica_effects(w, v);
}

static int
is_wait(const struct msg *m)
{
	if (m->kind == MSG_NEWS)
		return !CONTAINER_OF(m, struct vnode_news, msg)->now;
	return m->kind == MSG_READ &&
	       CONTAINER_OF(m, struct vnode_read, msg)->op == VNODE_READ_WAIT;
}

static void
serve(struct store_worker *w, struct vnode *v, struct msg *m)
{
	switch (m->kind) {
	case MSG_PUT:
		store_put(w, CONTAINER_OF(m, struct vnode_put, msg));
		break;
	case MSG_DELETE:
		store_delete(w, CONTAINER_OF(m, struct vnode_delete, msg));
		break;
	case MSG_CHANGE:
		change(w, v, CONTAINER_OF(m, struct vnode_change, msg));
		break;
	default:
		/* Who waits for more does not ask what the newest is: what it
		 * is told is committed, and the asker knows its place. */
		if (is_wait(m))
			read_now(w, v, m);
		else
			read_fresh(w, v, m);
	}
}

/* M, of a replica that is ready. */
static void
serve_as_leader(struct store_worker *w, struct vnode *v, struct msg *m)
{
	group_lead(&v->group);
	serve(w, v, m);
}

/* A read that takes what is here. */
static int
is_any(struct msg *m)
{
	switch (m->kind) {
	case MSG_READ:
		return CONTAINER_OF(m, struct vnode_read, msg)->any;
	case MSG_LIST:
		return CONTAINER_OF(m, struct vnode_list, msg)->any;
	default:
		return 0;
	}
}

/* Nobody else was asked: only who is alone knows that it has the newest. */
static void
read_here(struct store_worker *w, struct vnode *v, struct msg *m)
{
	int stale = !replica_is_ready(v) || !replica_is_alone(v);

	if (m->kind == MSG_READ)
		CONTAINER_OF(m, struct vnode_read, msg)->stale = stale;
	else
		CONTAINER_OF(m, struct vnode_list, msg)->stale = stale;
	read_now(w, v, m);
}

/* M would not be proposed, and who leads next is about to be known. */
static int
must_wait_for_heir(const struct vnode *v, const struct msg *m)
{
	return request_is_write(m) && raft_hands_over(v->group.raft);
}

void
request_take(struct store_worker *w, struct vnode *v, struct msg *m)
{
	struct group *g = &v->group;

	if (is_any(m) && g->generation && !g->failed)
		read_here(w, v, m);
	else if (!g->raft || g->failed || retire_is_under_way(v) ||
		 (raft_leader(g->raft) && raft_role(g->raft) != RAFT_LEADER))
		request_refuse(w, v, m, -ERR_NOTLEADER);
	else if (g->waiting || !replica_is_ready(v) || retain_holds_up(w, v) ||
		 must_wait_for_heir(v, m))
		wait_for_leader(w, g, m);
	else
		serve_as_leader(w, v, m);
}

/* Others may hear a leader whom this node does not. */
#define ELSEWHERE_US 1000000

static int
has_waited(const struct store_worker *w, const struct group *g, uint64_t us)
{
	const struct env_clock *c = &w->store->env->clock;

	return mono_diff_us(g->waiting_since, c->mono(c->ctx)) >= us;
}

static int
must_wait(struct store_worker *w, struct vnode *v)
{
	const struct group *g = &v->group;

	return g->raft && !g->failed &&
	       (!replica_is_ready(v) || retain_holds_up(w, v) ||
		   raft_hands_over(g->raft)) &&
	       (!raft_leader(g->raft) || raft_role(g->raft) == RAFT_LEADER) &&
	       !has_waited(w, g, w->request_timeout_us) &&
	       !has_waited(w, g, ELSEWHERE_US) && !atomic_load(&w->store->dead);
}

static struct msg *
take_waiting(struct group *g)
{
	struct msg *m = g->waiting;

	g->waiting = NULL;
	g->last_waiting = &g->waiting;
	return m;
}

/* Whoever asked must hear that it was refused before he gives it up. */
static int
may_wait(const struct store_worker *w, const struct msg *m)
{
	const struct env_clock *c = &w->store->env->clock;

	return !m->wait_until_us || c->mono(c->ctx).us < m->wait_until_us;
}

void
request_retry(struct store_worker *w, struct vnode *v)
{
	struct group *g = &v->group;
	int waits = must_wait(w, v);
	struct msg *m, *next;

	for (m = take_waiting(g); m; m = next) {
		next = m->next;
		if (waits && may_wait(w, m))
			put_last(g, m);
		else if (replica_is_ready(v))
			serve_as_leader(w, v, m);
		else
			request_refuse(w, v, m,
			    known_leader(v) ||
				    !has_waited(w, g, w->request_timeout_us)
				? -ERR_NOTLEADER
				: -ERR_UNAVAILABLE);
	}
}

void
request_fail_all(struct store_worker *w, struct vnode *v, int r)
{
	struct group *g = &v->group;
	struct msg *m, *next;

	for (m = take_waiting(g); m; m = next) {
		next = m->next;
		request_refuse(w, v, m, r);
	}
	for (m = g->asked; m; m = next) {
		next = m->next;
		request_refuse(w, v, m, r);
	}
	for (m = g->reads; m; m = next) {
		next = m->next;
		request_refuse(w, v, m, r);
	}
	watch_refuse_all(w, v, r);
	repair_refuse_all(w, v, r);
	g->asked = g->reads = NULL;
	g->last_asked = &g->asked;
	g->last_reads = &g->reads;
	g->n_reads = 0;
}
