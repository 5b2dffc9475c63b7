/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "src/node/beat.h"

#include "src/base/err.h"
#include "tests/golden/golden.h"

TestSuite(beat);

static struct beat
example(void)
{
	struct beat b = {.q = 12, .leads = 1, .root_term = 0x123456789aull};

	b.placed[0] = 0x81;
	b.placed[1] = 0x0f;
	return b;
}

Test(beat, is_the_same_for_good)
{
	struct beat b = example(), back;
	struct buf out;

	buf_init(&out, BEAT_MAX);
	beat_encode(&b, &out);
	golden("beat.bin", buf_slice(&out));
	cr_assert_eq(beat_decode(buf_slice(&out), &back), 0);
	cr_assert_eq(memcmp(&b, &back, sizeof(b)), 0);
	buf_deinit(&out);
}

/* What is true of Q groups cannot be said of more. */
Test(beat, that_is_none_is_refused)
{
	struct beat b = example(), back;
	struct buf out;

	buf_init(&out, BEAT_MAX);
	beat_encode(&b, &out);
	for (size_t n = 0; n < out.n; n++)
		cr_assert_eq(beat_decode(SLICE(out.p, n), &back), -ERR_CORRUPT);
	out.p[0] = 2;
	cr_assert_eq(beat_decode(buf_slice(&out), &back), -ERR_FORMAT);
	out.p[0] = 1;
	out.p[17] |= 0x10;
	cr_assert_eq(beat_decode(buf_slice(&out), &back), -ERR_CORRUPT);
	out.p[17] ^= 0x10;
	out.p[3] = 0x80;
	cr_assert_eq(beat_decode(buf_slice(&out), &back), -ERR_CORRUPT);
	buf_deinit(&out);
}
