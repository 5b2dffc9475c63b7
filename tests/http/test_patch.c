/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Patches: the public vectors, and what they leave out. */
#include <criterion/criterion.h>

#include "http/jvalue.h"
#include "http/patch.h"
#include "src/base/err.h"
#include "src/base/mem.h"

TestSuite(patch, .timeout = 60);

#define N(a) (sizeof(a) / sizeof(*(a)))

static const struct patch_limits limits = {
    PATCH_VALUES_MAX, PATCH_WORK_MAX, 8u << 20};

/* The result, or its error; in OUT, which is to be given back. */
static int
apply_slices(enum patch_kind kind, struct slice doc, struct slice patch,
    const struct patch_limits *l, struct buf *out, struct patch_error *err)
{
	struct json_checker *c = json_checker_new();
	int r;

	buf_init(out, 0);
	r = patch_apply(c, kind, doc, patch, l, out, err);
	json_checker_free(c);
	return r;
}

static void
becomes(
    enum patch_kind kind, const char *doc, const char *patch, const char *want)
{
	struct patch_error err;
	struct buf out;
	int r = apply_slices(
	    kind, SLICE_STR(doc), SLICE_STR(patch), &limits, &out, &err);

	cr_assert_eq(r, 0, "%s, %s: %s", doc, patch, err.text);
	cr_expect(slice_equal(buf_slice(&out), SLICE_STR(want)), "%s, %s: %.*s",
	    doc, patch, (int)out.n, (const char *)out.p);
	buf_deinit(&out);
}

/* It fails with R; OP -1: not in an operation. */
static void
fails(
    enum patch_kind kind, const char *doc, const char *patch, int want, int op)
{
	struct patch_error err;
	struct buf out;
	int r = apply_slices(
	    kind, SLICE_STR(doc), SLICE_STR(patch), &limits, &out, &err);

	cr_expect_eq(r, want, "%s, %s: %d", doc, patch, r);
	cr_expect_eq(err.has_op, op >= 0, "%s", patch);
	if (op >= 0)
		cr_expect_eq(err.op, op, "%s: %u", patch, err.op);
	cr_expect(err.text[0], "%s", patch);
	buf_deinit(&out);
}

/* --- the public vectors --------------------------------------------------- */

static void
read_file(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "rb");

	cr_assert_not_null(f, "%s", path);
	buf_init(out, 1u << 20);
	out->n = fread(buf_reserve(out, 1u << 20), 1, 1u << 20, f);
	fclose(f);
}

static struct jvalue *
member(struct jpool *p, struct jvalue *v, const char *name)
{
	return jvalue_find(p, v, SLICE_STR(name), NULL);
}

static void
add_text(struct buf *b, const struct jvalue *v)
{
	buf_init(b, 1u << 20);
	jvalue_write(v, b);
}

/* Without an expected result it must fail. */
static void
try_vector(struct jpool *p, struct jvalue *v)
{
	struct jvalue *expected = member(p, v, "expected"), got;
	struct patch_error err;
	struct buf doc, patch, out;
	int r;

	add_text(&doc, member(p, v, "doc"));
	add_text(&patch, member(p, v, "patch"));
	r = apply_slices(PATCH_JSON, buf_slice(&doc), buf_slice(&patch),
	    &limits, &out, &err);
	if (member(p, v, "error")) {
		cr_expect_eq(r, PATCH_E_INVALID, "%.*s", (int)patch.n,
		    (const char *)patch.p);
	} else {
		cr_assert_eq(r, 0, "%.*s: %s", (int)patch.n,
		    (const char *)patch.p, err.text);
		cr_assert_eq(jvalue_parse(p, buf_slice(&out), &got), 0);
		cr_expect(!expected || jvalue_equal(p, expected, &got),
		    "%.*s: %.*s", (int)patch.n, (const char *)patch.p,
		    (int)out.n, (const char *)out.p);
	}
	buf_deinit(&doc);
	buf_deinit(&patch);
	buf_deinit(&out);
}

static void
try_file(const char *path, uint32_t n)
{
	uint32_t tried = 0;
	struct jvalue all;
	struct jpool p;
	struct buf text;

	read_file(path, &text);
	jpool_init(&p, 1u << 20, 1u << 24);
	cr_assert_eq(jvalue_parse(&p, buf_slice(&text), &all), 0);
	for (uint32_t i = 0; i < all.n; i++) {
		if (member(&p, &all.items[i], "disabled"))
			continue;
		try_vector(&p, &all.items[i]);
		tried++;
	}
	cr_expect_eq(tried, n);
	cr_expect_eq(p.error, 0);
	jpool_deinit(&p);
	buf_deinit(&text);
}

Test(patch, public_vectors)
{
	try_file(TEST_DATA "/json_patch.json", 92);
	try_file(TEST_DATA "/json_patch_spec.json", 16);
}

Test(patch, merges_of_the_appendix_of_rfc_7396)
{
	static const char *const rows[][3] = {
	    {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
	    {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
	    {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
	    {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
	    {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
	    {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
	    {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}",
		"{\"a\":{\"b\":\"d\"}}"},
	    {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
	    {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
	    {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
	    {"{\"a\":\"foo\"}", "null", "null"},
	    {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
	    {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
	    {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
	    {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
	};

	for (size_t i = 0; i < N(rows); i++)
		becomes(PATCH_MERGE, rows[i][0], rows[i][1], rows[i][2]);
}

/* --- what they leave out -------------------------------------------------- */

#define OP(op, rest) "[{\"op\":\"" op "\"," rest "}]"

Test(patch, what_is_not_touched_keeps_its_text)
{
	static const char doc[] =
	    "{\"n\":123456789012345678901234567890.10e+5,\"s\":\"\\u0041\\/\","
	    "\"\\u0061\":[-0,1E3,{}],\"x\":0}";
	static const char want[] =
	    "{\"n\":123456789012345678901234567890.10e+5,\"s\":\"\\u0041\\/\","
	    "\"\\u0061\":[-0,1E3,{}],\"x\":18446744073709551616}";

	becomes(PATCH_JSON, doc,
	    OP("replace", "\"path\":\"/x\",\"value\":18446744073709551616"),
	    want);
	becomes(PATCH_MERGE, doc, "{\"x\":18446744073709551616}", want);
	becomes(PATCH_JSON, " [ 1 , { \"a\" : \"\xc3\xa9 \" } ]\n", "[]",
	    "[1,{\"a\":\"\xc3\xa9 \"}]");
}

Test(patch, the_last_of_members_with_one_name_counts)
{
	becomes(PATCH_JSON, "{\"a\":1,\"b\":2,\"a\":3,\"\\u0061\":4}", "[]",
	    "{\"b\":2,\"\\u0061\":4}");
	becomes(PATCH_JSON, "{}",
	    "[{\"op\":\"remove\",\"path\":\"/x\",\"op\":\"add\",\"value\":1}]",
	    "{\"x\":1}");
	becomes(PATCH_MERGE, "{\"a\":0}", "{\"a\":1,\"a\":2}", "{\"a\":2}");
	becomes(PATCH_MERGE, "{\"a\":0,\"a\":{}}", "{\"a\":{\"b\":1}}",
	    "{\"a\":{\"b\":1}}");
}

/* More members than are compared one by one. */
Test(patch, the_last_of_many_members_with_one_name_counts)
{
	struct buf doc, want;

	buf_init(&doc, 1u << 20);
	buf_init(&want, 1u << 20);
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 500; i++)
			buf_printf(&doc, "%s\"%s%d\":%d", doc.n ? "," : "{",
			    i % 2 ? "n" : "\\u006e", i, round * 1000 + i);
	for (int i = 0; i < 500; i++)
		buf_printf(&want, "%s\"%s%d\":%d", i ? "," : "{",
		    i % 2 ? "n" : "\\u006e", i, 1000 + i);
	buf_add(&doc, "}", 2);
	buf_add(&want, "}", 2);
	becomes(PATCH_JSON, (char *)doc.p, "[]", (char *)want.p);
	buf_deinit(&doc);
	buf_deinit(&want);
}

Test(patch, pointers_are_what_they_mean)
{
	becomes(PATCH_JSON, "{\"a\":{\"b\":1}}",
	    OP("remove", "\"path\":\"\\u002f\\u0061\\/b\""), "{\"a\":{}}");
	becomes(PATCH_JSON, "{\"/\":1,\"~\":2}",
	    "[{\"op\":\"remove\",\"path\":\"/~1\"},"
	    "{\"op\":\"remove\",\"path\":\"/\\u007e\\u0030\"}]",
	    "{}");
	becomes(PATCH_JSON, "{}", OP("add", "\"path\":\"/~01\",\"value\":1"),
	    "{\"~1\":1}");
	becomes(PATCH_JSON, "{}",
	    OP("add", "\"path\":\"/\\\"\\\\\\n\\u0000\\ud800\",\"value\":1"),
	    "{\"\\\"\\\\\\u000a\\u0000\\ud800\":1}");
	becomes(PATCH_JSON, "{\"\":{\"\":1}}", OP("remove", "\"path\":\"//\""),
	    "{\"\":{}}");
	fails(PATCH_JSON, "{\"a\":1}", OP("remove", "\"path\":\"a\""),
	    PATCH_E_INVALID, 0);
	fails(PATCH_JSON, "{\"~\":1}", OP("remove", "\"path\":\"/~\""),
	    PATCH_E_INVALID, 0);
	fails(PATCH_JSON, "{\"~2\":1}", OP("remove", "\"path\":\"/~2\""),
	    PATCH_E_INVALID, 0);
	fails(PATCH_JSON, "1", OP("remove", "\"path\":\"/a\""), PATCH_E_INVALID,
	    0);
	fails(PATCH_JSON, "[1]", OP("remove", "\"path\":\"/-\""),
	    PATCH_E_INVALID, 0);
	fails(PATCH_JSON, "[1]", OP("remove", "\"path\":\"/4294967296\""),
	    PATCH_E_INVALID, 0);
}

Test(patch, moves_and_copies)
{
	becomes(PATCH_JSON, "{\"a\":{\"b\":1}}",
	    OP("move", "\"from\":\"/a\",\"path\":\"\""), "{\"b\":1}");
	becomes(PATCH_JSON, "{\"a\":1}",
	    OP("copy", "\"from\":\"\",\"path\":\"/a\""), "{\"a\":{\"a\":1}}");
	becomes(PATCH_JSON, "[1,2,3]",
	    OP("move", "\"from\":\"/0\",\"path\":\"/-\""), "[2,3,1]");
	becomes(PATCH_JSON, "[1,2,3]",
	    OP("move", "\"from\":\"/2\",\"path\":\"/0\""), "[3,1,2]");
	becomes(PATCH_JSON, "[{},{}]",
	    OP("move", "\"from\":\"/1\",\"path\":\"/1\""), "[{},{}]");
	/* A copy is changed alone. */
	becomes(PATCH_JSON, "{\"a\":[1]}",
	    "[{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/b\"},"
	    "{\"op\":\"add\",\"path\":\"/b/-\",\"value\":2},"
	    "{\"op\":\"remove\",\"path\":\"/a/0\"}]",
	    "{\"a\":[],\"b\":[1,2]}");
	fails(PATCH_JSON, "[{},{}]",
	    OP("move", "\"from\":\"/0\",\"path\":\"/0/a\""), PATCH_E_INVALID,
	    0);
	fails(PATCH_JSON, "{\"a\":{}}",
	    OP("move", "\"from\":\"\",\"path\":\"/a\""), PATCH_E_INVALID, 0);
	fails(PATCH_JSON, "[1]", OP("move", "\"from\":\"/0\",\"path\":\"/1\""),
	    PATCH_E_INVALID, 0);
}

Test(patch, tests_compare_values)
{
	becomes(PATCH_JSON, "{\"a\":[1,{\"b\":2,\"c\":\"\\u0041\"}]}",
	    OP("test",
		"\"path\":\"/a\",\"value\":[1.0,{\"c\":\"A\",\"b\":20e-1}]"),
	    "{\"a\":[1,{\"b\":2,\"c\":\"\\u0041\"}]}");
	fails(PATCH_JSON, "9007199254740993",
	    OP("test", "\"path\":\"\",\"value\":9007199254740992"),
	    PATCH_E_INVALID, 0);
	fails(PATCH_JSON, "[1]", OP("test", "\"path\":\"/0\",\"value\":\"1\""),
	    PATCH_E_INVALID, 0);
	fails(PATCH_JSON, "{\"a\":1,\"b\":1}",
	    OP("test", "\"path\":\"\",\"value\":{\"a\":1,\"c\":1}"),
	    PATCH_E_INVALID, 0);
}

Test(patch, errors_name_the_operation)
{
	fails(PATCH_JSON, "{}",
	    "[{\"op\":\"add\",\"path\":\"/a\",\"value\":1},"
	    "{\"op\":\"test\",\"path\":\"/a\",\"value\":1},"
	    "{\"op\":\"remove\",\"path\":\"/b\"}]",
	    PATCH_E_INVALID, 2);
	fails(PATCH_JSON, "{}", "[1]", PATCH_E_INVALID, 0);
	fails(PATCH_JSON, "{}", "[{}]", PATCH_E_INVALID, 0);
	fails(PATCH_JSON, "{}", OP("remove", "\"path\":\"\""), PATCH_E_INVALID,
	    0);
	fails(PATCH_JSON, "{}", "{}", PATCH_E_INVALID, -1);
	fails(PATCH_JSON, "{}", "[", PATCH_E_INVALID, -1);
	fails(PATCH_JSON, "{}", "", PATCH_E_INVALID, -1);
	fails(PATCH_MERGE, "{}", "{]", PATCH_E_INVALID, -1);
	fails(PATCH_JSON, "\"", "[]", PATCH_E_INVALID, -1);
}

/* --- bounds --------------------------------------------------------------- */

static char *
nested(uint32_t depth)
{
	char *s = calloc(1, 2 * depth + 8);

	memset(s, '[', depth);
	memset(s + depth, ']', depth);
	return s;
}

static void
nests(const char *op, uint32_t depth, int want)
{
	char *inner = nested(depth), patch[1024], result[1024];

	snprintf(patch, sizeof(patch), op, inner);
	snprintf(result, sizeof(result), "{\"a\":{\"b\":{\"c\":%s}}}", inner);
	if (want)
		fails(PATCH_JSON, "{\"a\":{\"b\":{\"c\":0}}}", patch, want, 0);
	else
		becomes(PATCH_JSON, "{\"a\":{\"b\":{\"c\":0}}}", patch, result);
	free(inner);
}

Test(patch, a_document_does_not_become_too_deep)
{
	static const char *const ops[] = {
	    "[{\"op\":\"add\",\"path\":\"/a/b/c\",\"value\":%s}]",
	    "[{\"op\":\"replace\",\"path\":\"/a/b/c\",\"value\":%s}]"};

	for (size_t i = 0; i < N(ops); i++) {
		nests(ops[i], 125, 0);
		nests(ops[i], 126, PATCH_E_INVALID);
	}
}

Test(patch, copies_of_copies_come_to_an_end)
{
	struct patch_limits small = limits;
	struct patch_error err;
	struct buf patch, out;
	int r;

	buf_init(&patch, 1u << 20);
	for (int i = 0; i < 64; i++)
		buf_printf(&patch,
		    "%s{\"op\":\"copy\",\"from\":\"/0\",\"path\":\"/0/-\"}",
		    i ? "," : "[");
	buf_add_byte(&patch, ']');
	r = apply_slices(PATCH_JSON, SLICE_LIT("[[1]]"), buf_slice(&patch),
	    &limits, &out, &err);
	cr_expect_eq(r, PATCH_E_LIMIT);
	buf_deinit(&out);
	buf_reset(&patch);
	/* Many copies of one long text are no many values. */
	for (int i = 0; i < 100; i++)
		buf_printf(&patch,
		    "%s{\"op\":\"copy\",\"from\":\"/0\",\"path\":\"/-\"}",
		    i ? "," : "[");
	buf_add_byte(&patch, ']');
	small.bytes = 1000;
	r = apply_slices(PATCH_JSON, SLICE_LIT("[\"0123456789abcdef\"]"),
	    buf_slice(&patch), &small, &out, &err);
	cr_expect_eq(r, PATCH_E_LIMIT);
	cr_expect_leq(out.n, 1000);
	buf_deinit(&out);
	buf_deinit(&patch);
}

static int
fail_nth(void *arg, size_t n)
{
	(void)n;
	return (*(int *)arg)-- == 0;
}

Test(patch, no_memory_is_told)
{
	static const char doc[] = "{\"a\":[1,2,3],\"b\":{\"c\":\"\\u0041\"},"
				  "\"1\":1,\"2\":2,\"3\":3,\"4\":4,\"5\":5,"
				  "\"6\":6,\"7\":7,\"8\":8}";
	static const char ops[] =
	    "[{\"op\":\"add\",\"path\":\"/a/-\",\"value\":[4]},"
	    "{\"op\":\"copy\",\"from\":\"/b\",\"path\":\"/\\u0064~1\"}]";
	struct json_checker *c = json_checker_new();
	struct patch_error err;
	int r = -ERR_NOMEM, left;
	struct buf out;

	for (int i = 0; r == -ERR_NOMEM; i++) {
		cr_assert_lt(i, 100);
		buf_init(&out, 0);
		left = i;
		mem_set_hook(fail_nth, &left);
		r = patch_apply(c, PATCH_JSON, SLICE_LIT(doc), SLICE_LIT(ops),
		    &limits, &out, &err);
		mem_set_hook(NULL, NULL);
		buf_deinit(&out);
	}
	cr_expect_eq(r, 0);
	json_checker_free(c);
}
