/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_call - requests of other nodes, and answers that they give: what is read
 * as a request is sent again as the same bytes; an answer is taken whole or not
 * at all.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "vnode/call.h"

static void
add_all(struct buf *b, const struct call_out *out)
{
	for (uint32_t i = 0; i < out->n_iov; i++)
		buf_add(b, out->iov[i].iov_base, out->iov[i].iov_len);
}

static void
take_request(const struct call_in *in)
{
	struct call_out again;
	struct call_in in2;
	struct msg *m, *m2;
	struct buf b;

	if (call_request(in, &m))
		return;
	buf_init(&b, NET_FRAME_MAX);
	if (call_encode(&again, in->id, m) == 0) {
		add_all(&b, &again);
		ASSERT(!buf_error(&b));
		ASSERT(call_open(buf_slice(&b), &in2) == 0);
		ASSERT(in2.id == in->id && in2.kind == in->kind);
		ASSERT(call_request(&in2, &m2) == 0);
		ASSERT(request_group(m) == request_group(m2));
		call_free_request(m2);
	}
	call_out_deinit(&again);
	buf_deinit(&b);
	call_free_request(m);
}

static void
take_answer(const struct call_in *in, struct block *block)
{
	struct vnode_put put = {.msg = {.kind = MSG_PUT}, .r = -ERR_BUG};
	struct vnode_read read = {.msg = {.kind = MSG_READ}, .r = -ERR_BUG};
	struct vnode_list list = {.msg = {.kind = MSG_LIST}, .r = -ERR_BUG};
	struct vnode_news news = {.msg = {.kind = MSG_NEWS}, .r = -ERR_BUG};
	struct vnode_delete del = {.msg = {.kind = MSG_DELETE}, .r = -ERR_BUG};
	struct msg *all[] = {
	    &put.msg, &read.msg, &list.msg, &news.msg, &del.msg};

	for (int i = 0; i < 5; i++) {
		int r = call_answer(in, block, all[i]);

		if (r)
			ASSERT(*request_result(all[i]) == -ERR_BUG);
		else
			ASSERT(*request_result(all[i]) <= 0 &&
			       all[i]->kind == in->kind);
	}
	vnode_page_deinit(&read.page);
	vnode_list_deinit(&list);
	vnode_news_deinit(&news);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct block *block = block_new((uint32_t)n + 1);
	struct call_in in;

	ASSERT(block);
	if (n)
		memcpy(block->p, data, n);
	block->n = (uint32_t)n;
	if (call_open(SLICE(block->p, n), &in) == 0) {
		if (in.answer)
			take_answer(&in, block);
		else
			take_request(&in);
	}
	ASSERT(atomic_load(&block->refs) == 1);
	block_unref(block);
	return 0;
}
