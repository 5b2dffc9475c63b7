/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include <criterion/criterion.h>

#include "ring/gossip.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/golden/golden.h"
#include "tests/ring/grow.h"

TestSuite(gossip);

#define NODES 8

struct net {
	struct ring *old, *new;
	struct gossip nodes[NODES]; /* by place in the ring */
	uint32_t messages;
};

/* All have the same ring; there is a newer one. */
static struct net
net_of_eight(void)
{
	struct ring *next = NULL;
	struct net n = {.old = grow_done(grow_cluster(16, 3, NODES))};

	cr_assert_eq(ring_stage_leave(n.old, grow_name(3), &next), RING_OK);
	n.new = next;
	for (int i = 0; i < NODES; i++)
		cr_assert_eq(gossip_init(&n.nodes[i], n.old), 0);
	return n;
}

static void
done(struct net *n)
{
	for (int i = 0; i < NODES; i++)
		gossip_deinit(&n->nodes[i]);
	ring_unref(n->old);
	ring_unref(n->new);
}

/* TO hears IN from FROM, and they talk until there is nothing more to say. */
static void
talk(struct net *n, int from, int to, struct slice in)
{
	struct gossip_news news;
	struct buf answer;

	n->messages++;
	buf_init(&answer, GOSSIP_MAX);
	cr_assert_eq(gossip_receive(&n->nodes[to], in, &answer, &news), 0);
	if (news.ring) {
		cr_assert_eq(gossip_set_ring(&n->nodes[to], news.ring), 0);
		ring_unref(news.ring);
	}
	if (answer.n)
		talk(n, to, from, buf_slice(&answer));
	buf_deinit(&answer);
}

/* FROM's beat to TO, and what follows: so many messages. */
static uint32_t
beat(struct net *n, int from, int to)
{
	uint32_t before = n->messages;
	struct buf out;

	buf_init(&out, GOSSIP_MAX);
	gossip_beat(&n->nodes[from], SLICE_LIT("more"), &out);
	talk(n, from, to, buf_slice(&out));
	buf_deinit(&out);
	return n->messages - before;
}

Test(gossip, who_agrees_says_nothing)
{
	struct net n = net_of_eight();

	for (int to = 0; to < NODES; to++)
		if (to != 2)
			cr_assert_eq(beat(&n, 2, to), 1);
	done(&n);
}

Test(gossip, who_is_behind_pulls)
{
	struct net n = net_of_eight();

	cr_assert_eq(gossip_set_ring(&n.nodes[0], n.new), 0);
	cr_assert_eq(beat(&n, 0, 1), 3); /* beat, pull, body */
	cr_assert_eq(n.nodes[1].ring->epoch, n.new->epoch);
	cr_assert_eq(beat(&n, 2, 1), 1); /* and hears of it by 1's own beat */
	cr_assert_eq(n.nodes[2].ring->epoch, n.old->epoch);
	cr_assert_eq(beat(&n, 1, 2), 3);
	cr_assert_eq(n.nodes[2].ring->epoch, n.new->epoch);
	done(&n);
}

Test(gossip, one_round_of_beats_reaches_all)
{
	struct net n = net_of_eight();

	cr_assert_eq(gossip_set_ring(&n.nodes[5], n.new), 0);
	for (int from = 0; from < NODES; from++)
		for (int to = 0; to < NODES; to++)
			if (to != from)
				cr_assert_leq(beat(&n, from, to), 3);
	for (int i = 0; i < NODES; i++)
		cr_assert_eq(n.nodes[i].ring->epoch, n.new->epoch);
	done(&n);
}

/* Who was removed is told so, and cannot ask. */
Test(gossip, a_ring_that_was_not_asked_for_is_taken)
{
	struct net n = net_of_eight();
	struct buf out;

	cr_assert_eq(gossip_set_ring(&n.nodes[0], n.new), 0);
	buf_init(&out, GOSSIP_MAX);
	gossip_body(&n.nodes[0], &out);
	talk(&n, 0, 4, buf_slice(&out));
	cr_assert_eq(n.messages, 1);
	cr_assert_eq(n.nodes[4].ring->epoch, n.new->epoch);
	buf_deinit(&out);
	done(&n);
}

static int
hear(struct gossip *g, const struct gossip_message *m, struct gossip_news *news)
{
	struct buf in, answer;
	int r;

	buf_init(&in, GOSSIP_MAX);
	buf_init(&answer, GOSSIP_MAX);
	gossip_encode(m, &in);
	r = gossip_receive(g, buf_slice(&in), &answer, news);
	cr_assert(r == 0 || answer.n == 0);
	if (m->kind == GOSSIP_BODY)
		cr_assert_eq(answer.n, 0);
	buf_deinit(&in);
	buf_deinit(&answer);
	return r;
}

static struct gossip_message
message_of(const struct gossip *g, enum gossip_kind kind)
{
	struct gossip_message m = {.kind = kind, .epoch = g->ring->epoch};

	memcpy(m.cluster_id, g->ring->cluster_id, RING_ID_BYTES);
	memcpy(m.hash, g->hash, RING_HASH_BYTES);
	return m;
}

static int
is_of(const struct gossip_news *news, const struct gossip *g)
{
	return news->epoch == g->ring->epoch &&
	       memcmp(news->hash, g->hash, RING_HASH_BYTES) == 0;
}

Test(gossip, tells_which_ring_the_other_has)
{
	struct net n = net_of_eight();
	struct gossip_message m = message_of(&n.nodes[0], GOSSIP_BEAT);
	struct gossip_news news;

	cr_assert_eq(hear(&n.nodes[1], &m, &news), 0);
	cr_assert(is_of(&news, &n.nodes[1]) && !news.ring);
	cr_assert_eq(gossip_set_ring(&n.nodes[1], n.new), 0);
	cr_assert_eq(hear(&n.nodes[1], &m, &news), 0);
	cr_assert(!is_of(&news, &n.nodes[1]) && is_of(&news, &n.nodes[0]));
	done(&n);
}

Test(gossip, what_the_caller_adds_to_a_beat_comes_through)
{
	struct net n = net_of_eight();
	struct gossip_message m = message_of(&n.nodes[0], GOSSIP_BEAT);
	struct gossip_news news;
	struct buf in, answer;

	buf_init(&in, GOSSIP_MAX);
	buf_init(&answer, GOSSIP_MAX);
	gossip_beat(&n.nodes[0], SLICE_LIT("more"), &in);
	cr_assert_eq(
	    gossip_receive(&n.nodes[1], buf_slice(&in), &answer, &news), 0);
	cr_assert(slice_equal(news.more, SLICE_LIT("more")));
	buf_deinit(&in);
	buf_deinit(&answer);

	m.kind = GOSSIP_PULL;
	cr_assert_eq(hear(&n.nodes[1], &m, &news), 0);
	cr_assert_null(news.more.p);
	m.body = SLICE_LIT("more");
	cr_assert_eq(hear(&n.nodes[1], &m, &news), -ERR_CORRUPT);
	done(&n);
}

Test(gossip, of_another_cluster_or_a_forked_ring_is_told_apart)
{
	struct net n = net_of_eight();
	struct gossip_message m = message_of(&n.nodes[0], GOSSIP_BEAT);
	struct gossip_news news;

	m.hash[3] ^= 1;
	cr_assert_eq(hear(&n.nodes[1], &m, &news), GOSSIP_E_FORK);
	m.cluster_id[0] ^= 1;
	cr_assert_eq(hear(&n.nodes[1], &m, &news), GOSSIP_E_CLUSTER);
	done(&n);
}

/* The same message for rings that differ in what never changes. */
Test(gossip, bodies_that_are_not_what_they_say_are_refused)
{
	struct net n = net_of_eight();
	struct gossip newer;
	struct gossip_message m, bad;
	struct gossip_news news;
	struct buf ring;

	buf_init(&ring, RING_ENCODED_MAX);
	ring_encode(n.new, &ring);
	cr_assert_eq(gossip_init(&newer, n.new), 0);
	m = message_of(&newer, GOSSIP_BODY);
	m.body = buf_slice(&ring);
	cr_assert_eq(hear(&n.nodes[1], &m, &news), 0);
	cr_assert_eq(news.ring->epoch, n.new->epoch);
	ring_unref(news.ring);

	bad = m;
	bad.hash[0] ^= 1;
	cr_assert_eq(hear(&n.nodes[1], &bad, &news), -ERR_CORRUPT);
	bad = m;
	bad.epoch++;
	cr_assert_eq(hear(&n.nodes[1], &bad, &news), -ERR_CORRUPT);
	bad = m;
	bad.body.n--;
	cr_assert_eq(hear(&n.nodes[1], &bad, &news), -ERR_CORRUPT);
	gossip_deinit(&newer);

	n.new->n_copies = 2;
	buf_reset(&ring);
	ring_encode(n.new, &ring);
	cr_assert_eq(gossip_init(&newer, n.new), 0);
	m = message_of(&newer, GOSSIP_BODY);
	m.body = buf_slice(&ring);
	cr_assert_eq(hear(&n.nodes[1], &m, &news), -ERR_CORRUPT);
	gossip_deinit(&newer);
	buf_deinit(&ring);
	done(&n);
}

Test(gossip, older_rings_are_not_taken)
{
	struct net n = net_of_eight();
	struct gossip_message m = message_of(&n.nodes[0], GOSSIP_BODY);
	struct gossip_news news;
	struct buf ring;

	buf_init(&ring, RING_ENCODED_MAX);
	ring_encode(n.old, &ring);
	m.body = buf_slice(&ring);
	cr_assert_eq(hear(&n.nodes[1], &m, &news), 0);
	cr_assert(is_of(&news, &n.nodes[1]) && !news.ring);
	cr_assert_eq(gossip_set_ring(&n.nodes[1], n.new), 0);
	cr_assert_eq(gossip_set_ring(&n.nodes[1], n.old), 0);
	cr_assert_eq(n.nodes[1].ring->epoch, n.new->epoch);
	cr_assert_eq(hear(&n.nodes[1], &m, &news), 0);
	cr_assert_null(news.ring);
	buf_deinit(&ring);
	done(&n);
}

static int
read_message(void *arg, struct slice in)
{
	struct gossip_message m;
	struct gossip_news news = {.ring = NULL};
	struct buf answer;
	int r;

	buf_init(&answer, GOSSIP_MAX);
	r = gossip_receive(arg, in, &answer, &news);
	cr_assert(r || gossip_decode(in, &m) == 0);
	buf_deinit(&answer);
	/* Nothing else guards an epoch that went down. */
	r = r || !news.ring;
	ring_unref(news.ring);
	return r;
}

Test(gossip, is_the_same_for_good_and_every_flipped_bit_is_found)
{
	struct ring *r = grow_one(8, 3);
	struct gossip old, new;
	struct gossip_message m;
	struct buf b, ring;

	buf_init(&b, GOSSIP_MAX);
	buf_init(&ring, RING_ENCODED_MAX);
	cr_assert_eq(gossip_init(&old, r), 0);
	r = grow_join(r, 2);
	cr_assert_eq(gossip_init(&new, r), 0);
	ring_encode(r, &ring);
	m = message_of(&new, GOSSIP_BODY);
	m.body = buf_slice(&ring);
	gossip_encode(&m, &b);
	golden("gossip.bin", buf_slice(&b));
	golden_is_guarded(buf_slice(&b), read_message, &old);
	gossip_deinit(&old);
	gossip_deinit(&new);
	buf_deinit(&b);
	buf_deinit(&ring);
	ring_unref(r);
}
