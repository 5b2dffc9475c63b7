/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* plan_room - counts replicas, and compares. */
#include "src/node/plan_room.h"

#include <string.h>

#include "src/node/beat.h"

/* By OWNERS of R member ID has a replica of group G. */
static int
has(const struct ring *r, const uint16_t *owners, uint16_t g,
    const uint8_t id[RING_ID_BYTES])
{
	uint16_t at[RING_COPIES_MAX];
	uint32_t n = ring_replicas(r, owners, g, at);

	for (uint32_t i = 0; i < n; i++)
		if (memcmp(r->members[at[i]].id, id, RING_ID_BYTES) == 0)
			return 1;
	return 0;
}

/* Replicas that are ID's by the plan, and were not to be before. */
static uint32_t
gains(const struct ring_plan *p, const uint8_t id[RING_ID_BYTES])
{
	const struct ring *now = p->now, *then = p->at[0];
	uint32_t n = 0;

	for (uint16_t g = 0; g < now->q; g++)
		n += has(then, then->next_owners, g, id) &&
		     !has(now, now->owners, g, id) &&
		     !has(now, now->next_owners, g, id);
	return n;
}

/* Bytes of a replica, on average. */
static uint64_t
size_of_one(const struct cluster *c)
{
	const struct ring *r = cluster_ring(c);
	uint64_t held = 0, n = 0;

	for (uint16_t i = 0; i < r->n_members; i++) {
		struct beat told;

		cluster_told(c, i, &told);
		held += told.held;
		n += told.n_replicas;
	}
	return n ? held / n : 0;
}

int
plan_room_lacks(
    const struct cluster *c, const struct ring_plan *p, struct plan_lack *out)
{
	const struct ring *r = cluster_ring(c);
	uint64_t one = size_of_one(c), most = 0;

	for (uint16_t i = 0; i < r->n_members; i++) {
		const struct ring_member *m = &r->members[i];
		uint64_t needed = one * gains(p, m->id);
		struct beat told;

		cluster_told(c, i, &told);
		if (told.q == 0 || needed <= told.room ||
		    needed - told.room <= most)
			continue;
		most = needed - told.room;
		snprintf(out->name, sizeof(out->name), "%s", m->name);
		out->needed = needed;
		out->room = told.room;
	}
	return most > 0;
}

enum ring_refusal
plan_room_commit(const struct cluster *c, struct ring *now, const char *text,
    struct ring **out, int *lacks, struct plan_lack *lack)
{
	struct ring_plan *p;
	enum ring_refusal no = ring_plan_stored(now, text, &p);

	*lacks = 0;
	if (no)
		return no;
	*lacks = plan_room_lacks(c, p, lack);
	if (!*lacks)
		*out = ring_ref(p->at[0]);
	ring_plan_free(p);
	return *lacks ? RING_SAME : RING_OK;
}
