/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * targets - who votes for the root, and where a group belongs.
 */
#include "ring/targets.h"

#include "ring/ring_impl.h"
#include "src/base/assert.h"

/* OUT holds the first N of those seen, by name; takes MEMBER among them. */
static uint32_t
take(const struct ring *r, uint16_t member, uint16_t *out, uint32_t n)
{
	uint32_t at = n;

	while (at > 0 && ring_compare(r, member, out[at - 1]) < 0)
		at--;
	if (at == RING_VOTERS_MAX)
		return n;
	if (n < RING_VOTERS_MAX)
		n++;
	memmove(&out[at + 1], &out[at], (n - at - 1) * sizeof(*out));
	out[at] = member;
	return n;
}

uint32_t
ring_root_voters(const struct ring *r, uint16_t out[RING_VOTERS_MAX])
{
	uint32_t n = 0;

	for (uint16_t i = 0; i < r->n_members; i++)
		if (r->members[i].state == RING_VALID)
			n = take(r, i, out, n);
	for (uint16_t i = 0, none = n == 0; i < r->n_members && none; i++)
		if (ring_member_may_own(&r->members[i]))
			n = take(r, i, out, n);
	ASSERT(n > 0);
	return n == 4 ? 3 : n;
}

uint32_t
ring_targets(const struct ring *r, uint16_t g, uint16_t out[RING_COPIES_MAX])
{
	return ring_replicas(r, r->next_owners, g, out);
}
