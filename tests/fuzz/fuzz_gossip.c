/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_gossip - what another node says of its ring: what is read encodes to the
 * same bytes, the answer is a message, and a ring that is taken goes on from
 * ours; a short message asks for little memory.
 */
#include "ring/gossip.h"
#include "src/base/assert.h"
#include "src/base/err.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/reseal.h"

#define BOUND(n) (600 * (n) + 32768)

void
fuzz_reseal(uint8_t *p, size_t n)
{
	reseal_gossip(p, n);
}

static void
check_same(struct slice in)
{
	struct gossip_message m;
	struct buf b;

	if (gossip_decode(in, &m))
		return;
	ASSERT(gossip_is(in));
	buf_init(&b, GOSSIP_MAX);
	gossip_encode(&m, &b);
	ASSERT(slice_equal(buf_slice(&b), in));
	buf_deinit(&b);
}

static void
check_news(struct gossip *g, const struct gossip_news *news)
{
	if (news->ring) {
		ASSERT(news->ring->epoch > g->ring->epoch);
		ASSERT(news->ring->q == g->ring->q);
		ASSERT(gossip_set_ring(g, news->ring) == 0);
		ASSERT(g->ring == news->ring);
		ASSERT(memcmp(news->hash, g->hash, sizeof(g->hash)) == 0);
		ring_unref(news->ring);
	}
}

/* A node of epoch 5 hears IN. */
int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static const uint8_t cluster[16] = "cluster", a[16] = "node a";
	struct ring *r = ring_new(cluster, a, "a@10.0.0.1", 8, 3);
	struct gossip_news news;
	struct gossip_message m;
	struct fuzz_mem mem;
	struct gossip g;
	struct buf answer;
	int x;

	ASSERT(r);
	r->epoch = 5;
	ASSERT(gossip_init(&g, r) == 0);
	buf_init(&answer, GOSSIP_MAX);
	fuzz_mem_start(&mem, BOUND(n));
	x = gossip_receive(&g, SLICE(p, n), &answer, &news);
	fuzz_mem_stop(&mem);
	ASSERT(x == 0 || x == GOSSIP_E_CLUSTER || x == GOSSIP_E_FORK ||
	       x == -ERR_CORRUPT || x == -ERR_FORMAT);
	ASSERT(x == 0 || answer.n == 0);
	ASSERT(answer.n == 0 || gossip_decode(buf_slice(&answer), &m) == 0);
	check_same(SLICE(p, n));
	if (x == 0)
		check_news(&g, &news);
	buf_deinit(&answer);
	gossip_deinit(&g);
	ring_unref(r);
	return 0;
}
