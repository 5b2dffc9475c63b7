/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * texts - what is said of a change, word for word (cluster.md section 3).
 *
 * Scripts that people have for Riak read these lines.
 */
#ifndef ADMIN_TEXTS_H
#define ADMIN_TEXTS_H

#include "admin/host.h"

/*
 * Adds the line or lines for the answer of C to OUT; SELF is the node that was
 * asked.  Returns the exit code: 0 done, 1 refused or failed, 2 nothing to do.
 * A plan that is ok has no text here.
 */
int texts_change(
    const struct admin_change *c, const char *self, struct buf *out);

#endif
