/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include <criterion/criterion.h>

#include "http/uri.h"
#include "src/base/err.h"
#include "src/base/mem.h"

TestSuite(uri_query);

/* The parameters of QUERY as `name=value;`, or the error. */
static int
list(const char *query, char out[256])
{
	struct slice rest = SLICE_STR(query), name, value;
	uint8_t store[256];
	int r, n = 0;

	out[0] = '\0';
	while ((r = uri_query_next(&rest, store, &name, &value)) == 1)
		n += snprintf(out + n, (size_t)(256 - n), "%.*s=%.*s;",
		    (int)name.n, (const char *)name.p, (int)value.n,
		    (const char *)value.p);
	return r;
}

Test(uri_query, parameters_come_decoded_and_in_order)
{
	static const struct {
		const char *query, *list;
	} rows[] = {
	    {"", ""},
	    {"&&", ""},
	    {"a", "a=;"},
	    {"a=", "a=;"},
	    {"=", "=;"},
	    {"=b", "=b;"},
	    {"a=1&a=2&&b=3&", "a=1;a=2;b=3;"},
	    {"a=b=c", "a=b=c;"},
	    {"%61%3d=%26%3D+", "a==&=+;"},
	    {"s=b:s:1&s=b%3As:2", "s=b:s:1;s=b:s:2;"},
	    {"a?b/c", "a?b/c=;"},
	};
	char out[256];

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		cr_assert_eq(list(rows[i].query, out), 0, "%s", rows[i].query);
		cr_assert_str_eq(out, rows[i].list, "%s", rows[i].query);
		cr_assert_eq(uri_query_check(SLICE_STR(rows[i].query)), 0);
	}
}

Test(uri_query, a_bad_escape_anywhere_is_told)
{
	static const char *const rows[] = {
	    "%", "a=%", "a=%4", "%4=a", "a=1&b=%zz", "a=%-1", "a=%+1", "%%41"};
	char out[256];

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		size_t n = strlen(rows[i]);
		uint8_t *exact = mem_alloc(n); /* a byte too far is seen */

		memcpy(exact, rows[i], n);
		cr_assert_eq(uri_query_check(SLICE(exact, n)), -ERR_INVAL);
		mem_free(exact);
		cr_assert_eq(list(rows[i], out), -ERR_INVAL, "%s", rows[i]);
	}
}

Test(uri_query, a_bad_escape_in_a_long_parameter_is_told)
{
	uint8_t store[10000];
	struct uri u;
	struct slice v;
	struct buf b;

	buf_init(&b, 1u << 20);
	buf_add_str(&b, "/?a=1&x=");
	while (b.n < 9000)
		buf_add_byte(&b, 'x');
	buf_add_str(&b, "%g0");
	cr_assert_eq(uri_parse(&u, buf_slice(&b), store), 0);
	cr_assert_eq(uri_param(&u, "a", store, &v), -ERR_INVAL);
	buf_deinit(&b);
}

Test(uri_query, names_are_compared_decoded_but_never_as_control_characters)
{
	uint8_t store[64];
	struct uri u;
	struct slice v;

	uri_parse(&u, SLICE_LIT("/?%6Cimit=7&%01=x&limits=8"), store);
	cr_assert_eq(uri_param(&u, "limit", store, &v), 0);
	cr_assert(slice_equal(v, SLICE_LIT("7")));
	cr_assert_eq(uri_param(&u, "\x01", store, &v), 1);
	cr_assert_eq(uri_param(&u, "lim", store, &v), 1);
}

Test(uri_query, an_escaped_slash_or_question_mark_stays_in_its_segment)
{
	uint8_t store[64];
	struct uri u;

	cr_assert_eq(
	    uri_parse(&u, SLICE_LIT("/a%2fb%3Fc/%2E%2e/%00?q"), store), 0);
	cr_assert_eq(u.n_segments, 3);
	cr_assert(slice_equal(u.segments[0], SLICE_LIT("a/b?c")));
	cr_assert(slice_equal(u.segments[1], SLICE_LIT("..")));
	cr_assert(slice_equal(u.segments[2], SLICE("\0", 1)));
	cr_assert(slice_equal(u.path, SLICE_LIT("/a%2fb%3Fc/%2E%2e/%00")));
	cr_assert(slice_equal(u.query, SLICE_LIT("q")));
}
