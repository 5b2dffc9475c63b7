/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include <criterion/criterion.h>

#include "http/param.h"
#include "src/base/err.h"
#include "src/base/mem.h"

TestSuite(param);

/* In a buffer of exactly that size: a byte too far is seen. */
static int
time_of(const char *text, uint64_t *out)
{
	size_t n = strlen(text);
	uint8_t *exact = mem_alloc(n ? n : 1);
	int r;

	memcpy(exact, text, n);
	*out = 77;
	r = param_time(SLICE(exact, n), out);
	mem_free(exact);
	return r;
}

Test(param, integers_beyond_the_type_are_the_nearest)
{
	static const struct {
		const char *text;
		int64_t value;
	} rows[] = {
	    {"0", 0},
	    {"-0", 0},
	    {"007", 7},
	    {"-12", -12},
	    {"9223372036854775807", INT64_MAX},
	    {"9223372036854775808", INT64_MAX},
	    {"99999999999999999999999", INT64_MAX},
	    {"-9223372036854775808", -INT64_MAX},
	    {"-99999999999999999999999", -INT64_MAX},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		int64_t v = 77;

		cr_assert_eq(param_int(SLICE_STR(rows[i].text), &v), 0, "%s",
		    rows[i].text);
		cr_assert_eq(v, rows[i].value, "%s", rows[i].text);
	}
}

Test(param, what_is_no_integer_is_told_and_changes_nothing)
{
	static const char *const rows[] = {"", "-", "--1", "+1", " 1", "1 ",
	    "1.0", "1e3", "0x1", "x", "999999999999999999999x"};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		int64_t v = 77;

		cr_assert_eq(param_int(SLICE_STR(rows[i]), &v), -ERR_INVAL,
		    "%s", rows[i]);
		cr_assert_eq(v, 77, "%s", rows[i]);
	}
}

Test(param, moments_are_milliseconds_or_rfc_3339)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} rows[] = {
	    {"1700000000123", 1700000000123},
	    {"-5", 0},
	    {"99999999999999999999", INT64_MAX},
	    {"1970-01-01T00:00:00Z", 0},
	    {"1969-12-31T23:59:59Z", 0},
	    {"0001-01-01T00:00:00Z", 0},
	    {"1985-04-12T23:20:50.52Z", 482196050520},
	    {"1996-12-19T16:39:57-08:00", 851042397000},
	    {"1990-12-31T23:59:60Z", 662688000000},
	    {"1990-12-31T15:59:60-08:00", 662688000000},
	    {"1937-01-01T12:00:27.87+00:20", 0},
	    {"2024-02-29t12:00:00z", 1709208000000},
	    {"2000-02-29 00:00:00+00:00", 951782400000},
	    {"1970-01-01T00:00:00.001Z", 1},
	    {"1970-01-01T00:00:00.0010000Z", 1},
	    {"1970-01-01T00:00:00.0011Z", 2},
	    {"1970-01-01T00:00:00.9999999999999999Z", 1000},
	    {"9999-12-31T23:59:59Z", 253402300799000},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint64_t ms;

		cr_assert_eq(time_of(rows[i].text, &ms), 0, "%s", rows[i].text);
		cr_assert_eq(ms, rows[i].ms, "%s: %llu", rows[i].text,
		    (unsigned long long)ms);
	}
}

Test(param, what_is_no_moment_is_told_and_changes_nothing)
{
	static const char *const rows[] = {
	    "",
	    "yesterday",
	    "1.5",
	    "2020-01-01",
	    "2020-01-01T00:00:00",
	    "2020-01-01T00:00Z",
	    "2020-01-01T00:00:00.Z",
	    "2020-01-01T00:00:00,5Z",
	    "2020-01-01T00:00:00+0200",
	    "2020-01-01T00:00:00+02",
	    "2020-01-01T00:00:00+24:00",
	    "2020-01-01T00:00:00+02:60",
	    "2020-01-01T00:00:00ZZ",
	    "2020-01-01T00:00:00Z ",
	    "2020-1-1T00:00:00Z",
	    "2020- 1- 1T00:00:00Z",
	    "+020-01-01T00:00:00Z",
	    "20200101T000000Z",
	    "2020-00-01T00:00:00Z",
	    "2020-13-01T00:00:00Z",
	    "2020-01-00T00:00:00Z",
	    "2020-01-32T00:00:00Z",
	    "2021-02-29T00:00:00Z",
	    "1900-02-29T00:00:00Z",
	    "2020-04-31T00:00:00Z",
	    "2020-01-01T24:00:00Z",
	    "2020-01-01T00:60:00Z",
	    "2020-01-01T00:00:61Z",
	    "2020-01-01_00:00:00Z",
	    "2020/01/01T00:00:00Z",
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint64_t ms;

		cr_assert_eq(time_of(rows[i], &ms), -ERR_INVAL, "%s", rows[i]);
		cr_assert_eq(ms, 77, "%s", rows[i]);
	}
}
