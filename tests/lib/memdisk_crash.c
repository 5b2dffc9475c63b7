/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * memdisk_crash - what is left when the power goes, and copies of a whole disk.
 *
 * If every sector of every file drew its own lot, a long write would always
 * come back as a mixture, and the plain cases, all of it, none of it, the front
 * of it, would hardly ever be seen.  So each file first draws a manner, and
 * then how many of its sectors are torn.
 */
#include "src/base/assert.h"
#include "src/base/hash.h"
#include "tests/lib/memdisk_impl.h"

enum manner {
	MANNER_LOSE,
	MANNER_KEEP,
	MANNER_SECTORS, /* each sector any of its contents */
	MANNER_ORDER,   /* changes before one, sectors of that one */
	MANNER_COUNT,
};

struct lot {
	struct node *node;
	struct chance *c;
	uint32_t sector;
	enum manner manner;
	size_t last;     /* MANNER_ORDER: the change that is half there */
	uint64_t one_in; /* that many sectors are torn; 0: none */
};

static int
touches(const struct change *c, uint64_t offset, uint32_t n)
{
	return c->from < offset + n && c->to > offset;
}

/* Whether change I is among those that the sector may hold. */
static int
takes(const struct lot *lot, size_t i)
{
	switch (lot->manner) {
	case MANNER_LOSE:
		return 0;
	case MANNER_KEEP:
		return 1;
	case MANNER_SECTORS:
		return chance_one_in(lot->c, 2);
	case MANNER_ORDER:
		return i < lot->last ||
		       (i == lot->last && chance_one_in(lot->c, 2));
	case MANNER_COUNT:
		break;
	}
	ASSERT_UNREACHED();
}

static void
tear(const struct lot *lot, uint8_t *sector, const uint8_t *other)
{
	if (!chance_one_in(lot->c, 3)) {
		size_t cut = chance_below(lot->c, lot->sector);

		memcpy(sector + cut, other + cut, lot->sector - cut);
		return;
	}
	for (uint32_t i = 0; i < lot->sector; i++)
		sector[i] = (uint8_t)chance_next(lot->c);
}

/* One sector of page AT: the last change that it takes, or what was durable. */
static void
decide_sector(const struct lot *lot, size_t at, uint32_t in, uint8_t *out)
{
	static const uint8_t zeros[PAGE_BYTES];
	const struct node *node = lot->node;
	uint64_t offset = (uint64_t)at * PAGE_BYTES + in;
	const uint8_t *other = NULL, *chosen = NULL;
	uint8_t old[PAGE_BYTES];
	struct page *page;

	memcpy(old, out, lot->sector);
	for (size_t i = node->n_changes; i-- > 0;) {
		const struct change *c = &node->changes[i];
		const uint8_t *p;

		if (!touches(c, offset, lot->sector) ||
		    !change_page(c, at, &page))
			continue;
		p = page ? page->p + in : zeros;
		if (!chosen && takes(lot, i))
			chosen = p;
		else if (!other || chance_one_in(lot->c, 2))
			other = p;
	}
	if (!chosen && !other)
		return;
	if (chosen)
		memcpy(out, chosen, lot->sector);
	if (lot->one_in && chance_one_in(lot->c, lot->one_in))
		tear(lot, out, other ? other : old);
}

static void
decide_page(const struct lot *lot, size_t at)
{
	struct page *page = page_copy(image_page(&lot->node->durable, at));

	for (uint32_t in = 0; in < PAGE_BYTES; in += lot->sector)
		decide_sector(lot, at, in, page->p + in);
	image_set_page(&lot->node->durable, at, page);
}

static uint64_t
decide_size(const struct lot *lot)
{
	const struct node *node = lot->node;
	size_t n = node->n_changes, i;
	uint64_t a, b;

	if (lot->manner == MANNER_LOSE)
		return node->durable.size;
	if (lot->manner == MANNER_KEEP)
		return node->live.size;
	i = lot->manner == MANNER_ORDER ? lot->last : chance_below(lot->c, n);
	a = i ? node->changes[i - 1].size : node->durable.size;
	b = node->changes[i].size;
	if (chance_one_in(lot->c, 3)) {
		uint64_t low = a < b ? a : b, high = a < b ? b : a;

		return low + chance_below(lot->c, high - low + 1);
	}
	return chance_one_in(lot->c, 2) ? a : b;
}

/* Whether a change before change N has page AT: then it is decided. */
static int
seen_before(const struct node *node, size_t n, size_t at)
{
	struct page *page;

	for (size_t i = 0; i < n; i++)
		if (change_page(&node->changes[i], at, &page))
			return 1;
	return 0;
}

static enum manner
draw_manner(enum memdisk_outcome outcome, struct chance *c)
{
	switch (outcome) {
	case MEMDISK_LOSE_ALL:
		return MANNER_LOSE;
	case MEMDISK_KEEP_ALL:
		return MANNER_KEEP;
	case MEMDISK_RANDOM:
		break;
	}
	return (enum manner)chance_below(c, MANNER_COUNT);
}

/* Each node has numbers of its own, so that a clone, which has no files that
 * only a handle holds, decides alike. */
static struct chance
chance_of(const struct node *node, uint64_t seed)
{
	struct chance c = {seed ^ hash64(&node->id, sizeof(node->id), 0)};

	return c;
}

void
node_decide(struct node *node, enum memdisk_outcome outcome, uint32_t sector,
    uint64_t seed)
{
	static const uint64_t one_in[] = {0, 0, 64, 4};
	struct chance own = chance_of(node, seed), *c = &own;
	struct lot lot = {.node = node, .c = c, .sector = sector};
	uint64_t size;

	if (node->n_changes == 0)
		return;
	lot.manner = draw_manner(outcome, c);
	if (lot.manner == MANNER_SECTORS || lot.manner == MANNER_ORDER)
		lot.one_in = one_in[chance_below(c, 4)];
	lot.last = chance_below(c, node->n_changes);
	size = decide_size(&lot);
	for (size_t i = 0; i < node->n_changes; i++) {
		const struct change *change = &node->changes[i];

		for (size_t k = 0; k < change->n; k++)
			if (!seen_before(node, i, change->first + k))
				decide_page(&lot, change->first + k);
	}
	image_resize(&node->durable, size);
	node_forget_changes(node);
}

/* --- names ---------------------------------------------------------------- */

/* Takes the operations marked in GONE out of the list, and frees them. */
static void
drop_ops(struct memdisk *md, const uint8_t *gone)
{
	size_t n = 0;

	for (size_t i = 0; i < md->n_ops; i++) {
		if (gone[i])
			nameop_release(&md->ops[i]);
		else
			md->ops[n++] = md->ops[i];
	}
	md->n_ops = n;
}

void
names_sync(struct memdisk *md, struct node *dir)
{
	uint8_t *taken = xrealloc(NULL, md->n_ops);

	LIST_FOREACH (l, &md->nodes)
		LIST_ENTRY(l, struct node, link)->is_cut = 0;
	if (dir)
		dir->is_cut = 1;
	for (size_t i = md->n_ops; i-- > 0;) {
		struct nameop *op = &md->ops[i];

		taken[i] = !dir || (op->from && op->from->is_cut) ||
			   (op->to && op->to->is_cut);
		if (taken[i] && op->from)
			op->from->is_cut = 1;
		if (taken[i] && op->to)
			op->to->is_cut = 1;
	}
	for (size_t i = 0; i < md->n_ops; i++)
		if (taken[i])
			nameop_apply(&md->ops[i], 1);
	drop_ops(md, taken);
	free(taken);
}

/* How many of the operations of each directory would survive by its own lot. */
static void
draw_names(struct memdisk *md, enum memdisk_outcome outcome, uint64_t seed)
{
	LIST_FOREACH (l, &md->nodes) {
		struct node *node = LIST_ENTRY(l, struct node, link);

		node->n_ops = 0;
		node->is_cut = 0;
	}
	for (size_t i = 0; i < md->n_ops; i++) {
		struct nameop *op = &md->ops[i];

		if (op->from)
			op->from->n_ops++;
		if (op->to && op->to != op->from)
			op->to->n_ops++;
	}
	LIST_FOREACH (l, &md->nodes) {
		struct node *node = LIST_ENTRY(l, struct node, link);
		struct chance c = chance_of(node, ~seed);

		if (outcome == MEMDISK_LOSE_ALL)
			node->n_ops = 0;
		else if (outcome == MEMDISK_RANDOM)
			node->n_ops = chance_below(&c, node->n_ops + 1);
	}
}

/* Uses up one of what DIR may keep; 0 when there is none left. */
static int
spend(struct node *dir)
{
	if (!dir)
		return 1;
	if (dir->is_cut || dir->n_ops == 0)
		return 0;
	dir->n_ops--;
	return 1;
}

static void
decide_names(struct memdisk *md, enum memdisk_outcome outcome, uint64_t seed)
{
	uint8_t *all = xrealloc(NULL, md->n_ops);

	draw_names(md, outcome, seed);
	for (size_t i = 0; i < md->n_ops; i++) {
		struct nameop *op = &md->ops[i];
		int keep = spend(op->from);

		if (op->to != op->from)
			keep &= spend(op->to);
		if (keep) {
			nameop_apply(op, 1);
			continue;
		}
		if (op->from)
			op->from->is_cut = 1;
		if (op->to)
			op->to->is_cut = 1;
	}
	memset(all, 1, md->n_ops);
	drop_ops(md, all);
	free(all);
}

/* --- the whole disk ------------------------------------------------------- */

static void
names_copy(struct names *to, const struct names *from)
{
	to->v = xrealloc(NULL, from->n * sizeof(*to->v));
	to->n = from->n;
	for (size_t i = 0; i < from->n; i++) {
		struct node *node = from->v[i].node;

		to->v[i] = (struct name){xstrdup(from->v[i].text),
		    node_ref(node->copy ? node->copy : node)};
	}
}

/* What is durable is all there is. */
static void
revert(struct node *node)
{
	struct names old = node->live_names;

	image_copy(&node->live, &node->durable);
	names_copy(&node->live_names, &node->durable_names);
	for (size_t i = 0; i < node->live_names.n; i++)
		node->live_names.v[i].node->n_live_names++;
	for (size_t i = 0; i < old.n; i++) {
		old.v[i].node->n_live_names--;
		free(old.v[i].text);
		node_unref(old.v[i].node);
	}
	free(old.v);
}

void
memdisk_crash(struct memdisk *md, enum memdisk_outcome outcome, uint64_t seed)
{
	struct list todo;

	md->is_down = 1;
	md->epoch++;
	LIST_FOREACH (l, &md->nodes)
		node_decide(LIST_ENTRY(l, struct node, link), outcome,
		    md->config.sector_bytes, seed);
	decide_names(md, outcome, seed);
	/* Reverting one frees others, so each is held until all are done. */
	LIST_FOREACH (l, &md->nodes)
		node_ref(LIST_ENTRY(l, struct node, link));
	LIST_FOREACH (l, &md->nodes)
		revert(LIST_ENTRY(l, struct node, link));
	list_init(&todo);
	list_splice_tail(&todo, &md->nodes);
	while (!list_empty(&todo)) {
		struct list *l = list_take_first(&todo);

		list_add_tail(&md->nodes, l);
		node_unref(LIST_ENTRY(l, struct node, link));
	}
}

static void
changes_copy(struct node *to, const struct node *from)
{
	size_t bytes = from->n_changes * sizeof(*to->changes);

	to->changes = xrealloc(NULL, bytes);
	to->n_changes = from->n_changes;
	for (size_t i = 0; i < from->n_changes; i++) {
		struct change *c = &to->changes[i];

		*c = from->changes[i];
		c->pages = xrealloc(NULL, c->n * sizeof(*c->pages));
		for (size_t k = 0; k < c->n; k++)
			c->pages[k] = page_ref(from->changes[i].pages[k]);
	}
}

static void
node_fill_copy(const struct node *node)
{
	struct node *copy = node->copy;

	copy->id = node->id;
	copy->n_live_names = node->n_live_names;
	image_copy(&copy->live, &node->live);
	image_copy(&copy->durable, &node->durable);
	changes_copy(copy, node);
	names_copy(&copy->live_names, &node->live_names);
	names_copy(&copy->durable_names, &node->durable_names);
}

static void
ops_copy(struct memdisk *to, const struct memdisk *from)
{
	to->ops = xrealloc(NULL, from->n_ops * sizeof(*to->ops));
	to->n_ops = from->n_ops;
	for (size_t i = 0; i < from->n_ops; i++) {
		const struct nameop *op = &from->ops[i];

		to->ops[i] = (struct nameop){
		    .kind = op->kind,
		    .from = node_ref(op->from ? op->from->copy : NULL),
		    .to = node_ref(op->to ? op->to->copy : NULL),
		    .node = node_ref(op->node ? op->node->copy : NULL),
		    .from_name = op->from_name ? xstrdup(op->from_name) : NULL,
		    .to_name = op->to_name ? xstrdup(op->to_name) : NULL,
		};
	}
}

struct memdisk *
memdisk_clone(struct memdisk *md)
{
	struct memdisk *to = memdisk_new(&md->config);

	to->n_calls = md->n_calls;
	to->is_down = md->is_down;
	to->next_id = md->next_id;
	LIST_FOREACH (l, &md->nodes) {
		struct node *node = LIST_ENTRY(l, struct node, link);

		if (node == md->root)
			node->copy = to->root;
		else if (node->refs > node->n_handles)
			node->copy = node_new(to, node->is_dir);
	}
	LIST_FOREACH (l, &md->nodes) {
		struct node *node = LIST_ENTRY(l, struct node, link);

		if (node->copy)
			node_fill_copy(node);
	}
	ops_copy(to, md);
	LIST_FOREACH (l, &md->nodes)
		LIST_ENTRY(l, struct node, link)->copy = NULL;
	return to;
}
