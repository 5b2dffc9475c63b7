/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * outbox - what a worker has to say to other nodes in this turn: one frame for
 * each of them, with the messages of all its groups.  What changes nothing waits
 * for company, so that an idle node wakes its peers less often.
 *
 * Owns:    frames that are being built; one reference to each body in them.
 * Shape:   a message that finds no memory, or no room at its peer, is dropped:
 *          the core takes it for lost.
 * Thread:  the worker.
 */
#ifndef VNODE_OUTBOX_H
#define VNODE_OUTBOX_H

#include <stdint.h>

#include "src/base/env.h"
#include "vnode/body.h"
#include "vnode/wire.h"

struct out_frame;

struct outbox {
	const struct env *env;
	uint32_t worker;
	struct out_frame *frames; /* by peer */
	uint32_t n_frames, cap_frames;
	/* A body has one reader less; its reference is the callee's. */
	void (*read)(void *arg, struct body *b);
	void *arg;
};

void outbox_init(struct outbox *o, const struct env *env, uint32_t worker,
    void (*read)(void *arg, struct body *b), void *arg);
void outbox_deinit(struct outbox *o);

/*
 * Adds M for NODE; its m->n entries have TERMS and BODIES.  One that CAN_WAIT, and
 * has no entries, goes with the next one for NODE that can not, or at the beat.
 */
void outbox_add(struct outbox *o, const uint8_t node[16],
    const struct wire_message *m, const uint64_t *terms,
    struct body *const *bodies, int can_wait);

/* The same with REST behind the header, copied: not of the core. */
void outbox_add_bytes(struct outbox *o, const uint8_t node[16],
    const struct wire_message *m, struct slice rest, int can_wait);

/* The end of the turn: the frames go out. */
void outbox_flush(struct outbox *o);
/* In this turn also those that could wait. */
void outbox_beat(struct outbox *o);

#endif
