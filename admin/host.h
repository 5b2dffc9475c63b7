/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * host - what a node must provide to the operator's commands.
 *
 * Owns:    a change or a view belongs to the command that asks; it lives until
 *          its DONE has run.  The host owns everything in the answer part:
 *          borrowed by DONE until that returns.
 * Thread:  worker 0, calls and DONE alike; DONE runs exactly once, on a later
 *          turn, never inside the call.  A loop that has ended calls nothing
 *          more.
 * Bound:   the command waits ADMIN_LIMIT_US in all and then says that the call
 *          failed; a later DONE is heard and its answer dropped.
 */
#ifndef ADMIN_HOST_H
#define ADMIN_HOST_H

#include <stdint.h>

#include "ring/auth.h"
#include "ring/ring.h"
#include "src/base/buf.h"
#include "src/base/msg.h"

struct ring_plan; /* ring/plan.h */

#define ADMIN_LIMIT_US 60000000ull
#define ADMIN_NAME_MAX RING_NAME_MAX

/* The texts are in admin/texts.c. */
enum admin_result {
	ADMIN_OK,
	ADMIN_NOT_REACHABLE,
	ADMIN_DIFFERENT_RING_SIZES,
	ADMIN_NO_RING,
	ADMIN_NOT_SINGLE_NODE,
	ADMIN_HOLDS_STREAMS, /* n_streams */
	ADMIN_SELF_JOIN,
	ADMIN_ALREADY_LEAVING,
	ADMIN_NOT_MEMBER,
	ADMIN_ONLY_MEMBER,
	ADMIN_INVALID_REPLACEMENT,
	ADMIN_ALREADY_REPLACEMENT,
	ADMIN_NOTHING_STAGED,
	ADMIN_RING_NOT_READY,
	ADMIN_NO_ROOM, /* of a plan: cramped, needed, room */
	ADMIN_NOTHING_PLANNED,
	ADMIN_PLAN_CHANGED,
	ADMIN_IS_UP,
	ADMIN_REMOVED,   /* this node, from the cluster, by force */
	ADMIN_TRY_AGAIN, /* may do in some moments: no leader of the root yet */
	ADMIN_FAILED,    /* the log says why */
};

enum admin_op {
	ADMIN_JOIN, /* this node to the cluster of NODE */
	ADMIN_LEAVE,
	ADMIN_FORCE_REMOVE,
	ADMIN_REPLACE, /* NODE by WITH */
	ADMIN_FORCE_REPLACE,
	ADMIN_PLAN, /* stores the plan too: what COMMIT may carry out */
	ADMIN_COMMIT,
	ADMIN_CLEAR,
	ADMIN_DOWN,
	ADMIN_LIMIT, /* transfer_limit of NODE, or of all members */
};

/*
 * A change asked of the cluster.  One that is ok is in force on this node when
 * DONE runs: a view that is asked for then shows it.
 */
struct admin_change {
	struct msg msg; /* the host's, to carry it about */
	enum admin_op op;
	/* Names as in the ring, or empty: LEAVE without one names this node
	 * already, PLAN, COMMIT and CLEAR have none. */
	char node[ADMIN_NAME_MAX + 1], with[ADMIN_NAME_MAX + 1];
	/* COMMIT: the only plan to carry out, 8 hex digits; empty: the one
	 * that was planned last. */
	char plan_id[9];
	uint32_t limit; /* LIMIT */
	void (*done)(struct admin_change *c);

	/* answer */
	enum admin_result result;
	uint64_t n_streams;     /* ADMIN_HOLDS_STREAMS */
	int known_other_id;     /* JOIN: staged as force-replace N with N */
	struct ring *before;    /* PLAN that is ok: with what is staged */
	struct ring_plan *plan; /* PLAN that is ok */
	/* ADMIN_NO_ROOM: who gets more than it has room for, bytes. */
	const char *cramped;
	uint64_t needed, room;
	/* LIMIT of all members that is not ok: the ring, and by place in it
	 * who does not have it.  Or NULL. */
	struct ring *members;
	uint8_t *failed;
};

/* One fill of one group, from whatever node runs it. */
struct admin_transfer {
	uint16_t group, from, to;    /* places in members */
	int repair;                  /* of a straggler, not for a new owner */
	uint64_t bytes, total_bytes; /* 0: not known (yet) */
	uint64_t objects, total_objects; /* events; total 0: not known */
	uint64_t started_ms, updated_ms; /* wall time; updated 0: never */
	uint64_t rate;                   /* bytes a second */
	char error[128];                 /* the last one, or empty */
};

/*
 * What is known of the cluster now.  Members that did not answer within WAIT_US
 * are unreachable.
 */
struct admin_view {
	struct msg msg; /* the host's, to carry it about */
	void (*done)(struct admin_view *v);
	uint64_t wait_us;

	/* answer; RING is NULL when there is none to show */
	struct ring *ring;
	uint16_t self;     /* place in members; RING_NOBODY: removed */
	uint16_t claimant; /* RING_NOBODY: unknown */
	int ready;         /* 1, 0; -1: the claimant does not answer */
	/* By place in members; an array that is NULL says yes, or 0. */
	uint8_t *up;
	uint8_t *agrees;                        /* has this very ring */
	uint32_t *sending, *queued, *receiving; /* fills */
	uint32_t *limit;                        /* transfer_limit there */
	uint8_t *complete; /* by slot: at its target, owner not flipped yet */
	struct admin_transfer *transfers; /* running ones */
	uint32_t n_transfers;
	uint32_t n_queued; /* fills that wait for their turn, of all nodes */
};

/* A change of users, groups or grants. */
struct admin_auth {
	struct msg msg; /* the host's, to carry it about */
	struct auth_change change;
	const char *password; /* its hash goes into CHANGE; or NULL */
	void (*done)(struct admin_auth *a);

	/* answer: as that of struct auth_request; PENDING is the host's */
	int r;
	enum auth_refusal refusal;
	struct buf pending;
};

struct admin_host {
	void *ctx;
	const char *self; /* our own nodename */
	void (*change)(void *ctx, struct admin_change *c);
	void (*view)(void *ctx, struct admin_view *v);
	void (*auth)(void *ctx, struct admin_auth *a);
	/* What is known of users now, borrowed until the next turn; or NULL. */
	const struct doc *(*users)(void *ctx);
	/* Counters: lines `name : value`, or one JSON object. */
	void (*status)(void *ctx, struct buf *text_or_json, int json);
	/* LEVEL is a word of log.level; NULL only asks.  Returns the enum
	 * log_level that counts now, or -ERR_INVAL: no such level. */
	int (*log_level)(void *ctx, const char *level);
	/* Reads the keys marked r again; WHAT: a line a key that changed, or
	 * why it failed. */
	int (*reload)(void *ctx, struct buf *what);
	uint64_t (*now_ms)(void *ctx); /* wall time */
};

#endif
