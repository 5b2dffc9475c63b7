/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * plan - from what is staged to who owns what.
 *
 * The id of a plan is SHA-256 over these bytes, of which the ring keeps 16 and
 * people see 4.  MessagePack, an array of 4:
 *
 *	0  array    members, joining ones too, by id: [bin 16 id, str name]
 *	1  array    staged, by name: [kind, member, with | nil]
 *	2  array Q  next owners now
 *	3  array Q  next owners after commit
 *
 * with members as places in 0.  States are left out on purpose: a transition
 * that ends, or a member that is marked down, does not change what would move.
 */
#include "ring/plan.h"

#include "ring/claim.h"
#include "ring/hash.h"
#include "ring/ring_impl.h"
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/base/pack.h"

/* Room for members of one ring, in the order of names. */
struct by_name {
	uint16_t n;
	uint16_t at[RING_MEMBERS_MAX];   /* places, sorted */
	uint16_t rank[RING_MEMBERS_MAX]; /* of a place; RING_NOBODY: not in */
};

/* Who may own slots once all that is staged in R is done. */
static void
claimants_after(const struct ring *r, struct by_name *out)
{
	out->n = 0;
	for (uint16_t i = 0; i < r->n_members; i++) {
		const struct ring_change *c = ring_staged(r, i);
		uint16_t at = out->n;

		out->rank[i] = RING_NOBODY;
		if ((!ring_member_may_own(&r->members[i]) &&
			r->members[i].state != RING_JOINING) ||
		    (c && c->kind != RING_JOIN))
			continue;
		while (at > 0 && ring_compare(r, i, out->at[at - 1]) < 0) {
			out->at[at] = out->at[at - 1];
			at--;
		}
		out->at[at] = i;
		out->n++;
	}
	for (uint16_t k = 0; k < out->n; k++)
		out->rank[out->at[k]] = k;
}

/* next_owners after commit, as places in NOW; 0 or -ERR_NOMEM. */
static int
owners_after(const struct ring *now, uint16_t *out)
{
	struct by_name who;
	int r;

	claimants_after(now, &who);
	ASSERT(who.n > 0);
	for (uint32_t g = 0; g < now->q; g++) {
		uint16_t owner = now->next_owners[g];
		const struct ring_change *c = ring_staged(now, owner);

		if (c && c->with != RING_NOBODY)
			owner = c->with;
		out[g] = who.rank[owner];
	}
	r = ring_claim(out, now->q, who.n, now->n_copies, out);
	if (r)
		return r;
	for (uint32_t g = 0; g < now->q; g++)
		out[g] = who.at[out[g]];
	return 0;
}

static int
plan_id(
    const struct ring *now, const uint16_t *after, uint8_t out[RING_ID_BYTES])
{
	uint8_t sum[RING_SHA256_BYTES];
	struct buf b;
	int r;

	buf_init(&b, RING_ENCODED_MAX);
	pack_array(&b, 4);
	pack_array(&b, now->n_members);
	for (uint16_t i = 0; i < now->n_members; i++) {
		pack_array(&b, 2);
		pack_bin(&b, SLICE(now->members[i].id, RING_ID_BYTES));
		pack_str(&b, SLICE_STR(now->members[i].name));
	}
	ring_encode_staged(now, &b);
	ring_encode_owners(&b, now->next_owners, now->q);
	ring_encode_owners(&b, after, now->q);
	r = buf_error(&b) ? buf_error(&b) : ring_digest(buf_slice(&b), sum);
	buf_deinit(&b);
	if (r == 0)
		memcpy(out, sum, RING_ID_BYTES);
	return r;
}

/* --- transitions ---------------------------------------------------------- */

/* Everything has moved: whoever was leaving owns nothing more. */
static void
end_transition(struct ring *r)
{
	if (ring_pending(r))
		return;
	for (uint16_t i = 0; i < r->n_members; i++)
		if (r->members[i].state == RING_LEAVING)
			r->members[i].state = RING_EXITING;
}

static int
is_forced(const struct ring *now, uint16_t member)
{
	const struct ring_change *c = ring_staged(now, member);

	return c && ring_is_forced(c);
}

/* The ring that commit makes of NOW, whose slots go to AFTER. */
static struct ring *
committed(const struct ring *now, const uint16_t *after)
{
	struct ring *r = ring_copy(now);

	if (!r)
		return NULL;
	for (uint32_t g = 0; g < r->q; g++) {
		r->next_owners[g] = after[g];
		if (is_forced(now, r->owners[g]))
			r->owners[g] = after[g];
	}
	r->n_staged = 0;
	ring_forget_plan(r);
	for (uint16_t i = r->n_members; i-- > 0;) {
		const struct ring_change *c = ring_staged(now, i);
		enum ring_state *state = &r->members[i].state;

		if (c && ring_is_forced(c))
			ring_drop_member(r, i);
		else if (c && c->kind != RING_JOIN)
			*state = RING_LEAVING;
		else if (*state == RING_JOINING)
			*state = RING_VALID;
	}
	end_transition(r);
	return r;
}

/* R when all has moved and everyone who leaves is gone. */
static struct ring *
finished(const struct ring *ring)
{
	struct ring *r = ring_copy(ring);

	if (!r)
		return NULL;
	memcpy(r->owners, r->next_owners, r->q * sizeof(*r->owners));
	for (uint16_t i = r->n_members; i-- > 0;)
		if (r->members[i].state == RING_LEAVING ||
		    r->members[i].state == RING_EXITING)
			ring_drop_member(r, i);
	return r;
}

static int
has_leavers(const struct ring *r)
{
	for (uint16_t i = 0; i < r->n_members; i++)
		if (r->members[i].state == RING_LEAVING ||
		    r->members[i].state == RING_EXITING)
			return 1;
	return 0;
}

/* --- plan ----------------------------------------------------------------- */

static int
fill(struct ring_plan *p, struct ring *now)
{
	uint16_t after[RING_SIZE_MAX];
	int r = owners_after(now, after);

	if (r == 0)
		r = plan_id(now, after, p->id);
	if (r)
		return r;
	p->now = ring_ref(now);
	p->at[p->n] = committed(now, after);
	if (!p->at[p->n++])
		return -ERR_NOMEM;
	if (!has_leavers(p->at[0]))
		return 0;
	p->at[p->n] = finished(p->at[0]);
	return p->at[p->n++] ? 0 : -ERR_NOMEM;
}

enum ring_refusal
ring_plan_new(struct ring *now, struct ring_plan **out)
{
	struct ring_plan *p;

	if (now->n_staged == 0)
		return RING_NOTHING_STAGED;
	p = mem_zalloc(sizeof(*p));
	if (!p || fill(p, now)) {
		ring_plan_free(p);
		return RING_NO_MEMORY;
	}
	*out = p;
	return RING_OK;
}

struct ring_plan *
ring_plan_free(struct ring_plan *p)
{
	if (!p)
		return NULL;
	ring_unref(p->now);
	for (uint32_t i = 0; i < p->n; i++)
		ring_unref(p->at[i]);
	return mem_free(p);
}

void
ring_plan_text(const uint8_t id[RING_ID_BYTES], char out[RING_PLAN_TEXT_BYTES])
{
	snprintf(out, RING_PLAN_TEXT_BYTES, "%02x%02x%02x%02x", id[0], id[1],
	    id[2], id[3]);
}

enum ring_refusal
ring_plan_store(
    const struct ring *now, const struct ring_plan *p, struct ring **out)
{
	struct ring *r;

	if (now->has_plan && memcmp(now->plan_id, p->id, RING_ID_BYTES) == 0)
		return RING_SAME;
	r = ring_copy(now);
	if (!r)
		return RING_NO_MEMORY;
	r->has_plan = 1;
	memcpy(r->plan_id, p->id, RING_ID_BYTES);
	*out = r;
	return RING_OK;
}

enum ring_refusal
ring_plan_stored(struct ring *now, const char *text, struct ring_plan **out)
{
	char stored[RING_PLAN_TEXT_BYTES];
	struct ring_plan *p;
	enum ring_refusal no;

	if (!now->has_plan)
		return RING_NOTHING_PLANNED;
	ring_plan_text(now->plan_id, stored);
	if (text && text[0] && strcmp(text, stored) != 0)
		return RING_PLAN_CHANGED;
	no = ring_plan_new(now, &p);
	if (no)
		return no == RING_NOTHING_STAGED ? RING_PLAN_CHANGED : no;
	if (memcmp(p->id, now->plan_id, RING_ID_BYTES) != 0) {
		ring_plan_free(p);
		return RING_PLAN_CHANGED;
	}
	*out = p;
	return RING_OK;
}

enum ring_refusal
ring_commit(struct ring *now, const char *text, struct ring **out)
{
	struct ring_plan *p;
	enum ring_refusal no = ring_plan_stored(now, text, &p);

	if (no)
		return no;
	*out = ring_ref(p->at[0]);
	ring_plan_free(p);
	return RING_OK;
}

/* --- transfers that are done ---------------------------------------------- */

enum ring_refusal
ring_flip(const struct ring *now, const uint16_t *slots, uint32_t n,
    struct ring **out)
{
	struct ring *r = ring_copy(now);
	int changed = 0;

	if (!r)
		return RING_NO_MEMORY;
	for (uint32_t i = 0; i < n; i++) {
		uint16_t g = slots[i];

		ASSERT(g < r->q);
		changed |= r->owners[g] != r->next_owners[g];
		r->owners[g] = r->next_owners[g];
	}
	if (!changed) {
		ring_unref(r);
		return RING_SAME;
	}
	end_transition(r);
	*out = r;
	return RING_OK;
}

enum ring_refusal
ring_removed(
    const struct ring *now, const uint8_t id[RING_ID_BYTES], struct ring **out)
{
	uint16_t member = ring_find(now, id);
	struct ring *r;

	if (member == RING_NOBODY || now->members[member].state != RING_EXITING)
		return RING_NOT_MEMBER;
	r = ring_copy(now);
	if (!r)
		return RING_NO_MEMORY;
	ring_drop_member(r, member);
	if (r->n_staged == 0)
		ring_forget_plan(r);
	*out = r;
	return RING_OK;
}
