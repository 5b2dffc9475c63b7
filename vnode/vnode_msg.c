/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* vnode_msg - what all requests have, and giving back what answers carry. */
#include "vnode/vnode_msg.h"

#include "src/base/assert.h"
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
	news->ended = mem_free(news->ended);
	news->names = mem_free(news->names);
	news->n_items = news->n_ended = 0;
	news->forgot = 0;
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

/* --- the fields that all requests have -------------------------------------- */

uint32_t
request_group(const struct msg *m)
{
	switch (m->kind) {
	case MSG_PUT:
		return REQUEST_OF(m, vnode_put)->group;
	case MSG_DELETE:
		return REQUEST_OF(m, vnode_delete)->group;
	case MSG_READ:
		return REQUEST_OF(m, vnode_read)->group;
	case MSG_NEWS:
		return REQUEST_OF(m, vnode_news)->group;
	case MSG_LIST:
		return REQUEST_OF(m, vnode_list)->group;
	case MSG_CHANGE:
		return REQUEST_OF(m, vnode_change)->group;
	default:
		ASSERT_UNREACHED();
	}
}

int *
request_result(struct msg *m)
{
	switch (m->kind) {
	case MSG_PUT:
		return &REQUEST_OF(m, vnode_put)->r;
	case MSG_DELETE:
		return &REQUEST_OF(m, vnode_delete)->r;
	case MSG_READ:
		return &REQUEST_OF(m, vnode_read)->r;
	case MSG_NEWS:
		return &REQUEST_OF(m, vnode_news)->r;
	case MSG_LIST:
		return &REQUEST_OF(m, vnode_list)->r;
	case MSG_CHANGE:
		return &REQUEST_OF(m, vnode_change)->r;
	default:
		ASSERT_UNREACHED();
	}
}

uint8_t *
request_leader(struct msg *m)
{
	switch (m->kind) {
	case MSG_PUT:
		return REQUEST_OF(m, vnode_put)->leader;
	case MSG_DELETE:
		return REQUEST_OF(m, vnode_delete)->leader;
	case MSG_READ:
		return REQUEST_OF(m, vnode_read)->leader;
	case MSG_NEWS:
		return REQUEST_OF(m, vnode_news)->leader;
	case MSG_LIST:
		return REQUEST_OF(m, vnode_list)->leader;
	case MSG_CHANGE:
		return REQUEST_OF(m, vnode_change)->leader;
	default:
		ASSERT_UNREACHED();
	}
}

int
request_is_write(const struct msg *m)
{
	return m->kind == MSG_PUT || m->kind == MSG_DELETE;
}

void
request_drop_answer(struct msg *m)
{
	if (m->kind == MSG_READ)
		vnode_page_deinit(&REQUEST_OF(m, vnode_read)->page);
	else if (m->kind == MSG_LIST)
		vnode_list_deinit(REQUEST_OF(m, vnode_list));
	else if (m->kind == MSG_NEWS)
		vnode_news_deinit(REQUEST_OF(m, vnode_news));
}
