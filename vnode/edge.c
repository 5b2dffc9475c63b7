/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * edge - looking for the first visible event of a stream in its chunk file.
 *
 * A read is answered as of the moment at which its look began: what hides events
 * then and the newest event then, so that what it is told was visible at once.
 * What is found is kept as well, as a place to go on from: the next look begins
 * there, so all looks together read a file about once.
 *
 * A list looks for many, and again while there are any, a few times: its streams
 * are each as they were at some moment since it was asked.
 *
 * Damage.  Behind an event that cannot be read nothing can be counted: it stands
 * for the first visible one, and whoever asks for it hears that it is damaged.
 */
#include "vnode/edge.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/chunk_read.h"
#include "vnode/repair.h"
#include "vnode/replica.h"

#define LOOK_BYTES  (128u << 10)
#define ROUNDS_MORE 4

struct listing {
	struct vnode_list *req;
	uint32_t n_looks, n_rounds;
};

struct look {
	struct vnode_read read; /* the job's */
	struct chunk_edge edge;
	struct store_worker *worker;
	uint64_t generation;
	uint32_t life;
	struct edge_view view;
	struct msg *m; /* a read that waits, or */
	struct listing *listing;
	uint8_t names[];
};

static void go_on(struct store_worker *w, struct vnode *v, struct listing *l);

/* The stream that L has looked at, if it is still there; or NULL. */
static struct stream *
stream_of(const struct vnode *v, const struct look *l)
{
	if (v->group.generation != l->generation || v->life != l->life)
		return NULL;
	return vnode_by_id(v, l->view.incarnation);
}

/* What was found is kept, unless more is known by now. */
static void
note(struct vnode *v, const struct look *l)
{
	const struct chunk_edge *e = &l->edge;
	struct stream *s = stream_of(v, l);

	if (s && s->kept && e->from > s->first && e->before >= s->kept->before)
		kept_move(v, s, e->from, e->before, e->t_ms, e->offset);
	else if (s && s->kept && e->from == s->first) {
		s->kept->first_t = e->t_ms;
		s->kept->offset = e->offset;
	}
}

static void
read_goes_on(struct store_worker *w, struct vnode *v, struct look *l)
{
	struct vnode_read *req = CONTAINER_OF(l->m, struct vnode_read, msg);
	int r = l->read.r;

	if (v->group.generation == 0 || v->group.failed)
		r = -ERR_UNAVAILABLE;
	if (r && r != -ERR_CORRUPT) {
		request_refuse(w, v, l->m, r);
		return;
	}
	/* Hidden to the end of the file: what follows is in memory. */
	if (r == 0 && l->edge.t_ms == 0)
		l->view.incarnation = 0;
	l->view.first = l->edge.from;
	store_read(w, req, &l->view);
}

static void
looked(struct msg *m)
{
	struct look *l = CONTAINER_OF(
	    CONTAINER_OF(m, struct vnode_read, msg), struct look, read);
	struct store_worker *w = l->worker;
	struct vnode *v = &w->store->vnodes[l->read.group];

	w->n_reading--;
	if (l->read.r == 0 || l->read.r == -ERR_CORRUPT)
		note(v, l);
	if (l->listing && --l->listing->n_looks == 0)
		go_on(w, v, l->listing);
	else if (l->m)
		read_goes_on(w, v, l);
	mem_free(l);
}

static struct look *
look_new(struct store_worker *w, const struct vnode *v, const struct stream *s)
{
	struct look *l = mem_zalloc(sizeof(*l) + s->bucket->name_n + s->name_n);
	uint8_t *names;

	if (!l)
		return NULL;
	names = memcpy(l->names, s->bucket->name, s->bucket->name_n);
	memcpy(names + s->bucket->name_n, s->name, s->name_n);
	l->worker = w;
	l->generation = v->group.generation;
	l->life = v->life;
	l->view = (struct edge_view){s->id, 0, s->last};
	l->edge = (struct chunk_edge){
	    .hidden = kept_limits(s, v->group.clock_ms),
	    .from = s->first,
	    .before = s->kept->before,
	    .offset = s->kept->offset,
	};
	l->read = (struct vnode_read){
	    .msg = {.kind = MSG_READ, .from = w->id, .fn = looked},
	    .group = v->group.id,
	    .bucket = SLICE(names, s->bucket->name_n),
	    .stream = SLICE(names + s->bucket->name_n, s->name_n),
	    .max_bytes = LOOK_BYTES,
	};
	return l;
}

/* L is freed if it cannot begin. */
static int
start(struct look *l, const struct vnode *v, const struct stream *s)
{
	struct store_worker *w = l->worker;
	struct store *store = w->store;
	const struct chunk_info *c = stream_chunk(s, s->first);
	struct chunk_read job = {
	    .env = store->env,
	    .files = store->files,
	    .dir = v->dir,
	    .id = {.group = v->group.id,
		.stream_id = s->id,
		.first = c->first,
		.previous = stream_chain_before(s, c)},
	    .info = *c,
	    .from = s->first,
	    .to = c->last < s->flushed ? c->last : s->flushed,
	    .edge = &l->edge,
	    .moves = &store->moves[v->group.id],
	    .reads = &w->reads[w->read_turn],
	    .damaged = repair_read_failed,
	    .owner = store,
	};
	int r;

	memcpy(job.id.cluster_id, store->config.cluster_id, 16);
	r = chunk_read_start(&job, &l->read);
	if (r)
		mem_free(l);
	else
		w->n_reading++;
	return r;
}

int
edge_look(
    struct store_worker *w, struct vnode *v, struct stream *s, struct msg *m)
{
	struct look *l = look_new(w, v, s);

	if (!l)
		return -ERR_NOMEM;
	l->m = m;
	return start(l, v, s);
}

/* --- lists ---------------------------------------------------------------- */

static void
answer_list(struct store_worker *w, struct vnode *v, struct vnode_list *req)
{
	vnode_answer_list(v, req);
	store_answer(w->store, &req->msg);
}

/* How many looks have begun. */
static uint32_t
look_for_all(struct store_worker *w, struct vnode *v, struct listing *g)
{
	struct stream *s[EDGE_LOOKS];
	uint32_t n = vnode_unsettled(v, g->req, s, EDGE_LOOKS), begun = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct look *l = look_new(w, v, s[i]);

		if (!l)
			continue;
		l->listing = g;
		begun += start(l, v, s[i]) == 0;
	}
	return begun;
}

static void
go_on(struct store_worker *w, struct vnode *v, struct listing *l)
{
	struct vnode_list *req = l->req;
	uint32_t most = ROUNDS_MORE + req->limit / EDGE_LOOKS;

	if (v->group.generation == 0 || v->group.failed) {
		request_refuse(w, v, &req->msg, -ERR_UNAVAILABLE);
		mem_free(l);
		return;
	}
	if (l->n_rounds++ < most)
		l->n_looks = look_for_all(w, v, l);
	if (l->n_looks)
		return;
	answer_list(w, v, req);
	mem_free(l);
}

void
edge_list(struct store_worker *w, struct vnode *v, struct vnode_list *req)
{
	struct listing *l = NULL;

	if (req->detail && v->retain.policies)
		l = mem_zalloc(sizeof(*l));
	if (!l) {
		answer_list(w, v, req);
		return;
	}
	l->req = req;
	go_on(w, v, l);
}
