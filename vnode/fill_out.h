/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fill_out - a fill that goes out: whom it is for and when, fill_send.c; what is
 * sent, fill_serve.c.
 */
#ifndef VNODE_FILL_OUT_H
#define VNODE_FILL_OUT_H

#include "vnode/fill.h"
#include "vnode/replica.h"

/*
 *	QUEUED <-> OFFERED -> SENDING -> FAILED, or the end
 *
 * QUEUED: it was wanted when there was no place.  FAILED: the receiver has given
 * it up; ended when the silence that follows is over, so that what fails at once
 * is not begun again at once.
 *
 * Others see what is sent, and what failed before until it is sent well.
 */
enum fill_out_stage {
	FILL_OFFERED,
	FILL_QUEUED,
	FILL_SENDING, /* has a place */
	FILL_FAILED_THERE,
	FILL_OVER, /* not begun, or ended: counted as nothing */
};

struct fill_out {
	struct fill_out *next;
	raft_id peer;
	uint8_t node[16];
	uint64_t transfer, index;
	struct mono heard, offered;
	enum fill_out_stage stage;
	struct store_fill seen;
	struct fill_row *row; /* or NULL: it is not seen */

	uint8_t *manifest; /* the file's bytes, once they are read */
	size_t n;
	uint32_t number;
	int manifest_asked; /* from there on, and it has not gone out */
	uint64_t manifest_at;

	int reading; /* a piece of the stream, or the manifest */
	uint64_t round;
	uint64_t position, credit; /* of the stream: read up to, may go to */
	struct fill_chunk *wants;  /* a ring of FILL_WANTS_MAX, or NULL */
	uint32_t first, n_wants;
	uint64_t n_asked; /* in this round */
	uint64_t begun;   /* bytes of the first want that were read, */
	uint64_t all;     /* of so many; 0: not known yet */
	struct buf out;   /* was read; from out_at on it has not gone out */
	size_t out_at;
};

static inline struct mono
fill_out_now(const struct store_worker *w)
{
	const struct env_clock *c = &w->store->env->clock;

	return c->mono(c->ctx);
}

/* Fills in the transfer; as fill_say. */
int fill_out_say(struct store_worker *w, const struct vnode *v,
    const struct fill_out *f, struct fill_message m);
/* NULL: it is over. */
struct fill_out *fill_out_find(const struct vnode *v, uint64_t transfer);
/* Nothing can be read here: F ends, -R says why. */
void fill_out_failed(
    struct store_worker *w, struct vnode *v, struct fill_out *f, int r);

/* --- fill_read.c ---------------------------------------------------------- */

#define FILL_READ_BYTES  (512u << 10) /* of the stream at once */
#define FILL_READ_CHUNKS 128

struct fill_reading {
	struct env_job job;
	struct msg msg;
	struct store *store;
	uint16_t group;
	uint64_t generation, transfer;
	char dir[VNODE_DIR_BYTES];
	int r;

	/* The manifest, */
	int whole;
	uint32_t number;
	uint64_t limit; /* of the file's bytes */
	uint8_t *bytes;
	size_t n;

	/* or the next LIMIT bytes of the stream. */
	uint64_t round, begun, all; /* of the first want; then of the last */
	uint32_t n_wants, n_done;
	struct buf out;
	struct fill_chunk wants[FILL_READ_CHUNKS];
};

/* BACK is called on V's worker.  NULL: no memory. */
struct fill_reading *fill_reading_new(struct store_worker *w,
    const struct vnode *v, const struct fill_out *f,
    void (*back)(struct msg *m));
void fill_reading_start(
    struct store_worker *w, struct fill_out *f, struct fill_reading *rd);
void fill_reading_free(struct fill_reading *rd);

/* --- fill_serve.c --------------------------------------------------------- */

/* It was asked for; F has its place. */
void fill_serve(struct store_worker *w, struct vnode *v, struct fill_out *f,
    const struct fill_message *m);
/* Sends what had to wait, if it may go now. */
void fill_serve_tick(
    struct store_worker *w, struct vnode *v, struct fill_out *f);
void fill_serve_deinit(struct fill_out *f);

#endif
