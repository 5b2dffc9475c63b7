/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_event - event records back to back: what is decoded, encodes to the same
 * bytes, and no cut or longer input changes it.
 */
#include "src/base/assert.h"
#include "src/base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/reseal.h"
#include "vnode/event.h"

void
fuzz_reseal(uint8_t *p, size_t n)
{
	reseal_events(p, n);
}

static void
check_encoding(const struct event *e, struct slice record)
{
	uint8_t *p = mem_alloc(record.n);
	uint32_t n;

	ASSERT(p);
	ASSERT(event_bytes(e) == record.n);
	n = event_encode_head(e, p);
	ASSERT(n + e->data.n == record.n);
	if (e->data.n)
		memcpy(p + n, e->data.p, e->data.n);
	ASSERT(memcmp(p, record.p, record.n) == 0);
	mem_free(p);
}

/* A record that is cut anywhere lacks something, and says how long it is once
 * its header is there. */
static void
check_cuts(struct slice record)
{
	for (size_t k = 0; k < record.n; k += 1 + k / 64) {
		struct event e;
		uint32_t n = 1;

		ASSERT(event_decode(SLICE(record.p, k), 1, &e, &n) ==
		       EVENT_E_SHORT);
		ASSERT(n == (k < EVENT_HEADER_BYTES ? 0 : record.n));
	}
}

static void
check_key(struct slice ext)
{
	uint8_t again[EVENT_KEY_BYTES];
	struct event_key k;

	if (event_key_decode(ext, &k))
		return;
	ASSERT(ext.n == EVENT_KEY_BYTES && k.n_events > 0);
	event_key_encode(&k, again);
	ASSERT(memcmp(again, ext.p, ext.n) == 0);
}

static int
check_record(struct slice in, uint32_t *n)
{
	struct event e, trusted;
	uint32_t again;
	int r = event_decode(in, 1, &e, n);
	int r2 = event_decode(in, 0, &trusted, &again);

	ASSERT(r >= 0 && r <= EVENT_E_DAMAGED);
	ASSERT(r2 == r || (r == EVENT_E_DAMAGED && r2 == 0));
	ASSERT(*n == again);
	if (r == EVENT_E_SHORT)
		ASSERT(*n == 0 || *n > in.n);
	if (r)
		return r;
	ASSERT(*n <= in.n && e.seq > 0);
	check_encoding(&e, SLICE(in.p, *n));
	check_cuts(SLICE(in.p, *n));
	check_key(e.ext);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	uint32_t k;

	for (size_t at = 0; check_record(SLICE(p + at, n - at), &k) == 0;)
		at += k;
	return 0;
}
