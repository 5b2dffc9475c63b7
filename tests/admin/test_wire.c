/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include <criterion/criterion.h>

#include "admin/wire.h"
#include "src/base/err.h"
#include "src/base/mem.h"

TestSuite(wire);

static void
request(struct buf *b)
{
	struct admin_request q = {.terminal = 1, .columns = 132, .n_args = 3};

	q.args[0] = SLICE_LIT("cluster");
	q.args[1] = SLICE_LIT("join");
	q.args[2] = SLICE_LIT("");
	buf_init(b, ADMIN_REQUEST_MAX);
	admin_request_encode(&q, b);
	cr_assert_eq(buf_error(b), 0);
}

Test(wire, requests_come_back_as_they_were)
{
	struct admin_request q;
	struct buf b;

	request(&b);
	cr_assert_eq(admin_request_size(b.p), b.n);
	cr_assert_eq(admin_request_decode(buf_slice(&b), &q), 0);
	cr_assert(q.terminal == 1 && q.columns == 132 && q.n_args == 3);
	cr_assert(slice_equal(q.args[0], SLICE_LIT("cluster")));
	cr_assert(slice_equal(q.args[1], SLICE_LIT("join")));
	cr_assert_eq(q.args[2].n, 0);
	buf_deinit(&b);
}

/* Of its own size on the heap, so that a sanitizer sees what reads behind. */
Test(wire, hostile_requests_are_refused_or_in_bounds)
{
	struct admin_request q;
	struct buf b;

	request(&b);
	for (size_t n = 0; n < b.n; n++) {
		uint8_t *p = mem_alloc(n);

		memcpy(p, b.p, n);
		cr_assert_eq(
		    admin_request_decode(SLICE(p, n), &q), -ERR_FORMAT);
		mem_free(p);
	}
	for (size_t at = 0; at < b.n; at++) {
		uint8_t *p = mem_alloc(b.n);

		for (int v = 0; v < 256; v++) {
			memcpy(p, b.p, b.n);
			p[at] = (uint8_t)v;
			if (admin_request_decode(SLICE(p, b.n), &q))
				continue;
			cr_assert(q.n_args <= ADMIN_ARGS_MAX);
			for (uint32_t i = 0; i < q.n_args; i++)
				cr_assert(q.args[i].p >= p &&
					  q.args[i].p + q.args[i].n <= p + b.n);
		}
		mem_free(p);
	}
	buf_deinit(&b);
}

Test(wire, a_request_that_is_too_long_has_no_size)
{
	static const uint8_t most[4] = {0xfc, 0xff, 0, 0};
	static const uint8_t more[4] = {0xfd, 0xff, 0, 0};

	cr_assert_eq(admin_request_size(most), ADMIN_REQUEST_MAX);
	cr_assert_eq(admin_request_size(more), 0);
}

Test(wire, frames_come_back_in_order_however_they_are_cut)
{
	enum admin_frame kind;
	struct slice body, rest;
	struct buf b;

	buf_init(&b, 4096);
	admin_frame_encode(ADMIN_FRAME_NAME, SLICE_LIT("a@b"), &b);
	admin_frame_encode(ADMIN_FRAME_ALIVE, SLICE(NULL, 0), &b);
	admin_frame_encode(ADMIN_FRAME_TEXT, SLICE_LIT("text\n"), &b);
	admin_frame_encode(ADMIN_FRAME_EXIT, SLICE_LIT("\2"), &b);
	for (size_t n = 0; n <= b.n; n++) {
		static const char kinds[] = "nktx";
		size_t i = 0;

		rest = SLICE(b.p, n);
		while (admin_frame_decode(&rest, &kind, &body) == 0)
			cr_assert_eq((char)kind, kinds[i++]);
		cr_assert_eq(i == 4, n == b.n);
	}
	cr_assert_eq(body.p[0], 2);
	buf_deinit(&b);
}

Test(wire, frames_of_no_kind_or_size_are_refused)
{
	static const struct {
		const char *bytes;
		int r;
	} frames[] = {{"z\0\0\0\0", -ERR_FORMAT}, {"x\0\0\0\0", -ERR_FORMAT},
	    {"x\2\0\0\0", -ERR_FORMAT}, {"t\1\0\x10\0", -ERR_FORMAT},
	    {"t\0\0\x10\0", 1}, {"t\0\0\0\0", 0}};

	for (size_t i = 0; i < sizeof(frames) / sizeof(*frames); i++) {
		struct slice rest = SLICE(frames[i].bytes, 5), body;
		enum admin_frame kind;

		cr_assert_eq(
		    admin_frame_decode(&rest, &kind, &body), frames[i].r);
	}
}

Test(wire, text_longer_than_a_frame_goes_into_several)
{
	size_t n = 2 * ADMIN_FRAME_MAX + 1, got = 0, frames = 0;
	uint8_t *text = mem_zalloc(n);
	struct slice rest, body;
	enum admin_frame kind;
	struct buf b;

	buf_init(&b, 4 * ADMIN_FRAME_MAX);
	admin_frame_encode(ADMIN_FRAME_TEXT, SLICE(text, n), &b);
	rest = buf_slice(&b);
	while (admin_frame_decode(&rest, &kind, &body) == 0) {
		got += body.n;
		frames++;
	}
	cr_assert(got == n && frames == 3 && rest.n == 0);
	buf_deinit(&b);
	mem_free(text);
}
