/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * watch - requests that wait until there is more of a stream or bucket.
 *
 * Invariants:
 *  1. A waiter is in the list of its point and in that of its worker.
 *  2. A point has a waiter, or is due and goes when it is taken from there.
 */
#include "vnode/watch.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/hash.h"
#include "src/base/mem.h"
#include "vnode/mutants.h"
#include "vnode/replica.h"

struct waiter {
	struct list of_point, of_worker;
	struct point *point;
	struct msg *m;
	struct mono until;
};

struct point {
	struct list waiters;
	struct list due;
	uint64_t hash;
	uint8_t bucket_n, stream_n;
	char names[];
};

struct names {
	struct slice bucket, stream;
};

static int
point_is(const void *entry, const void *key)
{
	const struct point *p = entry;
	const struct names *n = key;

	return p->bucket_n == n->bucket.n && p->stream_n == n->stream.n &&
	       memcmp(p->names, n->bucket.p, n->bucket.n) == 0 &&
	       memcmp(p->names + p->bucket_n, n->stream.p, n->stream.n) == 0;
}

static uint64_t
hash_of(const struct watches *ws, const struct names *n)
{
	return hash64(n->stream.p, n->stream.n,
	    hash64(n->bucket.p, n->bucket.n, ws->seed));
}

void
watch_init(struct watches *ws, uint64_t seed)
{
	*ws = (struct watches){.seed = seed};
	table_init(&ws->points, seed, point_is);
	list_init(&ws->due);
}

void
watch_deinit(struct watches *ws)
{
	ASSERT(ws->points.n == 0 && list_empty(&ws->due));
	table_deinit(&ws->points);
}

/* --- waiting -------------------------------------------------------------- */

static struct point *
get_point(struct watches *ws, const struct names *n)
{
	uint64_t hash = hash_of(ws, n);
	struct point *p = table_find(&ws->points, hash, n);

	if (p)
		return p;
	p = mem_alloc(sizeof(*p) + n->bucket.n + n->stream.n);
	if (!p)
		return NULL;
	*p = (struct point){
	    .hash = hash,
	    .bucket_n = (uint8_t)n->bucket.n,
	    .stream_n = (uint8_t)n->stream.n,
	};
	list_init(&p->waiters);
	list_init(&p->due);
	memcpy(p->names, n->bucket.p, n->bucket.n);
	memcpy(p->names + n->bucket.n, n->stream.p, n->stream.n);
	if (table_insert(&ws->points, hash, p))
		return mem_free(p);
	return p;
}

static void
drop_point(struct watches *ws, struct point *p)
{
	struct names n = {SLICE(p->names, p->bucket_n),
	    SLICE(p->names + p->bucket_n, p->stream_n)};

	list_del(&p->due);
	table_remove(&ws->points, p->hash, &n);
	mem_free(p);
}

/* In the order of their times; as a rule all wait equally long. */
static void
add_in_time(struct watch_times *t, struct waiter *x)
{
	struct list *at = t->waiters.prev;

	while (at != &t->waiters &&
	       LIST_ENTRY(at, struct waiter, of_worker)->until.us > x->until.us)
		at = at->prev;
	list_add_tail(at->next, &x->of_worker);
	t->n++;
}

/* What M waits for; a bucket is a stream without a name. */
static struct names
names_of(const struct msg *m)
{
	const struct vnode_read *r = CONTAINER_OF(m, struct vnode_read, msg);
	const struct vnode_news *n = CONTAINER_OF(m, struct vnode_news, msg);

	return m->kind == MSG_NEWS ? (struct names){n->bucket, SLICE_LIT("")}
				   : (struct names){r->bucket, r->stream};
}

static uint32_t *
wait_of(struct msg *m)
{
	return m->kind == MSG_NEWS
		   ? &CONTAINER_OF(m, struct vnode_news, msg)->wait_ms
		   : &CONTAINER_OF(m, struct vnode_read, msg)->wait_ms;
}

int
watch_wait(struct store_worker *w, struct vnode *v, struct msg *m)
{
	const struct env_clock *c = &w->store->env->clock;
	struct names names = names_of(m);
	struct waiter *x;
	struct point *p;

	if (atomic_load(&w->store->stopping))
		return -ERR_STOPPING;
	if (w->watching.n >= WATCH_MAX)
		return -ERR_UNAVAILABLE;
	x = mem_alloc(sizeof(*x));
	p = x ? get_point(&v->watches, &names) : NULL;
	if (!p) {
		mem_free(x);
		return -ERR_NOMEM;
	}
	if (*wait_of(m) > WATCH_WAIT_MAX_MS)
		*wait_of(m) = WATCH_WAIT_MAX_MS;
	*x = (struct waiter){.point = p, .m = m};
	x->until = mono_add_us(c->mono(c->ctx), *wait_of(m) * 1000ull);
	list_add_tail(&p->waiters, &x->of_point);
	add_in_time(&w->watching, x);
	return 0;
}

/* --- answering ------------------------------------------------------------ */

static struct msg *
take_waiter(struct store_worker *w, struct waiter *x)
{
	struct msg *m = x->m;

	list_del(&x->of_point);
	list_del(&x->of_worker);
	w->watching.n--;
	mem_free(x);
	*wait_of(m) = 0; /* it has waited */
	return m;
}

static void
answer(struct store_worker *w, struct msg *m)
{
	if (m->kind == MSG_NEWS)
		store_news(w, CONTAINER_OF(m, struct vnode_news, msg));
	else
		store_read(w, CONTAINER_OF(m, struct vnode_read, msg), NULL);
}

static void
touch(struct watches *ws, const struct names *n)
{
	struct point *p = table_find(&ws->points, hash_of(ws, n), n);

	if (p && list_empty(&p->due))
		list_add_tail(&ws->due, &p->due);
}

void
watch_touch(struct vnode *v, const struct stream *s)
{
	struct watches *ws = &v->watches;
	struct names n = {
	    SLICE(s->bucket->name, s->bucket->name_n), stream_name(s)};

	if (ws->points.n == 0 || ws->last == s->id)
		return;
	ws->last = s->id;
	touch(ws, &n);
	n.stream = SLICE_LIT("");
	touch(ws, &n);
}

void
watch_wake(struct store_worker *w, struct vnode *v)
{
	struct watches *ws = &v->watches;
	struct list *node, *link;

	if (!VNODE_MUTANT(WATCH_WAKES_ONCE))
		ws->last = 0;
	while ((node = list_take_first(&ws->due))) {
		struct point *p = LIST_ENTRY(node, struct point, due);

		while ((link = list_first(&p->waiters)))
			answer(w, take_waiter(w, LIST_ENTRY(link, struct waiter,
						     of_point)));
		drop_point(ws, p);
	}
}

void
watch_refuse_all(struct store_worker *w, struct vnode *v, int r)
{
	struct table_iter it;
	struct point *p;
	struct list *link;

	table_iter_init(&it, &v->watches.points);
	while ((p = table_iter_next(&it))) {
		while ((link = list_first(&p->waiters))) {
			struct waiter *x =
			    LIST_ENTRY(link, struct waiter, of_point);

			request_refuse(w, v, take_waiter(w, x), r);
		}
		table_iter_remove(&it);
		list_del(&p->due);
		mem_free(p);
	}
}

void
watch_tick(struct store_worker *w)
{
	const struct env_clock *c = &w->store->env->clock;
	struct mono now = c->mono(c->ctx);
	struct list *link;

	w->cache.now_us = now.us;
	while ((link = list_first(&w->watching.waiters))) {
		struct waiter *x = LIST_ENTRY(link, struct waiter, of_worker);
		struct point *p = x->point;
		uint32_t group = request_group(x->m);

		if (x->until.us > now.us)
			break;
		answer(w, take_waiter(w, x));
		if (list_empty(&p->waiters))
			drop_point(&w->store->vnodes[group].watches, p);
	}
}
