/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_cursor - where a listener says that it stood: what is taken is written as
 * the same text again, so there is one text for each place.  Also with a CRC
 * that is right.
 */
#include <string.h>

#include "http/cursor.h"
#include "src/base/assert.h"
#include "src/base/crc32c.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "tests/fuzz/fuzz.h"

static const uint8_t cluster[16] = "0123456789abcde";

static void
take(struct slice text)
{
	struct cursor c;
	struct buf again;

	if (cursor_decode(&c, cluster, text))
		return;
	buf_init(&again, 1u << 20);
	cursor_encode(&again, cluster, &c);
	/* Runs of one bucket that follow each other are one. */
	ASSERT(buf_error(&again) || again.n <= text.n);
	buf_deinit(&again);
	cursor_deinit(&c);
}

/* P as the entries of a cursor. */
static void
take_entries(const uint8_t *p, size_t n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmno"
				     "pqrstuvwxyz0123456789-_";
	uint8_t *all = mem_alloc(n + 21);
	char *text = mem_alloc((n + 21) * 2);
	uint32_t v = 0, bits = 0;
	size_t at = 0;

	ASSERT(all && text);
	all[0] = 1;
	memcpy(all + 1, cluster, 16);
	if (n)
		memcpy(all + 17, p, n);
	le_put32(all + 17 + n, crc32c(0, all, 17 + n));
	for (size_t i = 0; i < n + 21; i++) {
		v = v << 8 | all[i];
		for (bits += 8; bits >= 6; bits -= 6)
			text[at++] = digits[v >> (bits - 6) & 63];
	}
	if (bits)
		text[at++] = digits[v << (6 - bits) & 63];
	take(SLICE(text, at));
	mem_free(all);
	mem_free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	take(SLICE(p, n));
	take_entries(p, n);
	return 0;
}
