/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * listen - what the files of GET /listen share (http-api.md section 6).
 *
 * A listener is one request that gets events.  It has subscriptions, and each of
 * them knows the number of the next event that it wants: nothing else decides
 * what is sent, so there is no hole and no repeat, whoever says what comes next.
 *
 *	catching up: reads page after page at the listener's own pace
 *	live:        hangs on a feed, which all listeners of this worker share
 *
 * Whatever does not fit (another incarnation, an event too far, a listener that
 * has no room) sends a subscription back to catching up.
 *
 * Thread:  the worker of the server.
 */
#ifndef HTTP_LISTEN_H
#define HTTP_LISTEN_H

#include "http/cursor.h"
#include "http/http_impl.h"
#include "vnode/watch.h"

/* --- names ---------------------------------------------------------------- */

/* The names of a stream, shared by who needs them. */
struct listen_names {
	uint32_t refs, group;
	struct slice bucket, stream;
	struct slice meta;     /* ,"bucket":"b","stream":"s" */
	uint64_t hash, cursor; /* of the feeds; of cursor.h */
};

/* NULL: no memory. */
struct listen_names *listen_names_new(
    struct http_server *s, struct slice bucket, struct slice stream);
struct listen_names *listen_names_ref(struct listen_names *n);
/* Takes NULL and returns NULL. */
struct listen_names *listen_names_unref(struct listen_names *n);

/* --- events as text: listen_encode.c -------------------------------------- */

enum listen_encoding {
	LISTEN_ITEMS,    /* objects with commas between them */
	LISTEN_STREAMED, /* of text/event-stream, `id: incarnation-seqnum` */
	LISTEN_FRAMES,   /* one text message of RFC 6455 with an array */
	LISTEN_ENCODINGS,
};

/* A page in the encodings that somebody has wanted. */
struct listen_shared {
	struct block *block[LISTEN_ENCODINGS]; /* one reference, or NULL */
	struct slice bytes[LISTEN_ENCODINGS];
};

void listen_shared_deinit(struct listen_shared *s);

#define LISTEN_FRAME_EVENTS 100 /* in one message */

struct listen_page {
	const struct listen_names *names;
	uint64_t incarnation;
	const struct vnode_page *page;
	struct listen_shared *shared; /* NULL: nobody shares it */
};

/*
 * Adds the events of P from FROM on behind TO, at most MAX of them; of
 * LISTEN_FRAMES at most LISTEN_FRAME_EVENTS.  Returns how many; 0 with to->error
 * set, or when there is none.
 */
uint32_t listen_encode(struct out *to, enum listen_encoding how,
    const struct listen_page *p, uint64_t from, uint32_t max);

/* The same of E of P alone, as an item on one line. */
void listen_encode_one(
    struct out *to, const struct listen_page *p, const struct event *e);

/* The events of a page, one after the other. */
struct listen_walk {
	const struct vnode_page *page;
	uint32_t part;
	struct slice in;
};

/* The next from FROM on, borrowed from the page; 0: there is none. */
int listen_walk_next(struct listen_walk *w, uint64_t from, struct event *e);

/* How many of these are certain to fit into BYTES, at most MAX. */
uint32_t listen_fit(
    const struct listen_page *p, uint64_t from, uint32_t max, uint64_t bytes);

/* The head of an unmasked frame of N bytes, which ends before END; where it
 * begins.  OPCODE with FIN. */
uint8_t *listen_frame_head(uint8_t *end, uint8_t opcode, uint64_t n);
#define LISTEN_FRAME_HEAD_MAX 10

/* --- listeners: listener.c ------------------------------------------------ */

enum listen_kind { LISTEN_COMET, LISTEN_SSE, LISTEN_SOCKET, LISTEN_KINDS };

struct batch;
struct catchup;
struct feed;
struct lane;
struct listener;

/* A subscription to one stream. */
struct sub {
	struct list link;   /* of the listener */
	struct list live;   /* of the feed, or alone */
	struct list hungry; /* of the listener or of those to be tried again */
	struct listener *listener;
	struct listen_names *names;
	struct feed *feed;       /* live */
	struct catchup *reading; /* catching up, and asked */
	uint64_t incarnation;    /* of which NEXT counts; 0: not known */
	uint64_t next;           /* 0: what comes after now */
};

struct listen_transport {
	/* Sends what it wants of P from s->next on, which it moves behind that;
	 * how many. */
	uint32_t (*page)(struct sub *s, const struct listen_page *p);
	/* Sends the items of B from FIRST on, as many as it can; how many. */
	uint32_t (*batch)(
	    struct lane *x, const struct batch *b, uint32_t first);
	/* TEXT is a JSON object.  S: of what stream, already moved on; ID is
	 * where it stood. */
	void (*notice)(struct sub *s, struct slice text);
	/* More may be queued. */
	int (*has_room)(const struct listener *l);
	/* What is queued goes to the connection. */
	void (*flush)(struct listener *l);
	/* l->due is over. */
	void (*tick)(struct listener *l, struct mono now);
	/* Ends in order: the node stops. */
	void (*stop)(struct listener *l);
	/* Ends: it may not listen to this any more. */
	void (*expire)(struct listener *l);
	/* Cannot go on: R of the store.  Not after any end. */
	void (*fail)(struct listener *l, int r);
};

struct listener {
	struct request *rq;
	struct http_server *server;
	enum listen_kind kind;
	const struct listen_transport *transport;
	struct list subs;
	uint32_t n_subs;
	struct list hungry; /* subs that have to catch up, in turn */
	uint32_t n_reading;
	struct list buckets; /* bucket-wide subscriptions: bucket.h */
	uint32_t n_buckets, n_own;
	struct list hungry_lanes;
	/* Subscriptions that do not know yet where "now" is.  Nothing is sent
	 * before they do: no cursor could say so. */
	uint32_t n_unknown;
	struct list timed; /* of the server, by DUE */
	struct mono due;
	struct out out;    /* not in the connection's yet */
	uint32_t n_events; /* COMET: in OUT */
	int ended;         /* nothing more is taken in */
	int overdue;       /* COMET: answers as soon as nothing is under way */
	struct socket *socket; /* LISTEN_SOCKET: socket.c */
	uint8_t *origin;       /* the request's, or NULL */
};

/* What a server has for them. */
struct listen_server {
	struct table feeds;
	struct list timed[LISTEN_KINDS];
	uint32_t n_ticks;
	struct list retry;        /* subs, at the next tick */
	struct list paused_feeds; /* the same */
	struct table bucket_feeds;
	struct list retry_lanes, paused_buckets;
};

/* listen_server.c.  NULL: no memory. */
struct listen_server *listen_server_new(uint64_t seed);
/* Takes NULL and returns NULL. */
struct listen_server *listen_server_free(struct listen_server *ls);
void listen_server_tick(struct http_server *s, struct mono now);
/* Who may do what has changed: ends those that rest on what is no more. */
void listen_server_check(struct http_server *s);

/* A listener of RQ without subscriptions, or NULL. */
struct listener *listener_new(struct request *rq, enum listen_kind kind,
    const struct listen_transport *t);
/* Takes NULL and returns NULL. */
struct listener *listener_free(struct listener *l);

/* Whether there is room for so many more subscriptions, to streams and to buckets:
 * where they all stand must fit into a cursor. */
int listener_may_add(
    const struct listener *l, uint32_t n_subs, uint32_t n_buckets);
/* One more, from NEXT on (0: from now); NULL: no memory.  Nothing is asked
 * before listener_pump. */
struct sub *listener_add(struct listener *l, struct listen_names *names,
    uint64_t incarnation, uint64_t next);
struct sub *listener_find(
    struct listener *l, struct slice bucket, struct slice stream);
void listener_remove(struct sub *s);

/* After subscriptions were changed by hand. */
void listener_count_unknown(struct listener *l);
/* tick is called at DUE. */
void listener_set_due(struct listener *l, struct mono due);
/* Bytes that are on their way to the peer. */
uint64_t listener_queued(const struct listener *l);
/* Whether all are live: nothing more is to be had now. */
int listener_is_live(const struct listener *l);
/* It cannot go on: R of the store, which READ (or NULL) tells more of. */
void listener_fail(struct listener *l, int r, const struct vnode_read *read);
/* Where they all stand, behind TEXT. */
void listener_cursor(const struct listener *l, struct buf *text);
/* Of requests that listen, from conn.c. */
void listener_flush(struct request *rq);
void listener_stop(struct request *rq);

/* --- what becomes of subscriptions: catchup.c ----------------------------- */

/* What is being read for S, which goes, is dropped. */
void catchup_forget(struct sub *s);
/* P, which its feed has got. */
void sub_offer(struct sub *s, const struct listen_page *p);
/* Its feed can serve it no more. */
void sub_catch_up(struct sub *s);
/* Those that have to catch up are read for, as far as there is room. */
void listener_pump(struct listener *l);

/* --- feeds: feed.c -------------------------------------------------------- */

/* S is live from its next on; NEWEST is what the stream had when it last looked.
 * 1: not yet, it must read more; -ERR_NOMEM, -ERR_BUSY: later. */
int feed_join(struct http_server *server, struct sub *s, uint64_t newest);
void feed_leave(struct sub *s);
void feed_retry_all(struct http_server *s);
void feed_free_all(struct listen_server *ls);
void feed_table_init(struct listen_server *ls, uint64_t seed);

/* --- transports ----------------------------------------------------------- */

extern const struct listen_transport listen_comet, listen_sse;
/* The listener's subscriptions are there. */
void comet_start(struct listener *l, uint64_t wait_us);
void sse_start(struct listener *l);

#endif
