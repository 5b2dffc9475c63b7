/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* manifest_impl - numbers of the format (manifest.c), for writing and reading. */
#ifndef VNODE_MANIFEST_IMPL_H
#define VNODE_MANIFEST_IMPL_H

#include <stdint.h>

#include "vnode/event.h"

#define MANIFEST_MAGIC  0x464d4f49u /* "IOMF" */
#define MANIFEST_FORMAT 1
#define RECORD_HEADER   12
#define HEAD_BYTES      36
#define STREAM_FIXED    48
#define CHUNK_BYTES     76
#define COMMIT_BYTES    80
#define KEY_BYTES       (24 + EVENT_KEY_BYTES)
#define DROPPED_BYTES   8
#define ENDED_FIXED     32
#define KEPT_BYTES      64
#define PIECE_FIXED     8
#define BODY_MAX        4096
#define NAME_MAX_BYTES  255

enum {
	TYPE_HEAD = 1,
	TYPE_STREAM = 2,
	TYPE_CHUNK = 3,
	TYPE_COMMIT = 4,
	TYPE_MEMBERS = 5,
	TYPE_KEY = 6,
	TYPE_DROPPED = 7,
	TYPE_KEPT = 8,
	TYPE_POLICIES = 9,
	TYPE_ENDED = 16,
};

#define FLAG_DAMAGED 1u

#define CHUNK_SEALED 1u
#define CHUNK_APART  2u

/* Of the record at P, whose body has so many bytes, behind one of crc BEFORE. */
uint32_t manifest_crc(uint32_t before, const uint8_t *p, uint32_t body_bytes);

#endif
