/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_beat - what a member tells of itself: what is read encodes to the same
 * bytes, and nothing is read that is longer than a beat may be.
 */
#include "src/base/assert.h"
#include "src/node/beat.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct beat b;
	struct buf out;

	if (beat_decode(SLICE(p, n), &b))
		return 0;
	buf_init(&out, BEAT_MAX);
	beat_encode(&b, &out);
	ASSERT(buf_error(&out) == 0);
	ASSERT(slice_equal(buf_slice(&out), SLICE(p, n)));
	buf_deinit(&out);
	return 0;
}
