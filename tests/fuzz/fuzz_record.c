/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_record - the codec of the journal: the header of a segment (the first 56
 * bytes), then a record, as its own bytes say who and where it is.
 */
#include "src/base/assert.h"
#include "src/base/crc32c.h"
#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/reseal.h"
#include "vnode/journal_impl.h"

#define HEADER_BYTES 56

void
fuzz_reseal(uint8_t *p, size_t n)
{
	if (n < HEADER_BYTES)
		return;
	le_put32(p + 52, crc32c(0, p, 52));
	reseal_records(p, n, HEADER_BYTES);
}

static void
check_header(struct slice in)
{
	uint8_t block[JOURNAL_BLOCK] = {0}, out[JOURNAL_BLOCK], other[16];
	struct segment_header h;
	int r;

	memcpy(block, in.p, in.n < HEADER_BYTES ? in.n : HEADER_BYTES);
	r = segment_header_decode(block, block + 8, &h);
	if (r) {
		ASSERT(r == -ERR_CORRUPT || r == -ERR_FORMAT);
		return;
	}
	segment_header_encode(out, block + 8, &h);
	memcpy(out + 6, block + 6, 2); /* reserved */
	le_put32(out + 52, crc32c(0, out, 52));
	ASSERT(memcmp(out, block, sizeof(out)) == 0);
	memcpy(other, block + 8, sizeof(other));
	other[15]++;
	ASSERT(segment_header_decode(block, other, &h) == -ERR_IDENTITY);
}

static void
check_record(struct slice in)
{
	uint8_t out[JOURNAL_RECORD_BYTES], other[16] = {0};
	struct journal_record rec;
	lsn_t lsn = in.n >= 24 ? le_get64(in.p + 16) : 0;
	const uint8_t *cluster = in.n >= 48 ? in.p + 32 : other;
	int r = journal_record_decode(in, cluster, lsn, &rec);

	if (r) {
		ASSERT(r == JOURNAL_E_NONE || r == -ERR_FORMAT);
		return;
	}
	ASSERT(rec.lsn == lsn && rec.bytes <= in.n);
	ASSERT(rec.payload.p == in.p + JOURNAL_RECORD_BYTES);
	ASSERT(rec.payload.n + JOURNAL_RECORD_BYTES == rec.bytes);
	journal_record_encode(out, cluster, &rec.head, lsn, rec.durable,
	    (uint32_t)rec.payload.n, crc32c(0, rec.payload.p, rec.payload.n),
	    rec.left);
	out[5] = in.p[5]; /* reserved */
	le_put32(out + 84, crc32c(0, out, 84));
	ASSERT(memcmp(out, in.p, sizeof(out)) == 0);
	ASSERT(journal_record_decode(in, cluster, lsn + 8, &rec) ==
	       JOURNAL_E_NONE);
	ASSERT(journal_record_decode(SLICE(in.p, rec.bytes - 1), cluster, lsn,
		   &rec) == JOURNAL_E_NONE);
	memcpy(other, cluster, sizeof(other));
	other[0]++;
	ASSERT(journal_record_decode(in, other, lsn, &rec) == -ERR_IDENTITY);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	check_header(SLICE(p, n));
	if (n > HEADER_BYTES)
		check_record(SLICE(p + HEADER_BYTES, n - HEADER_BYTES));
	return 0;
}
