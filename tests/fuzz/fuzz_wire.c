/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_wire - a frame from another node: read to its end or refused, and what
 * was read encodes to the same bytes, but for those that are reserved.
 */
#include "src/base/assert.h"
#include "src/base/crc32c.h"
#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/reseal.h"
#include "vnode/fill.h"

void
fuzz_reseal(uint8_t *p, size_t n)
{
	reseal_wire(p, n);
}

/* What M takes of a frame, but for its reserved bytes and what stands behind
 * its entries. */
static void
check_header(const struct wire_message *m, const uint8_t *p)
{
	uint8_t out[WIRE_MESSAGE_BYTES];

	wire_put_message(out, m, (uint32_t)(WIRE_MESSAGE_BYTES + m->rest.n));
	out[5] |= p[5] & 0xf0; /* flags of the future */
	ASSERT(memcmp(out, p, 68) == 0);
}

static int
check_entries(struct wire_message m)
{
	for (uint32_t i = 0; i < m.n; i++) {
		uint8_t out[WIRE_ENTRY_BYTES];
		const uint8_t *p = m.rest.p;
		struct wire_entry e;
		size_t left = m.rest.n;
		int r = wire_next_entry(&m, &e);

		if (r) {
			ASSERT(r == -ERR_CORRUPT);
			return r;
		}
		ASSERT(e.payload.p == p + WIRE_ENTRY_BYTES);
		ASSERT(m.rest.n == left - WIRE_ENTRY_BYTES -
				       wire_round((uint32_t)e.payload.n));
		wire_put_entry(out, e.term, (uint32_t)e.payload.n,
		    crc32c(0, e.payload.p, e.payload.n));
		ASSERT(memcmp(out, p, sizeof(out)) == 0);
	}
	return 0;
}

static void
check_fill(struct slice in)
{
	uint8_t out[FILL_HEADER_BYTES];
	struct fill_message fm;
	int r = fill_decode(in, &fm);

	if (r) {
		ASSERT(r == -ERR_CORRUPT);
		return;
	}
	ASSERT(fm.bytes.n <= FILL_PAGE_BYTES);
	ASSERT(fm.bytes.n <= in.n - FILL_HEADER_BYTES);
	fill_encode(out, &fm);
	ASSERT(memcmp(out, in.p, sizeof(out)) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct wire_reader r;
	struct wire_message m;
	int x = wire_open(&r, SLICE(p, n));

	if (x) {
		ASSERT(x == -ERR_CORRUPT || x == -ERR_FORMAT);
		return 0;
	}
	for (;;) {
		const uint8_t *at = r.in.p;

		x = wire_next(&r, &m);
		if (x)
			break;
		ASSERT(m.rest.p == at + WIRE_MESSAGE_BYTES);
		ASSERT(m.rest.p + m.rest.n == r.in.p);
		check_header(&m, at);
		check_entries(m);
		check_fill(m.rest);
	}
	ASSERT(x == WIRE_E_END || x == -ERR_CORRUPT);
	ASSERT((x == WIRE_E_END) == (r.in.n == 0) || x < 0);
	return 0;
}
