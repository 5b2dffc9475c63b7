/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_ring - a ring file that is taken is a ring: it encodes and decodes to
 * itself, each slot has its replicas, what is staged can be planned and carried
 * out, and that ring is taken too; a short one asks for little memory.
 */
#include "ring/plan.h"
#include "ring/ring_file.h"
#include "ring/targets.h"
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/reseal.h"

/* A member costs one byte in a file, at first; a slot two. */
#define BOUND(n) (600 * (n) + 16384)

void
fuzz_reseal(uint8_t *p, size_t n)
{
	reseal_ring(p, n);
}

static void
check_slots(const struct ring *r, const uint16_t *owners)
{
	for (uint16_t g = 0; g < r->q; g++) {
		uint16_t out[RING_COPIES_MAX];
		uint32_t n = ring_replicas(r, owners, g, out);

		ASSERT(n >= 1 && n <= r->n_copies && n <= r->n_members);
		ASSERT(out[0] == owners[g]);
		for (uint32_t i = 0; i < n; i++) {
			ASSERT(out[i] < r->n_members);
			for (uint32_t k = 0; k < i; k++)
				ASSERT(out[i] != out[k]);
		}
	}
}

static void
check_ring(const struct ring *r)
{
	uint8_t hash[RING_HASH_BYTES], hash2[RING_HASH_BYTES];
	struct ring *again;
	struct buf b, b2;

	for (uint16_t i = 0; i < r->n_members; i++) {
		const struct ring_member *m = &r->members[i];

		ASSERT(ring_find(r, m->id) == i);
		ASSERT(m->name[0] && strlen(m->name) <= RING_NAME_MAX);
		ASSERT(strlen(m->address) <= RING_NAME_MAX);
	}
	check_slots(r, r->owners);
	check_slots(r, r->next_owners);
	buf_init(&b, 2 * RING_ENCODED_MAX);
	buf_init(&b2, 2 * RING_ENCODED_MAX);
	ASSERT(ring_file_encode(r, &b) == 0);
	ASSERT(ring_file_decode(buf_slice(&b), &again) == 0);
	ASSERT(ring_file_encode(again, &b2) == 0);
	ASSERT(slice_equal(buf_slice(&b), buf_slice(&b2)));
	ASSERT(ring_hash_of(r, hash) == 0 && ring_hash_of(again, hash2) == 0);
	ASSERT(memcmp(hash, hash2, sizeof(hash)) == 0);
	ring_unref(again);
	buf_deinit(&b);
	buf_deinit(&b2);
}

static void
check_taken(const struct ring *r)
{
	struct ring *again;
	struct buf b;

	buf_init(&b, 2 * RING_ENCODED_MAX);
	ASSERT(ring_file_encode(r, &b) == 0);
	ASSERT(ring_file_decode(buf_slice(&b), &again) == 0);
	ring_unref(again);
	buf_deinit(&b);
}

/* Not of large rings: a claim is slow there. */
static void
check_plan(struct ring *r)
{
	uint16_t voters[RING_VOTERS_MAX];
	struct ring *next;
	struct ring_plan *p;

	ASSERT(ring_root_voters(r, voters) >= 1);
	ASSERT(ring_claimants(r) >= 1);
	if (r->n_staged == 0 || (uint32_t)r->q * r->n_members > 512)
		return;
	ASSERT(ring_plan_new(r, &p) == RING_OK);
	for (uint32_t i = 0; i < p->n; i++)
		check_taken(p->at[i]);
	if (ring_plan_store(r, p, &next) == RING_OK) {
		struct ring *done;

		check_taken(next);
		ASSERT(ring_commit(next, NULL, &done) == RING_OK);
		ring_unref(done);
		ring_unref(next);
	}
	ring_plan_free(p);
	ASSERT(ring_clear(r, &next) == RING_OK);
	check_taken(next);
	ring_unref(next);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct fuzz_mem m;
	struct ring *r = NULL;
	int e;

	fuzz_mem_start(&m, BOUND(n));
	e = ring_file_decode(SLICE(p, n), &r);
	fuzz_mem_stop(&m);
	ASSERT(e == 0 || e == -ERR_CORRUPT);
	if (e == 0) {
		check_ring(r);
		check_plan(r);
	}
	ring_unref(r);
	return 0;
}
