/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * repair_read - reads that have met a damaged chunk.
 *
 * Where it may be whole in a moment, the asker need not hear of it: the read waits
 * for that, and a leader lets another lead meanwhile, so that what waits, and what
 * comes, is asked there.  It does not wait for longer than its asker does.
 */
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/repair_impl.h"

/* What a lane has found. */
struct finding {
	struct msg msg;
	struct store *store;
	uint32_t group;
	uint64_t stream, first;
	struct vnode_read
	    *req; /* its answer says that it is damaged; or NULL */
};

static void
wait(struct group *g, struct msg *m)
{
	m->answer = 0;
	m->next = NULL;
	*g->last_unread = m;
	g->last_unread = &m->next;
}

static void
found(struct msg *m)
{
	struct finding *f = CONTAINER_OF(m, struct finding, msg);
	struct store *s = f->store;
	struct store_worker *w = store_worker_of(s, f->group);
	struct vnode *v = &s->vnodes[f->group];
	int hope = repair_note(w, v, f->stream, f->first);

	if (f->req && hope) {
		wait(&v->group, &f->req->msg);
		placing_let_another(w, v);
	} else if (f->req) {
		store_answer(s, &f->req->msg);
	}
	if (hope)
		repair_go_on(w);
	mem_free(f);
}

int
repair_read_failed(
    void *store, const struct chunk_read *r, struct vnode_read *req)
{
	struct store *s = store;
	struct finding *f = mem_zalloc(sizeof(*f));

	if (!f)
		return 0;
	f->store = s;
	f->group = r->id.group;
	f->stream = r->id.stream_id;
	f->first = r->info.first;
	f->req = req;
	store_call(s, store_worker_of(s, f->group)->id, &f->msg, found);
	return req != NULL;
}

static struct msg *
take_all(struct group *g)
{
	struct msg *m = g->unread;

	g->unread = NULL;
	g->last_unread = &g->unread;
	return m;
}

void
repair_retry(struct store_worker *w, struct vnode *v)
{
	struct msg *m, *next;

	for (m = take_all(&v->group); m; m = next) {
		next = m->next;
		request_take(w, v, m);
	}
}

void
repair_refuse_all(struct store_worker *w, struct vnode *v, int r)
{
	struct msg *m, *next;

	for (m = take_all(&v->group); m; m = next) {
		next = m->next;
		request_refuse(w, v, m, r);
	}
}

/* Another node's read does not wait here for as long as its asker does, who may
 * ask again. */
static void
give_up(struct store_worker *w, struct vnode *v, struct msg *m)
{
	if (m->served)
		request_refuse(w, v, m, -ERR_NOTLEADER);
	else
		store_answer(w->store, m);
}

void
repair_read_tick(struct store_worker *w, struct vnode *v)
{
	uint64_t now = repair_clock(w).us;
	struct msg *m, *next;

	for (m = take_all(&v->group); m; m = next) {
		next = m->next;
		if (m->wait_until_us && now >= m->wait_until_us)
			give_up(w, v, m);
		else
			wait(&v->group, m);
	}
}
