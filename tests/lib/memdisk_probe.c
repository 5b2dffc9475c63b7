/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * memdisk_probe - what a test asks of the disk or does to it, behind the back
 * of the code under test.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/hash.h"
#include "tests/lib/memdisk_impl.h"

uint64_t
memdisk_ops(const struct memdisk *md)
{
	return md->n_calls;
}

void
memdisk_fail_at(struct memdisk *md, uint64_t op, enum memdisk_fault fault)
{
	ASSERT(md->n_faults < FAULTS_MAX);
	md->faults[md->n_faults++] = (struct fault_at){op, fault};
}

void
memdisk_fail_clear(struct memdisk *md)
{
	md->n_faults = 0;
}

void
memdisk_set_hook(struct memdisk *md, memdisk_hook_fn fn, void *arg)
{
	md->hook = fn;
	md->hook_arg = arg;
}

void
memdisk_set_capacity(struct memdisk *md, uint64_t bytes)
{
	md->config.capacity_bytes = bytes;
}

/* --- for tests ------------------------------------------------------------ */

static int
find_file(struct memdisk *md, const char *path, struct node **out)
{
	struct place at;
	int r = walk(md, path, &at);

	if (r < 0)
		return r;
	if (!at.node || at.node->is_dir)
		return -ERR_NOTFOUND;
	*out = at.node;
	return 0;
}

static void
flip(struct image *im, uint64_t offset, unsigned bit)
{
	struct page *page = page_copy(image_page(im, offset / PAGE_BYTES));

	page->p[offset % PAGE_BYTES] ^= (uint8_t)(1u << bit);
	image_set_page(im, offset / PAGE_BYTES, page);
}

int
memdisk_flip(
    struct memdisk *md, const char *path, uint64_t offset, unsigned bit)
{
	struct node *node;
	int r = find_file(md, path, &node);

	ASSERT(bit < 8);
	if (r < 0)
		return r;
	if (offset >= node->live.size)
		return -ERR_EOF;
	flip(&node->live, offset, bit);
	if (offset < node->durable.size)
		flip(&node->durable, offset, bit);
	return 0;
}

int
memdisk_put(struct memdisk *md, const char *path, struct slice content)
{
	struct place at;
	int r = walk(md, path, &at);

	if (r < 0)
		return r;
	if (at.node && at.node->is_dir)
		return -ERR_EXISTS;
	if (!at.node)
		at.node = make(md, &at, 0);
	node_truncate(at.node, 0);
	node_write(at.node, content.p, content.n, 0, SIZE_MAX);
	node_sync(at.node);
	names_sync(md, at.dir);
	return 0;
}

int
memdisk_read_all(struct memdisk *md, const char *path, struct buf *out)
{
	struct node *node;
	uint8_t *p;
	int r = find_file(md, path, &node);

	if (r < 0)
		return r;
	p = buf_reserve(out, node->live.size);
	if (!p)
		return buf_error(out);
	image_read(&node->live, p, node->live.size, 0);
	out->n += node->live.size;
	return 0;
}

size_t
memdisk_unsynced(const struct memdisk *md)
{
	size_t n = md->n_ops;

	LIST_FOREACH (l, &md->nodes)
		n += LIST_ENTRY(l, struct node, link)->n_changes;
	return n;
}

/* Names come in no order, so what each adds is added up. */
static uint64_t
hash_node(const struct node *node)
{
	uint64_t sum = hash64(
	    &node->live.size, sizeof(node->live.size), (uint64_t)node->is_dir);
	uint8_t *p;

	for (size_t i = 0; i < node->live_names.n; i++) {
		const struct name *name = &node->live_names.v[i];

		sum += hash64(
		    name->text, strlen(name->text), hash_node(name->node));
	}
	p = xrealloc(NULL, node->live.size);
	image_read(&node->live, p, node->live.size, 0);
	sum = hash64(p, node->live.size, sum);
	free(p);
	return sum;
}

uint64_t
memdisk_hash(struct memdisk *md)
{
	return hash_node(md->root);
}
