/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* group_impl - a proposal, as the files of a group share it: group_propose.c
 * makes it, group.c applies and answers it. */
#ifndef VNODE_GROUP_IMPL_H
#define VNODE_GROUP_IMPL_H

#include "vnode/group.h"

struct piece {
	const uint8_t *p; /* NULL: of HEAD, at OFFSET */
	uint32_t offset, n;
};

/* One event, or the end of a stream, as it will be applied. */
struct planned {
	struct stream *stream;
	uint64_t seq;    /* 0: the stream ends, */
	uint32_t n_keys; /* ... behind so many keys of the entry */
	uint32_t head_at, head_n;
	struct slice data; /* unless it is in HEAD */
	uint32_t data_bytes;
	uint16_t flags;
};

enum fate {
	FATE_UNKNOWN_YET,
	FATE_APPLIED,
	FATE_GIVEN_UP, /* by a leader that is none any more */
};

struct proposal {
	struct body *body; /* once it is sealed */
	struct list link;  /* of group.in_flight */
	enum fate fate;
	int r; /* for its requests, unless it was applied */
	uint64_t index, clock_ms;
	uint64_t first_stream_id; /* that it may have created */
	uint64_t next_stream_id;  /* once it is applied */
	uint32_t n_commands, bytes;
	uint32_t n_replicas; /* that had it when it was applied */
	struct buf head;
	struct piece *pieces;
	struct planned *events;
	struct iovec *iov;
	uint32_t n_pieces, cap_pieces;
	uint32_t n_events, cap_events;
	uint32_t n_keys, n_taken;
	int is_order; /* policies or a tick: applied by its bytes */
	struct msg *first_req, **last_req; /* in order, by msg.next */
	struct dedup *dedup;               /* of its group: has the keys, */
	struct dedup_key *first_key, **last_key; /* in order, by next */
};

void proposal_free(struct proposal *p);

#endif
