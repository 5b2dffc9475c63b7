/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * call_impl - what the files of call share: numbers of the format (call.c) and
 * the reader of bytes that a peer has sent.
 */
#ifndef VNODE_CALL_IMPL_H
#define VNODE_CALL_IMPL_H

#include <stdint.h>

#include "src/base/assert.h"
#include "src/base/buf.h"

#define CALL_MAGIC  0x41434f49u /* "IOCA" */
#define CALL_FORMAT 1
#define CALL_BYTES  16

enum { WIRE_PUT = 1, WIRE_READ, WIRE_LIST, WIRE_NEWS, WIRE_DELETE };
enum { ANSWER = 1, STALE = 2, RELAY = 4 };
enum { PUT_EXPECT = 1, PUT_PATCH = 2, PUT_KEY = 4, PUT_REPLAYED = 1 };
enum { READ_DESC = 1, READ_ANY = 2, LIST_DETAIL = 1 };

#define PUT_EVENT_BYTES 8
#define KEY_BYTES       32 /* its hash, and that of the body */
#define ITEM_BYTES      41

/* What is left of a call; BAD once something was missing. */
struct call_cursor {
	struct slice in;
	int bad;
};

/* The next N bytes; empty if they are not there. */
struct slice call_take(struct call_cursor *c, size_t n);
/* The next BYTES (<= 8) as a number; 0 if they are not there. */
uint64_t call_take_uint(struct call_cursor *c, unsigned bytes);

#endif
