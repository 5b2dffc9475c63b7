/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * wire - what iorio-admin and its node say to each other on the control socket.
 *
 * Thread:  any.
 * Bound:   a request is at most ADMIN_REQUEST_MAX bytes with its head, a frame
 *          ADMIN_FRAME_MAX without.
 * Format:  top of wire.c.
 */
#ifndef ADMIN_WIRE_H
#define ADMIN_WIRE_H

#include "src/base/buf.h"

#define ADMIN_SOCKET       "control.sock" /* in paths.data */
#define ADMIN_REQUEST_MAX  (64u << 10)
#define ADMIN_REQUEST_HEAD 4
#define ADMIN_ARGS_MAX     64
#define ADMIN_FRAME_HEAD   5
#define ADMIN_FRAME_MAX    (1u << 20)
#define ADMIN_COLUMNS_MAX  10000

struct admin_request {
	int terminal;     /* standard output is one */
	uint32_t columns; /* of the terminal; 0: not known */
	uint32_t n_args;
	struct slice args[ADMIN_ARGS_MAX]; /* borrowed from the bytes */
};

/* Adds the request to B. */
void admin_request_encode(const struct admin_request *q, struct buf *b);
/* How long the request is that begins with HEAD; 0: too long. */
size_t admin_request_size(const uint8_t head[ADMIN_REQUEST_HEAD]);
/* WHOLE: as many bytes as admin_request_size says; 0 or -ERR_FORMAT. */
int admin_request_decode(struct slice whole, struct admin_request *out);

enum admin_frame {
	ADMIN_FRAME_NAME = 'n',  /* who answers, once, first */
	ADMIN_FRAME_TEXT = 't',  /* for standard output */
	ADMIN_FRAME_ALIVE = 'k', /* nothing to say yet */
	ADMIN_FRAME_EXIT = 'x',  /* one byte: the exit code; the last frame */
};

/* Adds one frame; longer text goes into several. */
void admin_frame_encode(
    enum admin_frame kind, struct slice body, struct buf *b);
/* The first frame of *REST, and *REST goes on behind it.  0; 1: not all of it
 * is there yet; -ERR_FORMAT. */
int admin_frame_decode(
    struct slice *rest, enum admin_frame *kind, struct slice *body);

#endif
