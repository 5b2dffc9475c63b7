/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* simstore - a store in a simenv, and nothing above it. */
#ifndef TESTS_LIB_SIMSTORE_H
#define TESTS_LIB_SIMSTORE_H

#include "src/base/msg.h"
#include "tests/lib/simenv.h"
#include "vnode/store.h"

static inline void
simstore_dispatch(void *store, uint32_t worker, struct msg *m)
{
	if (m->kind == MSG_CALL || m->answer)
		m->fn(m);
	else
		store_handle(*(struct store **)store, worker, m);
}

static inline void
simstore_turn(void *store, uint32_t worker)
{
	if (*(struct store **)store)
		store_turn(*(struct store **)store, worker);
}

/* Messages and turns of S go to *STORE, once it is open. */
static inline void
simstore_serve(struct simenv *s, struct store **store)
{
	simenv_set_dispatch(s, simstore_dispatch, store);
	simenv_set_turn(s, simstore_turn, store);
}

#endif
