/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * edit - a new ring out of an old one.
 *
 * Members stay sorted by id and changes by name, so places shift when a member
 * comes or goes; everything that holds a place is shifted with them here.
 */
#include "ring/ring_impl.h"

#include "src/base/assert.h"
#include "src/base/mem.h"

struct ring *
ring_copy(const struct ring *now)
{
	uint32_t room = now->n_members + 1u;
	struct ring *r = ring_alloc(now->q, room, room);

	if (!r)
		return NULL;
	memcpy(r->cluster_id, now->cluster_id, RING_ID_BYTES);
	r->epoch = now->epoch + 1;
	r->n_copies = now->n_copies;
	r->hash_version = now->hash_version;
	r->n_members = now->n_members;
	r->n_staged = now->n_staged;
	r->has_plan = now->has_plan;
	memcpy(r->plan_id, now->plan_id, RING_ID_BYTES);
	memcpy(r->members, now->members, now->n_members * sizeof(*r->members));
	memcpy(r->owners, now->owners, now->q * sizeof(*r->owners));
	memcpy(
	    r->next_owners, now->next_owners, now->q * sizeof(*r->next_owners));
	memcpy(r->staged, now->staged, now->n_staged * sizeof(*r->staged));
	return r;
}

int
ring_compare(const struct ring *r, uint16_t a, uint16_t b)
{
	int c = strcmp(r->members[a].name, r->members[b].name);

	return c ? c : (int)a - (int)b;
}

/* Every place from FROM on moves by BY; RING_NOBODY stays. */
static void
shift(struct ring *r, uint16_t from, int by)
{
	for (uint32_t g = 0; g < r->q; g++) {
		if (r->owners[g] >= from)
			r->owners[g] = (uint16_t)(r->owners[g] + by);
		if (r->next_owners[g] >= from)
			r->next_owners[g] = (uint16_t)(r->next_owners[g] + by);
	}
	for (uint16_t i = 0; i < r->n_staged; i++) {
		struct ring_change *c = &r->staged[i];

		if (c->member >= from)
			c->member = (uint16_t)(c->member + by);
		if (c->with >= from && c->with != RING_NOBODY)
			c->with = (uint16_t)(c->with + by);
	}
}

uint16_t
ring_add_member(struct ring *r, const struct ring_member *m)
{
	uint16_t at = 0;

	ASSERT(r->n_members < RING_MEMBERS_MAX);
	while (at < r->n_members &&
	       memcmp(r->members[at].id, m->id, RING_ID_BYTES) < 0)
		at++;
	ASSERT(at == r->n_members ||
	       memcmp(r->members[at].id, m->id, RING_ID_BYTES) != 0);
	shift(r, at, 1);
	memmove(&r->members[at + 1], &r->members[at],
	    (size_t)(r->n_members - at) * sizeof(*m));
	r->members[at] = *m;
	r->n_members++;
	return at;
}

void
ring_drop_member(struct ring *r, uint16_t member)
{
	ring_unstage(r, member);
	for (uint32_t g = 0; g < r->q; g++)
		ASSERT(r->owners[g] != member && r->next_owners[g] != member);
	r->n_members--;
	memmove(&r->members[member], &r->members[member + 1],
	    (size_t)(r->n_members - member) * sizeof(*r->members));
	shift(r, member, -1);
}

/* --- what is staged ------------------------------------------------------- */

struct ring_change *
ring_staged(const struct ring *r, uint16_t member)
{
	for (uint16_t i = 0; i < r->n_staged; i++)
		if (r->staged[i].member == member)
			return &r->staged[i];
	return NULL;
}

struct ring_change *
ring_staged_with(const struct ring *r, uint16_t member)
{
	for (uint16_t i = 0; i < r->n_staged; i++)
		if (r->staged[i].with == member)
			return &r->staged[i];
	return NULL;
}

void
ring_stage(struct ring *r, struct ring_change c)
{
	uint16_t at = 0;

	ASSERT(!ring_staged(r, c.member) && !ring_staged_with(r, c.member));
	while (at < r->n_staged &&
	       ring_compare(r, r->staged[at].member, c.member) < 0)
		at++;
	memmove(&r->staged[at + 1], &r->staged[at],
	    (size_t)(r->n_staged - at) * sizeof(c));
	r->staged[at] = c;
	r->n_staged++;
}

static void
remove_change(struct ring *r, const struct ring_change *c)
{
	size_t at = (size_t)(c - r->staged);

	r->n_staged--;
	memmove(&r->staged[at], &r->staged[at + 1],
	    (r->n_staged - at) * sizeof(*c));
}

void
ring_unstage(struct ring *r, uint16_t member)
{
	struct ring_change *c = ring_staged(r, member);
	uint16_t with = c ? c->with : RING_NOBODY;

	if (c)
		remove_change(r, c);
	c = ring_staged_with(r, member);
	if (c)
		remove_change(r, c);
	if (with != RING_NOBODY)
		ring_stage(
		    r, (struct ring_change){RING_JOIN, with, RING_NOBODY});
}

void
ring_forget_plan(struct ring *r)
{
	r->has_plan = 0;
	memset(r->plan_id, 0, RING_ID_BYTES);
}

int
ring_is_forced(const struct ring_change *c)
{
	return c->kind == RING_REMOVE || c->kind == RING_FORCE_REPLACE;
}
