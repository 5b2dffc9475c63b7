/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fill - the data of a group for a replica that is new, or behind the log.
 *
 * The leader offers; the receiver asks for the manifest, page by page, then for
 * chunk files, verifies all of it, and adopts it as a whole.  The log from there
 * on comes as it does to every follower.  Nobody's writes or reads wait.
 *
 * Chunks come as one stream of bytes, in the order in which they were asked for,
 * cut into pages anywhere: for each the bytes that follow (u32), then those.  The
 * receiver says how far the sender may go, so neither holds more than it wants
 * to, and pages are on their way while others are verified and written.  What
 * was lost begins a new round: the stream goes on behind the last whole chunk.
 *
 * Owns:    the directory of the new life until it is adopted.
 * Shape:   pages of FILL_PAGE_BYTES at most; what is not answered is asked for
 *          again; FILL_SILENCE_US without a word end it.
 * Thread:  the worker of the group; files on LANE_READ and LANE_FLUSH.
 * Source:  cluster.md 7.2.
 */
#ifndef VNODE_FILL_H
#define VNODE_FILL_H

#include "vnode/store_impl.h"
#include "vnode/wire.h"

#define FILL_PAGE_BYTES   (128u << 10)
#define FILL_HEAD_BYTES   4    /* before each chunk in the stream */
#define FILL_WANTS_MAX    1024 /* chunks that are asked for and have not come */
#define FILL_MANIFEST_MAX (1ull << 31)
#define FILL_AGAIN_US     1000000
#define FILL_SILENCE_US   15000000
#define FILL_LOST_US      3000000 /* the same, when an address is wrong */
/* Who is silent for so long may have been started again, and knows nothing of the
 * fill: it is offered once more, and begins at once with what it has. */
#define FILL_DOUBT_US 1000000

enum fill_op {
	FILL_OFFER = 1,    /* leader: there is data for you; a: who has applied
			       that much gets the rest from the log */
	FILL_GET_MANIFEST, /* a: offset */
	FILL_MANIFEST,     /* a: offset, b: bytes in all, c: its number */
	FILL_GET_CHUNKS,   /* a: round, b: how far the stream may go, c: chunks
			      that were asked for in this round before, d: where
			      the stream was when it began; bytes: fill_chunk */
	FILL_CHUNKS,       /* a: round, b: where the stream is; bytes of it */
	FILL_DONE,         /* a: applied index that was adopted */
	FILL_FAILED,       /* either: it ends here; a: ERR_*; of what was
			      sent and could not be verified: b: the stream, c:
			      the first seqnum of the chunk, or 0 */
	FILL_WAIT,         /* leader: too many under way; it is offered again */
	/* repair.h */
	FILL_GET_PART, /* who is damaged, of any replica; a: stream, b: an
			  event: the bytes of it and those behind it, but c:
			  so many of them, d: at most so many */
	FILL_PART,     /* a, b, c: the same; bytes: as many as one chunk has */
};

struct fill_message {
	enum fill_op op;
	uint64_t transfer; /* drawn by the leader for each fill */
	uint64_t a, b, c, d;
	struct slice bytes;
};

#define FILL_HEADER_BYTES 48

void fill_encode(uint8_t out[FILL_HEADER_BYTES], const struct fill_message *m);
int fill_decode(struct slice in, struct fill_message *out);

/* A chunk that is asked for: from an offset on, to the end of the file or, if it
 * is open at the sender, of so many bytes in all. */
struct fill_chunk {
	uint64_t stream, first; /* seqnum */
	uint32_t offset;
	uint32_t bytes; /* in all; 0: the whole file */
};

#define FILL_CHUNK_BYTES 24

void fill_encode_chunk(
    uint8_t out[FILL_CHUNK_BYTES], const struct fill_chunk *c);
void fill_decode_chunk(
    const uint8_t in[FILL_CHUNK_BYTES], struct fill_chunk *out);

/* M to the replica TO on NODE, from V's (or, in a replica that is being made,
 * FROM).  -ERR_BUSY: it did not go, too much waits for that node; else as
 * env_net.send. */
int fill_say(struct store_worker *w, uint16_t group, raft_id from, raft_id to,
    const uint8_t node[16], uint64_t term, const struct fill_message *m);

/* --- how many: fill_table.c ------------------------------------------------ */

void fill_table_init(struct fill_table *t);
/* Whether fills of GROUP are among those that are limited. */
int fill_counts(const struct store *s, uint32_t group);
/* A place among the N that come in, or go out: 1, or 0 and there is none. */
int fill_take_place(struct store *s, uint32_t group, atomic_uint *n);
void fill_give_place(struct store *s, uint32_t group, atomic_uint *n);
int fill_has_place(const struct store *s, uint32_t group, const atomic_uint *n);

/* Whether a page may go out now; N bytes go out; how long a page should be. */
int fill_rate_allows(const struct store *s);
void fill_rate_charge(struct store *s, size_t n);
size_t fill_rate_page(const struct store *s);

/* A row for others to see, not one of the first SPARED, which are for what is of
 * more interest; or NULL: there are too many.  The other two take NULL. */
struct fill_row *fill_row_take(
    struct store *s, const struct store_fill *first, int spared);
void fill_row_set(struct fill_row *row, const struct store_fill *fill);
void fill_row_give(struct fill_row *row);

/* --- the leader: fill_send.c, fill_serve.c --------------------------------- */

/* PEER of V's group is behind the log. */
void fill_begin(struct store_worker *w, struct vnode *v, raft_id peer);
void fill_send_message(struct store_worker *w, struct vnode *v,
    const struct wire_message *m, const struct fill_message *fm);
void fill_send_tick(struct store_worker *w, struct vnode *v);
/* It leads no more. */
void fill_send_end_all(struct store_worker *w, struct vnode *v);
/* The oldest index that a fill under way ends with; UINT64_MAX: none. */
uint64_t fill_keeps(const struct vnode *v);

/* --- the receiver: fill_receive.c, fill_chunks.c, fill_adopt.c -------------- */

void fill_receive_message(struct store_worker *w, struct vnode *v,
    const uint8_t node[16], const struct wire_message *m,
    const struct fill_message *fm);
void fill_receive_tick(struct store_worker *w, struct vnode *v);
/* One that waits may begin now. */
void fill_offered_again(struct store_worker *w, struct vnode *v);
/* A place has become free. */
void fill_next_offer(struct store_worker *w);
/* The node stops. */
void fill_receive_end(struct store_worker *w, struct vnode *v);
/* The replica waits to be replaced, or is being replaced, by what was filled in:
 * no message reaches it. */
int fill_replaces(const struct vnode *v);
/* Its files are not flushed any more. */
int fill_adopts(const struct vnode *v);

/* --- files of a fill that was interrupted: fill_resume.c -------------------- */

/* The directory of that life has some; at the start, too. */
void fill_staged_set(
    struct store *s, uint32_t group, uint64_t generation, uint32_t life);
void fill_staged_drop(struct store_worker *w, uint32_t group);
/* Drops what is too old. */
void fill_staged_tick(struct store_worker *w, uint32_t group);

#endif
