/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include <criterion/criterion.h>

#include "ring/claim.h"
#include "ring/ring.h"
#include "src/base/err.h"
#include "src/base/mem.h"

TestSuite(claim);

static uint32_t
moves(const uint16_t *a, const uint16_t *b, uint16_t q)
{
	uint32_t n = 0;

	for (uint16_t g = 0; g < q; g++)
		n += a[g] != b[g];
	return n;
}

static uint32_t
owned(const uint16_t *owners, uint16_t q, uint16_t x)
{
	uint32_t n = 0;

	for (uint16_t g = 0; g < q; g++)
		n += owners[g] == x;
	return n;
}

Test(claim, three_nodes_join_one)
{
	uint16_t old[64] = {0}, out[64];

	cr_assert_eq(ring_claim(old, 64, 4, 3, out), 0);
	cr_assert_eq(moves(old, out, 64), 48);
	for (uint16_t x = 0; x < 4; x++)
		cr_assert_eq(owned(out, 64, x), 16);
}
