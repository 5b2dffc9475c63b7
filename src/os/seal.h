/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * seal - what makes a frame between nodes whole, secret and its sender's:
 * AES-256-GCM under keys that come from the cluster's cookie (cluster.md
 * section 2.5).
 *
 * Thread:  a key and a window are used by one thread at a time.
 * Errors:  -ERR_NOMEM; -ERR_CORRUPT, -ERR_FORMAT: not such a frame.
 * Format:  top of seal.c.  Golden bytes: tests/golden/os/.
 */
#ifndef SRC_OS_SEAL_H
#define SRC_OS_SEAL_H

#include "src/base/buf.h"

struct iovec;

#define SEAL_HEAD_BYTES 96
#define SEAL_TAG_BYTES  16
#define SEAL_BYTES      (SEAL_HEAD_BYTES + SEAL_TAG_BYTES) /* around a body */

enum seal_kind {
	SEAL_HELLO = 1,
	SEAL_FRAME,    /* the body is one frame */
	SEAL_PIECE,    /* the body is a part of one: pieces.h */
	SEAL_GREETING, /* the first on a line, without a body: net_line.c */
	SEAL_BUNDLE,   /* several short frames: net_bundle.c */
	SEAL_KIND_COUNT,
};

struct seal_head {
	uint8_t kind;        /* enum seal_kind */
	uint16_t number;     /* which of the sender's keys */
	uint8_t cluster[16]; /* zeros: for strangers too */
	uint8_t sender[16],
	    sender_boot[16]; /* node id, and which start of it */
	uint8_t receiver[16], receiver_boot[16]; /* zeros: not known */
	uint64_t counter; /* never the same twice in one start of a sender */
};

/* FRAME is at least head and tag; nothing in OUT is to be believed before
 * seal_open. */
int seal_read_head(struct slice frame, struct seal_head *out);

struct seal_key; /* opaque */

/* The key NUMBER of the node SENDER since it started as BOOT, either to seal
 * with or to open with.  NULL: no memory. */
struct seal_key *seal_key_new(const char *cookie, const uint8_t sender[16],
    const uint8_t boot[16], uint16_t number, int to_seal);
/* Takes NULL and returns NULL. */
struct seal_key *seal_key_free(struct seal_key *k);

/*
 * The N slices, sealed, to OUT: SEAL_BYTES more than they have.  K is the key
 * that H names, and H->counter was never used before.
 */
void seal(struct seal_key *k, const struct seal_head *h,
    const struct iovec *iov, int n, uint8_t *out);
/* The body of FRAME, whose head is right for K, to OUT: SEAL_BYTES less than
 * FRAME.  -ERR_CORRUPT: not as it was sealed, or with another key; OUT then
 * holds nothing that may be used. */
int seal_open(struct seal_key *k, struct slice frame, uint8_t *out);

/*
 * Which counters of one key have come: each is new once.  Those that are more
 * than SEAL_WINDOW_BITS behind the newest are not told from old ones.
 */
#define SEAL_WINDOW_BITS 1024

struct seal_window {
	uint64_t floor; /* counters up to here are old, whatever the bits say */
	uint64_t newest;
	uint64_t
	    bits[SEAL_WINDOW_BITS / 64]; /* by counter % SEAL_WINDOW_BITS */
};

void seal_window_init(struct seal_window *w, uint64_t floor);
int seal_window_is_new(const struct seal_window *w, uint64_t counter);
/* COUNTER is new; it comes from a frame that was opened. */
void seal_window_add(struct seal_window *w, uint64_t counter);

#endif
