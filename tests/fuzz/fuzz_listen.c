/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_listen - what a listener asks for: what is taken has legal names, and
 * says the same when it is written again.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "http/listen_params.h"
#include "src/base/assert.h"
#include "src/base/name.h"
#include "tests/fuzz/fuzz.h"

static void
take_wanted(struct slice text)
{
	struct listen_wanted w, again;
	char copy[600];
	int n;

	if (listen_take_wanted(text, &w))
		return;
	ASSERT(name_check(w.bucket) == 0);
	ASSERT(w.all ? w.next == 0 : name_check(w.stream) == 0);
	n = snprintf(copy, sizeof(copy), "%.*s:%.*s", (int)w.bucket.n,
	    (const char *)w.bucket.p, (int)w.stream.n,
	    (const char *)w.stream.p);
	if (w.next)
		n += snprintf(
		    copy + n, sizeof(copy) - (size_t)n, ":%" PRIu64, w.next);
	ASSERT((size_t)n < sizeof(copy));
	ASSERT(listen_take_wanted(SLICE(copy, (size_t)n), &again) == 0);
	ASSERT(slice_equal(w.bucket, again.bucket) &&
	       slice_equal(w.stream, again.stream) && w.next == again.next &&
	       w.all == again.all);
}

static void
take_id(struct slice text)
{
	uint64_t incarnation, seq, a, b;
	char copy[64];
	int n;

	if (listen_take_id(text, &incarnation, &seq))
		return;
	n = snprintf(
	    copy, sizeof(copy), "%" PRIu64 "-%" PRIu64, incarnation, seq);
	ASSERT(listen_take_id(SLICE(copy, (size_t)n), &a, &b) == 0);
	ASSERT(a == incarnation && b == seq);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	take_wanted(SLICE(p, n));
	take_id(SLICE(p, n));
	return 0;
}
