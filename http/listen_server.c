/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* listen_server - what a server has for all that listen: its feeds, its ticks,
 * and who may listen on. */
#include "http/bucket.h"
#include "src/base/mem.h"

#define TICKS_PER_CHECK 4 /* of the server, until tokens are looked at */

struct listen_server *
listen_server_new(uint64_t seed)
{
	struct listen_server *ls = mem_zalloc(sizeof(*ls));

	if (!ls)
		return NULL;
	feed_table_init(ls, seed);
	bucket_table_init(ls, seed);
	list_init(&ls->retry);
	list_init(&ls->paused_feeds);
	for (int i = 0; i < LISTEN_KINDS; i++)
		list_init(&ls->timed[i]);
	return ls;
}

struct listen_server *
listen_server_free(struct listen_server *ls)
{
	if (!ls)
		return NULL;
	feed_free_all(ls);
	bucket_free_all(ls);
	return mem_free(ls);
}

/* Whether L may still get all that it is subscribed to. */
static int
may_listen(const struct listener *l)
{
	LIST_FOREACH (node, &l->subs) {
		const struct sub *s = LIST_ENTRY(node, struct sub, link);

		if (!request_may_still(
			l->rq, AUTH_GET, s->names->bucket, s->names->stream))
			return 0;
	}
	LIST_FOREACH (node, &l->buckets) {
		const struct bucket_sub *b =
		    LIST_ENTRY(node, struct bucket_sub, link);

		if (!request_may_still(
			l->rq, AUTH_GET, b->names->bucket, SLICE(NULL, 0)))
			return 0;
	}
	return request_is_valid(l->rq);
}

static void
check_all(struct http_server *s, int (*good)(const struct listener *l))
{
	for (int i = 0; i < LISTEN_KINDS; i++)
		LIST_FOREACH_SAFE (node, tmp, &s->listen->timed[i]) {
			struct listener *l =
			    LIST_ENTRY(node, struct listener, timed);

			if (!l->ended && !good(l))
				l->transport->expire(l);
		}
}

void
listen_server_check(struct http_server *s)
{
	check_all(s, may_listen);
}

static int
has_time(const struct listener *l)
{
	return request_is_valid(l->rq);
}

void
listen_server_tick(struct http_server *s, struct mono now)
{
	struct listen_server *ls = s->listen;
	struct list retry, *node;

	if (++ls->n_ticks % TICKS_PER_CHECK == 0)
		check_all(s, has_time);
	list_init(&retry);
	list_splice_tail(&retry, &ls->retry);
	while ((node = list_first(&retry)))
		sub_catch_up(LIST_ENTRY(node, struct sub, hungry));
	feed_retry_all(s);
	bucket_retry_all(s);
	for (int i = 0; i < LISTEN_KINDS; i++) {
		while ((node = list_first(&ls->timed[i]))) {
			struct listener *l =
			    LIST_ENTRY(node, struct listener, timed);

			if (l->due.us > now.us)
				break;
			list_del(node);
			l->transport->tick(l, now);
		}
	}
}
