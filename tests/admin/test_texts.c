/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* Every answer to every change, with its exit code, is what texts.txt says. */
#include "admin/texts.h"
#include "tests/golden/golden.h"

TestSuite(texts);

static const char *const ops[] = {"cluster join X", "cluster leave X",
    "cluster force-remove X", "cluster replace X Y",
    "cluster force-replace X Y", "cluster plan", "cluster commit",
    "cluster clear", "down X", "transfer-limit X 4"};

static const char *const results[] = {"ok", "not reachable",
    "different ring sizes", "no ring", "not single node", "holds streams",
    "self join", "already leaving", "not member", "only member",
    "invalid replacement", "already replacement", "nothing staged",
    "ring not ready", "no room", "nothing planned", "plan changed", "is up",
    "removed", "try again", "failed"};

Test(texts, of_every_answer_to_every_change)
{
	struct admin_change c = {
	    .node = "x@h", .with = "y@h", .n_streams = 12, .limit = 4};
	struct buf all;

	c.cramped = "z@h";
	c.needed = 7ull << 30;
	c.room = 400ull << 20;
	buf_init(&all, GOLDEN_MAX);
	for (int op = ADMIN_JOIN; op <= ADMIN_LIMIT; op++) {
		for (int r = ADMIN_OK; r <= ADMIN_FAILED; r++) {
			struct buf text;
			int code;

			if (op == ADMIN_PLAN && r == ADMIN_OK)
				continue;
			c.op = (enum admin_op)op;
			c.result = (enum admin_result)r;
			buf_init(&text, 4096);
			code = texts_change(&c, "self@h", &text);
			cr_assert_eq(buf_error(&text), 0);
			cr_assert(text.n && text.p[text.n - 1] == '\n');
			buf_printf(&all, "%s, %s: %d\n%.*s", ops[op],
			    results[r], code, (int)text.n,
			    (const char *)text.p);
			buf_deinit(&text);
		}
	}
	golden("texts.txt", buf_slice(&all));
	buf_deinit(&all);
}

Test(texts, a_join_under_a_known_name_is_noted)
{
	struct admin_change c = {
	    .op = ADMIN_JOIN, .node = "x@h", .known_other_id = 1};
	struct buf b;

	buf_init(&b, 4096);
	cr_assert_eq(texts_change(&c, "self@h", &b), 0);
	cr_assert(slice_equal(buf_slice(&b),
	    SLICE_LIT("Success: staged join request for 'self@h' to 'x@h'\n"
		      "Note: 'self@h' is known under another id; staged as "
		      "force-replace 'self@h' with 'self@h'\n")));
	buf_deinit(&b);
}

Test(texts, a_limit_for_all_names_who_does_not_have_it)
{
	static const uint8_t cluster[16] = "c", id[16] = "n";
	struct admin_change c = {.op = ADMIN_LIMIT, .limit = 4};
	uint8_t failed[1] = {1};
	struct buf b;

	buf_init(&b, 4096);
	cr_assert_eq(texts_change(&c, "self@h", &b), 0);
	c.result = ADMIN_FAILED;
	cr_assert_eq(texts_change(&c, "self@h", &b), 1);
	c.members = ring_new(cluster, id, "x@h", 64, 3);
	c.failed = failed;
	cr_assert_eq(texts_change(&c, "self@h", &b), 1);
	cr_assert(slice_equal(buf_slice(&b),
	    SLICE_LIT("Setting transfer limit to 4 across the cluster\n"
		      "Failed to set limit, see log for details\n"
		      "Failed to set limit for: ['x@h']\n")));
	ring_unref(c.members);
	buf_deinit(&b);
}
