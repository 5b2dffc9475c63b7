/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * ring - who should hold which slot.
 *
 * Encoding, MessagePack, format 1; an array of 12:
 *
 *	 0  format = 1
 *	 1  bin 16     cluster id
 *	 2  uint       epoch >= 1
 *	 3  uint       Q, a power of two, 8..1024
 *	 4  uint       N, 1..5
 *	 5  uint       version of the hash = 1
 *	 6  array      members, by id: [bin 16 id, str name, str address, state]
 *	 7  array Q    owners: places in 6
 *	 8  array Q    next owners
 *	 9  array      staged: [kind, member, with | nil]
 *	10  bin 16 | nil  plan id
 *	11  nil        room
 *
 * Equal rings have equal bytes, so the SHA-256 of them is the ring's hash.  A
 * program that meets another format or hash version stops; it cannot know where
 * a stream lies.
 */
#include "ring/ring_impl.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/base/pack.h"

#define RING_FORMAT 1
#define RING_FIELDS 12

struct ring *
ring_alloc(uint16_t q, uint32_t n_members, uint32_t n_staged)
{
	struct ring *r = mem_zalloc(sizeof(*r));

	if (!r)
		return NULL;
	atomic_init(&r->refs, 1);
	r->q = q;
	r->members = mem_calloc(n_members, sizeof(*r->members));
	r->owners = mem_calloc(q, sizeof(*r->owners));
	r->next_owners = mem_calloc(q, sizeof(*r->next_owners));
	r->staged = mem_calloc(n_staged + 1, sizeof(*r->staged));
	if (!r->members || !r->owners || !r->next_owners || !r->staged)
		return ring_unref(r);
	r->n_members = (uint16_t)n_members;
	r->n_staged = (uint16_t)n_staged;
	return r;
}

struct ring *
ring_new(const uint8_t cluster_id[RING_ID_BYTES],
    const uint8_t node_id[RING_ID_BYTES], const char *name, uint16_t q,
    uint16_t n_copies)
{
	struct ring *r = ring_alloc(q, 1, 0);

	ASSERT(strlen(name) <= RING_NAME_MAX);
	if (!r)
		return NULL;
	memcpy(r->cluster_id, cluster_id, RING_ID_BYTES);
	r->epoch = 1;
	r->n_copies = n_copies;
	r->hash_version = RING_HASH_VERSION;
	memcpy(r->members[0].id, node_id, RING_ID_BYTES);
	memcpy(r->members[0].name, name, strlen(name) + 1);
	r->members[0].state = RING_VALID;
	return r;
}

struct ring *
ring_ref(struct ring *r)
{
	atomic_fetch_add(&r->refs, 1);
	return r;
}

struct ring *
ring_unref(struct ring *r)
{
	if (!r || atomic_fetch_sub(&r->refs, 1) != 1)
		return NULL;
	mem_free(r->members);
	mem_free(r->owners);
	mem_free(r->next_owners);
	mem_free(r->staged);
	return mem_free(r);
}

uint16_t
ring_find(const struct ring *r, const uint8_t id[RING_ID_BYTES])
{
	for (uint16_t i = 0; i < r->n_members; i++)
		if (memcmp(r->members[i].id, id, RING_ID_BYTES) == 0)
			return i;
	return RING_NOBODY;
}

static uint16_t
find_name(const struct ring *r, const char *name, int joining)
{
	for (uint16_t i = 0; i < r->n_members; i++)
		if ((r->members[i].state == RING_JOINING) == joining &&
		    strcmp(r->members[i].name, name) == 0)
			return i;
	return RING_NOBODY;
}

uint16_t
ring_named(const struct ring *r, const char *name)
{
	uint16_t at = find_name(r, name, 0);

	return at == RING_NOBODY ? find_name(r, name, 1) : at;
}

uint16_t
ring_joining(const struct ring *r, const char *name)
{
	return find_name(r, name, 1);
}

int
ring_member_may_own(const struct ring_member *m)
{
	return m->state == RING_VALID || m->state == RING_DOWN;
}

uint32_t
ring_replicas(const struct ring *r, const uint16_t *owners, uint16_t g,
    uint16_t out[RING_COPIES_MAX])
{
	uint32_t n = 0;

	ASSERT(g < r->q && r->n_copies <= RING_COPIES_MAX);
	for (uint32_t i = 0; i < r->q && n < r->n_copies; i++) {
		uint16_t owner = owners[(g + i) & (r->q - 1u)];
		uint32_t k = 0;

		while (k < n && out[k] != owner)
			k++;
		if (k == n)
			out[n++] = owner;
	}
	return n;
}

/* --- encoding ------------------------------------------------------------- */

void
ring_encode_owners(struct buf *b, const uint16_t *owners, uint16_t q)
{
	pack_array(b, q);
	for (uint16_t i = 0; i < q; i++)
		pack_uint(b, owners[i]);
}

void
ring_encode_staged(const struct ring *r, struct buf *b)
{
	pack_array(b, r->n_staged);
	for (uint16_t i = 0; i < r->n_staged; i++) {
		const struct ring_change *c = &r->staged[i];

		pack_array(b, 3);
		pack_uint(b, c->kind);
		pack_uint(b, c->member);
		if (c->with == RING_NOBODY)
			pack_nil(b);
		else
			pack_uint(b, c->with);
	}
}

void
ring_encode(const struct ring *r, struct buf *b)
{
	pack_array(b, RING_FIELDS);
	pack_uint(b, RING_FORMAT);
	pack_bin(b, SLICE(r->cluster_id, RING_ID_BYTES));
	pack_uint(b, r->epoch);
	pack_uint(b, r->q);
	pack_uint(b, r->n_copies);
	pack_uint(b, r->hash_version);
	pack_array(b, r->n_members);
	for (uint16_t i = 0; i < r->n_members; i++) {
		const struct ring_member *m = &r->members[i];

		pack_array(b, 4);
		pack_bin(b, SLICE(m->id, RING_ID_BYTES));
		pack_str(b, SLICE_STR(m->name));
		pack_str(b, SLICE_STR(m->address));
		pack_uint(b, m->state);
	}
	ring_encode_owners(b, r->owners, r->q);
	ring_encode_owners(b, r->next_owners, r->q);
	ring_encode_staged(r, b);
	if (r->has_plan)
		pack_bin(b, SLICE(r->plan_id, RING_ID_BYTES));
	else
		pack_nil(b);
	pack_nil(b);
}

/* --- decoding ------------------------------------------------------------- */

static void
decode_text(struct unpack *u, char out[RING_NAME_MAX + 1], size_t min)
{
	struct slice s = unpack_str(u, min, RING_NAME_MAX);

	if (s.n && memchr(s.p, '\0', s.n))
		u->error = -ERR_FORMAT;
	else if (s.n)
		memcpy(out, s.p, s.n);
}

static void
decode_members(struct unpack *u, struct ring *r)
{
	for (uint16_t i = 0; i < r->n_members && !u->error; i++) {
		struct ring_member *m = &r->members[i];
		struct slice id;

		unpack_array(u, 4, 4);
		id = unpack_bin(u, RING_ID_BYTES, RING_ID_BYTES);
		if (id.n)
			memcpy(m->id, id.p, RING_ID_BYTES);
		decode_text(u, m->name, 1);
		decode_text(u, m->address, 0);
		m->state = (enum ring_state)unpack_uint(u, RING_DOWN);
		if (m->state < RING_JOINING ||
		    (i && memcmp(m->id, m[-1].id, RING_ID_BYTES) <= 0))
			u->error = -ERR_FORMAT;
	}
}

static void
decode_owners(struct unpack *u, const struct ring *r, uint16_t *owners)
{
	unpack_array(u, r->q, r->q);
	for (uint16_t i = 0; i < r->q && !u->error; i++)
		owners[i] = (uint16_t)unpack_uint(u, r->n_members - 1u);
}

static void
decode_staged(struct unpack *u, struct ring *r)
{
	for (uint16_t i = 0; i < r->n_staged && !u->error; i++) {
		struct ring_change *c = &r->staged[i];

		unpack_array(u, 3, 3);
		c->kind =
		    (enum ring_change_kind)unpack_uint(u, RING_FORCE_REPLACE);
		c->member = (uint16_t)unpack_uint(u, r->n_members - 1u);
		c->with = unpack_nil(u)
			      ? RING_NOBODY
			      : (uint16_t)unpack_uint(u, r->n_members - 1u);
		if (c->kind < RING_JOIN ||
		    (c->kind >= RING_REPLACE) != (c->with != RING_NOBODY))
			u->error = -ERR_FORMAT;
	}
}

/* The fields before the members; R has nothing allocated yet. */
static void
decode_head(struct unpack *u, struct ring *r)
{
	struct slice id;

	unpack_array(u, RING_FIELDS, RING_FIELDS);
	if (unpack_uint(u, RING_FORMAT) != RING_FORMAT)
		u->error = -ERR_FORMAT;
	id = unpack_bin(u, RING_ID_BYTES, RING_ID_BYTES);
	if (id.n)
		memcpy(r->cluster_id, id.p, RING_ID_BYTES);
	r->epoch = unpack_uint(u, UINT64_MAX);
	r->q = (uint16_t)unpack_uint(u, RING_SIZE_MAX);
	r->n_copies = (uint16_t)unpack_uint(u, RING_COPIES_MAX);
	r->hash_version = (uint16_t)unpack_uint(u, UINT16_MAX);
	r->n_members = (uint16_t)unpack_array(u, 1, RING_MEMBERS_MAX);
	if (r->epoch == 0 || r->q < RING_SIZE_MIN || (r->q & (r->q - 1)) ||
	    r->n_copies == 0 || r->hash_version != RING_HASH_VERSION)
		u->error = -ERR_FORMAT;
}

static void
decode_rest(struct unpack *u, struct ring *r)
{
	struct slice plan;

	decode_members(u, r);
	decode_owners(u, r, r->owners);
	decode_owners(u, r, r->next_owners);
	r->n_staged = (uint16_t)unpack_array(u, 0, r->n_staged);
	decode_staged(u, r);
	r->has_plan = !unpack_nil(u);
	plan = r->has_plan ? unpack_bin(u, RING_ID_BYTES, RING_ID_BYTES)
			   : SLICE(NULL, 0);
	if (plan.n)
		memcpy(r->plan_id, plan.p, RING_ID_BYTES);
	if (!unpack_nil(u))
		u->error = -ERR_FORMAT;
}

int
ring_decode(struct slice in, struct ring **out)
{
	struct ring head = {0}, *r;
	struct unpack u;

	unpack_init(&u, in);
	decode_head(&u, &head);
	if (u.error)
		return u.error;
	r = ring_alloc(head.q, head.n_members, RING_MEMBERS_MAX);
	if (!r)
		return -ERR_NOMEM;
	memcpy(r->cluster_id, head.cluster_id, RING_ID_BYTES);
	r->epoch = head.epoch;
	r->n_copies = head.n_copies;
	r->hash_version = head.hash_version;
	decode_rest(&u, r);
	if (u.error == 0)
		unpack_end(&u);
	if (u.error == 0 && !ring_is_possible(r))
		u.error = -ERR_FORMAT;
	if (u.error) {
		ring_unref(r);
		return u.error;
	}
	*out = r;
	return 0;
}
