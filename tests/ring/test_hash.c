/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include <criterion/criterion.h>

#include "ring/hash.h"

TestSuite(ring_hash);

Test(ring_hash, vectors_of_the_original_system)
{
	static const struct {
		const char *bucket, *stream, *sha1;
		uint32_t group;
	} rows[] = {
	    {"foo", "bar", "49d41bea680d96cf005256b77de1ac9a872e0670", 19},
	    {"foo", "bar-$patch", "49d41bea680d96cf005256b77de1ac9a872e0670",
		19},
	    {"bucket", "stream", "3530147a81d968d29bb5dae50efc84a1747d663b",
		14},
	    {"b1", "s1", "0e6b6f053bfc14dd404ab53cb0afcfa9f3b60029", 4},
	};
	struct ring_hash *h = ring_hash_new();

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint8_t sha1[RING_SHA1_BYTES];
		char hex[41];

		ring_hash_key(h, SLICE_STR(rows[i].bucket),
		    SLICE_STR(rows[i].stream), sha1);
		for (int k = 0; k < RING_SHA1_BYTES; k++)
			snprintf(hex + 2 * k, 3, "%02x", sha1[k]);
		cr_assert_str_eq(hex, rows[i].sha1);
		cr_assert_eq(ring_hash_group(h, SLICE_STR(rows[i].bucket),
				 SLICE_STR(rows[i].stream), 64),
		    rows[i].group);
	}
	ring_hash_free(h);
}

Test(ring_hash, every_ring_size_puts_the_last_arc_into_group_0)
{
	struct ring_hash *h = ring_hash_new();

	for (uint32_t q = 8; q <= 1024; q *= 2)
		for (int i = 0; i < 2000; i++) {
			char name[16];
			uint8_t sha1[RING_SHA1_BYTES];
			uint32_t arc;

			snprintf(name, sizeof(name), "s%d", i);
			ring_hash_key(h, SLICE_LIT("b"), SLICE_STR(name), sha1);
			arc = ((uint32_t)sha1[0] << 8 | sha1[1]) * q / 65536;
			cr_assert_eq(ring_hash_group(
					 h, SLICE_LIT("b"), SLICE_STR(name), q),
			    (arc + 1) % q);
		}
	ring_hash_free(h);
}

Test(ring_hash, indices_are_160_bit_decimals)
{
	char text[RING_INDEX_BYTES];

	ring_index_text(19, 64, text);
	cr_assert_str_eq(
	    text, "433883298582611803841718934712646521460354973696");
	ring_index_text(1, 64, text);
	cr_assert_str_eq(
	    text, "22835963083295358096932575511191922182123945984");
	ring_index_text(0, 64, text);
	cr_assert_str_eq(text, "0");
}
