/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* clocks - who should not stamp time. */
#include "vnode/clocks.h"

#include <string.h>

static struct clock_of *
find(const struct clocks *c, const uint8_t node[16])
{
	for (uint32_t i = 0; i < c->n; i++)
		if (memcmp(c->at[i].node, node, 16) == 0)
			return (struct clock_of *)(uintptr_t)&c->at[i];
	return NULL;
}

void
clocks_hear(struct clocks *c, const uint8_t node[16], int32_t ahead_ms)
{
	struct clock_of *at = find(c, node);

	if (!at && c->n < CLOCKS_MAX)
		at = &c->at[c->n++];
	if (!at)
		at = &c->at[c->next++ % CLOCKS_MAX];
	memcpy(at->node, node, 16);
	at->ahead_ms = ahead_ms;
}

/* 1, and *MS how far M is ahead of this node; 0: not known. */
static int
ahead(const struct clocks *c, const struct raft_member *m, raft_id self,
    int32_t *ms)
{
	const struct clock_of *at = find(c, m->node);

	*ms = m->id == self ? 0 : at ? at->ahead_ms : 0;
	return m->id == self || at;
}

/* 1, and *MS; 0: too few are known. */
static int
median(const struct clocks *c, const struct raft *r, raft_id self, int32_t *ms)
{
	const struct raft_members *m = raft_members(r);
	int32_t sorted[RAFT_MEMBERS_MAX], one;
	uint32_t n = 0, n_voters = 0;

	for (uint32_t i = 0; i < m->n; i++) {
		uint32_t at = n;

		n_voters += m->at[i].voter;
		if (!m->at[i].voter || !ahead(c, &m->at[i], self, &one))
			continue;
		for (; at > 0 && sorted[at - 1] > one; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = one;
		n++;
	}
	if (n < 3 || n <= n_voters / 2)
		return 0;
	*ms = sorted[n / 2];
	return 1;
}

int32_t
clocks_off(
    const struct clocks *c, const struct raft *r, raft_id self, raft_id id)
{
	const struct raft_member *m = raft_member(r, id);
	int32_t middle, ms;
	int64_t off;

	if (!m || !median(c, r, self, &middle) || !ahead(c, m, self, &ms))
		return 0;
	off = (int64_t)ms - middle;
	if (off > INT32_MAX)
		off = INT32_MAX;
	if (off < -INT32_MAX)
		off = -INT32_MAX;
	return off > CLOCKS_OFF_MS || off < -CLOCKS_OFF_MS ? (int32_t)off : 0;
}

int32_t
clocks_offset(const struct clocks *c)
{
	int32_t sorted[CLOCKS_MAX + 1] = {0}, middle;
	uint32_t n = 1;

	for (uint32_t i = 0; i < c->n; i++, n++) {
		uint32_t at = n;

		for (; at > 0 && sorted[at - 1] > c->at[i].ahead_ms; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = c->at[i].ahead_ms;
	}
	middle = sorted[n / 2];
	return middle == INT32_MIN ? INT32_MAX : -middle;
}

raft_id
clocks_heir(const struct clocks *c, const struct raft *r, raft_id self)
{
	const struct raft_members *m = raft_members(r);
	int32_t ms;

	for (uint32_t i = 0; i < m->n; i++) {
		const struct raft_member *p = &m->at[i];

		if (p->id != self && p->voter && ahead(c, p, self, &ms) &&
		    !clocks_off(c, r, self, p->id) && raft_caught_up(r, p->id))
			return p->id;
	}
	return 0;
}
