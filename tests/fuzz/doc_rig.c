/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* doc_rig - a document of the root out of any bytes. */
#include "tests/fuzz/doc_rig.h"

#include "src/base/assert.h"
#include "src/base/err.h"

int
doc_rig_apply(struct doc *d, struct doc *change)
{
	struct buf event;
	int r;

	buf_init(&event, DOC_EVENT_MAX);
	r = doc_encode(d, change, &event);
	ASSERT(r == 0 || r == -ERR_LIMIT);
	if (r == 0)
		ASSERT(doc_apply(d, doc_seq(d) + 1, buf_slice(&event)) == 0);
	buf_deinit(&event);
	doc_free(change);
	return r == 0;
}

/* Items until there are no more bytes. */
static struct doc *
read_items(const uint8_t *p, size_t n)
{
	struct doc *items = doc_new();

	ASSERT(items);
	while (n > 2) {
		size_t key = p[0], value = p[1];

		p += 2;
		n -= 2;
		key = key < n ? key : n;
		value = value < n - key ? value : n - key;
		if (key)
			ASSERT(doc_put(items, SLICE(p, key),
				   SLICE(p + key, value)) == 0);
		p += key + value;
		n -= key + value;
	}
	return items;
}

void
doc_rig(const uint8_t *p, size_t n, doc_rig_fn fn)
{
	struct doc *d = doc_new();
	uint64_t base;

	ASSERT(d);
	if (doc_apply(d, 1, SLICE(p, n)) == 0) {
		ASSERT(doc_base(SLICE(p, n), 1, &base) == 0 && base == 1);
		fn(d);
	}
	doc_free(d);
	d = doc_new();
	ASSERT(d);
	if (doc_rig_apply(d, read_items(p, n)))
		fn(d);
	doc_free(d);
}
