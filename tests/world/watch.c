/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* watch - what must be true of rings, whenever a node goes by another one. */
#include "ring/plan.h"
#include "ring/targets.h"
#include "src/base/assert.h"
#include "src/base/hash.h"
#include "src/base/mem.h"
#include "tests/world/rings.h"

#define WANTED_US 15000000

void
rings_name(uint32_t slot, char out[RINGS_NAME_BYTES])
{
	snprintf(out, RINGS_NAME_BYTES, "n%u@127.0.0.1", slot + 1);
}

static uint64_t
hash_of(const struct ring *r, struct ring **copy)
{
	struct buf b;
	uint64_t h;

	buf_init(&b, RING_ENCODED_MAX);
	ring_encode(r, &b);
	ASSERT(!buf_error(&b));
	h = hash64(b.p, b.n, 1) | 1;
	if (copy && ring_decode(buf_slice(&b), copy))
		ASSERT_UNREACHED();
	buf_deinit(&b);
	return h;
}

static uint64_t *
slot_of(struct rings *rs, uint64_t epoch)
{
	if (epoch >= rs->n_hashes) {
		uint64_t n = epoch + 256;

		rs->hashes = mem_realloc(rs->hashes, n * sizeof(*rs->hashes));
		ASSERT(rs->hashes);
		memset(rs->hashes + rs->n_hashes, 0,
		    (n - rs->n_hashes) * sizeof(*rs->hashes));
		rs->n_hashes = n;
	}
	return &rs->hashes[epoch];
}

/* --- groups -----------------------------------------------------------------
 */

static const struct node *
node_of(const struct world *w, const uint8_t id[16])
{
	for (uint32_t i = 0; i < w->n_nodes; i++)
		if (memcmp(w->nodes[i].id, id, 16) == 0)
			return &w->nodes[i];
	return NULL;
}

/* As G has it, the voters of a group are the N members AT of R. */
static int
is_at(const struct store_group *g, const struct ring *r, const uint16_t *at,
    uint32_t n)
{
	uint32_t voters = 0;

	for (uint32_t i = 0; i < g->members.n; i++)
		voters += g->members.at[i].voter != 0;
	for (uint32_t i = 0; i < n; i++)
		if (groups_standing(g, r->members[at[i]].id) != 2)
			return 0;
	return voters == n;
}

/* Somebody knows that group G is where R wants it, or all who could know are
 * away. */
static int
may_have_arrived(const struct world *w, const struct ring *r, uint16_t g)
{
	uint16_t at[RING_COPIES_MAX];
	uint32_t n = ring_targets(r, g, at), n_up = 0;

	for (uint32_t i = 0; i < n; i++) {
		const struct node *node = node_of(w, r->members[at[i]].id);
		struct store_group sg;

		if (!node || !node->store ||
		    memcmp(node->identity.cluster_id, w->cluster, 16) != 0)
			continue;
		n_up++;
		store_group(node->store, g, &sg);
		if (sg.here && is_at(&sg, r, at, n))
			return 1;
	}
	return n_up < n / 2 + 1;
}

/* NOW follows OLD, and nobody has gone by it yet. */
static void
check_step(struct node *n, const struct ring *old, const struct ring *now)
{
	struct world *w = n->world;

	for (uint16_t g = 0; g < now->q; g++) {
		const struct ring_member *was = &old->members[old->owners[g]];
		const struct ring_member *is = &now->members[now->owners[g]];

		if (memcmp(was->id, is->id, 16) == 0 ||
		    ring_find(now, was->id) == RING_NOBODY)
			continue; /* by force, it went over at once */
		if (!may_have_arrived(w, now, g))
			world_fail(w,
			    "the owner of slot %u changes with epoch %llu, "
			    "and its group has not arrived",
			    g, (unsigned long long)now->epoch);
	}
}

/* Who has left in order has no replica that counts. */
static void
check_gone(struct world *w, const struct ring *old, const struct ring *now)
{
	for (uint16_t i = 0; i < old->n_members; i++) {
		const struct ring_member *m = &old->members[i];

		if (m->state != RING_EXITING ||
		    ring_find(now, m->id) != RING_NOBODY)
			continue;
		for (uint32_t g = 0; g < w->n_logs; g++) {
			struct node *n = groups_leader(w, g);
			struct store_group sg;

			if (!n)
				continue;
			store_group(n->store, g, &sg);
			if (!sg.ready || groups_standing(&sg, m->id) != 2)
				continue;
			groups_describe(w);
			world_fail(w, "%s is let go while it votes in group %u",
			    m->name, g);
		}
	}
}

/* How many copies a group has by the newest ring. */
static uint32_t
n_copies(const struct ring *r)
{
	uint32_t n = ring_claimants(r);

	return n < r->n_copies ? n : r->n_copies;
}

/* A leader takes no vote that the ring it goes by wants, before others have
 * come in its place. */
static void
check_led(struct node *n, uint32_t group, const struct store_group *g,
    uint32_t voters)
{
	const struct ring *r = cluster_ring(core_cluster(n->core));
	struct led *was = &n->world->rings->led[group];
	struct led now = {n->slot, n->life, g->term, r->epoch, voters};

	if (was->slot == now.slot && was->life == now.life &&
	    was->term == now.term && was->epoch == now.epoch &&
	    voters < was->voters && voters < n_copies(r))
		world_fail(n->world,
		    "node %u takes votes from group %u: %u of %u are left, and "
		    "its ring wants %u",
		    n->slot, group, voters, was->voters, n_copies(r));
	*was = now;
}

/* A group has fewer voters than before only if a ring wanted no more just now. */
void
process_check(struct node *n)
{
	struct world *w = n->world;
	struct rings *rs = w->rings;
	uint32_t group = (uint32_t)(w->counts.steps % RINGS_Q), voters = 0;
	struct store_group g;
	uint8_t *before = &rs->voters[group];

	if (!rs->newest || !process_serves(n))
		return;
	rs->wanted_us[n_copies(rs->newest)] = w->now_us;
	store_group(n->store, group, &g);
	if (!g.leads || !g.ready)
		return;
	for (uint32_t i = 0; i < g.members.n; i++)
		voters += g.members.at[i].voter != 0;
	check_led(n, group, &g, voters);
	if (g.commit != g.last)
		return; /* what is not committed may be lost */
	for (uint32_t i = 1; i <= voters && i < RINGS_COPIES; i++)
		if (rs->wanted_us[i] &&
		    rs->wanted_us[i] + WANTED_US > w->now_us)
			*before = (uint8_t)voters;
	if (voters < *before)
		world_fail(w, "group %u has %u voters, and had %u", group,
		    voters, *before);
	*before = (uint8_t)voters;
}

void
rings_saw(struct node *n, struct ring *ring)
{
	struct world *w = n->world;
	struct rings *rs = w->rings;
	uint64_t *seen = slot_of(rs, ring->epoch), hash = hash_of(ring, NULL);

	if (memcmp(ring->cluster_id, w->cluster, 16) != 0)
		return;
	world_trace(w,
	    "node %u goes by ring %llu: %u members, %u staged, %u "
	    "slots pending",
	    n->slot, (unsigned long long)ring->epoch, ring->n_members,
	    ring->n_staged, ring_pending(ring));
	world_note(w, ring->epoch);
	if (*seen && *seen != hash)
		world_fail(w, "node %u has another ring of epoch %llu", n->slot,
		    (unsigned long long)ring->epoch);
	*seen = hash;
	if (rs->newest && ring->epoch <= rs->newest->epoch)
		return;
	if (rs->newest && ring->epoch == rs->newest->epoch + 1) {
		check_step(n, rs->newest, ring);
		check_gone(w, rs->newest, ring);
	}
	ring_unref(rs->newest);
	hash_of(ring, &rs->newest);
}

/* --- placements --------------------------------------------------------------
 */

static int
is_placed(struct world *w, uint32_t group)
{
	const struct ring *r = w->rings->newest;
	struct node *n = groups_leader(w, group);
	uint16_t at[RING_COPIES_MAX];
	struct store_group g;
	uint32_t n_at, n_members;

	if (!n)
		return 0;
	n_at = group < r->q ? ring_targets(r, (uint16_t)group, at)
			    : ring_root_voters(r, at);
	n_members = group < r->q ? n_at : r->n_members;
	store_group(n->store, group, &g);
	return g.ready && g.members.n == n_members && is_at(&g, r, at, n_at);
}

int
rings_are_placed(struct world *w)
{
	for (uint32_t g = 0; g <= RINGS_Q; g++)
		if (!is_placed(w, g))
			return 0;
	return 1;
}

void
rings_free(struct world *w)
{
	struct rings *rs = w->rings;

	ring_unref(rs->newest);
	mem_free(rs->hashes);
	w->rings = mem_free(rs);
}
