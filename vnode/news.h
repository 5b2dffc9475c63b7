/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * news - what is new in a bucket: its codec; the answer is store_news.
 *
 * Format:  top of news_call.c.  Golden bytes: tests/golden/vnode/call_news.bin.
 */
#ifndef VNODE_NEWS_H
#define VNODE_NEWS_H

#include "vnode/ended.h"
#include "vnode/vnode_msg.h"

#define NEWS_ITEMS_MAX 32768 /* streams with something new, in one group */
#define NEWS_ENDED_MAX (ENDED_BYTES_MAX / ENDED_FIXED_BYTES)

/* Behind the head of the call, and of an answer its result and leader. */
void news_add_request(struct buf *b, const struct vnode_news *n);
void news_add_answer(struct buf *b, const struct vnode_news *n);

/* All of IN is a request: mem_alloc'd, its bucket in IN.  -ERR_CORRUPT. */
int news_take_request(struct slice in, struct msg **out);
/* All of IN is the answer to N, which is as before when it fails. */
int news_take_answer(struct slice in, struct vnode_news *n);

#endif
