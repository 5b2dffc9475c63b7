/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * liveness - which members seem to be up.
 */
#include "ring/liveness.h"

#include "src/base/assert.h"

/* A tick that comes later than this was held up: by the kernel, a stopped
 * process, a sleeping machine. */
#define HELD_UP_US 500000u

void
liveness_init(struct liveness *l, struct mono now)
{
	*l = (struct liveness){.self = RING_NOBODY, .ticked = now};
}

static struct liveness_peer *
find(struct liveness *l, const uint8_t id[RING_ID_BYTES])
{
	uint32_t low = 0, high = l->n;

	while (low < high) {
		uint32_t mid = (low + high) / 2;
		int c = memcmp(l->peers[mid].id, id, RING_ID_BYTES);

		if (c == 0)
			return &l->peers[mid];
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

void
liveness_set_ring(struct liveness *l, const struct ring *r,
    const uint8_t self[RING_ID_BYTES], struct mono now)
{
	struct liveness old = *l;

	l->n = r->n_members;
	l->self = ring_find(r, self);
	for (uint16_t i = 0; i < l->n; i++) {
		const uint8_t *id = r->members[i].id;
		const struct liveness_peer *was = find(&old, id);

		if (was) {
			l->peers[i] = *was;
			continue;
		}
		l->peers[i] = (struct liveness_peer){.heard = now};
		memcpy(l->peers[i].id, id, RING_ID_BYTES);
	}
}

void
liveness_heard(
    struct liveness *l, const uint8_t id[RING_ID_BYTES], struct mono when)
{
	struct liveness_peer *p = find(l, id);

	if (p && when.us > p->heard.us)
		p->heard = when;
}

/* While we stood still we heard nobody, which says nothing of them. */
static void
forgive(struct liveness *l, struct mono now)
{
	uint64_t gap = mono_diff_us(l->ticked, now);

	l->ticked = now;
	if (gap <= HELD_UP_US)
		return;
	for (uint16_t i = 0; i < l->n; i++) {
		struct mono heard = mono_add_us(l->peers[i].heard, gap);

		l->peers[i].heard = heard.us < now.us ? heard : now;
	}
}

void
liveness_tick(struct liveness *l, struct mono now, uint8_t *out)
{
	forgive(l, now);
	memset(out, 0, l->n);
	for (uint16_t i = 0; i < l->n; i++) {
		struct liveness_peer *p = &l->peers[i];
		int silent = mono_diff_us(p->heard, now) >= LIVENESS_SUSPECT_US;

		if (i == l->self)
			continue;
		if (silent != p->suspected)
			out[i] = silent ? LIVENESS_SUSPECTED : LIVENESS_BACK;
		p->suspected = silent;
	}
}

int
liveness_is_up(const struct liveness *l, uint16_t place)
{
	ASSERT(place < l->n);
	return !l->peers[place].suspected;
}
