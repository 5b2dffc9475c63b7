/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * msg - the envelope of everything that travels between actors.
 *
 * A message is a struct that begins with `struct msg`, allocated by its sender
 * and owned by one holder at a time: posting it hands it over.  An answer is
 * the same struct posted back to `from` with its result filled in, so a request
 * costs one allocation and can always be answered.
 */
#ifndef SRC_BASE_MSG_H
#define SRC_BASE_MSG_H

#include <stdint.h>

enum msg_kind {
	MSG_NONE,
	MSG_CALL, /* fn(m) on the worker: for one-off work and for tests */
	MSG_PUT,
	MSG_DELETE,
	MSG_READ,
	MSG_LIST,
	MSG_NEWS,
	MSG_CHANGE,
	MSG_PING,
	MSG_JOURNAL_DONE,
	MSG_CHECKPOINT,
	MSG_STOP,
	MSG_FRAME,      /* struct net_frame of env.h: from another node */
	MSG_FRAME_PART, /* the same, for groups of one worker */
	MSG_KIND_COUNT,
};

struct msg {
	struct msg *next;          /* for the mailbox while queued */
	uint16_t kind;             /* enum msg_kind */
	uint16_t answer;           /* 1 once it travels back to `from` */
	uint32_t from;             /* worker that gets the answer */
	void (*fn)(struct msg *m); /* MSG_CALL, and where an answer goes */
	/* The router's, of a request on its way: src/node/router.h. */
	void *via;
	void (*then)(struct msg *m);
	uint64_t deadline_us;
	/* No longer does it wait for a leader; 0: as long as others do. */
	uint64_t wait_until_us;
	uint32_t tries;
	int unsure;   /* an earlier try may have been done */
	int relay;    /* whoever is asked passes it on to who leads */
	void *served; /* what it is for, if another node asks */
};

#endif
