/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_patch - a line that is a document, and the rest, a patch to it: what
 * comes out is JSON, and written once more the same; merging again changes
 * nothing.  Bytes that are no JSON do no harm to the trees either.
 */
#include "http/jtext.h"
#include "http/jvalue.h"
#include "http/patch.h"
#include "src/base/assert.h"
#include "src/base/mem.h"
#include "tests/fuzz/fuzz.h"

#define VALUES 4096

static const struct patch_limits limits = {VALUES, 1u << 18, 1u << 18};

static int
apply(struct json_checker *c, enum patch_kind kind, struct slice doc,
    struct slice patch, struct buf *out)
{
	struct patch_error err;
	struct fuzz_mem m;
	int r;

	buf_init(out, 0);
	fuzz_mem_start(&m, 64 * (doc.n + patch.n) + 64 * VALUES + (2u << 20));
	r = patch_apply(c, kind, doc, patch, &limits, out, &err);
	fuzz_mem_stop(&m);
	ASSERT(r >= 0 && out->n <= limits.bytes);
	ASSERT(!r == !err.text[0]);
	return r;
}

static void
check(struct json_checker *c, enum patch_kind kind, struct slice doc,
    struct slice patch)
{
	struct buf once, again;
	int r = apply(c, kind, doc, patch, &once);

	if (r == 0) {
		ASSERT(
		    json_check(c, buf_slice(&once), JSON_MAX_DEPTH, NULL) == 0);
		r = kind == PATCH_MERGE
			? apply(c, kind, buf_slice(&once), patch, &again)
			: apply(c, PATCH_JSON, buf_slice(&once),
			      SLICE_LIT("[]"), &again);
		ASSERT(r == PATCH_E_LIMIT ||
		       (r == 0 &&
			   slice_equal(buf_slice(&once), buf_slice(&again))));
		buf_deinit(&again);
	}
	buf_deinit(&once);
}

static void
check_texts(struct slice a, struct slice b)
{
	struct slice s = a;
	size_t n = 0;

	for (; s.n; n++)
		jtext_next(&s);
	ASSERT(n <= a.n);
	ASSERT(jtext_compare(a, b) == -jtext_compare(b, a));
	ASSERT(jtext_equal(a, a) && jtext_number_equal(a, a));
	ASSERT(jtext_number_equal(a, b) == jtext_number_equal(b, a));
}

static void
check_any_bytes(struct slice text)
{
	struct jvalue v, copy;
	struct jpool p;
	struct buf b;

	buf_init(&b, 1u << 20);
	jpool_init(&p, VALUES, 1u << 18);
	if (jvalue_parse(&p, text, &v) == 0) {
		copy = jvalue_copy(&p, &v);
		jvalue_height(&p, &v);
		ASSERT(p.error || jvalue_equal(&p, &v, &copy) || p.error);
		jvalue_write(&v, &b);
	}
	jpool_deinit(&p);
	buf_deinit(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const uint8_t *end = n ? memchr(data, '\n', n) : NULL;
	size_t cut = end ? (size_t)(end - data) : n;
	struct slice doc = SLICE(data, cut);
	struct slice patch = end ? SLICE(end + 1, n - cut - 1) : doc;
	struct json_checker *c = json_checker_new();

	ASSERT(c);
	check_any_bytes(doc);
	check_any_bytes(patch);
	check_texts(doc, patch);
	if (json_check(c, doc, JSON_MAX_DEPTH, NULL) == 0) {
		check(c, PATCH_JSON, doc, patch);
		check(c, PATCH_MERGE, doc, patch);
	}
	json_checker_free(c);
	return 0;
}
