/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* follow_way - requests of listeners on their way to a node and back. */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/world/arena.h"
#include "tests/world/follow.h"

struct errand {
	struct list link;
	struct follow *follow;
	struct node *node; /* NULL: nobody to ask */
	uint64_t life;
	uint32_t group;
	struct process_call call;
	struct msg *m;
	void (*fn)(struct msg *m);
};

static struct vnode_read *
read_of(struct msg *m)
{
	return CONTAINER_OF(m, struct vnode_read, msg);
}

static struct vnode_news *
news_of(struct msg *m)
{
	return CONTAINER_OF(m, struct vnode_news, msg);
}

/* --- answers ---------------------------------------------------------------- */

/* What came belongs to the process that made it, which may be gone soon. */
static void
own_page(struct vnode_page *p)
{
	struct vnode_page own = *p;

	if (p->n_parts == 0)
		return;
	own.parts = mem_calloc(p->n_parts, sizeof(*own.parts));
	ASSERT(own.parts);
	for (uint32_t i = 0; i < p->n_parts; i++) {
		struct slice in = p->parts[i].records;
		struct block *b = block_new((uint32_t)in.n);

		ASSERT(b);
		memcpy(b->p, in.p, in.n);
		b->n = (uint32_t)in.n;
		own.parts[i] = (struct vnode_part){SLICE(b->p, in.n), b};
	}
	vnode_page_deinit(p);
	*p = own;
}

static struct slice
copy_name(struct slice name, uint8_t **at)
{
	struct slice own = SLICE(*at, name.n);

	memcpy(*at, name.p, name.n);
	*at += name.n;
	return own;
}

static void
own_news(struct vnode_news *n)
{
	struct vnode_news own = *n;
	size_t bytes = 1;
	uint8_t *at;

	for (uint32_t i = 0; i < n->n_items; i++)
		bytes += n->items[i].name.n;
	for (uint32_t i = 0; i < n->n_ended; i++)
		bytes += n->ended[i].name.n;
	own.items = mem_calloc(n->n_items + 1u, sizeof(*own.items));
	own.ended = mem_calloc(n->n_ended + 1u, sizeof(*own.ended));
	own.names = at = mem_alloc(bytes);
	ASSERT(own.items && own.ended && own.names);
	for (uint32_t i = 0; i < n->n_items; i++) {
		own.items[i] = n->items[i];
		own.items[i].name = copy_name(n->items[i].name, &at);
	}
	for (uint32_t i = 0; i < n->n_ended; i++) {
		own.ended[i] = n->ended[i];
		own.ended[i].name = copy_name(n->ended[i].name, &at);
	}
	vnode_news_deinit(n);
	*n = own;
}

static void
learn_leader(struct errand *e, int r, const uint8_t id[16])
{
	struct world *w = e->follow->world;
	uint32_t at = (e->node->slot + 1) % w->n_nodes;

	if (r != -ERR_NOTLEADER)
		return;
	for (uint32_t i = 0; i < w->n_nodes; i++)
		if (memcmp(w->nodes[i].id, id, 16) == 0)
			at = i;
	e->follow->leaders[e->group] = at;
}

static void
deliver(struct world *w, struct happening *ev)
{
	struct errand *e = ev->arg;
	struct msg *m = e->m;
	void (*fn)(struct msg * m) = e->fn;

	(void)w;
	e->follow->n_on_way--;
	mem_free(e);
	fn(m);
}

static void
send_back(struct errand *e)
{
	e->m->answer = 1;
	list_del(&e->link);
	world_schedule(e->follow->world, chance_below(&e->follow->chance, 500),
	    (struct happening){.run = deliver, .arg = e});
}

static struct errand *
find_errand(struct follow *f, const struct msg *m)
{
	LIST_FOREACH (node, &f->errands) {
		struct errand *e = LIST_ENTRY(node, struct errand, link);

		if (e->m == m)
			return e;
	}
	return NULL;
}

static struct follow *the_follow; /* a message has no room for it */

static void
on_answer(struct msg *m)
{
	unsigned before = arena_enter(0);
	struct errand *e = find_errand(the_follow, m);

	if (!e || e->life != e->node->life)
		world_fail(the_follow->world,
		    "a listener's request is answered twice");
	if (m->kind == MSG_NEWS) {
		own_news(news_of(m));
		learn_leader(e, news_of(m)->r, news_of(m)->leader);
	} else {
		own_page(&read_of(m)->page);
		learn_leader(e, read_of(m)->r, read_of(m)->leader);
	}
	send_back(e);
	arena_enter(before);
}

/* What a process has begun to answer went with it. */
static void
answer_for_it(struct errand *e)
{
	if (e->m->kind == MSG_NEWS) {
		struct vnode_news *n = news_of(e->m);

		n->items = NULL;
		n->ended = NULL;
		n->names = NULL;
		n->n_items = n->n_ended = 0;
		n->r = -ERR_UNAVAILABLE;
	} else {
		read_of(e->m)->page = (struct vnode_page){0};
		read_of(e->m)->r = -ERR_UNAVAILABLE;
	}
	send_back(e);
}

void
follow_way_forget(struct follow *f, struct node *n)
{
	LIST_FOREACH_SAFE (node, tmp, &f->errands) {
		struct errand *e = LIST_ENTRY(node, struct errand, link);

		if (e->node == n)
			answer_for_it(e);
	}
}

/* --- questions -------------------------------------------------------------- */

/* Mostly the one that is said to lead GROUP; when all is well no other: a round
 * of a merge may be dozens of reads, and one that goes wrong ends it. */
static struct node *
some_node(struct follow *f, uint32_t group)
{
	struct world *w = f->world;
	uint32_t at = !w->settled && chance_one_in(&f->chance, 8)
			  ? (uint32_t)chance_below(&f->chance, w->n_nodes)
			  : f->leaders[group];

	for (uint32_t i = 0; i < w->n_nodes; i++) {
		struct node *n = &w->nodes[(at + i) % w->n_nodes];

		if (process_serves(n))
			return n;
	}
	return NULL;
}

void
follow_send(void *ctx, uint32_t group, struct msg *m)
{
	struct follow *f = the_follow = ctx;
	struct errand *e = mem_zalloc(sizeof(*e));

	ASSERT(e);
	e->follow = f;
	e->group = group;
	e->m = m;
	e->fn = m->fn;
	list_add_tail(&f->errands, &e->link);
	f->n_on_way++;
	e->node = some_node(f, group);
	if (!e->node) {
		answer_for_it(e);
		return;
	}
	e->life = e->node->life;
	m->fn = on_answer;
	m->from = (uint32_t)chance_below(&f->chance, e->node->n_workers);
	process_send(e->node, group, m, &e->call);
}
