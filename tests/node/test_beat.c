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
	b.limit = 7;
	b.held = 0x1122334455667788ull;
	b.room = 0x99aabbccddeeff00ull;
	b.n_replicas = 41;
	b.in_force[ROOT_USERS] = 0x1122334455ull;
	b.in_force[ROOT_POLICIES] = 0x66778899ull;
	b.fills = (struct store_fills){
	    .sending = 300, .queued = 1000, .receiving = 2, .n = 2};
	b.fills.at[0] = (struct store_fill){.group = 11,
	    .to = "node b",
	    .bytes = 1u << 20,
	    .total_bytes = 1ull << 40,
	    .events = 5,
	    .total_events = 500,
	    .started_ms = 1795453850000,
	    .updated_ms = 1795453850123};
	b.fills.at[1] = (struct store_fill){
	    .to = "node c", .repair = 1, .error = ERR_TIMEOUT};
	return b;
}

Test(beat, is_the_same_for_good)
{
	struct beat b = example(), back;
	struct buf out, again;

	buf_init(&out, BEAT_MAX);
	beat_encode(&b, &out);
	golden("beat.bin", buf_slice(&out));
	cr_assert_eq(beat_decode(buf_slice(&out), &back), 0);
	cr_assert_eq(back.limit, 7);
	cr_assert_eq(back.held, b.held);
	cr_assert_eq(back.room, b.room);
	cr_assert_eq(back.n_replicas, 41);
	cr_assert_eq(back.in_force[ROOT_USERS], 0x1122334455ull);
	cr_assert_eq(back.in_force[ROOT_POLICIES], 0x66778899ull);
	cr_assert_eq(back.fills.at[0].total_bytes, 1ull << 40);
	cr_assert_eq(back.fills.at[1].error, ERR_TIMEOUT);
	buf_init(&again, BEAT_MAX);
	beat_encode(&back, &again);
	cr_assert(slice_equal(buf_slice(&out), buf_slice(&again)));
	buf_deinit(&again);
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
	out.p[0] = 1;
	cr_assert_eq(beat_decode(buf_slice(&out), &back), -ERR_FORMAT);
	out.p[0] = 4;
	out.p[65] |= 0x10;
	cr_assert_eq(beat_decode(buf_slice(&out), &back), -ERR_CORRUPT);
	out.p[65] ^= 0x10;
	out.p[66] = 12;
	cr_assert_eq(beat_decode(buf_slice(&out), &back), -ERR_CORRUPT);
	out.p[66] = 11;
	cr_assert_eq(beat_decode(buf_slice(&out), &back), 0);
	out.p[3] = 0x80;
	cr_assert_eq(beat_decode(buf_slice(&out), &back), -ERR_CORRUPT);
	buf_deinit(&out);
}
