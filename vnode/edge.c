/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * edge - looking for the first visible event of a stream in its chunk file.
 *
 * A read is answered as of the moment at which its look began: what hides events
 * then and the newest event then, so that what it is told was visible at once.
 * What is found is kept as well, as a place to go on from: the next look begins
 * there, so all looks together read a file about once.
 *
 * A list looks for many, file after file of each until it is found, and remembers
 * each as it was when that look began, since appends may go on hiding: its streams
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
#include "vnode/lists.h"
#include "vnode/repair.h"
#include "vnode/replica.h"

#define LOOK_BYTES (128u << 10)

struct listing {
	struct vnode_list *req;
	struct table seen; /* struct lists_seen */
	uint32_t n_looks;
	int r; /* why it cannot be answered */
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
	struct lists_seen *seen; /* of a listing: the stream when L began */
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
look_free(struct look *l)
{
	mem_free(l->seen);
	mem_free(l);
}

/* What was hidden to the end of its file is looked at again. */
static void
list_goes_on(struct store_worker *w, struct vnode *v, struct look *l)
{
	struct listing *g = l->listing;
	const struct chunk_edge *e = &l->edge;
	int r = l->read.r;

	if (r && r != -ERR_CORRUPT) {
		g->r = r;
	} else if (r || e->t_ms) {
		r = lists_see(&g->seen, l->seen, e->from, e->before);
		if (r)
			g->r = r;
		else
			l->seen = NULL;
	}
	if (--g->n_looks == 0)
		go_on(w, v, g);
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
	if (l->listing)
		list_goes_on(w, v, l);
	else
		read_goes_on(w, v, l);
	look_free(l);
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
		look_free(l);
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

static int
look_for(struct store_worker *w, struct vnode *v, struct stream *s,
    struct listing *g)
{
	struct look *l = look_new(w, v, s);

	if (!l)
		return -ERR_NOMEM;
	l->listing = g;
	l->seen = lists_seen_new(s);
	if (l->seen)
		return start(l, v, s);
	look_free(l);
	return -ERR_NOMEM;
}

static void
look_for_all(struct store_worker *w, struct vnode *v, struct listing *g)
{
	struct stream *s[EDGE_LOOKS];
	uint32_t n = lists_unsettled(v, g->req, &g->seen, s, EDGE_LOOKS);

	for (uint32_t i = 0; i < n && g->r == 0; i++) {
		g->r = look_for(w, v, s[i], g);
		g->n_looks += g->r == 0;
	}
}

static void
go_on(struct store_worker *w, struct vnode *v, struct listing *l)
{
	struct vnode_list *req = l->req;

	if (v->group.generation == 0 || v->group.failed)
		l->r = -ERR_UNAVAILABLE;
	if (l->r == 0)
		look_for_all(w, v, l);
	if (l->n_looks)
		return;
	if (l->r) {
		request_refuse(w, v, &req->msg, l->r);
	} else {
		lists_answer(v, req, &l->seen);
		store_answer(w->store, &req->msg);
	}
	lists_seen_deinit(&l->seen);
	mem_free(l);
}

void
edge_list(struct store_worker *w, struct vnode *v, struct vnode_list *req)
{
	struct listing *l = mem_zalloc(sizeof(*l));

	if (!l) {
		request_refuse(w, v, &req->msg, -ERR_NOMEM);
		return;
	}
	l->req = req;
	lists_seen_init(&l->seen);
	go_on(w, v, l);
}
