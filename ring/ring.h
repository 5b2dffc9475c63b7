/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * ring - who should hold which slot: an immutable value (cluster.md section 1).
 *
 * Owns:    itself; shared by count.  A change makes a new value, epoch + 1.
 * Shape:   owners name members by their place in `members`, which is sorted by
 *          id; the encoding is the same for equal rings.
 * Thread:  any; ring_ref and ring_unref are atomic.
 */
#ifndef RING_RING_H
#define RING_RING_H

#include <stdatomic.h>

#include "src/base/buf.h"

#define RING_ID_BYTES     16
#define RING_HASH_BYTES   32 /* SHA-256 of the encoding */
#define RING_SIZE_MIN     8
#define RING_SIZE_MAX     1024
#define RING_MEMBERS_MAX  256
#define RING_NAME_MAX     255
#define RING_COPIES_MAX   5
#define RING_NOBODY       UINT16_MAX
#define RING_HASH_VERSION 1 /* hash.h */
#define RING_ENCODED_MAX  (1u << 20)

enum ring_state {
	RING_JOINING = 1,
	RING_VALID,
	RING_LEAVING,
	RING_EXITING,
	RING_DOWN,
};

struct ring_member {
	uint8_t id[RING_ID_BYTES];
	char name[RING_NAME_MAX + 1];    /* name@host[:port] */
	char address[RING_NAME_MAX + 1]; /* host:port, or empty: by its name */
	enum ring_state state;
};

/* What `plan` shows and `commit` carries out. */
enum ring_change_kind {
	RING_JOIN = 1,
	RING_LEAVE,
	RING_REMOVE, /* force-remove */
	RING_REPLACE,
	RING_FORCE_REPLACE,
};

struct ring_change {
	enum ring_change_kind kind;
	uint16_t member, with; /* WITH: RING_NOBODY but for replacements */
};

/*
 * 1. Owners are valid, leaving or down; next owners valid or down.
 * 2. The transition ends when both are the same: nobody is leaving then.
 * 3. Members of one name are at most two, one of them joining, and a force-
 *    replace or force-remove of the other is staged.
 * 4. Staged, by name: at most one change a member, that with which another is
 *    replaced included; each joining member has one, and only such join or
 *    replace.
 * 5. When all of it is done, someone is left to own slots.
 * 6. Only what is staged has a plan, which may not fit it any more.
 */
struct ring {
	atomic_uint refs;
	uint8_t cluster_id[RING_ID_BYTES];
	uint64_t epoch;
	uint16_t q, n_copies; /* Q and N */
	uint16_t hash_version;
	uint16_t n_members, n_staged;
	struct ring_member *members;
	uint16_t *owners, *next_owners; /* Q each: places in members */
	struct ring_change *staged;
	int has_plan; /* of what is staged */
	uint8_t plan_id[RING_ID_BYTES];
};

/* The ring of a cluster of one, epoch 1; NULL without memory. */
struct ring *ring_new(const uint8_t cluster_id[RING_ID_BYTES],
    const uint8_t node_id[RING_ID_BYTES], const char *name, uint16_t q,
    uint16_t n_copies);
struct ring *ring_ref(struct ring *r);
/* Takes NULL, returns NULL. */
struct ring *ring_unref(struct ring *r);

/* The place of ID among the members, or RING_NOBODY. */
uint16_t ring_find(const struct ring *r, const uint8_t id[RING_ID_BYTES]);

/*
 * The member called NAME, or RING_NOBODY.  Two have one name while a node that
 * lost its disk joins anew: ring_named finds the one that is not joining before
 * the other, ring_joining only one that joins.
 */
uint16_t ring_named(const struct ring *r, const char *name);
uint16_t ring_joining(const struct ring *r, const char *name);
/* Valid, or down: its slots are waiting for it. */
int ring_member_may_own(const struct ring_member *m);

/*
 * REPLICAS(g, owners): the first min(N, owning nodes) distinct owners met
 * clockwise from slot G.  OUT has room for RING_COPIES_MAX; how many there are.
 */
uint32_t ring_replicas(const struct ring *r, const uint16_t *owners, uint16_t g,
    uint16_t out[RING_COPIES_MAX]);

/* Adds the encoding to B; see buf_error. */
void ring_encode(const struct ring *r, struct buf *b);
/* 0, -ERR_FORMAT when it is none or breaks a rule, -ERR_NOMEM. */
int ring_decode(struct slice in, struct ring **out);

#endif
