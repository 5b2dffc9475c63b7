/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* body - the bytes of one log entry on their way. */
#include "vnode/body.h"

#include "src/base/assert.h"
#include "src/base/crc32c.h"
#include "src/base/err.h"
#include "src/base/mem.h"

static void
hold(struct body *b, struct block *block, struct slice bytes)
{
	b->block = block;
	b->whole = (struct iovec){(void *)(uintptr_t)bytes.p, bytes.n};
	b->iov = &b->whole;
	b->n_iov = 1;
	b->bytes = (uint32_t)bytes.n;
}

struct body *
body_new(struct block *block, struct slice bytes, uint32_t crc)
{
	struct body *b = mem_zalloc(sizeof(*b));

	if (!b)
		return NULL;
	hold(b, block_ref(block), bytes);
	b->crc = crc;
	b->refs = 1;
	return b;
}

struct body *
body_whole(struct block *block, struct slice bytes)
{
	return body_new(block, bytes, crc32c(0, bytes.p, bytes.n));
}

struct body *
body_copy(struct slice bytes)
{
	struct block *block = block_new((uint32_t)bytes.n);
	struct body *b;

	if (!block)
		return NULL;
	if (bytes.n)
		memcpy(block->p, bytes.p, bytes.n);
	block->n = (uint32_t)bytes.n;
	b = body_whole(block, SLICE(block->p, bytes.n));
	block_unref(block);
	return b;
}

struct body *
body_ref(struct body *b)
{
	b->refs++;
	return b;
}

struct body *
body_unref(struct body *b)
{
	if (!b || --b->refs)
		return NULL;
	ASSERT(!b->proposal && b->readers == 0);
	block_unref(b->block);
	return mem_free(b);
}

struct slice
body_slice(const struct body *b)
{
	if (b->n_iov != 1)
		return SLICE(NULL, 0);
	return SLICE(b->iov[0].iov_base, b->iov[0].iov_len);
}

int
body_own(struct body *b)
{
	struct block *block = block_new(b->bytes);
	uint32_t at = 0;

	ASSERT(!b->block && b->readers == 0);
	if (!block)
		return -ERR_NOMEM;
	for (int i = 0; i < b->n_iov; i++) {
		memcpy(block->p + at, b->iov[i].iov_base, b->iov[i].iov_len);
		at += (uint32_t)b->iov[i].iov_len;
	}
	ASSERT(at == b->bytes);
	block->n = at;
	hold(b, block, SLICE(block->p, at));
	return 0;
}
