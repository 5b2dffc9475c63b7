/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * entry - what a log entry of a group says: a batch of commands.
 *
 * Owns:    nothing; slices are borrowed.
 * Shape:   at most ENTRY_BYTES_MAX, or one command (cluster.md 6.2).
 * Errors:  0; -ERR_CORRUPT or -ERR_FORMAT for bytes that are no entry.
 * Format:  top of entry.c.  Golden bytes: tests/golden/vnode/entry.bin.
 */
#ifndef VNODE_ENTRY_H
#define VNODE_ENTRY_H

#include <stdint.h>

#include "src/base/buf.h"
#include "src/consensus/raft.h"

#define ENTRY_BYTES_MAX     (1u << 20)
#define ENTRY_HEADER_BYTES  16
#define ENTRY_COMMAND_BYTES 8 /* header of a command */

enum entry_command_type {
	ENTRY_NOOP = 1,     /* the first entry of a term */
	ENTRY_CREATE = 2,   /* a stream begins to exist */
	ENTRY_APPEND = 3,   /* events of one stream */
	ENTRY_MEMBERS = 4,  /* who has replicas of the group, from here on */
	ENTRY_DELETE = 5,   /* a stream ends */
	ENTRY_POLICIES = 6, /* what counts in this group, from here on */
	ENTRY_TICK = 7,     /* time has passed */
};

/* Members, and who has their replicas, in memory of its own. */
struct entry_members {
	uint32_t n;
	struct raft_member at[RAFT_MEMBERS_MAX];
};

static inline struct raft_members
entry_members_view(const struct entry_members *m)
{
	return (struct raft_members){m->n, m->at};
}

/* -ERR_LIMIT: too many. */
int entry_members_copy(
    struct entry_members *out, const struct raft_members *from);

struct entry_command {
	enum entry_command_type type;
	uint64_t stream_id;          /* CREATE, APPEND, DELETE */
	struct slice bucket, stream; /* CREATE: its names */
	uint64_t first_seq;          /* APPEND */
	uint32_t n_events;           /* APPEND; >= 1 */
	struct slice records;        /* APPEND: event records back to back */
	struct slice members;        /* MEMBERS: for entry_decode_members */
	struct slice policies;       /* POLICIES: for policies_decode */
};

/* --- writing: heads into a buf, records beside it ------------------------- */

/* The header of an entry of N_COMMANDS at group clock CLOCK_MS; 0: it stands
 * still. */
void entry_put_header(
    uint8_t out[ENTRY_HEADER_BYTES], uint32_t n_commands, uint64_t clock_ms);

/* Whole commands, at the end of B. */
void entry_add_noop(struct buf *b);
void entry_add_members(struct buf *b, const struct raft_members *m);
void entry_add_create(struct buf *b, uint64_t stream_id, struct slice bucket,
    struct slice stream);
/* The head of an APPEND whose RECORDS_BYTES of records the caller puts after
 * it. */
void entry_add_append(struct buf *b, uint64_t stream_id, uint64_t first_seq,
    uint32_t n_events, uint32_t records_bytes);

void entry_add_delete(struct buf *b, uint64_t stream_id);
/* TABLE: of policies_encode. */
void entry_add_policies(struct buf *b, struct slice table);
void entry_add_tick(struct buf *b);

/* --- reading -------------------------------------------------------------- */

struct entry_reader {
	struct slice in; /* what is left */
	uint32_t n_left;
	uint64_t clock_ms; /* 0: as in the entry before */
};

int entry_open(struct entry_reader *r, struct slice payload);

/* The next command: 0, ENTRY_E_END after the last, or an error. */
enum { ENTRY_E_END = 1 };
int entry_next(struct entry_reader *r, struct entry_command *out);

/* Members by themselves: also a record of the manifest. */
uint32_t entry_members_bytes(const struct raft_members *m);
void entry_encode_members(const struct raft_members *m, uint8_t *out);
int entry_decode_members(struct slice body, struct entry_members *out);

/* What the consensus core calls the entry: > 0 an enum raft_kind, and MEMBERS
 * is filled in for RAFT_MEMBERS; or an error. */
int entry_kind(struct slice payload, struct entry_members *members);

#endif
