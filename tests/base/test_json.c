/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "src/base/json.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <limits.h>

#include "src/base/err.h"
#include "src/base/mem.h"

TestSuite(json);

static int
check(struct slice text, struct json_error *err)
{
	struct json_checker *c = json_checker_new();
	int r = json_check(c, text, JSON_MAX_DEPTH, err);

	json_checker_free(c);
	return r;
}

/* --- the public suite ----------------------------------------------------- */

static void
unpack_suite(char dir[static 32])
{
	char cmd[PATH_MAX];

	snprintf(dir, 32, "/tmp/test_json.XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	snprintf(cmd, sizeof(cmd), "tar -xzf '%s' -C '%s'",
	    TEST_DATA "/jsontestsuite.tar.gz", dir);
	cr_assert_eq(system(cmd), 0);
}

static void
remove_suite(const char *dir)
{
	char cmd[64];

	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	cr_assert_eq(system(cmd), 0);
}

static void
read_file(const char *path, struct buf *out)
{
	FILE *f = fopen(path, "rb");
	size_t n;

	cr_assert_not_null(f, "%s", path);
	buf_reset(out);
	do {
		uint8_t *p = buf_reserve(out, 65536);

		n = fread(p, 1, 65536, f);
		out->n += n;
	} while (n > 0);
	fclose(f);
}

Test(json, judges_the_public_suite_as_it_asks)
{
	char dir[32], path[PATH_MAX];
	struct buf text;
	struct dirent *e;
	unsigned n_yes = 0, n_no = 0, n_any = 0;

	unpack_suite(dir);
	buf_init(&text, 16 << 20);
	snprintf(path, sizeof(path), "%s/jsontestsuite/test_parsing", dir);
	DIR *d = opendir(path);
	cr_assert_not_null(d);
	while ((e = readdir(d))) {
		snprintf(path, sizeof(path), "%s/jsontestsuite/test_parsing/%s",
		    dir, e->d_name);
		if (strncmp(e->d_name, "y_", 2) == 0) {
			read_file(path, &text);
			cr_expect_eq(
			    check(buf_slice(&text), NULL), 0, "%s", path);
			n_yes++;
		} else if (strncmp(e->d_name, "n_", 2) == 0) {
			read_file(path, &text);
			cr_expect_gt(
			    check(buf_slice(&text), NULL), 0, "%s", path);
			n_no++;
		} else if (strncmp(e->d_name, "i_", 2) == 0) {
			read_file(path, &text);
			check(buf_slice(&text), NULL);
			n_any++;
		}
	}
	closedir(d);
	buf_deinit(&text);
	remove_suite(dir);
	cr_assert_eq(n_yes, 95);
	cr_assert_eq(n_no, 188);
	cr_assert_eq(n_any, 35);
}

/* --- our own rows --------------------------------------------------------- */

#define YES(text)                                                              \
	{                                                                      \
		text, sizeof(text) - 1, 1, 0                                   \
	}
#define NO(text, at)                                                           \
	{                                                                      \
		text, sizeof(text) - 1, 0, at                                  \
	}

Test(json, accepts_all_of_the_standard_and_nothing_else)
{
	static const struct {
		const char *text;
		size_t n;
		int legal;
		size_t at;
	} rows[] = {
	    YES("0"),
	    YES(" \t\r\n[ ]\t\r\n "),
	    YES("123456789012345678901234567890.5e99999"),
	    YES("-0"),
	    YES("\"\\ud800\""),
	    YES("\"\\udc00\\ud800 \\u0000\""),
	    YES("{\"a\":1,\"a\":2}"),
	    YES("{\"\":null}"),
	    YES("\"\x7f \xc3\xa4 \xf4\x8f\xbf\xbf\""),
	    YES("{\"\\n\":\"\\\\\"}"),
	    NO("", 0),
	    NO(" ", 1),
	    NO("\"abc", 4),
	    NO("[1", 2),
	    NO("-", 1),
	    NO("\xef\xbb\xbf{}", 0),
	    NO("\0", 0),
	    NO("1\0", 1),
	    NO("\"\0\"", 1),
	    NO("{}\0", 2),
	    NO("[1,\f2]", 3),
	    NO("[1,\v2]", 3),
	    NO("1\f", 1),
	    NO("\"\f\"", 1),
	    NO("\"\n\"", 1),
	    NO("\"a\xc0\xaf\"", 2),
	    NO("\"\xed\xa0\x80\"", 1),
	    NO("\"\xf4\x90\x80\x80\"", 1),
	    NO("\xff", 0),
	    NO("1 2", 2),
	    NO("{} \"a", 5),
	    NO("\"\"\"", 3),
	    NO("1 \"a\\", 5),
	    NO("[] tru", 6),
	    NO("{}-", 3),
	    NO("1 1e", 4),
	    NO("{}x", 2),
	    NO("01", 1),
	    NO("+1", 0),
	    NO("NaN", 0),
	    NO("[1,]", 3),
	    NO("[1]/**/", 3),
	    NO("'a'", 0),
	    NO("\"\\x41\"", 2),
	    NO("\"\\u12g4\"", 5),
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct slice text = SLICE(rows[i].text, rows[i].n);
		struct json_error err;
		int r = check(text, &err);

		cr_expect_eq(
		    r, rows[i].legal ? 0 : JSON_E_INVALID, "row %zu", i);
		cr_expect_eq(check(text, NULL), r);
		if (r == 0)
			continue;
		cr_expect(err.offset >= rows[i].at &&
			      err.offset <= rows[i].at + 1 &&
			      err.offset <= text.n,
		    "row %zu: %zu %s", i, err.offset, err.text);
		cr_expect_gt(strlen(err.text), 0);
		cr_expect_null(strchr(err.text, '\n'));
	}
}

Test(json, refuses_every_control_character_inside_and_outside_strings)
{
	for (int c = 0; c < 0x20; c++) {
		char inside[] = {'"', (char)c, '"'};
		char between[] = {'[', (char)c, ']'};
		char before[] = {(char)c, '1'};
		char after[] = {'1', (char)c};
		int space = c == '\t' || c == '\n' || c == '\r';

		cr_expect_eq(check(SLICE(inside, 3), NULL), JSON_E_INVALID);
		cr_expect_eq(check(SLICE(between, 3), NULL) == 0, space);
		cr_expect_eq(check(SLICE(before, 2), NULL) == 0, space);
		cr_expect_eq(check(SLICE(after, 2), NULL) == 0, space);
	}
}

/* N openings, a 1, N closings; OPEN and CLOSE taken in turn. */
static void
nest(struct buf *b, size_t n, const char *open[2], const char *close[2])
{
	buf_reset(b);
	for (size_t i = 0; i < n; i++)
		buf_add_str(b, open[i % 2]);
	buf_add_byte(b, '1');
	for (size_t i = n; i > 0; i--)
		buf_add_str(b, close[(i - 1) % 2]);
}

Test(json, counts_arrays_and_objects_as_depth)
{
	const char *open[] = {"[", "{\"a\":"}, *close[] = {"]", "}"};
	const char *array[] = {"[", "["}, *end[] = {"]", "]"};
	struct json_error err;
	struct buf b;

	buf_init(&b, 1 << 20);
	nest(&b, 128, open, close);
	cr_assert_eq(check(buf_slice(&b), &err), 0);
	nest(&b, 129, open, close);
	cr_assert_eq(check(buf_slice(&b), &err), JSON_E_DEPTH);
	cr_assert_eq(err.offset, 64 + 64 * 5);
	nest(&b, 300000, array, end);
	cr_assert_eq(check(buf_slice(&b), &err), JSON_E_DEPTH);
	cr_assert_eq(err.offset, 128);
	/* Wide is not deep. */
	buf_reset(&b);
	buf_add_byte(&b, '[');
	for (int i = 0; i < 1000; i++)
		buf_add_str(&b, "[[]],");
	buf_add_str(&b, "{}]");
	cr_assert_eq(check(buf_slice(&b), &err), 0);
	buf_deinit(&b);
}

/* --- memory --------------------------------------------------------------- */

struct budget {
	int left; /* allocations until one fails */
	int made;
};

static int
spend(void *arg, size_t n)
{
	struct budget *b = arg;

	(void)n;
	b->made++;
	return b->left-- <= 0;
}

Test(json, a_text_of_any_size_costs_no_allocation)
{
	struct json_checker *c = json_checker_new();
	struct budget budget = {.left = 100};
	struct buf b;

	buf_init(&b, 1 << 20);
	buf_add_byte(&b, '[');
	for (int i = 0; i < 10000; i++)
		buf_add_str(&b, "{\"k\\n\":\"v\\u1234\",\"n\":-1.5e3},");
	buf_add_str(&b, "null]");
	mem_set_hook(spend, &budget);
	cr_assert_eq(json_check(c, SLICE_LIT("{\"a\":[1,2]}"), 9, NULL), 0);
	cr_assert_eq(json_check(c, SLICE_LIT("12"), 9, NULL), 0);
	cr_assert_eq(json_check(c, buf_slice(&b), 9, NULL), 0);
	mem_set_hook(NULL, NULL);
	cr_assert_eq(budget.made, 0);
	buf_deinit(&b);
	json_checker_free(c);
}

Test(json, no_memory_is_an_error_and_the_checker_goes_on)
{
	struct json_checker *c = json_checker_new();
	struct json_error err;
	struct buf b;
	int r = -ERR_NOMEM, n;

	/* A token that the end of the text cuts is copied by yajl. */
	buf_init(&b, 1 << 20);
	buf_add_byte(&b, '"');
	for (int i = 0; i < 50000; i++)
		buf_add_str(&b, "0123456789");
	for (n = 0; r == -ERR_NOMEM; n++) {
		struct budget budget = {.left = n};

		mem_set_hook(spend, &budget);
		r = json_check(c, buf_slice(&b), 9, &err);
		mem_set_hook(NULL, NULL);
		cr_assert_eq(json_check(c, SLICE_LIT("[1]"), 9, NULL), 0);
	}
	cr_assert_gt(n, 1);
	cr_assert_eq(r, JSON_E_INVALID);
	cr_assert_eq(err.offset, b.n);
	buf_deinit(&b);
	json_checker_free(c);
	cr_assert_null(json_checker_free(NULL));
}

Test(json, sees_line_ends)
{
	cr_assert(json_has_newline(SLICE_LIT("[1,\n2]")));
	cr_assert(json_has_newline(SLICE_LIT("1\r")));
	cr_assert_not(json_has_newline(SLICE_LIT("[1,\t2, \"\\n\"]")));
	cr_assert_not(json_has_newline(SLICE(NULL, 0)));
}
