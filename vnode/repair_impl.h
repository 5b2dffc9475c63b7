/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * repair_impl - a chunk that is repaired: which and when, repair.c; one after the
 * other, repair_course.c; asked of whom, repair_ask.c; read, verified and written,
 * repair_chunk.c; what others get, repair_serve.c; reads that wait, repair_read.c.
 */
#ifndef VNODE_REPAIR_IMPL_H
#define VNODE_REPAIR_IMPL_H

#include "vnode/repair.h"
#include "vnode/replica.h"

#define REPAIR_BAD       3 /* n_again: it is not waited for any more */
#define REPAIR_BYTES_MAX (24u << 20) /* of a chunk: else it stays as it is */

/*
 *	NONE -> DAMAGED <-> WHOLE -> NONE
 *
 * DAMAGED: perhaps.  WHOLE: it was looked at, and is kept in mind for a while.
 */
enum repair_state {
	REPAIR_NONE,
	REPAIR_DAMAGED,
	REPAIR_WHOLE,
};

struct repair_chunk {
	enum repair_state state;
	uint32_t group;
	uint64_t stream, first;
	struct mono found, next, whole; /* since when; not before; since when */
	uint32_t n_tries;               /* in vain, since it was found */
	uint32_t n_again;               /* times that it did not stay whole */
	uint32_t n_false;               /* times that nothing was wrong */
	int counted;                    /* it is damaged indeed */
};

/* The one that is under way.  The lane's while BUSY, but for the last part. */
struct repair {
	struct env_job job;
	struct msg msg;
	struct store_worker *worker;
	struct repair_chunk *chunk;
	int busy;
	int waits; /* to be looked at, for a flush */

	/* As of when it was last looked at. */
	uint64_t generation;
	uint32_t life;
	char dir[VNODE_DIR_BYTES];
	uint8_t names[2 * UINT8_MAX];
	struct chunk_id id;     /* its names are in NAMES */
	struct chunk_info info; /* as far as it is in the file */

	struct buf own; /* the file, in the end whole */
	uint8_t *got;   /* of others, at the same places: so many bytes */
	uint32_t cap_got;
	int distrust; /* what is here is intact, but not what should be here */
	/* What became of it: 0, REPAIR_E_LACKS or an error. */
	int r;
	int fatal;         /* r: of a sync */
	uint32_t n_mended; /* pieces that are not what is here */
	uint64_t bad_seq;  /* event that nobody has so far, and */
	uint32_t bad_at;   /* where it begins */

	/* Asking: repair_ask.c. */
	struct mono begun;
	raft_id peer; /* 0: nobody is asked */
	uint8_t node[16];
	uint64_t transfer;
	uint64_t seq;          /* asked for, with what comes behind it: */
	uint32_t from, at, to; /* it begins there, has come up to there, is
				  asked for until there */
	uint32_t step;         /* how much is asked for at once */
	int ended;             /* that one has no more */
	uint64_t n_bytes;      /* that came, in all */
	struct mono asked, heard;
	raft_id tried[RAFT_MEMBERS_MAX];
	uint32_t n_tried;
	uint64_t most; /* the event that those could not help with */
	int why;       /* the last of them */
};

struct repairs {
	struct repair now; /* now.chunk: NULL when none is under way */
	struct repair_chunk chunks[REPAIR_CHUNKS];
};

enum { REPAIR_E_LACKS = 1 }; /* event bad_seq */

static inline struct mono
repair_clock(const struct store_worker *w)
{
	const struct env_clock *c = &w->store->env->clock;

	return c->mono(c->ctx);
}

static inline struct vnode *
repair_vnode(const struct repair *p)
{
	return &p->worker->store->vnodes[p->chunk->group];
}

/* --- repair.c ------------------------------------------------------------- */

/* V has other voters, and takes part. */
int repair_has_peers(const struct vnode *v);
/* The node is neither starting nor stopping. */
int repair_may_begin(const struct store_worker *w);
/* The one that is due; NULL: none is. */
struct repair_chunk *repair_next(const struct store_worker *w);
/* C could not be repaired now. */
void repair_later(struct store_worker *w, struct repair_chunk *c);
/* Those that are damaged. */
uint32_t repair_count(const struct repairs *all);

/* --- repair_course.c ------------------------------------------------------ */

/* The file of P's chunk is looked at, with what came of others: now, or once no
 * flush is under way. */
void repair_look(struct repair *p);
/* The next step of the one that is under way, or the next one. */
void repair_go_on(struct store_worker *w);
/* It ends: whole, or in vain for the reason R. */
void repair_ended(struct repair *p, int r);

/* --- repair_chunk.c ------------------------------------------------------- */

/* LANE_FLUSH: reads the file, mends it with P->got, verifies it and, if that has
 * changed anything, writes it.  P->r and what follows say how it went. */
void repair_run(struct repair *p);

/* --- repair_ask.c --------------------------------------------------------- */

/* Event bad_seq is asked of others; 0: nobody is left. */
int repair_ask(struct repair *p);
void repair_ask_take(struct repair *p, const struct fill_message *m);
void repair_ask_failed(struct repair *p, const struct fill_message *m);
void repair_ask_tick(struct repair *p);

/* --- repair_serve.c ------------------------------------------------------- */

void repair_serve(struct store_worker *w, struct vnode *v,
    const uint8_t node[16], const struct wire_message *m,
    const struct fill_message *fm);
void repair_serve_tick(struct store_worker *w, struct vnode *v);

/* --- repair_read.c -------------------------------------------------------- */

/* Answers those that have waited for too long. */
void repair_read_tick(struct store_worker *w, struct vnode *v);

#endif
