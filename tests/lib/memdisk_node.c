/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * memdisk_node - pages, images, and the two states of files and directories.
 *
 * Memory comes from malloc and not from mem.h: a shortage that a test makes up
 * must hit the code under test, not its disk.
 */
#include "src/base/assert.h"
#include "tests/lib/memdisk_impl.h"

void *
xrealloc(void *p, size_t n)
{
	p = realloc(p, n ? n : 1);
	ASSERT(p);
	return p;
}

char *
xstrdup(const char *s)
{
	size_t n = strlen(s) + 1;

	return memcpy(xrealloc(NULL, n), s, n);
}

/* --- pages and images ----------------------------------------------------- */

struct page *
page_ref(struct page *p)
{
	if (p)
		p->refs++;
	return p;
}

static void
page_unref(struct page *p)
{
	if (p && --p->refs == 0)
		free(p);
}

struct page *
page_copy(const struct page *old)
{
	struct page *p = xrealloc(NULL, sizeof(*p));

	p->refs = 1;
	if (old)
		memcpy(p->p, old->p, PAGE_BYTES);
	else
		memset(p->p, 0, PAGE_BYTES);
	return p;
}

struct page *
image_page(const struct image *im, size_t at)
{
	return at < im->n ? im->pages[at] : NULL;
}

void
image_set_page(struct image *im, size_t at, struct page *page)
{
	if (at >= im->n && !page)
		return;
	if (at >= im->n) {
		size_t n = at + 1 > im->n * 2 ? at + 1 : im->n * 2;

		im->pages = xrealloc(im->pages, n * sizeof(*im->pages));
		memset(im->pages + im->n, 0, (n - im->n) * sizeof(*im->pages));
		im->n = n;
	}
	im->n_used += (page != NULL) - (size_t)(im->pages[at] != NULL);
	page_unref(im->pages[at]);
	im->pages[at] = page;
}

void
image_resize(struct image *im, uint64_t size)
{
	size_t at = size / PAGE_BYTES, cut = size % PAGE_BYTES;

	im->size = size;
	if (cut && image_page(im, at)) {
		struct page *page = page_copy(im->pages[at]);

		memset(page->p + cut, 0, PAGE_BYTES - cut);
		image_set_page(im, at, page);
	}
	for (at += cut > 0; at < im->n; at++)
		image_set_page(im, at, NULL);
}

static void
image_clear(struct image *im)
{
	for (size_t i = 0; i < im->n; i++)
		page_unref(im->pages[i]);
	free(im->pages);
	*im = (struct image){0};
}

void
image_copy(struct image *to, const struct image *from)
{
	struct image copy = *from;

	copy.pages = xrealloc(NULL, from->n * sizeof(*copy.pages));
	for (size_t i = 0; i < from->n; i++)
		copy.pages[i] = page_ref(from->pages[i]);
	image_clear(to);
	*to = copy;
}

void
image_read(const struct image *im, void *out, size_t n, uint64_t offset)
{
	for (size_t done = 0, k; done < n; done += k) {
		size_t in = (offset + done) % PAGE_BYTES;
		struct page *page =
		    image_page(im, (offset + done) / PAGE_BYTES);

		k = PAGE_BYTES - in < n - done ? PAGE_BYTES - in : n - done;
		if (page)
			memcpy((uint8_t *)out + done, page->p + in, k);
		else
			memset((uint8_t *)out + done, 0, k);
	}
}

/* --- nodes ---------------------------------------------------------------- */

struct node *
node_new(struct memdisk *md, int is_dir)
{
	struct node *node = xrealloc(NULL, sizeof(*node));

	*node = (struct node){.id = md->next_id++, .is_dir = is_dir};
	list_add_tail(&md->nodes, &node->link);
	return node;
}

struct node *
node_ref(struct node *node)
{
	if (node)
		node->refs++;
	return node;
}

static void
names_free(struct names *names, int unref)
{
	for (size_t i = 0; i < names->n; i++) {
		free(names->v[i].text);
		if (unref)
			node_unref(names->v[i].node);
	}
	free(names->v);
	*names = (struct names){0};
}

void
node_forget_changes(struct node *node)
{
	for (size_t i = 0; i < node->n_changes; i++) {
		struct change *c = &node->changes[i];

		for (size_t k = 0; k < c->n; k++)
			page_unref(c->pages[k]);
		free(c->pages);
	}
	free(node->changes);
	node->changes = NULL;
	node->n_changes = 0;
}

void
node_destroy(struct node *node)
{
	names_free(&node->live_names, 0);
	names_free(&node->durable_names, 0);
	node_forget_changes(node);
	image_clear(&node->live);
	image_clear(&node->durable);
	list_del(&node->link);
	free(node);
}

void
node_unref(struct node *node)
{
	if (!node || --node->refs > 0)
		return;
	names_free(&node->live_names, 1);
	names_free(&node->durable_names, 1);
	node_destroy(node);
}

/* --- changes -------------------------------------------------------------- */

/* Keeps what the live image holds between FROM and TO. */
static void
change_add(struct node *node, uint64_t from, uint64_t to)
{
	struct change *c;

	node->changes = xrealloc(
	    node->changes, (node->n_changes + 1) * sizeof(*node->changes));
	c = &node->changes[node->n_changes++];
	*c = (struct change){
	    .from = from,
	    .to = to,
	    .size = node->live.size,
	    .first = from / PAGE_BYTES,
	};
	if (to > from)
		c->n = (to - 1) / PAGE_BYTES + 1 - c->first;
	c->pages = xrealloc(NULL, c->n * sizeof(*c->pages));
	for (size_t i = 0; i < c->n; i++)
		c->pages[i] = page_ref(image_page(&node->live, c->first + i));
}

int
change_page(const struct change *c, size_t at, struct page **out)
{
	if (at < c->first || at - c->first >= c->n)
		return 0;
	*out = c->pages[at - c->first];
	return 1;
}

size_t
node_write(
    struct node *node, const uint8_t *p, size_t n, uint64_t offset, size_t room)
{
	size_t done, k;

	for (done = 0; done < n; done += k) {
		size_t at = (offset + done) / PAGE_BYTES;
		size_t in = (offset + done) % PAGE_BYTES;
		struct page *old = image_page(&node->live, at), *page;

		if (!old && room-- == 0)
			break;
		k = PAGE_BYTES - in < n - done ? PAGE_BYTES - in : n - done;
		page = page_copy(old);
		memcpy(page->p + in, p + done, k);
		image_set_page(&node->live, at, page);
	}
	if (done == 0)
		return 0;
	if (offset + done > node->live.size)
		node->live.size = offset + done;
	change_add(node, offset, offset + done);
	return done;
}

void
node_truncate(struct node *node, uint64_t size)
{
	uint64_t old = node->live.size;

	image_resize(&node->live, size);
	change_add(node, size, old > size ? old : size);
}

/* Only what changed since the last sync, failed or not, is taken over: pages
 * that a failed sync has lost stay lost. */
void
node_sync(struct node *node)
{
	for (size_t i = 0; i < node->n_changes; i++) {
		struct change *c = &node->changes[i];

		for (size_t k = 0; k < c->n; k++)
			image_set_page(&node->durable, c->first + k,
			    page_ref(c->pages[k]));
	}
	if (node->n_changes)
		image_resize(&node->durable, node->live.size);
	node_forget_changes(node);
}

/* --- names ---------------------------------------------------------------- */

static struct name *
names_slot(const struct names *names, const char *text, size_t n)
{
	for (size_t i = 0; i < names->n; i++)
		if (strlen(names->v[i].text) == n &&
		    memcmp(names->v[i].text, text, n) == 0)
			return &names->v[i];
	return NULL;
}

struct node *
names_find(const struct names *names, const char *text, size_t n)
{
	struct name *slot = names_slot(names, text, n);

	return slot ? slot->node : NULL;
}

static void
name_drop(struct names *names, const char *text, int durable)
{
	struct name *slot = names_slot(names, text, strlen(text));
	struct name old;

	if (!slot)
		return;
	old = *slot;
	*slot = names->v[--names->n];
	old.node->n_live_names -= !durable;
	free(old.text);
	node_unref(old.node);
}

static void
name_set(struct names *names, const char *text, struct node *node, int durable)
{
	node_ref(node);
	name_drop(names, text, durable);
	names->v = xrealloc(names->v, (names->n + 1) * sizeof(*names->v));
	names->v[names->n++] = (struct name){xstrdup(text), node};
	node->n_live_names += !durable;
}

void
nameop_apply(const struct nameop *op, int durable)
{
	struct node *from = op->from, *to = op->to;

	if (from)
		name_drop(durable ? &from->durable_names : &from->live_names,
		    op->from_name, durable);
	if (to)
		name_set(durable ? &to->durable_names : &to->live_names,
		    op->to_name, op->node, durable);
}

void
nameop_do(struct memdisk *md, struct nameop op)
{
	node_ref(op.from);
	node_ref(op.to);
	node_ref(op.node);
	op.from_name = op.from_name ? xstrdup(op.from_name) : NULL;
	op.to_name = op.to_name ? xstrdup(op.to_name) : NULL;
	nameop_apply(&op, 0);
	md->ops = xrealloc(md->ops, (md->n_ops + 1) * sizeof(*md->ops));
	md->ops[md->n_ops++] = op;
}

void
nameop_release(struct nameop *op)
{
	node_unref(op->from);
	node_unref(op->to);
	node_unref(op->node);
	free(op->from_name);
	free(op->to_name);
}
