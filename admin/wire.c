/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * wire - what iorio-admin and its node say to each other.
 *
 *	request  u32le length of the rest, then MessagePack:
 *	         [version, terminal 0|1, columns, [argument, ...]]
 *	answer   frames: u8 kind, u32le length, bytes
 *
 * One request a connection.  Both sides are of the same release tree, so the
 * version is only there to say so when they are not.
 */
#include "admin/wire.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/pack.h"

#define VERSION 1

void
admin_request_encode(const struct admin_request *q, struct buf *b)
{
	size_t at = b->n;

	ASSERT(q->n_args <= ADMIN_ARGS_MAX);
	buf_add(b, "\0\0\0\0", ADMIN_REQUEST_HEAD);
	pack_array(b, 4);
	pack_uint(b, VERSION);
	pack_uint(b, q->terminal != 0);
	pack_uint(b, q->columns);
	pack_array(b, q->n_args);
	for (uint32_t i = 0; i < q->n_args; i++)
		pack_str(b, q->args[i]);
	if (buf_error(b) == 0)
		le_put32(b->p + at, (uint32_t)(b->n - at - ADMIN_REQUEST_HEAD));
}

size_t
admin_request_size(const uint8_t head[ADMIN_REQUEST_HEAD])
{
	uint32_t n = le_get32(head);

	if (n > ADMIN_REQUEST_MAX - ADMIN_REQUEST_HEAD)
		return 0;
	return n + ADMIN_REQUEST_HEAD;
}

int
admin_request_decode(struct slice whole, struct admin_request *out)
{
	struct unpack u;

	if (whole.n < ADMIN_REQUEST_HEAD ||
	    admin_request_size(whole.p) != whole.n)
		return -ERR_FORMAT;
	unpack_init(&u,
	    SLICE(whole.p + ADMIN_REQUEST_HEAD, whole.n - ADMIN_REQUEST_HEAD));
	unpack_array(&u, 4, 4);
	if (unpack_uint(&u, UINT32_MAX) != VERSION)
		return -ERR_FORMAT;
	out->terminal = (int)unpack_uint(&u, 1);
	out->columns = (uint32_t)unpack_uint(&u, ADMIN_COLUMNS_MAX);
	out->n_args = unpack_array(&u, 0, ADMIN_ARGS_MAX);
	for (uint32_t i = 0; i < out->n_args; i++)
		out->args[i] = unpack_str(&u, 0, ADMIN_REQUEST_MAX);
	return unpack_end(&u);
}

void
admin_frame_encode(enum admin_frame kind, struct slice body, struct buf *b)
{
	do {
		size_t n = body.n < ADMIN_FRAME_MAX ? body.n : ADMIN_FRAME_MAX;
		uint8_t head[ADMIN_FRAME_HEAD];

		head[0] = (uint8_t)kind;
		le_put32(head + 1, (uint32_t)n);
		buf_add(b, head, sizeof(head));
		buf_add(b, body.p, n);
		body = SLICE(body.p + n, body.n - n);
	} while (body.n);
}

int
admin_frame_decode(
    struct slice *rest, enum admin_frame *kind, struct slice *body)
{
	uint32_t n;

	if (rest->n < ADMIN_FRAME_HEAD)
		return 1;
	n = le_get32(rest->p + 1);
	switch (rest->p[0]) {
	case ADMIN_FRAME_NAME:
	case ADMIN_FRAME_TEXT:
	case ADMIN_FRAME_ALIVE:
		break;
	case ADMIN_FRAME_EXIT:
		if (n != 1)
			return -ERR_FORMAT;
		break;
	default:
		return -ERR_FORMAT;
	}
	if (n > ADMIN_FRAME_MAX)
		return -ERR_FORMAT;
	if (rest->n - ADMIN_FRAME_HEAD < n)
		return 1;
	*kind = (enum admin_frame)rest->p[0];
	*body = SLICE(rest->p + ADMIN_FRAME_HEAD, n);
	*rest = SLICE(body->p + n, rest->n - ADMIN_FRAME_HEAD - n);
	return 0;
}
