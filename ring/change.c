/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * change - what operators and nodes ask of the ring's members.
 *
 * The checks, and their order, are those of Riak's riak_core_claimant; beyond
 * them, nothing may be staged that leaves no member to own a slot.
 */
#include "ring/change.h"

#include "ring/ring_impl.h"
#include "src/base/assert.h"

/* Every pointer that a change may hand out goes through here. */
static enum ring_refusal
give(struct ring *r, struct ring **out)
{
	if (!r)
		return RING_NO_MEMORY;
	*out = r;
	return RING_OK;
}

/*
 * A member whose name joins under another id cannot stay: the joining one takes
 * its place, or, when it does something else, the member is removed.
 */
static void
settle_names(struct ring *r)
{
	for (uint16_t y = 0; y < r->n_members; y++) {
		uint16_t x = ring_named(r, r->members[y].name);
		const struct ring_change *own, *c;
		struct ring_change force = {RING_REMOVE, x, RING_NOBODY};

		if (r->members[y].state != RING_JOINING || x == y)
			continue;
		c = ring_staged(r, x);
		if (c && ring_is_forced(c))
			continue;
		ring_unstage(r, x);
		own = ring_staged(r, y);
		if (own && own->kind == RING_JOIN) {
			ring_unstage(r, y);
			force.kind = RING_FORCE_REPLACE;
			force.with = y;
		}
		ring_stage(r, force);
	}
}

/* Its name joins anew. */
static int
is_followed(const struct ring *r, uint16_t member)
{
	uint16_t y = ring_joining(r, r->members[member].name);

	return y != RING_NOBODY && y != member;
}

static void
set_text(char out[RING_NAME_MAX + 1], const char *text)
{
	ASSERT(strlen(text) <= RING_NAME_MAX);
	memset(out, 0, RING_NAME_MAX + 1);
	memcpy(out, text, strlen(text));
}

static enum ring_refusal
join_again(const struct ring *now, uint16_t member, const char *name,
    const char *address, struct ring **out)
{
	const struct ring_member *m = &now->members[member];
	struct ring *r;

	if (m->state != RING_JOINING || strcmp(m->name, name) != 0)
		return RING_ALREADY_MEMBER;
	if (strcmp(m->address, address) == 0)
		return RING_SAME;
	r = ring_copy(now);
	if (r)
		set_text(r->members[member].address, address);
	return give(r, out);
}

enum ring_refusal
ring_stage_join(const struct ring *now, const uint8_t id[RING_ID_BYTES],
    const char *name, const char *address, struct ring **out, int *known)
{
	uint16_t there = ring_find(now, id), old = ring_joining(now, name);
	uint16_t holder = ring_named(now, name);
	struct ring_member m = {.state = RING_JOINING};
	struct ring_change c = {RING_JOIN, 0, RING_NOBODY};
	struct ring *r;

	*known = holder != RING_NOBODY && holder != old;
	if (there != RING_NOBODY)
		return join_again(now, there, name, address, out);
	if (now->n_members == RING_MEMBERS_MAX && old == RING_NOBODY)
		return RING_TOO_MANY;
	r = ring_copy(now);
	if (!r)
		return RING_NO_MEMORY;
	if (old != RING_NOBODY)
		ring_drop_member(r, old);
	memcpy(m.id, id, RING_ID_BYTES);
	set_text(m.name, name);
	set_text(m.address, address);
	c.member = ring_add_member(r, &m);
	ring_stage(r, c);
	settle_names(r);
	return give(r, out);
}

/* KIND takes the place of what is staged for MEMBER. */
static enum ring_refusal
stage_end(const struct ring *now, uint16_t member, enum ring_change_kind kind,
    struct ring **out)
{
	const struct ring_change *c = ring_staged(now, member);
	struct ring *r;

	if (c && c->kind == kind)
		return RING_SAME;
	r = ring_copy(now);
	if (!r)
		return RING_NO_MEMORY;
	ring_unstage(r, member);
	ring_stage(r, (struct ring_change){kind, member, RING_NOBODY});
	settle_names(r);
	if (!ring_keeps_somebody(r)) {
		ring_unref(r);
		return RING_ONLY_MEMBER;
	}
	return give(r, out);
}

enum ring_refusal
ring_stage_leave(const struct ring *now, const char *name, struct ring **out)
{
	uint16_t member = ring_named(now, name);
	enum ring_state state;

	if (member == RING_NOBODY)
		return RING_NOT_MEMBER;
	if (now->n_members == 1)
		return RING_ONLY_MEMBER;
	state = now->members[member].state;
	if ((state != RING_VALID && state != RING_JOINING) ||
	    is_followed(now, member))
		return RING_ALREADY_LEAVING;
	return stage_end(now, member, RING_LEAVE, out);
}

enum ring_refusal
ring_stage_remove(const struct ring *now, const char *name, struct ring **out)
{
	uint16_t member = ring_named(now, name);

	if (member == RING_NOBODY)
		return RING_NOT_MEMBER;
	if (now->n_members == 1)
		return RING_ONLY_MEMBER;
	return stage_end(now, member, RING_REMOVE, out);
}

enum ring_refusal
ring_stage_replace(const struct ring *now, const char *name, const char *with,
    int force, struct ring **out)
{
	enum ring_change_kind kind = force ? RING_FORCE_REPLACE : RING_REPLACE;
	uint16_t x = ring_named(now, name), y = ring_joining(now, with);
	const struct ring_change *own, *other;
	enum ring_state state;
	struct ring *r;

	if (x == RING_NOBODY || now->members[x].state == RING_JOINING)
		return RING_NOT_MEMBER;
	state = now->members[x].state;
	if (!force && (state == RING_LEAVING || state == RING_EXITING ||
			  is_followed(now, x)))
		return RING_ALREADY_LEAVING;
	if (y == RING_NOBODY)
		return RING_INVALID_REPLACEMENT;
	own = ring_staged(now, y);
	other = ring_staged_with(now, y);
	if (other && other->member != x)
		return RING_ALREADY_REPLACEMENT;
	if (own && own->kind != RING_JOIN)
		return RING_INVALID_REPLACEMENT;
	if (other && other->kind == kind)
		return RING_SAME;
	r = ring_copy(now);
	if (!r)
		return RING_NO_MEMORY;
	ring_unstage(r, x);
	ring_unstage(r, y);
	ring_stage(r, (struct ring_change){kind, x, y});
	settle_names(r);
	return give(r, out);
}

enum ring_refusal
ring_clear(const struct ring *now, struct ring **out)
{
	struct ring *r;

	if (now->n_staged == 0 && !now->has_plan)
		return RING_SAME;
	r = ring_copy(now);
	if (!r)
		return RING_NO_MEMORY;
	for (uint16_t i = r->n_members; i-- > 0;)
		if (r->members[i].state == RING_JOINING)
			ring_drop_member(r, i);
	r->n_staged = 0;
	ring_forget_plan(r);
	return give(r, out);
}

enum ring_refusal
ring_mark_down(
    const struct ring *now, const char *name, int up, struct ring **out)
{
	uint16_t member = ring_named(now, name);
	struct ring *r;

	if (member == RING_NOBODY || now->members[member].state == RING_JOINING)
		return RING_NOT_MEMBER;
	if (up)
		return RING_IS_UP;
	if (now->n_members == 1)
		return RING_ONLY_MEMBER;
	if (now->members[member].state == RING_DOWN)
		return RING_SAME;
	if (now->members[member].state != RING_VALID)
		return RING_ALREADY_LEAVING;
	r = ring_copy(now);
	if (r)
		r->members[member].state = RING_DOWN;
	return give(r, out);
}

enum ring_refusal
ring_returned(const struct ring *now, const uint8_t id[RING_ID_BYTES],
    const char *address, struct ring **out)
{
	uint16_t member = ring_find(now, id);
	const struct ring_member *m;
	struct ring *r;

	if (member == RING_NOBODY)
		return RING_NOT_MEMBER;
	m = &now->members[member];
	if (m->state != RING_DOWN && strcmp(m->address, address) == 0)
		return RING_SAME;
	r = ring_copy(now);
	if (!r)
		return RING_NO_MEMORY;
	set_text(r->members[member].address, address);
	if (r->members[member].state == RING_DOWN)
		r->members[member].state = RING_VALID;
	return give(r, out);
}
