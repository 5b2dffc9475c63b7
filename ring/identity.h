/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * identity - which node this is, and which cluster's data it serves
 * (cluster.md section 2.4).
 *
 * Thread:  before the workers run.
 * Format:  top of identity.c.  Golden bytes: tests/golden/ring/node.id.bin.
 */
#ifndef RING_IDENTITY_H
#define RING_IDENTITY_H

#include <stdint.h>

#include "src/base/env.h"

struct identity {
	uint8_t node_id[16], boot[16], cluster_id[16];
	uint32_t ring_size;
	char dir[40]; /* of the cluster, below the disk's root */
};

/*
 * Reads who this node is, or makes a new node in a cluster of its own with
 * RING_SIZE partitions.  On failure WHY is one line for a person.
 */
int identity_open(const struct env *env, const char *nodename,
    uint32_t ring_size, struct identity *out, char *why, size_t why_bytes);

#endif
