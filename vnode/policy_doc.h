/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * policy_doc - policies in a document of the root, and every change of them.
 *
 * Pure.  The document is that of stream `policies` of the root (ring/doc.h).
 *
 * Errors:  -ERR_NOMEM; -ERR_LIMIT: no room for more; -ERR_CORRUPT.
 * Format:  top of policy_doc.c.  Golden bytes: tests/golden/vnode/policy-doc.bin.
 */
#ifndef VNODE_POLICY_DOC_H
#define VNODE_POLICY_DOC_H

#include "ring/root_request.h"
#include "vnode/policy.h"

/* The table that D holds; its version is the event of D. */
int policy_doc_table(
    struct policies **out, const struct doc *d, const struct policy *defaults);

/* *OUT becomes what changes in NOW when P is set for exactly BUCKET, STREAM (n 0:
 * the bucket); nothing is left of an empty one.  NULL: it is so already. */
int policy_doc_change(const struct doc *now, struct slice bucket,
    struct slice stream, const struct policy *p, struct doc **out);

/* That change, asked of the cluster; slices are borrowed until the answer. */
struct policy_request {
	struct root_request root; /* made by policy_request_make */
	struct slice bucket, stream;
	struct policy policy;
};

int policy_request_make(
    struct root_request *q, const struct doc *now, struct doc **change);

#endif
