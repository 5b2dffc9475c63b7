/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * vnode_msg - what a vnode can be asked, and what it answers.
 *
 * Each request is one struct, allocated by who asks (mem_alloc), sent to the
 * worker of the group, and posted back to msg.from with msg.answer = 1 and the
 * fields under "answer" filled in.  Exactly one answer comes, also when the
 * node stops.  Input slices are borrowed from memory that the asker keeps
 * unchanged until then; msg.fn is the asker's and called on its worker with the
 * answer.
 *
 * Errors:  r < 0: -ERR_NOTLEADER refused: ask the node in `leader` (zeros: not
 *          known who), -ERR_UNAVAILABLE refused before it was proposed (503),
 *          -ERR_NOSPC the same because of the disk (503), -ERR_STOPPING the
 *          same because the node stops (503), -ERR_UNKNOWN proposed, outcome
 *          unknown (504), -ERR_CONFLICT the condition does not hold (412),
 *          -ERR_MISMATCH the key was used for another body (422),
 *          -ERR_CORRUPT these events are damaged (500), -ERR_NOMEM (503).
 */
#ifndef VNODE_VNODE_MSG_H
#define VNODE_VNODE_MSG_H

#include <stdint.h>

#include "src/base/assert.h"
#include "src/base/buf.h"
#include "src/base/msg.h"
#include "vnode/event.h"

/* --- MSG_PUT: append one event, or a batch atomically --------------------- */

struct vnode_put_event {
	uint16_t flags; /* EVENT_JSON, EVENT_NEWLINE, EVENT_BASE */
	struct slice type, data;
};

struct vnode_put {
	struct msg msg;
	uint32_t group;
	struct slice bucket, stream;
	uint32_t n_events; /* >= 1 */
	const struct vnode_put_event *events;
	/* Only if the newest event of the stream is EXPECT; 0: it has none. */
	int has_expect;
	uint64_t expect;
	/*
	 * Not 0: a patch.  The last of EVENTS, two at least, is for the stream
	 * of patches (NAME_PATCH_SUFFIX), in the same log entry as the others:
	 * both are there or neither.  There must be an EXPECT above 0, of the
	 * stream with this incarnation.
	 */
	uint64_t patch_of;
	/* Once only under this idempotency key, which is asked for before the
	 * condition: hash128_put of XXH3-128 of the key, and of all that must be
	 * the same when the request comes again. */
	int has_key;
	uint8_t key[16], key_body[16];
	/* answer */
	int r;
	uint8_t leader[16]; /* who has the group: -ERR_NOTLEADER */
	int replayed;       /* what an earlier one got: nothing was appended */
	uint64_t first, last; /* seqnums given */
	uint64_t t_ms;
	uint64_t incarnation; /* of their stream; not of another node */
	uint32_t n_replicas;  /* that had it on their disks then */
	uint64_t newest;      /* -ERR_CONFLICT: what it is instead, committed */
	uint64_t rests_on; /* the vnode's: log index of what it was judged by */
};

/* --- MSG_DELETE: a stream ends --------------------------------------------- */

/*
 * What is appended under its name afterwards is another stream, with another
 * incarnation, from seqnum 1 on.  Also done when there was nothing.
 */
struct vnode_delete {
	struct msg msg;
	uint32_t group;
	struct slice bucket, stream;
	/* answer */
	int r;
	uint8_t leader[16];
	/* the vnode's */
	uint64_t rests_on;  /* as of vnode_put */
	uint64_t parked_us; /* since when it has waited for room */
};

/* --- MSG_READ: one page of a stream --------------------------------------- */

/* A run of whole, verified event records in ascending seqnum order. */
struct vnode_page {
	uint32_t n_parts;
	struct vnode_part {
		struct slice records; /* event records back to back */
		struct block *block;  /* holds them; one reference */
	} * parts;                    /* mem_alloc'd */
	uint64_t first, last;         /* seqnums in the page; 0, 0: empty */
};

void vnode_page_deinit(struct vnode_page *page);

enum vnode_read_op {
	VNODE_READ_PAGE,
	VNODE_READ_SEEK, /* only answers `seek`: no page */
	/* A page once there is an event from FROM on, nothing after WAIT_MS; at
	 * once when the stream is not KNOWN.  Not asked of a majority. */
	VNODE_READ_WAIT,
};

struct vnode_read {
	struct msg msg;
	uint32_t group;
	struct slice bucket, stream;
	enum vnode_read_op op;
	uint64_t from;   /* lowest seqnum wanted (0 and 1 are the same) */
	uint64_t to;     /* highest wanted, inclusive; UINT64_MAX: the newest */
	uint64_t last_n; /* not 0: only the newest so many of from..to */
	uint64_t limit;  /* at most so many events in this page */
	uint32_t max_bytes; /* about; at least one event comes */
	int desc;           /* the page ends at `to` and goes on below it */
	int any;            /* what this replica has, however old */
	uint64_t seek_ms;
	uint64_t known;   /* WAIT: the incarnation to be read; 0: any */
	uint32_t wait_ms; /* WAIT: at most WATCH_WAIT_MAX_MS */
	/* answer */
	int r; /* 0; -ERR_CORRUPT: damaged_first..damaged_last unreadable */
	uint8_t leader[16];
	int stale;            /* `any`: there may be newer events elsewhere */
	uint64_t incarnation; /* stream id; 0: never written */
	uint64_t kept_first;  /* oldest event kept, 0: none */
	uint64_t newest;      /* newest ever assigned, 0: none */
	uint64_t range_first, range_last; /* from..to after clamping and last_n;
					     first > last: nothing there */
	uint64_t
	    seek; /* lowest kept seqnum with t >= seek_ms; newest + 1: none */
	uint64_t damaged_first, damaged_last;
	struct vnode_page page; /* the asker deinits it */
};

/* --- MSG_LIST: names held by one group ------------------------------------ */

struct vnode_list {
	struct msg msg;
	uint32_t group;
	struct slice bucket; /* n == 0: list buckets instead of streams */
	struct slice prefix; /* n == 0: all */
	struct slice after;  /* only names greater than this; n == 0: all */
	uint32_t limit;
	int detail;
	int any; /* what this replica has, however old */
	/* answer */
	int r;
	uint8_t leader[16];
	int stale; /* `any`: there may be newer streams elsewhere */
	int more;  /* the limit cut the list */
	uint32_t n_items;
	struct vnode_list_item {
		struct slice name;                        /* in NAMES */
		uint64_t first, last, count, bytes, t_ms; /* with detail */
	} * items;      /* ascending bytewise; mem_alloc'd */
	uint8_t *names; /* mem_alloc'd */
};

/* An answer without names. */
void vnode_list_clear(struct vnode_list *list);
void vnode_list_deinit(struct vnode_list *list);

/* --- MSG_NEWS: what is new in a bucket, in one group ------------------------ */

struct vnode_news {
	struct msg msg;
	uint32_t group;
	struct slice bucket;
	/* What comes after this event, whose t was AFTER_T (or less). */
	uint64_t after_index;
	uint32_t after_ordinal;
	uint64_t after_t;
	/* Answered without items after so long; 0: at once. */
	uint32_t wait_ms;
	int now; /* only where the log ends: no items; asked of a majority */
	/* answer: all events up to `index` that come after are in the items, all
	 * deletions in `ended` */
	int r;
	uint8_t leader[16];
	uint64_t index, t_ms; /* applied, and the group's clock then */
	uint32_t n_items;
	struct vnode_news_item {
		struct slice name; /* in NAMES */
		uint64_t incarnation, last;
		uint64_t from; /* not before it; 0: look for after_t */
	} * items;             /* mem_alloc'd */
	int forgot;            /* some deletions are not known any more */
	uint32_t n_ended;
	struct vnode_news_ended { /* in the order of the log */
		struct slice name;
		uint64_t incarnation;
		uint64_t index, t_ms; /* where it was deleted */
		uint32_t ordinal;
	} * ended;      /* mem_alloc'd */
	uint8_t *names; /* mem_alloc'd */
};

void vnode_news_deinit(struct vnode_news *news);

/* --- MSG_CHANGE: who has replicas of a group --------------------------------- */

enum vnode_change_op {
	VNODE_ADD = 1,  /* a learner on NODE, which is filled */
	VNODE_PROMOTE,  /* it votes, once it has caught up */
	VNODE_REMOVE,   /* its replica is no more */
	VNODE_TRANSFER, /* leads, if it can */
};

struct vnode_change {
	struct msg msg;
	uint32_t group;
	enum vnode_change_op op;
	uint8_t node[16];
	/* answer: proposed, not committed yet; see store_group */
	int r; /* -ERR_NOTLEADER, -ERR_BUSY: try again, -ERR_INVAL */
	uint8_t leader[16];
};

/* --- MSG_PING: a round trip to a vnode ------------------------------------ */

struct vnode_ping {
	struct msg msg;
	uint32_t group;
	/* answer */
	int r;
};

/* --- what all requests have ------------------------------------------------ */

/* The request, a struct TYPE, that message M is the head of. */
#define REQUEST_OF(m, type) CONTAINER_OF(m, struct type, msg)
/* The group that request M is about, its result, and who it says leads. */
uint32_t request_group(const struct msg *m);
int *request_result(struct msg *m);
uint8_t *request_leader(struct msg *m);
/* Whether M, once it was proposed, may be done without an answer. */
int request_is_write(const struct msg *m);
/* Frees what an answer has filled in, so that M can be asked again. */
void request_drop_answer(struct msg *m);

/*
 * The way to the vnodes: SEND(ctx, group, m) hands M to whoever serves GROUP,
 * from any worker.
 */
struct vnode_route {
	void (*send)(void *ctx, uint32_t group, struct msg *m);
	void *ctx;
	uint32_t n_groups;
};

#endif
