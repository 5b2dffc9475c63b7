/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * merge_impl - a merge, as its files share it: merge.c has the rounds, and
 * merge_source.c the streams that are read side by side.
 */
#ifndef HTTP_MERGE_IMPL_H
#define HTTP_MERGE_IMPL_H

#include "http/merge.h"

/* A stream with something new. */
struct source {
	struct listen_names *names;
	uint64_t incarnation, next, last;
	int seeks; /* `next` is not known yet */
	int reading, has_head, gone;
	int told; /* that one of its name was deleted, in this round */
	struct position head;
	uint64_t gap;           /* to be told of before the head */
	int hidden;             /* all up to `last` is: no event is the head */
	struct vnode_page page; /* empty: given back to save memory */
	uint32_t part;
	struct slice in; /* of the page, from the head on */
};

struct merge {
	struct http_server *server;
	struct listen_names *bucket;
	uint32_t group;
	merge_ready_fn ready;
	void *arg;
	int closed;
	struct vnode_news news; /* of the round: what was deleted is in it */
	uint32_t ended;         /* so many of these were given out */
	int asking;
	uint32_t n_reading, wait_ms;
	struct position at, end;
	struct source **sources;
	uint32_t n_sources, n_heads;
	uint64_t held;
	struct batch batch;
	struct buf text; /* of the batch */
	struct msg kick;
	int kicked;
	int busy; /* its own code runs */
};

/* --- merge.c --------------------------------------------------------------- */

/* Goes on with the round, as far as it can. */
void merge_step(struct merge *m);
/* The round cannot be ended: R. */
void merge_give_up(struct merge *m, int r);
/* Frees M if it is closed and nothing of it is under way. */
void merge_close_if_done(struct merge *m);

/* --- merge_source.c -------------------------------------------------------- */

/* A stream that has news; there is room in m->sources. -ERR_NOMEM. */
int merge_add_source(struct merge *m, const struct vnode_news_item *it);
void merge_remove_source(struct merge *m, uint32_t i);
void merge_remove_sources(struct merge *m);
/* The one whose head comes first in the log, of those that have one; there must
 * be a source. */
uint32_t merge_first_source(const struct merge *m);
/* The record that the head of S is of; 0: its page was given back. */
int merge_take_record(struct source *s, struct event *e, uint32_t *bytes);
/* The head of S is given out, and was BYTES long. */
void merge_use_head(struct merge *m, uint32_t i, uint32_t bytes);
/* The head of S, whose page was given back, has to be read again. */
void merge_drop_head(struct merge *m, struct source *s);
/* Asks for heads that are missing.  -ERR_NOMEM. */
int merge_read_heads(struct merge *m);

#endif
