/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * call - a request to a vnode of another node, and its answer, in one frame
 * each.
 *
 * Owns:    an encoded call owns its heads and borrows all payloads; a decoded
 *          one borrows from the frame's block, pages hold references to it.
 * Errors:  0; -ERR_CORRUPT for bytes that are no call; -ERR_NOMEM.
 * Format:  top of call.c.  Golden bytes: tests/golden/vnode/call.bin.
 */
#ifndef VNODE_CALL_H
#define VNODE_CALL_H

#include <stdint.h>
#include <sys/uio.h>

#include "src/base/env.h"
#include "vnode/vnode_msg.h"

/* The bytes of a call, for env.net. */
struct call_out {
	struct buf head;
	struct iovec *iov;
	uint32_t n_iov;
};

struct call_in {
	uint64_t id; /* the caller's, given back with the answer */
	int answer, stale;
	int relay;          /* a request: to be passed on to who leads */
	enum msg_kind kind; /* MSG_PUT, MSG_DELETE, MSG_READ, MSG_LIST */
	struct slice rest;
};

/* M, a request or an answered one, to be sent as call ID.  OUT is to be given
 * to call_out_deinit either way.  -ERR_NOMEM, -ERR_LIMIT: more than a frame. */
int call_encode(struct call_out *out, uint64_t id, const struct msg *m);
void call_out_deinit(struct call_out *out);

/* Whether BYTES is a call at all: 0, or -ERR_FORMAT. */
int call_open(struct slice bytes, struct call_in *out);

/*
 * The request in IN; mem_alloc'd, its slices in the frame.  call_free_request
 * frees it, and what an answer has filled in.
 */
int call_request(const struct call_in *in, struct msg **out);
void call_free_request(struct msg *m);

/*
 * Fills in the answer part of M, which was sent as this call; BLOCK is that of
 * the frame.  When it fails M is as it was.
 */
int call_answer(const struct call_in *in, struct block *block, struct msg *m);

#endif
