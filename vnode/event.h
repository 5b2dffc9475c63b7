/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * event - the record of one event: the same bytes in the log entry, in memory
 * and in the chunk file.
 *
 * The record is made once, where the event is proposed, and only copied from
 * there on, so its CRC guards the payload from the HTTP edge to the reader and
 * chunk files of two replicas can be compared byte by byte.
 *
 * Owns:    nothing; all slices are borrowed from the caller's bytes.
 * Errors:  0, EVENT_E_* (handle it).
 * Format:  top of event.c.  Golden bytes: tests/golden/vnode/event.bin.
 */
#ifndef VNODE_EVENT_H
#define VNODE_EVENT_H

#include <stdint.h>

#include "src/base/buf.h"

#define EVENT_HEADER_BYTES 40
#define EVENT_TYPE_MAX     127 /* bytes of a content type */
#define EVENT_EXT_MAX      255
#define EVENT_DATA_MAX     (16u << 20)

enum event_flag {
	EVENT_JSON = 1,    /* data is one JSON value; type is empty */
	EVENT_NEWLINE = 2, /* data holds CR or LF bytes (JSON only) */
	EVENT_KEY = 4,     /* ext is an idempotency key record */
	EVENT_BASE = 8,    /* hides what is before it in its stream: retain.h */
};

/* What an event with EVENT_KEY has in ext. */
struct event_key {
	uint8_t key[16], body[16]; /* as vnode_put has them */
	uint32_t n_events;         /* appended under the key; >= 1 */
};

#define EVENT_KEY_BYTES 36

struct event {
	uint64_t seq;     /* in its stream, from 1 */
	uint64_t t_ms;    /* wall clock of the leader */
	uint64_t index;   /* of its log entry */
	uint32_t ordinal; /* among events and deletions of that entry, from 0 */
	uint16_t flags;   /* enum event_flag */
	struct slice type, ext, data;
};

/* Bytes of the whole record of E. */
uint32_t event_bytes(const struct event *e);

/*
 * Writes everything of E's record but its data: the header, type and ext.  OUT
 * has room for EVENT_HEADER_BYTES + e->type.n + e->ext.n; the data follows it
 * in the record.  Returns the bytes written.
 */
uint32_t event_encode_head(const struct event *e, uint8_t *out);

/* Conditions of event_decode. */
enum {
	EVENT_E_SHORT = 1, /* IN ends before the record does */
	EVENT_E_DAMAGED,   /* impossible lengths or a wrong CRC */
};

/*
 * The record at the start of IN.  With CHECK 0 the CRC is taken on trust, for
 * bytes that were verified before.  *BYTES is the length of the record, also
 * told with EVENT_E_SHORT once the header is there (else 0).
 */
int event_decode(
    struct slice in, int check, struct event *out, uint32_t *bytes);

/* EVENT_E_DAMAGED: EXT is none. */
void event_key_encode(const struct event_key *k, uint8_t out[EVENT_KEY_BYTES]);
int event_key_decode(struct slice ext, struct event_key *out);

#endif
