/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * bucket - subscriptions to all streams of a bucket, also those made later.
 *
 * Each group has a lane, which knows the position in the group's log up to which
 * events were sent.  Like a subscription to a stream it catches up by itself
 * (with a merge of its own) or is live on a feed that all lanes of this worker
 * share.
 */
#ifndef HTTP_BUCKET_H
#define HTTP_BUCKET_H

#include "http/merge.h"

struct bucket_feed;
struct bucket_where;

struct lane {
	struct list live;   /* of the feed, or alone */
	struct list hungry; /* of the listener or of those to be tried again */
	struct bucket_sub *bucket;
	struct bucket_feed *feed;    /* live */
	struct merge *own;           /* catching up */
	struct bucket_where *asking; /* where the log ends */
	struct position at;
	uint16_t group;
	uint8_t known; /* `at` is */
	uint8_t busy;  /* OWN has been asked */
};

/* What stands up to AT was sent, or more. */
static inline void
lane_had(struct lane *x, struct position at)
{
	if (position_before(x->at, at))
		x->at = at;
}

struct bucket_sub {
	struct list link; /* of the listener */
	struct listener *listener;
	struct listen_names *names; /* without a stream */
	uint32_t n_lanes;
	struct lane lanes[];
};

/* From now on, before listener_pump; lanes may be given a position until then.
 * NULL: no memory. */
struct bucket_sub *bucket_add(struct listener *l, struct slice bucket);
struct bucket_sub *bucket_find(struct listener *l, struct slice bucket);
void bucket_remove(struct bucket_sub *b);
/* Goes on with lanes that have to catch up. */
void bucket_pump(struct listener *l);
void bucket_retry_all(struct http_server *s);
void bucket_table_init(struct listen_server *ls, uint64_t seed);
void bucket_free_all(struct listen_server *ls);

#endif
