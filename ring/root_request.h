/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * root_request - a change of a document of the root (ring/doc.h) that is asked of
 * the cluster.
 *
 * Begins a struct of the asker, who owns it again with the answer: posted back to
 * worker msg.from, msg.answer set.
 */
#ifndef RING_ROOT_REQUEST_H
#define RING_ROOT_REQUEST_H

#include "ring/doc.h"
#include "src/base/msg.h"

/* The documents; beats tell of them in this order (src/node/beat.c). */
enum root_which { ROOT_USERS, ROOT_POLICIES, ROOT_COUNT };

struct root_request {
	struct msg msg;
	/*
	 * *CHANGE becomes what is to change in NOW, the newest; NULL: nothing.
	 * 0; > 0: refused, for a reason that the asker keeps; -ERR_*.  Pure, on
	 * worker 0; asked again when somebody was faster.
	 */
	int (*make)(
	    struct root_request *q, const struct doc *now, struct doc **change);
	/* answer: 0: committed; > 0: as MAKE said; -ERR_UNAVAILABLE: nothing was
	 * done; -ERR_UNKNOWN: perhaps; or what MAKE returned */
	int r;
	/* Members on which it is not in force yet: JSON strings with commas;
	 * the asker deinits. */
	struct buf pending;
};

#endif
