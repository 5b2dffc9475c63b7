/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * policy - how long events are kept: the table of all policies, and what counts
 * for one stream (http-api.md 4.6).
 *
 * Shape:   an immutable value, ordered by bucket and stream.  It holds what was
 *          set for buckets and streams, and `retention.*` of the node that made
 *          it, so that a log which has it needs to ask nobody else.
 * Thread:  any; references are counted atomically.
 * Bound:   POLICIES_BYTES_MAX, encoded; a look-up is two binary searches.
 * Errors:  -ERR_NOMEM; -ERR_LIMIT: too large; -ERR_FORMAT, -ERR_CORRUPT.
 * Format:  top of policy_codec.c.  Golden bytes: tests/golden/vnode/policies.bin.
 */
#ifndef VNODE_POLICY_H
#define VNODE_POLICY_H

#include "src/base/buf.h"

#define POLICIES_BYTES_MAX (1u << 20)               /* inclusive */
#define POLICIES_MAX       (POLICIES_BYTES_MAX / 7) /* of the shortest */
#define POLICY_LIMIT_MAX   (1ull << 62) /* inclusive, of each limit */

/* X(name, word): in the order in which they are shown. */
#define POLICY_LIMITS(X)                                                       \
	X(EVENTS, "max_events")                                                \
	X(BYTES, "max_bytes") /* of payload */                                 \
	X(AGE, "max_age")     /* ms */

enum policy_limit {
#define POLICY_ENUM(name, word) POLICY_##name,
	POLICY_LIMITS(POLICY_ENUM)
#undef POLICY_ENUM
	    POLICY_N_LIMITS
};

extern const char *const policy_words[POLICY_N_LIMITS];

struct policy {
	uint64_t max[POLICY_N_LIMITS]; /* 0: not set */
};

int policy_is_empty(const struct policy *p);
int policy_is_same(const struct policy *a, const struct policy *b);

/* Which policy a limit was taken from. */
enum policy_source {
	POLICY_UNSET,
	POLICY_OF_DEFAULT, /* retention.*, or what bucket `$sys` begins with */
	POLICY_OF_BUCKET,
	POLICY_OF_STREAM,
};

struct policy_row {
	struct slice bucket, stream; /* stream n 0: of the bucket */
	struct policy policy;        /* not empty */
};

struct policies; /* opaque */

/*
 * ROWS in any order, copied; two of one name: -ERR_CORRUPT.  VERSION: of the
 * document that they were read from, greater after each change.
 */
int policies_new(struct policies **out, uint64_t version,
    const struct policy *defaults, const struct policy_row *rows, uint32_t n);
struct policies *policies_ref(struct policies *t);
struct policies *policies_unref(struct policies *t); /* NULL: NULL */

uint64_t policies_version(const struct policies *t);
const struct policy *policies_defaults(const struct policies *t);
uint32_t policies_n(const struct policies *t);
/* Ascending by bucket, then stream; borrowed from T. */
struct policy_row policies_at(const struct policies *t, uint32_t i);
/* All limits are the same, whatever the versions. */
int policies_equal(const struct policies *a, const struct policies *b);

/* What was set for exactly this; empty when nothing was. */
struct policy policies_find(
    const struct policies *t, struct slice bucket, struct slice stream);

/*
 * What counts for STREAM of BUCKET, limit by limit: what was set for the stream,
 * else for the bucket, else the default.  STREAM n 0: for streams of the bucket
 * that have no policy of their own.  SOURCE, if not NULL: whence.
 */
struct policy policy_effective(const struct policies *t, struct slice bucket,
    struct slice stream, enum policy_source source[POLICY_N_LIMITS]);

/* The same if OWN were set for exactly this. */
struct policy policy_effective_with(const struct policies *t,
    struct slice bucket, struct slice stream, const struct policy *own,
    enum policy_source source[POLICY_N_LIMITS]);

/* The part of T that can count for streams of GROUP of N_GROUPS: of buckets all,
 * of streams those that live there. */
int policies_of_group(struct policies **out, const struct policies *t,
    uint32_t group, uint32_t n_groups);

/* Appends T; the same table gives the same bytes. */
int policies_encode(const struct policies *t, struct buf *out);
int policies_decode(struct policies **out, struct slice bytes);

#endif
