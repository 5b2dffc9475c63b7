/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * doc_rig - a document of the root out of any bytes: as its first event; and as
 * items, each after a byte that says how long its key is and one for its value, so
 * that what reads items is reached.
 */
#ifndef TESTS_FUZZ_DOC_RIG_H
#define TESTS_FUZZ_DOC_RIG_H

#include "ring/root_request.h"

typedef void (*doc_rig_fn)(struct doc *d);

/* Calls FN with each document that P is. */
void doc_rig(const uint8_t *p, size_t n, doc_rig_fn fn);

/* D is what CHANGE, which is freed, makes of it; 0: that is too much. */
int doc_rig_apply(struct doc *d, struct doc *change);

#endif
