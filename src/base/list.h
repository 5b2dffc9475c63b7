/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * list - intrusive doubly linked ring; an empty list points at itself.
 *
 * Owns:  nothing; the nodes live in the caller's objects.
 */
#ifndef SRC_BASE_LIST_H
#define SRC_BASE_LIST_H

#include <stddef.h>

#include "src/base/assert.h"

struct list {
	struct list *next, *prev;
};

static inline void
list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline int
list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void
list_add_tail(struct list *l, struct list *node)
{
	node->prev = l->prev;
	node->next = l;
	l->prev->next = node;
	l->prev = node;
}

/* Leaves NODE a list of its own, so that removing it again does no harm. */
static inline void
list_del(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}

static inline struct list *
list_first(const struct list *l)
{
	return list_empty(l) ? NULL : l->next;
}

static inline struct list *
list_take_first(struct list *l)
{
	struct list *node = list_first(l);

	if (node)
		list_del(node);
	return node;
}

/* Moves all of FROM behind TO; FROM is empty then. */
static inline void
list_splice_tail(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

#define LIST_FOREACH(pos, head)                                                \
	for (struct list *pos = (head)->next; pos != (head); pos = pos->next)

/* POS may be removed from the list by the body. */
#define LIST_FOREACH_SAFE(pos, tmp, head)                                      \
	for (struct list *pos = (head)->next, *tmp = pos->next; pos != (head); \
	     pos = tmp, tmp = pos->next)

#define LIST_ENTRY(node, type, member) CONTAINER_OF(node, type, member)

#endif
