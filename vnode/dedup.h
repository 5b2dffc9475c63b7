/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * dedup - the idempotency keys of a group: what was appended under which, so
 * that the same request, come again, gets the same answer and nothing more.
 *
 * Owns:    its keys.
 * Shape:   applied ones are kept for a window of the group clock, at most
 *          DEDUP_STREAM_MAX of a stream and keys_max of the group; the oldest go
 *          first.  Only the log changes them, so replicas with one
 *          configuration agree.  Those that are only proposed are kept apart.
 * Bound:   115 to 134 bytes a key: 96 for itself, the rest for its place in a
 *          table.
 * Thread:  the worker of the vnode.
 * Errors:  -ERR_NOMEM, and nothing has changed.
 *
 * A key is known by its stream and the XXH3-128 of its text.  Somebody who looks
 * for two texts with one hash finds them, and then is told that he used a key
 * twice, or that his second event is there when only the first is.  That is all:
 * a stream's keys are those of clients that may append to it.
 */
#ifndef VNODE_DEDUP_H
#define VNODE_DEDUP_H

#include <stdint.h>

#include "src/base/list.h"
#include "src/base/table.h"
#include "vnode/event.h"

#define DEDUP_STREAM_MAX 1000

struct stream;
struct manifest_writer;

struct dedup_limits {
	uint64_t window_ms;
	uint32_t keys_max; /* of the group; at least 1 */
};

struct dedup_key {
	struct list age;        /* of dedup.keys; alone while it is proposed */
	struct dedup_key *next; /* the next newer one of the stream, and the
				   oldest after the newest; or of a proposal */
	struct stream *stream;
	uint64_t first, t_ms; /* of the events */
	struct event_key id;
	uint32_t saved : 1;    /* the manifest has it */
	uint32_t ordinal : 31; /* counts those of the stream */
};

struct dedup {
	struct dedup_limits limits;
	struct table applied, proposed;
	struct list keys; /* applied, oldest first */
};

void dedup_init(
    struct dedup *d, const struct dedup_limits *limits, uint64_t seed);
/* Forgets what was applied; nothing may be proposed. */
void dedup_clear(struct dedup *d);
/* TO, which is empty, gets all of FROM, and their streams are to stay. */
void dedup_move(struct dedup *to, struct dedup *from);

/* What was or will be appended to S under KEY, if that counts at CLOCK_MS; or
 * NULL. */
const struct dedup_key *dedup_find(const struct dedup *d,
    const struct stream *s, const uint8_t key[16], uint64_t clock_ms);

/* --- while it is proposed ------------------------------------------------- */

/* One to be filled in, or NULL: then dedup_propose cannot fail. */
struct dedup_key *dedup_new(struct dedup *d);
void dedup_propose(struct dedup *d, struct dedup_key *k);
/* It was not appended. */
void dedup_forget(struct dedup *d, struct dedup_key *k);

/* --- as the log says ------------------------------------------------------ */

/* What was proposed as K is applied. */
int dedup_take(struct dedup *d, struct dedup_key *k);
/* The same, of a log or manifest. */
int dedup_add(struct dedup *d, struct stream *s, uint64_t first, uint64_t t_ms,
    const struct event_key *id);
/* The group clock is CLOCK_MS. */
void dedup_expire(struct dedup *d, uint64_t clock_ms);
/* S goes. */
void dedup_drop_stream(struct dedup *d, struct stream *s);

/* Rows of those that the manifest does not have yet, or of ALL. */
void dedup_add_rows(struct dedup *d, struct manifest_writer *mw, int all);

#endif
