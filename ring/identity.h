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
	/* The cluster that this node was alone in before it joined this one;
	 * zeros: it has founded this one. */
	uint8_t previous[16];
	int joined; /* there is a previous one */
	uint32_t ring_size;
	char dir[40]; /* of the cluster, below the disk's root */
};

/* Makes the directory of CLUSTER for a node that is joining it; ID is of that
 * cluster then, but only in memory: identity_save makes it so. */
int identity_join(
    const struct env *env, const uint8_t cluster[16], struct identity *id);
/* Back to the cluster before; only in memory too. */
void identity_go_back(struct identity *id);
/* To a new cluster of its own; only in memory too. */
int identity_renew(const struct env *env, struct identity *id);
/* Durable when it returns 0: what the next start goes by. */
int identity_save(
    const struct env *env, const char *nodename, const struct identity *id);

/*
 * Reads who this node is, or makes a new node in a cluster of its own with
 * RING_SIZE partitions.  On failure WHY is one line for a person.
 */
int identity_open(const struct env *env, const char *nodename,
    uint32_t ring_size, struct identity *out, char *why, size_t why_bytes);

#endif
