/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * ring_file - the ring on disk: ring.cur and ring.prev in the directory of the
 * cluster (cluster.md section 1.3).
 *
 * Thread:  one at a time; blocks on the disk.
 * Format:  top of ring_file.c.  Golden bytes: tests/golden/ring/ring.bin.
 */
#ifndef RING_RING_FILE_H
#define RING_RING_FILE_H

#include "ring/identity.h"
#include "ring/ring.h"
#include "src/base/env.h"

#define RING_WHY_BYTES 256

/*
 * The ring of ID's directory; that of a new cluster of one when there is
 * neither a ring nor data.  WHY: with 0, a warning for the log, or empty; else
 * one line that says what to do.  -ERR_CORRUPT, -ERR_IDENTITY, -ERR_IO,
 * -ERR_NOMEM.
 */
int ring_file_open(const struct env *env, const struct identity *id,
    const char *nodename, uint16_t n_copies, struct ring **out,
    char why[RING_WHY_BYTES]);

/* Durable when it returns 0; what was current before is in ring.prev. */
int ring_file_save(
    const struct env *env, const char *dir, const struct ring *r);

/* SHA-256 of the encoding; 0 or -ERR_NOMEM. */
int ring_hash_of(const struct ring *r, uint8_t out[RING_HASH_BYTES]);

/* The file's bytes; the test of the format uses them alone. */
int ring_file_encode(const struct ring *r, struct buf *b);
/* -ERR_CORRUPT, -ERR_NOMEM. */
int ring_file_decode(struct slice in, struct ring **out);

#endif
