/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * texts - what is said of a change, word for word (cluster.md section 3).
 *
 * Scripts that people have for Riak read these lines.
 */
#ifndef ADMIN_TEXTS_H
#define ADMIN_TEXTS_H

#include "admin/host.h"

/* Of a node that is in no cluster any more, whatever it is asked. */
#define TEXT_REMOVED                                                           \
	"This node was removed from its cluster by force: it keeps its data "  \
	"and serves nothing.\n"                                                \
	"To use it again, stop it, move its data directory away, start it "    \
	"and join it.\n"

/*
 * Adds the line or lines for the answer of C to OUT; SELF is the node that was
 * asked.  Returns the exit code: 0 done, 1 refused or failed, 2 nothing to do.
 * A plan that is ok has no text here.
 */
int texts_change(
    const struct admin_change *c, const char *self, struct buf *out);

#endif
