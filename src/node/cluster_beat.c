/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * cluster_beat - what members tell each other ten times a second, and what the
 * claimant makes of it.
 *
 * Format 1, little endian; cluster, sender and receiver stand in the seal.
 *
 *	beat	 0  u32  magic "IOHB"
 *		 4  u16  format = 1, u16 flags: 1 leads the root
 *		 8  u64  epoch of the ring in use
 *		16  [32] its hash
 *		48  u64  term of the root group there
 *		56  u16  slots Q, u16 0, u32 0
 *		64       Q bits: groups that the sender leads and that are where
 *			 that ring wants them
 *
 *	ring	 0  u32  magic "IOHR", u16 format = 1, u16 0
 *		 8       a ring (ring.c)
 *
 * A ring that comes this way was committed: nothing else is in use anywhere.  A
 * beat that is lost or late changes nothing; one that lies about a group flips
 * its owner early, which misleads people, not data: the group's own
 * configuration says who holds it.
 */
#include "src/node/cluster_impl.h"

#include "ring/plan.h"
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"

#define BEAT_MAGIC  0x42484f49u /* "IOHB" */
#define RING_MAGIC  0x52484f49u /* "IOHR" */
#define BEAT_FORMAT 1
#define BEAT_BYTES  64
#define RING_HEAD   8
#define FLAG_LEADS  1
#define PUSH_US     500000 /* the same member is sent a ring at most so often */

int
cluster_is_frame(struct slice bytes)
{
	uint32_t magic = bytes.n >= RING_HEAD ? le_get32(bytes.p) : 0;

	return (magic == BEAT_MAGIC || magic == RING_MAGIC) &&
	       le_get16(bytes.p + 4) == BEAT_FORMAT;
}

struct member_beat *
beats_of(const struct cluster *c, const struct ring *new)
{
	struct member_beat *beats = mem_calloc(new->n_members, sizeof(*beats));

	for (uint16_t i = 0; beats && i < new->n_members; i++) {
		uint16_t old = c->beats ? ring_find(c->ring, new->members[i].id)
					: RING_NOBODY;

		if (old != RING_NOBODY)
			beats[i] = c->beats[old];
		memcpy(beats[i].id, new->members[i].id, 16);
	}
	return beats;
}

/* --- sending -------------------------------------------------------------- */

static int
is_self(const struct cluster *c, const uint8_t id[16])
{
	return memcmp(id, c->config.identity->node_id, 16) == 0;
}

static void
say(struct cluster *c, const uint8_t node[16], const struct iovec *iov, int n)
{
	const struct env_net *net = &c->env->net;

	if (net->send)
		net->send(net->ctx, 0, node, NET_CONTROL, iov, n);
}

/* Groups led here that are where the ring wants them. */
static void
find_placed(const struct cluster *c, uint8_t *bits)
{
	for (uint32_t g = 0; g < c->ring->q; g++)
		if (store_placed(*c->config.store, g) >= c->targets_since)
			bits[g / 8] |= (uint8_t)(1u << g % 8);
}

static void
send_beats(struct cluster *c)
{
	uint8_t out[BEAT_BYTES + RING_SIZE_MAX / 8] = {0}, *p = out;
	struct iovec iov = {out, BEAT_BYTES + (c->ring->q + 7u) / 8};
	int leads = store_leads(*c->config.store, c->ring->q);

	p = le_put32(p, BEAT_MAGIC);
	p = le_put16(p, BEAT_FORMAT);
	p = le_put16(p, leads ? FLAG_LEADS : 0);
	p = le_put64(p, c->ring->epoch);
	memcpy(p, c->hash, RING_HASH_BYTES);
	p = le_put64(
	    p + RING_HASH_BYTES, store_term(*c->config.store, c->ring->q));
	le_put16(p, c->ring->q);
	find_placed(c, out + BEAT_BYTES);
	for (uint16_t i = 0; i < c->ring->n_members; i++)
		if (!is_self(c, c->ring->members[i].id))
			say(c, c->ring->members[i].id, &iov, 1);
}

static void
send_ring(struct cluster *c, const uint8_t node[16])
{
	uint8_t head[RING_HEAD] = {0};
	struct iovec iov[2];
	struct buf b;

	buf_init(&b, RING_ENCODED_MAX);
	ring_encode(c->ring, &b);
	le_put16(le_put32(head, RING_MAGIC), BEAT_FORMAT);
	iov[0] = (struct iovec){head, sizeof(head)};
	iov[1] = (struct iovec){b.p, b.n};
	if (!buf_error(&b))
		say(c, node, iov, 2);
	buf_deinit(&b);
}

/* Member I lags behind. */
static void
push_ring(struct cluster *c, uint16_t i)
{
	uint64_t now = cluster_now(c);

	if (now < c->beats[i].pushed_us + PUSH_US)
		return;
	c->beats[i].pushed_us = now;
	send_ring(c, c->ring->members[i].id);
}

static void
tell_departed(struct cluster *c)
{
	const struct ring_member *gone[CLUSTER_DEPARTED_MAX];
	uint64_t now = cluster_now(c);
	uint32_t n = cluster_departed(c, gone);

	if (n == 0 || now < c->told_us + PUSH_US)
		return;
	c->told_us = now;
	for (uint32_t i = 0; i < n; i++)
		send_ring(c, gone[i]->id);
}

/* --- hearing -------------------------------------------------------------- */

static void
heard_beat(struct cluster *c, const uint8_t from[16], struct slice in)
{
	uint16_t i = ring_find(c->ring, from);
	struct member_beat *b;
	uint16_t q;

	if (i == RING_NOBODY || in.n < BEAT_BYTES)
		return;
	q = le_get16(in.p + 56);
	if (q != c->ring->q || in.n != BEAT_BYTES + (q + 7u) / 8)
		return;
	b = &c->beats[i];
	b->leads = le_get16(in.p + 6) & FLAG_LEADS;
	b->epoch = le_get64(in.p + 8);
	memcpy(b->hash, in.p + 16, RING_HASH_BYTES);
	b->term = le_get64(in.p + 48);
	memset(b->placed, 0, sizeof(b->placed));
	memcpy(b->placed, in.p + BEAT_BYTES, in.n - BEAT_BYTES);
	if (b->epoch < c->ring->epoch)
		push_ring(c, i);
}

static void
heard_ring(struct cluster *c, struct slice in)
{
	struct ring *ring;

	if (ring_decode(SLICE(in.p + RING_HEAD, in.n - RING_HEAD), &ring))
		return;
	cluster_publish(c, ring);
	ring_unref(ring);
}

int
cluster_frame(struct cluster *c, struct net_frame *f)
{
	if (!cluster_is_frame(f->bytes))
		return 0;
	if (c->stopping || c->gone)
		;
	else if (le_get32(f->bytes.p) == BEAT_MAGIC)
		heard_beat(c, f->from, f->bytes);
	else if (ring_find(c->ring, f->from) != RING_NOBODY)
		heard_ring(c, f->bytes);
	net_frame_free(f);
	return 1;
}

/* --- the claimant --------------------------------------------------------- */

/* Whether the leader of group G says that it is where it should be. */
static int
has_arrived(const struct cluster *c, uint32_t g)
{
	if (store_placed(*c->config.store, g) >= c->targets_since)
		return 1;
	for (uint16_t i = 0; i < c->ring->n_members; i++)
		if (c->beats[i].epoch >= c->targets_since &&
		    cluster_is_up(c, i) &&
		    (c->beats[i].placed[g / 8] >> g % 8 & 1))
			return 1;
	return 0;
}

static enum ring_refusal
make_flip(struct cluster_edit *e, struct ring *now, struct ring **out)
{
	struct cluster *c = CONTAINER_OF(e, struct cluster, flip);
	uint16_t slots[RING_SIZE_MAX];
	uint32_t n = 0;

	/* cluster_publish has seen NOW: what arrived did so under it. */
	for (uint16_t g = 0; g < now->q; g++)
		if (now->owners[g] != now->next_owners[g] && has_arrived(c, g))
			slots[n++] = g;
	return n ? ring_flip(now, slots, n, out) : RING_SAME;
}

static enum ring_refusal
make_removed(struct cluster_edit *e, struct ring *now, struct ring **out)
{
	(void)e;
	for (uint16_t i = 0; i < now->n_members; i++)
		if (now->members[i].state == RING_EXITING)
			return ring_removed(now, now->members[i].id, out);
	return RING_SAME;
}

static void
flipped(struct cluster_edit *e, int r, enum ring_refusal refusal,
    struct ring *after)
{
	struct cluster *c = CONTAINER_OF(e, struct cluster, flip);

	(void)r;
	(void)refusal;
	(void)after;
	c->flipping = 0;
}

static void
claim(struct cluster *c)
{
	const struct ring *r = c->ring;
	int arrived = 0, exiting = 0;

	for (uint16_t g = 0; g < r->q; g++)
		arrived |=
		    r->owners[g] != r->next_owners[g] && has_arrived(c, g);
	for (uint16_t i = 0; i < r->n_members; i++)
		exiting |= r->members[i].state == RING_EXITING;
	if ((!arrived && !exiting) || c->flipping || c->editing.edit)
		return;
	c->flipping = 1;
	c->flip = (struct cluster_edit){
	    .make = arrived ? make_flip : make_removed, .done = flipped};
	cluster_edit(c, &c->flip);
}

void
beats_tick(struct cluster *c)
{
	send_beats(c);
	tell_departed(c);
	if (store_leads(*c->config.store, c->ring->q) && !c->gone)
		claim(c);
}

int
cluster_has_arrived(const struct cluster *c, uint16_t g)
{
	return c->ring->owners[g] != c->ring->next_owners[g] &&
	       has_arrived(c, g);
}
