/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * Frames between replicas: golden bytes, and whatever else may come.
 * IORIO_GOLDEN_WRITE=1 writes the golden file anew.
 */
#include <criterion/criterion.h>

#include "src/base/crc32c.h"
#include "src/base/err.h"
#include "vnode/fill.h"
#include "vnode/wire.h"

TestSuite(wire);

static const struct wire_message an_append = {
    .type = RAFT_APPEND,
    .group = 19,
    .from = 1,
    .to = 9,
    .term = 3,
    .index = 41,
    .log_term = 2,
    .commit = 40,
    .round = 7,
    .n = 2,
};

static void
add(struct buf *b, const void *p, size_t n)
{
	static const uint8_t zeros[8];

	buf_add(b, p, n);
	buf_add(b, zeros, wire_round((uint32_t)n) - n);
}

static void
add_entry(struct buf *b, uint64_t term, const char *payload)
{
	uint8_t head[WIRE_ENTRY_BYTES];
	size_t n = strlen(payload);

	wire_put_entry(head, term, (uint32_t)n, crc32c(0, payload, n));
	add(b, head, sizeof(head));
	add(b, payload, n);
}

/* A frame with an append of two entries, a vote, and a page of a fill. */
static void
make_frame(struct buf *b)
{
	struct wire_message vote = {.type = RAFT_VOTE_ANSWER,
	    .group = 2,
	    .from = 9,
	    .to = 1,
	    .term = 4,
	    .reject = 1,
	    .transfer = 1,
	    .uncounted = 0x8877665544332211};
	struct wire_message page = {
	    .type = WIRE_FILL, .group = 3, .from = 1, .to = 12};
	struct fill_message fm = {.op = FILL_CHUNKS,
	    .transfer = 0x1122334455667788,
	    .a = 5,
	    .b = 1,
	    .c = 65536,
	    .d = 65541,
	    .bytes = SLICE_LIT("bytes")};
	uint8_t frame[WIRE_FRAME_BYTES], m[WIRE_MESSAGE_BYTES];
	uint8_t head[FILL_HEADER_BYTES];

	wire_put_frame(frame);
	add(b, frame, sizeof(frame));
	wire_put_message(
	    m, &an_append, WIRE_MESSAGE_BYTES + 2 * WIRE_ENTRY_BYTES + 8 + 16);
	add(b, m, sizeof(m));
	add_entry(b, 2, "payload");
	add_entry(b, 3, "more of it");
	wire_put_message(m, &vote, WIRE_MESSAGE_BYTES);
	add(b, m, sizeof(m));
	wire_put_message(m, &page, WIRE_MESSAGE_BYTES + FILL_HEADER_BYTES + 8);
	add(b, m, sizeof(m));
	fill_encode(head, &fm);
	add(b, head, sizeof(head));
	add(b, "bytes", 5);
}

/* Reads it all; the number of messages, or the error. */
static int
read_all(struct slice frame, uint32_t *n_entries)
{
	struct wire_reader r;
	struct wire_message m;
	struct wire_entry e;
	int n = 0, x = wire_open(&r, frame);

	*n_entries = 0;
	while (x == 0 && (x = wire_next(&r, &m)) == 0) {
		n++;
		for (uint32_t i = 0; x == 0 && i < m.n; i++) {
			x = wire_next_entry(&m, &e);
			*n_entries += x == 0;
		}
	}
	return x == WIRE_E_END ? n : x;
}

Test(wire, a_frame_is_what_it_always_was)
{
	uint8_t want[4096];
	struct buf b;
	size_t n;
	FILE *f;

	buf_init(&b, 1 << 20);
	make_frame(&b);
	if (getenv("IORIO_GOLDEN_WRITE")) {
		f = fopen(GOLDEN_DIR "/frame.bin", "wb");
		cr_assert(f && fwrite(b.p, 1, b.n, f) == b.n);
		fclose(f);
	}
	f = fopen(GOLDEN_DIR "/frame.bin", "rb");
	cr_assert_not_null(f);
	n = fread(want, 1, sizeof(want), f);
	fclose(f);
	cr_assert(slice_equal(buf_slice(&b), SLICE(want, n)));
	buf_deinit(&b);
}

Test(wire, what_was_put_is_read)
{
	struct wire_reader r;
	struct wire_message m;
	struct wire_entry e;
	struct fill_message fm;
	struct buf b;

	buf_init(&b, 1 << 20);
	make_frame(&b);
	cr_assert_eq(wire_open(&r, buf_slice(&b)), 0);
	cr_assert_eq(wire_next(&r, &m), 0);
	cr_assert(m.type == RAFT_APPEND && m.group == 19 && m.from == 1 &&
		  m.to == 9 && m.term == 3 && m.index == 41 &&
		  m.log_term == 2 && m.commit == 40 && m.round == 7 &&
		  m.n == 2 && !m.reject && !m.transfer && !m.uncounted);
	cr_assert_eq(wire_next_entry(&m, &e), 0);
	cr_assert(e.term == 2 && slice_equal(e.payload, SLICE_LIT("payload")));
	cr_assert_eq(wire_next_entry(&m, &e), 0);
	cr_assert(
	    e.term == 3 && slice_equal(e.payload, SLICE_LIT("more of it")));
	cr_assert_eq(wire_next(&r, &m), 0);
	cr_assert(m.reject && m.transfer && m.n == 0 &&
		  m.uncounted == 0x8877665544332211);
	cr_assert_eq(wire_next(&r, &m), 0);
	cr_assert_eq(m.type, WIRE_FILL);
	cr_assert_eq(fill_decode(m.rest, &fm), 0);
	cr_assert(fm.op == FILL_CHUNKS && fm.transfer == 0x1122334455667788 &&
		  fm.a == 5 && fm.b == 1 && fm.c == 65536 && fm.d == 65541 &&
		  slice_equal(fm.bytes, SLICE_LIT("bytes")));
	cr_assert_eq(wire_next(&r, &m), WIRE_E_END);
	buf_deinit(&b);
}

Test(wire, each_flag_arrives_as_itself)
{
	for (int i = 0; i < 12; i++) { /* uncounted or heal, not both */
		struct wire_message m = an_append, got;
		uint8_t frame[WIRE_FRAME_BYTES + WIRE_MESSAGE_BYTES];
		struct wire_reader r;

		m.n = 0;
		m.wall = 0xfedcba00 + (uint32_t)i;
		m.reject = i & 1;
		m.transfer = i >> 1 & 1;
		m.uncounted = i & 4 ? 0x0123456789abcdef : 0;
		m.heal = i & 8 ? 0xfedcba9876543210 : 0;
		wire_put_frame(frame);
		wire_put_message(
		    frame + WIRE_FRAME_BYTES, &m, WIRE_MESSAGE_BYTES);
		cr_assert_eq(wire_open(&r, SLICE(frame, sizeof(frame))), 0);
		cr_assert_eq(wire_next(&r, &got), 0);
		cr_assert(got.reject == m.reject &&
			  got.transfer == m.transfer &&
			  got.uncounted == m.uncounted && got.wall == m.wall &&
			  got.heal == m.heal);
	}
}

Test(wire, a_damaged_replica_that_does_not_say_which_run_it_is_is_refused)
{
	struct wire_message m = an_append, got;
	uint8_t frame[WIRE_FRAME_BYTES + WIRE_MESSAGE_BYTES];
	struct wire_reader r;

	m.n = 0;
	m.uncounted = 1;
	wire_put_frame(frame);
	wire_put_message(frame + WIRE_FRAME_BYTES, &m, WIRE_MESSAGE_BYTES);
	frame[WIRE_FRAME_BYTES + 72] = 0;
	cr_assert_eq(wire_open(&r, SLICE(frame, sizeof(frame))), 0);
	cr_assert_eq(wire_next(&r, &got), -ERR_CORRUPT);
}

Test(wire, a_frame_that_is_cut_is_refused)
{
	struct buf b;
	uint32_t n;

	buf_init(&b, 1 << 20);
	make_frame(&b);
	for (size_t cut = 0; cut < b.n; cut++) {
		int x = read_all(SLICE(b.p, cut), &n);

		/* Whole messages before the cut stand. */
		cr_assert(x < 3, "cut at %zu", cut);
	}
	cr_assert_eq(read_all(buf_slice(&b), &n), 3);
	cr_assert_eq(n, 2);
	buf_deinit(&b);
}

Test(wire, no_flipped_bit_leads_outside_or_changes_a_payload)
{
	struct buf b;
	uint32_t n;

	buf_init(&b, 1 << 20);
	make_frame(&b);
	for (size_t bit = 0; bit < 8 * b.n; bit++) {
		uint8_t *copy = malloc(b.n); /* the sanitizer sees its end */

		memcpy(copy, b.p, b.n);
		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
		read_all(SLICE(copy, b.n), &n);
		if (bit / 8 >= 8 + 80 + 16 && bit / 8 < 8 + 80 + 16 + 7)
			cr_assert_eq(n, 0, "a changed payload passed");
		free(copy);
	}
	buf_deinit(&b);
}

Test(wire, more_entries_than_there_is_room_for_are_refused)
{
	struct wire_message m = an_append;
	uint8_t frame[WIRE_FRAME_BYTES + WIRE_MESSAGE_BYTES];
	struct wire_reader r;

	m.n = UINT32_MAX;
	wire_put_frame(frame);
	wire_put_message(frame + WIRE_FRAME_BYTES, &m, WIRE_MESSAGE_BYTES);
	cr_assert_eq(wire_open(&r, SLICE(frame, sizeof(frame))), 0);
	cr_assert_eq(wire_next(&r, &m), -ERR_CORRUPT);
}
