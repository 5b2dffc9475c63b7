/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* vnode_msg - giving back what answers carry. */
#include "vnode/vnode_msg.h"

#include "src/base/mem.h"

void
vnode_page_deinit(struct vnode_page *page)
{
	for (uint32_t i = 0; i < page->n_parts; i++)
		block_unref(page->parts[i].block);
	page->parts = mem_free(page->parts);
	page->n_parts = 0;
	page->first = page->last = 0;
}

void
vnode_news_deinit(struct vnode_news *news)
{
	news->items = mem_free(news->items);
	news->names = mem_free(news->names);
	news->n_items = 0;
}

void
vnode_list_clear(struct vnode_list *list)
{
	list->more = 0;
	list->n_items = 0;
	list->items = NULL;
	list->names = NULL;
}

void
vnode_list_deinit(struct vnode_list *list)
{
	list->items = mem_free(list->items);
	list->names = mem_free(list->names);
	list->n_items = 0;
}
