/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_images - a batch of copied blocks: none, or one whose images encode to
 * the same bytes.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/reseal.h"
#include "vnode/images.h"

void
fuzz_reseal(uint8_t *p, size_t n)
{
	reseal_images(p, n);
}

static void
check_batch(struct slice batch, const uint8_t *cluster_id)
{
	struct slice in, all;
	struct image im;
	struct buf b;
	int r;

	if (images_open(batch, cluster_id, &in)) {
		ASSERT(images_open(batch, cluster_id, &in) == IMAGES_E_NONE);
		return;
	}
	all = in;
	buf_init(&b, batch.n);
	images_begin(&b);
	while ((r = images_next(&in, &im)) == 1) {
		uint8_t *p = images_add(&b, &im, (uint32_t)im.bytes.n);

		ASSERT(p && im.bytes.n <= IMAGES_BLOCK);
		ASSERT(im.bytes.p >= all.p &&
		       im.bytes.p + im.bytes.n <= all.p + all.n);
		if (im.bytes.n)
			memcpy(p, im.bytes.p, im.bytes.n);
	}
	ASSERT(r == 0 || r == -ERR_CORRUPT);
	images_end(&b, cluster_id);
	if (r == 0)
		ASSERT(slice_equal(buf_slice(&b), batch));
	buf_deinit(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	uint32_t k;

	if (n < 32)
		return 0;
	k = images_batch_bytes(p);
	ASSERT(k == 0 || k >= 32);
	check_batch(SLICE(p, k && k < n ? k : n), p + 16);
	return 0;
}
