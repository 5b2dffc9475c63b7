/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_ring - a ring file that is taken is a ring: it encodes and decodes to
 * itself, and each slot has its replicas; a short one asks for little memory.
 */
#include "ring/ring_file.h"
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
	if (e == 0)
		check_ring(r);
	ring_unref(r);
	return 0;
}
