/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include <criterion/criterion.h>

#include "http/ratelimit.h"
#include "tests/lib/chance.h"

TestSuite(ratelimit, .timeout = 60);

Test(ratelimit, a_full_bucket_serves_a_second_at_once_and_then_one_by_one)
{
	uint64_t full_at = 0, now = 1000000000;
	struct ratelimit_step s;

	for (uint64_t i = 0; i < 10; i++) {
		s = ratelimit_step(&full_at, now, 10);
		cr_assert(!s.refused);
		cr_assert_eq(s.remaining, 9 - i);
		cr_assert_eq(s.full_us, (i + 1) * 100000);
	}
	s = ratelimit_step(&full_at, now, 10);
	cr_assert(s.refused);
	cr_assert_eq(s.remaining, 0);
	cr_assert_eq(s.wait_us, 100000);
	s = ratelimit_step(&full_at, now + 99999, 10);
	cr_assert(s.refused);
	cr_assert_eq(s.wait_us, 1);
	s = ratelimit_step(&full_at, now + 100000, 10);
	cr_assert(!s.refused);
	s = ratelimit_step(&full_at, now + 10000000, 10);
	cr_assert_eq(s.remaining, 9);
}

/* Against tokens counted the long way. */
Test(ratelimit, it_lets_through_what_a_bucket_of_tokens_does)
{
	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct chance chance = {seed};
		uint64_t full_at = 0, now = 5000000;
		uint64_t rps = 1 + seed % 40, token = 1000000 / rps;
		uint64_t held = token * rps; /* microseconds of tokens */

		for (int i = 0; i < 500; i++) {
			uint64_t step = chance_below(&chance, 3 * token);
			struct ratelimit_step s;
			int has;

			now += step;
			held = held + step < token * rps ? held + step
							 : token * rps;
			has = held >= token;
			if (has)
				held -= token;
			s = ratelimit_step(&full_at, now, rps);
			cr_assert_eq(
			    !s.refused, has, "seed %d, step %d", (int)seed, i);
			cr_assert_eq(s.remaining, held / token);
		}
	}
}

Test(ratelimit, a_new_limit_counts_at_once)
{
	uint64_t full_at = 0, now = 1000000000;

	for (int i = 0; i < 1000; i++)
		ratelimit_step(&full_at, now, 1000);
	cr_assert(ratelimit_step(&full_at, now, 1000).refused);
	cr_assert(ratelimit_step(&full_at, now + 1000, 2).refused);
	cr_assert(!ratelimit_step(&full_at, now + 501000, 2).refused);
	cr_assert(!ratelimit_step(&full_at, now + 1001000, 2000000).refused);
}

Test(ratelimit, keys_do_not_share_and_the_table_has_room_for_anybody)
{
	struct ratelimit *l = ratelimit_new(42);
	struct mono now = {1000000};
	uint32_t refused = 0;

	for (int round = 0; round < 2; round++)
		for (uint32_t key = 0; key < 1000; key++)
			refused += (uint32_t)ratelimit_take(
			    l, SLICE(&key, sizeof(key)), now, 1)
				       .refused;
	cr_assert_eq(refused, 1000);
	for (uint32_t key = 1000; key < 200000; key++)
		cr_assert(!ratelimit_take(l, SLICE(&key, sizeof(key)), now, 1)
			       .refused);
	ratelimit_free(l);
}
