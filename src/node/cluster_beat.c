/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * cluster_beat - what members tell each other as soon as it changes, and four
 * times a second, and what the claimant makes of it.
 *
 * A beat is the gossip of the ring (ring/gossip.c) with what beat.c adds, and
 * rides in the frames of the store.  Gossip's pulls and bodies are frames of
 * their own.  A ring that comes this way was committed: nothing else is in use
 * anywhere.
 */
#include "src/node/cluster_impl.h"

#include "ring/liveness.h"
#include "ring/plan.h"
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/mutants.h"

/* Consensus speaks more often, and counts as being heard too. */
#define REPEAT_US 250000
#define PULL_US   300000 /* between pulls, whomever they are sent to */
#define TELL_US   500000 /* who has left is sent the ring so often */

int
cluster_is_frame(struct slice bytes)
{
	return gossip_is(bytes);
}

struct member_beat *
beats_of(const struct cluster *c, const struct ring *new)
{
	struct member_beat *beats = mem_calloc(new->n_members, sizeof(*beats));

	for (uint16_t i = 0; beats && i < new->n_members; i++) {
		uint16_t old =
		    c->beats ? ring_find(c->gossip.ring, new->members[i].id)
			     : RING_NOBODY;

		if (old != RING_NOBODY)
			beats[i] = c->beats[old];
		memcpy(beats[i].id, new->members[i].id, 16);
	}
	return beats;
}

/* --- sending -------------------------------------------------------------- */

static void
say(struct cluster *c, const uint8_t node[16], const struct buf *b)
{
	const struct env_net *net = &c->env->net;
	struct iovec iov = {b->p, b->n};

	if (net->send && b->n && !buf_error(b))
		net->send(net->ctx, 0, node, NET_CONTROL, &iov, 1);
}

/* So that a beat is another only when much has changed. */
static uint64_t
about(uint64_t n)
{
	int bits = 0;

	while (n >> bits > 31)
		bits++;
	return n >> bits << bits;
}

static void
look_at_room(struct store *s, struct beat *b)
{
	struct store_stats stats;

	store_stats(s, &stats);
	b->held = about(stats.bytes);
	b->n_replicas = stats.n_replicas;
	b->room = about(store_room(s));
}

static void
look_at_self(const struct cluster *c, struct beat *b)
{
	struct store *s = *c->config.store;
	uint16_t q = c->gossip.ring->q;

	*b = (struct beat){
	    .q = q,
	    .leads = store_leads(s, q),
	    .root_term = store_term(s, q),
	    .limit = store_fill_limit(s),
	};
	memcpy(b->in_force, c->in_force, sizeof(b->in_force));
	look_at_room(s, b);
	store_fills(s, &b->fills);
	for (uint32_t g = 0; g < q; g++)
		if (store_placed(s, g) >= c->targets_since)
			b->placed[g / 8] |= (uint8_t)(1u << g % 8);
}

static void
say_to_all(struct cluster *c, struct slice more, int can_wait)
{
	const struct ring *r = c->gossip.ring;
	struct buf out;

	buf_init(&out, GOSSIP_HEADER_BYTES + BEAT_MAX);
	gossip_beat(&c->gossip, more, &out);
	for (uint16_t i = 0; i < r->n_members && !buf_error(&out); i++)
		if (!cluster_is_self(c, i))
			store_tell(*c->config.store, r->members[i].id,
			    buf_slice(&out), can_wait);
	buf_deinit(&out);
}

/* MORE is new: it is said at once; else now and then. */
static void
say_again(struct cluster *c, struct slice more)
{
	struct hash128 hash = hash128(more.p, more.n);
	uint64_t now = cluster_now(c), epoch = c->gossip.ring->epoch;
	int is_new =
	    c->said.epoch != epoch || !hash128_equal(c->said.hash, hash);

	if (!is_new && now < c->said.at_us + REPEAT_US)
		return;
	c->said.at_us = now;
	c->said.epoch = epoch;
	c->said.hash = hash;
	say_to_all(c, more, !is_new);
}

void
beats_send(struct cluster *c)
{
	struct beat self;
	struct buf more;

	if (c->gossip.ring->n_members == 1 || c->gone)
		return;
	look_at_self(c, &self);
	buf_init(&more, BEAT_MAX);
	beat_encode(&self, &more);
	if (!buf_error(&more))
		say_again(c, buf_slice(&more));
	buf_deinit(&more);
}

static void
tell_departed(struct cluster *c)
{
	const struct ring_member *gone[CLUSTER_DEPARTED_MAX];
	uint64_t now = cluster_now(c);
	uint32_t n = cluster_departed(c, gone);
	struct buf out;

	if (n == 0 || now < c->told_us + TELL_US)
		return;
	c->told_us = now;
	buf_init(&out, GOSSIP_MAX);
	gossip_body(&c->gossip, &out);
	for (uint32_t i = 0; i < n; i++)
		say(c, gone[i]->id, &out);
	buf_deinit(&out);
}

/* --- hearing -------------------------------------------------------------- */

/* The log of the root group keeps this from happening. */
static void
say_forked(struct cluster *c, const char *name)
{
	uint64_t epoch = c->gossip.ring->epoch;

	if (c->forked_at != epoch)
		log_write(c->config.log, LOG_ERROR,
		    "'%s' has another ring of epoch %llu than this node", name,
		    (unsigned long long)epoch);
	c->forked_at = epoch;
}

/* Somebody has a newer ring; he is asked, unless another one was just now. */
static void
answer(struct cluster *c, const uint8_t node[16], uint64_t epoch,
    const struct buf *b)
{
	uint64_t now = cluster_now(c);

	if (epoch > c->gossip.ring->epoch && c->pulled_us &&
	    now < c->pulled_us + PULL_US)
		return;
	if (epoch > c->gossip.ring->epoch)
		c->pulled_us = now;
	say(c, node, b);
}

static void
heard(struct cluster *c, uint16_t i, struct slice in)
{
	struct member_beat *b = &c->beats[i];
	struct gossip_news news;
	struct beat told;
	struct buf out;
	int r;

	buf_init(&out, GOSSIP_MAX);
	r = gossip_receive(&c->gossip, in, &out, &news);
	if (r == GOSSIP_E_FORK)
		say_forked(c, c->gossip.ring->members[i].name);
	if (r == 0) {
		b->epoch = news.epoch;
		memcpy(b->hash, news.hash, sizeof(b->hash));
		if (news.more.p && beat_decode(news.more, &told) == 0 &&
		    told.q == c->gossip.ring->q)
			b->told = told;
		answer(c, b->id, news.epoch, &out);
		if (news.ring)
			cluster_publish(c, news.ring); /* B is another then */
		ring_unref(news.ring);
		editing_tick(c); /* who asked waits for no more than this */
	}
	buf_deinit(&out);
	if (r == 0 && c->config.heard)
		c->config.heard(c->config.root_arg);
}

void
cluster_set_in_force(struct cluster *c, enum root_which which, uint64_t seq)
{
	c->in_force[which] = seq;
	if (!c->stopping)
		beats_send(c); /* who waits for it need not wait for the next */
}

void
cluster_told_by(void *arg, const uint8_t from[16], struct slice bytes)
{
	struct cluster *c = arg;
	uint16_t i = ring_find(c->gossip.ring, from);

	if (!c->stopping && !c->gone && i != RING_NOBODY)
		heard(c, i, bytes);
}

int
cluster_frame(struct cluster *c, struct net_frame *f)
{
	if (!cluster_is_frame(f->bytes))
		return 0;
	cluster_told_by(c, f->from, f->bytes);
	net_frame_free(f);
	return 1;
}

/* --- the claimant --------------------------------------------------------- */

/* Whether the leader of group G says that it is where it should be. */
static int
has_arrived(const struct cluster *c, uint32_t g)
{
	if (store_placed(*c->config.store, g) >= c->targets_since ||
	    VNODE_MUTANT(FLIP_BEFORE_ARRIVAL))
		return 1;
	for (uint16_t i = 0; i < c->gossip.ring->n_members; i++)
		if (c->beats[i].epoch >= c->targets_since &&
		    cluster_is_up(c, i) &&
		    (c->beats[i].told.placed[g / 8] >> g % 8 & 1))
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
	if (n)
		store_step(*c->config.store, STEP_OWNERS_MADE);
	return n ? ring_flip(now, slots, n, out) : RING_SAME;
}

/* Every group is where it should be, also those whose slot stays: who has left
 * has nothing that anybody needs. */
static int
all_have_arrived(const struct cluster *c)
{
	if (VNODE_MUTANT(EXIT_BEFORE_ARRIVAL))
		return 1;
	for (uint32_t g = 0; g < c->gossip.ring->q; g++)
		if (!has_arrived(c, g))
			return 0;
	return store_placed(*c->config.store, c->gossip.ring->q) >=
	       c->targets_since;
}

static enum ring_refusal
make_removed(struct cluster_edit *e, struct ring *now, struct ring **out)
{
	struct cluster *c = CONTAINER_OF(e, struct cluster, flip);

	if (!all_have_arrived(c))
		return RING_SAME;
	for (uint16_t i = 0; i < now->n_members; i++)
		if (now->members[i].state == RING_EXITING)
			return ring_removed(now, now->members[i].id, out);
	return RING_SAME;
}

/* Marked down, and it has said since that it goes by this ring. */
static int
has_returned(const struct cluster *c, uint16_t i)
{
	return c->gossip.ring->members[i].state == RING_DOWN &&
	       cluster_is_up(c, i) && cluster_agrees(c, i);
}

static enum ring_refusal
make_returned(struct cluster_edit *e, struct ring *now, struct ring **out)
{
	struct cluster *c = CONTAINER_OF(e, struct cluster, flip);

	if (now->epoch != c->gossip.ring->epoch)
		return RING_SAME;
	for (uint16_t i = 0; i < now->n_members; i++)
		if (has_returned(c, i))
			return ring_returned(now, now->members[i].id,
			    now->members[i].address, out);
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

typedef enum ring_refusal (*make_fn)(
    struct cluster_edit *e, struct ring *now, struct ring **out);

/* What the claimant does next on its own; NULL: nothing. */
static make_fn
next_claim(const struct cluster *c)
{
	const struct ring *r = c->gossip.ring;

	for (uint16_t g = 0; g < r->q; g++)
		if (r->owners[g] != r->next_owners[g] && has_arrived(c, g))
			return make_flip;
	for (uint16_t i = 0; i < r->n_members; i++)
		if (r->members[i].state == RING_EXITING && all_have_arrived(c))
			return make_removed;
	for (uint16_t i = 0; i < r->n_members; i++)
		if (has_returned(c, i))
			return make_returned;
	return NULL;
}

static void
claim(struct cluster *c)
{
	if (c->flipping || c->editing.edit)
		return;
	c->flip = (struct cluster_edit){.make = next_claim(c), .done = flipped};
	if (!c->flip.make)
		return;
	c->flipping = 1;
	cluster_edit(c, &c->flip);
}

static void
watch_peers(struct cluster *c)
{
	const struct ring *r = c->gossip.ring;
	uint8_t what[RING_MEMBERS_MAX];

	peers_tick(c->config.peers, (struct mono){cluster_now(c)}, what);
	/* Who is joining starts again in this cluster, and owns nothing. */
	for (uint16_t i = 0; i < r->n_members; i++)
		if (what[i] && r->members[i].state != RING_JOINING)
			log_write(c->config.log, LOG_INFO,
			    what[i] == LIVENESS_BACK
				? "'%s' is heard again"
				: "'%s' has not been heard for a second",
			    r->members[i].name);
}

void
beats_tick(struct cluster *c)
{
	watch_peers(c);
	beats_send(c);
	tell_departed(c);
	if (store_leads(*c->config.store, c->gossip.ring->q) && !c->gone)
		claim(c);
}

void
cluster_told(const struct cluster *c, uint16_t i, struct beat *out)
{
	if (cluster_is_self(c, i))
		look_at_self(c, out);
	else
		*out = c->beats[i].told;
}

int
cluster_has_arrived(const struct cluster *c, uint16_t g)
{
	return c->gossip.ring->owners[g] != c->gossip.ring->next_owners[g] &&
	       has_arrived(c, g);
}
