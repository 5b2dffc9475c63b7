/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* router_impl - what router.c and router_remote.c share. */
#ifndef SRC_NODE_ROUTER_IMPL_H
#define SRC_NODE_ROUTER_IMPL_H

#include <string.h>

#include "src/base/list.h"
#include "src/node/router.h"

/* A request that another node has, or room for one. */
struct call_slot {
	struct list link; /* of router_worker.calls, by deadline */
	struct msg *m;    /* NULL: free */
	uint32_t life;    /* tells an answer from one to the call before */
	uint32_t place, next_free;
	uint64_t deadline_us;
	uint64_t left_us; /* since when NODE is no member; 0: it is one */
	uint8_t node[16];
};

struct router_worker {
	struct router *router;
	uint32_t id;
	struct ring *ring;
	uint8_t (*leaders)[16];          /* by group, as last heard; zeros */
	struct msg *later, **last_later; /* tried again at the next tick */
	struct call_slot **slots;
	uint32_t n_slots, cap_slots, first_free; /* first_free: place + 1 */
	uint32_t first_life;                     /* of each slot */
	struct list calls;
	uint64_t timeout_us;
	uint32_t n_out, n_served;
	struct env_timer *tick; /* NULL: nothing is out, nothing waits */
	atomic_uint n_writes;   /* to streams, not answered; read by worker 0 */
	int stopping;
};

struct router {
	const struct env *env;
	const struct peers *peers;
	uint8_t self[16];
	uint32_t n_groups;
	atomic_int held; /* no writes to streams */
	struct router_worker *workers;
};

uint64_t router_now(const struct router *r);
/* The end of M: its asker gets R. */
void router_deliver(struct msg *m, int r);
/* Time matters from now on. */
void router_arm(struct router_worker *w);
/* M is tried again at the next tick. */
void router_later(struct router_worker *w, struct msg *m);
/* Nothing is lost when M is done twice. */
int router_may_repeat(const struct msg *m);
/* NODE has answered M. */
void router_settle(
    struct router_worker *w, struct msg *m, const uint8_t node[16]);

/* --- router_remote.c ------------------------------------------------------ */

/* Sends M to NODE; else nothing happened. */
int router_call(struct router_worker *w, struct msg *m, const uint8_t node[16]);
/* Gives up calls whose time is over or whose node is suspected. */
void router_calls_tick(struct router_worker *w);

#endif
