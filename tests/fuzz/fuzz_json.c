/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_json - json_check says what the model says, which takes one byte after
 * the other, and costs as much memory as its header allows.
 */
#include "src/base/assert.h"
#include "src/base/json.h"
#include "src/base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/json_model.h"

#define SHALLOW 3
#define SLACK   256

static void
check(struct json_checker *c, struct slice text, unsigned max_depth)
{
	struct json_error err = {.offset = SIZE_MAX};
	struct fuzz_mem m;
	int r;

	fuzz_mem_start(&m, 3 * text.n + SLACK);
	r = json_check(c, text, max_depth, &err);
	fuzz_mem_stop(&m);
	ASSERT(r == json_model(text, max_depth));
	ASSERT(r == json_check(c, text, max_depth, NULL));
	if (r) {
		ASSERT(err.offset <= text.n);
		ASSERT(err.text[0] && !strchr(err.text, '\n'));
	}
}

/* What NDJSON rests on: blanks may take the place of line ends. */
static void
check_newlines(struct json_checker *c, struct slice text)
{
	uint8_t *p = mem_alloc(text.n);
	int found = 0;

	ASSERT(p);
	for (size_t i = 0; i < text.n; i++) {
		int end = text.p[i] == '\n' || text.p[i] == '\r';

		p[i] = end ? ' ' : text.p[i];
		found |= end;
	}
	ASSERT(json_has_newline(text) == found);
	if (json_check(c, text, JSON_MAX_DEPTH, NULL) == 0)
		ASSERT(
		    json_check(c, SLICE(p, text.n), JSON_MAX_DEPTH, NULL) == 0);
	mem_free(p);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct json_checker *c = json_checker_new();
	struct slice text = SLICE(p, n);

	ASSERT(c);
	check(c, text, JSON_MAX_DEPTH);
	check(c, text, SHALLOW);
	check_newlines(c, text);
	json_checker_free(c);
	return 0;
}
