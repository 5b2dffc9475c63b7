/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * wire - what replicas of a group say to each other, in frames between nodes.
 *
 * Owns:    nothing; slices are borrowed.
 * Errors:  0; -ERR_CORRUPT or -ERR_FORMAT for bytes that are no message.
 * Format:  top of wire.c.  Golden bytes: tests/golden/vnode/frame.bin.
 */
#ifndef VNODE_WIRE_H
#define VNODE_WIRE_H

#include <stdint.h>

#include "src/base/buf.h"
#include "src/consensus/raft.h"

#define WIRE_FRAME_BYTES   8  /* header of a frame */
#define WIRE_MESSAGE_BYTES 80 /* header of a message */
#define WIRE_ENTRY_BYTES   16 /* header of an entry */
#define WIRE_ENTRIES_MAX   4096

enum wire_type {
	/* 1 .. RAFT_MSG_TYPES - 1: enum raft_msg_type */
	WIRE_NO_REPLICA = 64, /* the addressee of a message is not here */
	WIRE_REMOVED,         /* it was removed by entry `index` */
	WIRE_FILL,            /* for fill.c: the rest is its own */
	WIRE_ASK,             /* is replica `from` still one?  To no replica */
	WIRE_ABOVE, /* for who uses the store: `index` bytes of rest */
};

/* A message as it stands in a frame. */
struct wire_message {
	uint8_t type;
	uint16_t group;
	raft_id from, to;
	uint64_t term, index, log_term, commit, round;
	uint32_t n;    /* entries, of an append */
	uint32_t wall; /* of an answer to one: the sender's, low bits of ms */
	int reject, transfer;
	uint64_t uncounted, heal; /* one of them, at most, is not 0 */
	struct slice rest;        /* behind the header: entries */
};

/* Frame: header, then messages back to back. */
void wire_put_frame(uint8_t out[WIRE_FRAME_BYTES]);
/* M's header; BYTES is what the whole message takes, a multiple of 8. */
void wire_put_message(uint8_t out[WIRE_MESSAGE_BYTES],
    const struct wire_message *m, uint32_t bytes);
void wire_put_entry(uint8_t out[WIRE_ENTRY_BYTES], uint64_t term,
    uint32_t payload_bytes, uint32_t payload_crc);
/* What the payload of an entry takes in a message. */
static inline uint32_t
wire_round(uint32_t n)
{
	return (n + 7) & ~7u;
}

struct wire_reader {
	struct slice in; /* what is left */
};

int wire_open(struct wire_reader *r, struct slice frame);

/* The next message: 0, WIRE_E_END after the last, or an error. */
enum { WIRE_E_END = 1 };
int wire_next(struct wire_reader *r, struct wire_message *out);

struct wire_entry {
	uint64_t term;
	uint32_t crc; /* of the payload, checked */
	struct slice payload;
};

/* The next of M's entries; moves m->rest on. */
int wire_next_entry(struct wire_message *m, struct wire_entry *out);

#endif
