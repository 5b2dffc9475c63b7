/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "src/base/env.h"

#include <criterion/criterion.h>

#include "src/base/mem.h"

TestSuite(env);

static const uint8_t from[16] = {1, 2, 3};

Test(env, a_frame_holds_a_copy_of_all_slices_and_who_sent_it)
{
	char head[] = "head", body[] = "body";
	struct iovec iov[3] = {{head, 4}, {NULL, 0}, {body, 4}};
	struct net_frame *f = net_frame_new(from, iov, 3);
	struct block *kept;

	cr_assert_not_null(f);
	head[0] = body[0] = 'x';
	cr_assert_eq(f->msg.kind, MSG_FRAME);
	cr_assert_arr_eq(f->from, from, 16);
	cr_assert(slice_equal(f->bytes, SLICE_LIT("headbody")));
	kept = block_ref(f->block);
	cr_assert_null(net_frame_free(f));
	cr_assert(slice_equal(SLICE(kept->p, kept->n), SLICE_LIT("headbody")),
	    "a reference keeps the bytes");
	block_unref(kept);
	cr_assert_null(net_frame_free(NULL));
}

static int
fail_nth(void *arg, size_t n)
{
	int *left = arg;

	(void)n;
	return (*left)-- == 0;
}

Test(env, a_frame_for_which_there_is_no_memory_leaves_nothing_behind)
{
	struct iovec iov = {(char[]){"x"}, 1};
	int left;

	for (int nth = 0; nth < 2; nth++) {
		left = nth;
		mem_set_hook(fail_nth, &left);
		cr_expect_null(net_frame_new(from, &iov, 1));
	}
	mem_set_hook(NULL, NULL);
}
