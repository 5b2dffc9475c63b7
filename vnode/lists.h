/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * lists - buckets and streams of a vnode, in order.
 *
 * Owns:    the items and names of its answers, and what was seen of streams.
 * Thread:  the worker of the vnode.
 */
#ifndef VNODE_LISTS_H
#define VNODE_LISTS_H

#include "vnode/vnode.h"

/* A stream as it was at some moment since a list of it was asked for; in a table
 * of the list's own. */
struct lists_seen {
	uint64_t id, before; /* of ITEM.first */
	struct vnode_list_item item;
};

void lists_seen_init(struct table *seen);
/* S as it is, but for where it is visible from; mem_free, or lists_see.  NULL: no
 * memory. */
struct lists_seen *lists_seen_new(const struct stream *s);
/* It was visible from FIRST on, which had so much payload BEFORE it: E is SEEN's,
 * unless -ERR_NOMEM. */
int lists_see(
    struct table *seen, struct lists_seen *e, uint64_t first, uint64_t before);
void lists_seen_deinit(struct table *seen);

/* Streams that REQ lists with details, that were not seen, and of which it is not
 * known from where on they are visible (kept_settle), at most MOST; how many. */
uint32_t lists_unsettled(struct vnode *v, const struct vnode_list *req,
    const struct table *seen, struct stream **out, uint32_t most);

/* Answers all but msg: names in order, as the request says, and streams as they
 * are, or were SEEN (NULL: none was). */
void lists_answer(
    struct vnode *v, struct vnode_list *req, const struct table *seen);

#endif
