/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * peers - a table that any thread reads without a lock: a place, once taken,
 * keeps its id for the life of the process, and only says whether it counts.
 * Who hears a frame notes when; each tick hands that on to liveness, and notes
 * what it makes of it.
 */
#include "src/node/peers.h"

#include <string.h>

#include "src/base/mem.h"

#define PLACES (4 * RING_MEMBERS_MAX)

struct peer {
	uint8_t id[16];
	atomic_int counts, up;
	atomic_ullong heard_us;
};

struct peers {
	uint8_t self[16];
	atomic_uint n; /* places taken; worker 0 adds */
	struct peer at[PLACES];
	struct liveness liveness; /* worker 0's */
};

struct peers *
peers_new(const uint8_t self[16], struct mono now)
{
	struct peers *p = mem_zalloc(sizeof(*p));

	if (!p)
		return NULL;
	memcpy(p->self, self, 16);
	liveness_init(&p->liveness, now);
	return p;
}

struct peers *
peers_free(struct peers *p)
{
	return mem_free(p);
}

static struct peer *
find(const struct peers *p, const uint8_t node[16])
{
	uint32_t n = atomic_load_explicit(&p->n, memory_order_acquire);

	for (uint32_t i = 0; i < n; i++)
		if (memcmp(p->at[i].id, node, 16) == 0)
			return (struct peer *)(uintptr_t)&p->at[i];
	return NULL;
}

static void
add(struct peers *p, const uint8_t node[16], struct mono now)
{
	struct peer *peer = find(p, node);
	uint32_t n = atomic_load(&p->n);

	if (!peer && n == PLACES)
		return; /* is taken for one that is never heard */
	if (!peer) {
		peer = &p->at[n];
		memcpy(peer->id, node, 16);
	}
	if (!atomic_load(&peer->counts)) {
		atomic_store(&peer->heard_us, now.us);
		atomic_store(&peer->up, 1);
	}
	atomic_store(&peer->counts, 1);
	if (peer == &p->at[n])
		atomic_store_explicit(&p->n, n + 1, memory_order_release);
}

void
peers_set(struct peers *p, const struct ring *r, struct mono now)
{
	uint32_t n = atomic_load(&p->n);

	for (uint32_t i = 0; i < n; i++)
		if (ring_find(r, p->at[i].id) == RING_NOBODY)
			atomic_store(&p->at[i].counts, 0);
	for (uint16_t i = 0; i < r->n_members; i++)
		if (memcmp(r->members[i].id, p->self, 16) != 0)
			add(p, r->members[i].id, now);
	liveness_set_ring(&p->liveness, r, p->self, now);
}

void
peers_heard(struct peers *p, const uint8_t node[16], struct mono now)
{
	struct peer *peer = find(p, node);

	if (peer)
		atomic_store_explicit(
		    &peer->heard_us, now.us, memory_order_relaxed);
}

void
peers_tick(struct peers *p, struct mono now, uint8_t *out)
{
	struct liveness *l = &p->liveness;

	for (uint16_t i = 0; i < l->n; i++) {
		const struct peer *peer = find(p, l->peers[i].id);

		if (peer)
			liveness_heard(l, peer->id,
			    (struct mono){atomic_load_explicit(
				&peer->heard_us, memory_order_relaxed)});
	}
	liveness_tick(l, now, out);
	for (uint16_t i = 0; i < l->n; i++) {
		struct peer *peer = find(p, l->peers[i].id);

		if (peer)
			atomic_store(&peer->up, liveness_is_up(l, i));
	}
}

int
peers_is_up(const struct peers *p, const uint8_t node[16])
{
	const struct peer *peer;

	if (memcmp(node, p->self, 16) == 0)
		return 1;
	peer = find(p, node);
	return peer && atomic_load(&peer->counts) && atomic_load(&peer->up);
}

int
peers_is_silent(const struct peers *p, const uint8_t node[16])
{
	const struct peer *peer = find(p, node);

	return !peer || !atomic_load(&peer->up);
}
