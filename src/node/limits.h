/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * limits - how many descriptors this process may have, and who gets them.
 *
 * A journal that cannot open its next file is the end of the node, so clients
 * must never get the last ones: their connections have what is left when the
 * store and the node itself have theirs.
 */
#ifndef SRC_NODE_LIMITS_H
#define SRC_NODE_LIMITS_H

#include <stdint.h>

struct limits {
	uint64_t descriptors;     /* of the process */
	uint32_t files_max;       /* chunk files kept open */
	uint32_t connections_max; /* at most what was asked for */
};

/*
 * Raises the soft limit to the hard one and shares it out.  -ERR_LIMIT: too few
 * for a node; OUT->descriptors and *NEEDED tell how many there are and should
 * be.
 */
int limits_share(struct limits *out, uint32_t n_workers, uint32_t connections,
    uint64_t *needed);

#endif
