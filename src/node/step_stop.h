/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * step_stop - a node that stops itself at a step, so that a test can kill it, or
 * another, just there.
 *
 * TEST_STOP_AT=<name>[:<n>]: SIGSTOP when that step of src/base/steps.h is come
 * to for the n-th time (1).  Only in builds with tests; else step_stop_wanted is
 * always NULL.
 */
#ifndef SRC_NODE_STEP_STOP_H
#define SRC_NODE_STEP_STOP_H

#include "src/base/steps.h"

typedef void (*step_fn)(void *arg, enum step step);

/* What is to be told of steps, or NULL. */
step_fn step_stop_wanted(void);

#endif
