/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * tally - counts of slots, for tables (plan.h).
 */
#include "ring/plan.h"
#include "ring/ring_impl.h"
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"

void
ring_counts(const struct ring *r, struct ring_count *out)
{
	memset(out, 0, r->n_members * sizeof(*out));
	for (uint32_t g = 0; g < r->q; g++) {
		out[r->owners[g]].owned++;
		out[r->next_owners[g]].next++;
	}
}

uint32_t
ring_pending(const struct ring *r)
{
	uint32_t n = 0;

	for (uint32_t g = 0; g < r->q; g++)
		n += r->owners[g] != r->next_owners[g];
	return n;
}

uint32_t
ring_claimants(const struct ring *r)
{
	uint32_t n = 0;

	for (uint16_t i = 0; i < r->n_members; i++)
		n += ring_member_may_own(&r->members[i]) != 0;
	return n;
}

/* One more slot; at most Q entries, so a list will do. */
static void
count(struct ring_tallies *t, const char *from, const char *to)
{
	uint32_t at = 0;
	int c = -1;

	for (; at < t->n; at++) {
		c = strcmp(t->at[at].from, from);
		if (c == 0)
			c = strcmp(t->at[at].to, to);
		if (c >= 0)
			break;
	}
	if (at == t->n || c > 0) {
		memmove(
		    &t->at[at + 1], &t->at[at], (t->n - at) * sizeof(t->at[0]));
		t->at[at] = (struct ring_tally){from, to, 0};
		t->n++;
	}
	t->at[at].slots++;
	t->slots++;
}

static int
start(struct ring_tallies *t, uint32_t slots)
{
	*t = (struct ring_tallies){0};
	t->at = mem_calloc(slots + 1, sizeof(t->at[0]));
	return t->at ? 0 : -ERR_NOMEM;
}

int
ring_transfers(const struct ring *r, struct ring_tallies *out)
{
	if (start(out, ring_pending(r)))
		return -ERR_NOMEM;
	for (uint32_t g = 0; g < r->q; g++)
		if (r->owners[g] != r->next_owners[g])
			count(out, r->members[r->owners[g]].name,
			    r->members[r->next_owners[g]].name);
	return 0;
}

int
ring_reassigned(const struct ring_plan *p, uint32_t i, struct ring_tallies *out)
{
	const struct ring *a = p->now, *b = p->at[0];

	ASSERT(i < p->n);
	if (start(out, i == 0 ? a->q : 0))
		return -ERR_NOMEM;
	for (uint32_t g = 0; i == 0 && g < a->q; g++) {
		const struct ring_member *from = &a->members[a->owners[g]];
		const struct ring_member *to = &b->members[b->owners[g]];

		if (memcmp(from->id, to->id, RING_ID_BYTES) != 0)
			count(out, from->name, to->name);
	}
	return 0;
}

void
ring_tallies_deinit(struct ring_tallies *t)
{
	t->at = mem_free(t->at);
	t->n = 0;
}
