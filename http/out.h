/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * out - bytes on their way to a socket: text that is copied together, and runs
 * of other people's blocks.
 *
 * Owns:    a reference to every block in it, until the bytes are sent.
 * Errors:  sticky: after a failed allocation `error` stays set.
 */
#ifndef HTTP_OUT_H
#define HTTP_OUT_H

#include "src/base/buf.h"
#include "src/os/tcp.h"

struct piece {
	struct block *block; /* one reference */
	uint32_t at, n;
};

struct out {
	struct piece *pieces;
	uint32_t at, n, cap; /* at..n are not sent yet */
	uint64_t bytes;      /* not sent yet */
	struct block *text;  /* copied bytes go here; one reference */
	int error;
};

void out_deinit(struct out *o);
/* N bytes next to each other, to be written before the next call; NULL after an
 * error.  FIRST: how large a block to begin with. */
uint8_t *out_reserve(struct out *o, size_t n, uint32_t first);
/* S lies in BLOCK. */
void out_block(struct out *o, struct slice s, struct block *block);
/* All of FROM behind TO; FROM is empty then. */
void out_splice(struct out *to, struct out *from);
/* As much as the socket takes.  0, TCP_E_AGAIN with some left, -ERR_*. */
int out_send(struct out *o, struct tcp *tcp);

#endif
