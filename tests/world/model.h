/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * model - a dumb table of what was promised, to hold every answer against.
 *
 * A put is one append of one or more events.  Where its events are is learnt
 * from its acknowledgement or from the first read that shows one of them; from
 * then on they stay there, with the same time and bytes.  A put that was
 * refused is nowhere, one of unknown outcome somewhere or nowhere, whole or not
 * at all.
 *
 * The bytes of an event follow from its put and its place therein, so they are
 * not kept.
 */
#ifndef TESTS_WORLD_MODEL_H
#define TESTS_WORLD_MODEL_H

#include <stdint.h>

#include "src/base/buf.h"
#include "vnode/event.h"
#include "vnode/vnode_msg.h"

#define MODEL_STREAMS   16
#define MODEL_DATA_MAX  8192
#define MODEL_EVENT_MAX 100 /* events of one put */

enum put_state { PUT_PENDING, PUT_ACKED, PUT_REFUSED, PUT_UNKNOWN };

struct model_put {
	uint32_t stream, n_events;
	enum put_state state;
	uint64_t first, t_ms; /* 0: not known where it is */
};

struct model_stream {
	uint32_t group;
	char bucket[16], name[16];
	uint64_t *puts; /* by seqnum: 1 + the put there; 0: not known */
	uint64_t n, cap;
	uint64_t floor; /* up to here events are committed, as somebody knows */
	uint64_t incarnation;
};

struct model {
	struct model_stream streams[MODEL_STREAMS];
	uint32_t n_streams;
	struct model_put *puts;
	uint64_t n_puts, cap_puts;
	uint8_t *scratch;
	char why[256];
};

void model_init(struct model *m, uint32_t n_streams, uint32_t n_groups);
void model_deinit(struct model *m);

/* A put of N events is on its way; returns its number. */
uint64_t model_put_new(struct model *m, uint32_t stream, uint32_t n);
/* What event ORDINAL of PUT consists of; the data has MODEL_DATA_MAX bytes of
 * room at OUT. */
struct vnode_put_event model_event(
    uint64_t put, uint32_t ordinal, uint32_t n, uint8_t *out);

/* All of these: 0, or -1 and WHY says what cannot be.  A put may be acknowledged
 * more than once, always as the same. */
int model_put_acked(struct model *m, uint64_t put, uint64_t first,
    uint64_t last, uint64_t t_ms);
int model_put_failed(struct model *m, uint64_t put, enum put_state state);
/* A reader saw E in STREAM. */
int model_saw(struct model *m, uint32_t stream, const struct event *e);
/* A linearizable answer, asked for when the floor was FLOOR, gave NEWEST. */
int model_newest(
    struct model *m, uint32_t stream, uint64_t floor, uint64_t newest);
int model_incarnation(struct model *m, uint32_t stream, uint64_t incarnation);
/* SEEK is the first event not older than MS, of NEWEST. */
int model_seek(struct model *m, uint32_t stream, uint64_t ms, uint64_t seek,
    uint64_t newest);

#endif
