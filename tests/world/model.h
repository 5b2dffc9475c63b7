/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * model - a dumb table of what was promised, to hold every answer against.
 *
 * A put is one append of one or more events.  Where its events are is learnt
 * from its acknowledgement or from the first read that shows one of them; from
 * then on they stay there, with the same time and bytes.  A put that was
 * refused is nowhere, one of unknown outcome somewhere or nowhere, whole or not
 * at all.
 *
 * A stream that is deleted and written to again begins another life, which has
 * its own seqnums.  What was acknowledged, or given up, before a deletion was
 * asked for that is acknowledged, is never seen again by who asks after that.
 * While the end of a deletion is not known, little can be said of how far a
 * stream goes; once it is given up, it has been done or never will be, as far as
 * those can tell who ask later.
 *
 * A patch is two puts of one event: one of a stream, one of its stream of
 * patches.  Both are in one log entry, or neither is.
 *
 * The bytes of an event follow from its put and its place therein, so they are
 * not kept.
 */
#ifndef TESTS_WORLD_MODEL_H
#define TESTS_WORLD_MODEL_H

#include <stdint.h>

#include "src/base/buf.h"
#include "vnode/event.h"
#include "vnode/vnode_msg.h"

#define MODEL_PLAIN     16
#define MODEL_STREAMS   (2 * MODEL_PLAIN)
#define MODEL_BUCKETS   3
#define MODEL_DATA_MIN  24 /* of an event */
#define MODEL_DATA_MAX  8192
#define MODEL_GROUPS    8
#define MODEL_EVENT_MAX 100 /* events of one put */

enum put_state { PUT_PENDING, PUT_ACKED, PUT_REFUSED, PUT_UNKNOWN };

struct model_put {
	uint32_t stream, n_events;
	enum put_state state;
	uint64_t first, t_ms; /* 0: not known where it is */
	uint64_t life;        /* ... and in which incarnation */
	uint64_t ended;       /* when it was answered */
	uint64_t gone;        /* not 0: deleted, as was known then */
	uint64_t index;       /* of its log entry; 0: not known */
	uint64_t twin;        /* 1 + the other put of a patch; 0: it is none */
};

struct model_life {
	uint64_t id;    /* incarnation */
	uint64_t *puts; /* by seqnum: 1 + the put there; 0: not known */
	uint64_t n, cap;
};

struct model_stream {
	uint32_t group;
	char bucket[16], name[16];
	struct model_life *lives;
	uint32_t n_lives, n_ending; /* n_ending: deletions under way */
	uint64_t epoch;             /* grows with each end of such, too */
	uint64_t n;                 /* of the life that was heard of last */
	/* Up to here events of life FLOOR_LIFE are committed, as somebody
	 * knows; 0: nothing is known. */
	uint64_t floor, floor_life;
	uint64_t incarnation; /* the highest that was seen */
	uint64_t n_puts;
	uint64_t first; /* nothing below it is visible, as somebody was told */
	int empty;      /* there can be nothing until a put is sent */
};

/* What was known when somebody asked. */
struct model_ask {
	uint64_t at;
	struct model_known {
		uint64_t epoch, floor, floor_life, incarnation, n_puts;
		uint64_t first, clock_ms;
		int empty;
	} streams[MODEL_STREAMS];
};

struct model {
	struct model_stream streams[MODEL_STREAMS];
	uint32_t n_streams;
	uint32_t n_plain; /* stream I has its patches in I + n_plain */
	struct model_put *puts;
	uint64_t n_puts, cap_puts;
	uint64_t now;                    /* counts what happens */
	uint64_t clock_ms[MODEL_GROUPS]; /* of each, as applied by somebody */
	uint8_t *scratch;
	char why[256];
};

/* N_PLAIN streams, and one more for the patches of each; they are where their
 * names belong. */
void model_init(struct model *m, uint32_t n_plain, uint32_t n_groups);
void model_deinit(struct model *m);

void model_ask(struct model *m, struct model_ask *out);
/* Sets m->why; -1. */
int model_wrong(struct model *m, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* NULL: nothing is known of it. */
const struct model_life *model_life(const struct model_stream *s, uint64_t id);
/* Of the event at SEQ of L, which may be NULL; 0: not known. */
uint64_t model_time_at(
    const struct model *m, const struct model_life *l, uint64_t seq);
uint64_t model_bytes_at(
    const struct model *m, const struct model_life *l, uint64_t seq);

/* A put of N events is on its way; returns its number. */
uint64_t model_put_new(struct model *m, uint32_t stream, uint32_t n);
/* A patch of plain STREAM; the number of its put there, whose answer is that of
 * both. */
uint64_t model_patch_new(struct model *m, uint32_t stream);
/* What event ORDINAL of PUT consists of; the data has MODEL_DATA_MAX bytes of
 * room at OUT. */
struct vnode_put_event model_event(
    uint64_t put, uint32_t ordinal, uint32_t n, uint8_t *out);

/* All of these: 0, or -1 and WHY says what cannot be.  A put may be acknowledged
 * more than once, always as the same. */
int model_put_acked(struct model *m, uint64_t put, const struct model_ask *ask,
    const struct vnode_put *answer);
int model_put_failed(struct model *m, uint64_t put, enum put_state state);
/* A reader saw E in life LIFE of STREAM. */
int model_saw(struct model *m, uint32_t stream, const struct model_ask *ask,
    uint64_t life, const struct event *e);
/* A linearizable answer gave NEWEST; LIFE 0: it does not say of which. */
int model_newest(struct model *m, uint32_t stream, const struct model_ask *ask,
    uint64_t life, uint64_t newest);
int model_incarnation(struct model *m, uint32_t stream,
    const struct model_ask *ask, uint64_t life);
/* SEEK is the first event not older than MS, of FIRST to NEWEST in LIFE. */
int model_seek(struct model *m, uint32_t stream, uint64_t life, uint64_t ms,
    uint64_t seek, uint64_t first, uint64_t newest);

/* Everything there is was seen, and nothing was deleted. */
int model_check_patches(struct model *m);

/* A deletion is on its way; it has ended: PUT_UNKNOWN or as told. */
void model_delete_new(struct model *m, uint32_t stream);
void model_delete_ended(struct model *m, uint32_t stream,
    const struct model_ask *ask, enum put_state state);

#endif
