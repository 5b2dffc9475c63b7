/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "src/base/crc32c.h"

#include <criterion/criterion.h>

#include "src/base/mem.h"

TestSuite(crc32c);

typedef uint32_t (*crc_fn)(uint32_t crc, const void *p, size_t n);

static const crc_fn both[] = {crc32c, crc32c_portable};

/* RFC 3720 appendix B.4, and the check value of the CRC catalogue. */
Test(crc32c, gives_the_values_of_the_standard)
{
	uint8_t zeros[32] = {0}, ones[32], up[32], down[32];

	memset(ones, 0xff, sizeof(ones));
	for (int i = 0; i < 32; i++) {
		up[i] = (uint8_t)i;
		down[i] = (uint8_t)(31 - i);
	}
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(both[i](0, zeros, 32), 0x8a9136aa);
		cr_assert_eq(both[i](0, ones, 32), 0x62a8ab43);
		cr_assert_eq(both[i](0, up, 32), 0x46dd794e);
		cr_assert_eq(both[i](0, down, 32), 0x113fdb5c);
		cr_assert_eq(both[i](0, "123456789", 9), 0xe3069283);
		cr_assert_eq(both[i](0, "", 0), 0);
		cr_assert_eq(both[i](7, NULL, 0), 7);
	}
}

Test(crc32c, is_the_same_with_and_without_the_instruction)
{
	size_t max = 13000;
	uint8_t *p = mem_alloc(max + 8);
	uint32_t x = 1;

	for (size_t i = 0; i < max + 8; i++) {
		x = x * 1664525 + 1013904223;
		p[i] = (uint8_t)(x >> 24);
	}
	for (size_t n = 0; n <= max; n += n < 1100 ? 1 : 37) {
		const uint8_t *s = p + n % 8;

		cr_assert_eq(crc32c(x, s, n), crc32c_portable(x, s, n),
		    "at %zu bytes", n);
	}
	mem_free(p);
}

Test(crc32c, goes_on_from_an_earlier_checksum)
{
	uint8_t p[5000];

	for (size_t i = 0; i < sizeof(p); i++)
		p[i] = (uint8_t)(i * 31 + i / 256);
	uint32_t whole = crc32c(0, p, sizeof(p));
	for (size_t cut = 0; cut <= sizeof(p); cut += 113)
		cr_assert_eq(
		    crc32c(crc32c(0, p, cut), p + cut, sizeof(p) - cut), whole);
}
