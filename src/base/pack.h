/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * pack - MessagePack for what nodes write and tell each other.
 *
 * Writing goes through msgpack-c.  Reading is a cursor of our own: it allocates
 * nothing, and a count is believed only when at least as many bytes are left
 * (an array of five bytes may announce 2^32 items).
 *
 * Source:  https://github.com/msgpack/msgpack/blob/master/spec.md
 * Errors:  sticky on both sides: buf_error, unpack.error (-ERR_FORMAT).
 */
#ifndef SRC_BASE_PACK_H
#define SRC_BASE_PACK_H

#include "src/base/buf.h"

void pack_nil(struct buf *b);
void pack_uint(struct buf *b, uint64_t v);
void pack_array(struct buf *b, uint32_t n); /* n items follow */
void pack_bin(struct buf *b, struct slice s);
void pack_str(struct buf *b, struct slice s);

struct unpack {
	struct slice rest;
	int error; /* 0 or -ERR_FORMAT */
};

void unpack_init(struct unpack *u, struct slice in);
/* Each returns 0, or an empty slice, after an error. */
uint64_t unpack_uint(struct unpack *u, uint64_t max);
/* Items that follow; an error unless MIN <= n <= MAX. */
uint32_t unpack_array(struct unpack *u, uint32_t min, uint32_t max);
/* Borrowed from the input. */
struct slice unpack_bin(struct unpack *u, size_t min, size_t max);
struct slice unpack_str(struct unpack *u, size_t min, size_t max);
/* 1: the next item was nil and is taken. */
int unpack_nil(struct unpack *u);
/* 0 when everything was taken and right. */
int unpack_end(struct unpack *u);

#endif
