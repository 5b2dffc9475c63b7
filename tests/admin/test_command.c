/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include <criterion/criterion.h>

#include "src/base/json.h"
#include "src/base/mem.h"
#include "admin/texts.h"
#include "tests/admin/rig.h"
#include "tests/ring/grow.h"

TestSuite(command);

#define SAYS(rig, line, exit, what)                                            \
	do {                                                                   \
		int got = rig_run(rig, line);                                  \
                                                                               \
		cr_assert_eq(got, exit, "%s: %d", line, got);                  \
		cr_assert_str_eq(rig->text, what);                             \
	} while (0)

static void
is_misused(struct rig *rig, const char *line, const char *usage)
{
	cr_assert_eq(rig_run(rig, line), 1, "%s", line);
	cr_assert_eq(strncmp(rig->text, usage, strlen(usage)), 0, "%s: %s",
	    line, rig->text);
	cr_assert_eq(rig->n_changes + rig->n_views, 0);
}

/* --- words ---------------------------------------------------------------- */

Test(command, words_may_be_written_with_dashes_or_underscores)
{
	static const char *const lines[] = {"member-status", "member_status",
	    "ring_status", "cluster force_remove b@h",
	    "cluster force_replace b@h c@h", "wait_for_service iorio a@h",
	    "transfer_limit", "log_level"};
	struct rig *rig = rig_new();

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		cr_assert_eq(rig_run(rig, lines[i]), 0, "%s", lines[i]);
	rig_free(rig);
}

Test(command, what_is_not_understood_shows_the_usage_and_asks_nothing)
{
	struct rig *rig = rig_new();

	is_misused(rig, "", "Usage: iorio-admin {cluster|user|group|");
	is_misused(rig, "members", "Usage: iorio-admin {cluster|");
	is_misused(rig, "member-statuss", "Usage: iorio-admin {cluster|");
	is_misused(rig, "member", "Usage: iorio-admin {cluster|");
	is_misused(rig, "--help", "Usage: iorio-admin {cluster|");
	is_misused(rig, "--format=xml member-status", "Usage: iorio-admin {");
	is_misused(rig, "cluster", "Usage: iorio-admin cluster <command>\n");
	is_misused(
	    rig, "cluster foo", "Usage: iorio-admin cluster <command>\n");
	is_misused(
	    rig, "cluster join", "Usage: iorio-admin cluster join <node>\n");
	is_misused(rig, "cluster join a b",
	    "Usage: iorio-admin cluster join <node>\n");
	is_misused(rig, "cluster leave a b",
	    "Usage: iorio-admin cluster leave [<node>]\n");
	is_misused(
	    rig, "cluster plan now", "Usage: iorio-admin cluster plan\n");
	is_misused(
	    rig, "cluster plan --wait", "Usage: iorio-admin cluster plan\n");
	is_misused(rig, "down", "Usage: iorio-admin down <node>\n");
	is_misused(rig, "wait-for-service iorio",
	    "Usage: iorio-admin wait-for-service <service> <node>\n");
	is_misused(rig, "member-status --format=xml",
	    "Usage: iorio-admin member-status\n");
	is_misused(rig, "down \x80", "Usage: iorio-admin down <node>\n");
	is_misused(rig, "down a\x1b[1mb", "Usage: iorio-admin down <node>\n");
	rig_free(rig);
}

Test(command, options_of_commit_are_checked)
{
	static const char *const bad[] = {"--wait=", "--wait=0", "--wait=-1",
	    "--wait=1s", "--wait=99999999999999999999", "--waits", "--plan",
	    "--plan=", "--plan=0123456", "--plan=012345678", "--plan 0123456G",
	    "now"};
	static const char *const good[] = {"", "--plan 01234567",
	    "--plan=89abcdef", "--wait", "--wait=5",
	    "--wait=1 --plan=01234567 --format=text"};
	struct rig *rig = rig_new();
	char line[128];

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		snprintf(line, sizeof(line), "cluster commit %s", bad[i]);
		is_misused(rig, line,
		    "Usage: iorio-admin cluster commit "
		    "[--wait[=SECONDS]] [--plan ID]\n");
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		snprintf(line, sizeof(line), "cluster commit %s", good[i]);
		cr_assert_eq(rig_run(rig, line), 0, "%s", line);
	}
	cr_assert_str_eq(rig->asked.plan_id, "01234567");
	rig_free(rig);
}

/* --- changes -------------------------------------------------------------- */

static void
say_removed(struct rig *rig, struct admin_view *v, unsigned nth)
{
	(void)rig;
	(void)nth;
	v->self = RING_NOBODY;
}

Test(command, a_node_that_was_removed_shows_nothing_else)
{
	static const char *const lines[] = {"member-status", "ring-status",
	    "transfers", "cluster status", "ringready", "transfer-limit"};
	struct rig *rig = rig_new();

	rig->on_view = say_removed;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
		SAYS(rig, lines[i], 1, TEXT_REMOVED);
	rig_free(rig);
}

Test(command, changes_reach_the_host_with_their_nodes)
{
	static const struct {
		const char *line, *node, *with;
		enum admin_op op;
	} changes[] = {
	    {"cluster join b@h", "b@h", "", ADMIN_JOIN},
	    {"cluster leave", "a@h", "", ADMIN_LEAVE},
	    {"cluster leave b@h", "b@h", "", ADMIN_LEAVE},
	    {"cluster force-remove b@h", "b@h", "", ADMIN_FORCE_REMOVE},
	    {"cluster replace b@h c@h", "b@h", "c@h", ADMIN_REPLACE},
	    {"cluster force-replace b@h c@h", "b@h", "c@h",
		ADMIN_FORCE_REPLACE},
	    {"cluster commit", "", "", ADMIN_COMMIT},
	    {"cluster clear", "", "", ADMIN_CLEAR},
	    {"down b@h", "b@h", "", ADMIN_DOWN},
	    {"transfer-limit 7", "", "", ADMIN_LIMIT},
	    {"transfer-limit b@h 7", "b@h", "", ADMIN_LIMIT},
	};
	struct rig *rig = rig_new();

	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		cr_assert_eq(rig_run(rig, changes[i].line), 0);
		cr_assert_eq(rig->n_changes, 1);
		cr_assert_eq(rig->asked.op, changes[i].op);
		cr_assert_str_eq(rig->asked.node, changes[i].node);
		cr_assert_str_eq(rig->asked.with, changes[i].with);
		cr_assert_eq(
		    rig->asked.limit, changes[i].op == ADMIN_LIMIT ? 7u : 0u);
	}
	rig_free(rig);
}

Test(command, refusals_have_their_text_and_exit_code)
{
	struct rig *rig = rig_new();

	rig->result = ADMIN_NOTHING_STAGED;
	SAYS(rig, "cluster plan", 2, "There are no staged changes\n");
	SAYS(rig, "cluster plan --format=json", 2,
	    "{\"ok\":false,\"message\":\"There are no staged changes\"}\n");
	rig->result = ADMIN_ALREADY_LEAVING;
	SAYS(rig, "--format=json cluster leave b@h", 0,
	    "{\"ok\":true,\"message\":\"'b@h' is already in the process of "
	    "leaving the cluster.\"}\n");
	rig->result = ADMIN_RING_NOT_READY;
	SAYS(rig, "cluster commit --wait", 1,
	    "Cannot commit until cluster state has converged.\n"
	    "Check 'Ring Ready' in 'iorio-admin ring_status'\n");
	rig->result = ADMIN_IS_UP;
	SAYS(rig, "down b@h", 1, "Failed: b@h is up\n");
	rig_free(rig);
}

Test(command, limits_are_numbers_up_to_a_thousand)
{
	struct rig *rig = rig_new();

	SAYS(rig, "transfer-limit 1000", 0,
	    "Setting transfer limit to 1000 across the cluster\n");
	SAYS(rig, "transfer-limit b@h 0", 0,
	    "Set transfer limit for 'b@h' to 0\n");
	SAYS(rig, "transfer-limit 1001", 1, "Invalid limit: 1001\n");
	SAYS(rig, "transfer-limit b@h many", 1, "Invalid limit: many\n");
	SAYS(rig, "transfer-limit 00000001", 1, "Invalid limit: 00000001\n");
	cr_assert_eq(rig->n_changes, 0);
	rig_free(rig);
}

Test(command, a_plan_is_shown)
{
	struct rig *rig = rig_new();

	rig->before = grow_join(grow_one(64, 3), 2);
	cr_assert_eq(ring_plan_new(rig->before, &rig->plan), RING_OK);
	cr_assert_eq(rig_run(rig, "cluster plan"), 0);
	cr_assert_not_null(strstr(rig->text, " Staged Changes "));
	cr_assert_eq(rig_run(rig, "cluster plan --format=json"), 0);
	cr_assert_eq(strncmp(rig->text, "{\"plan_id\":\"", 12), 0);
	ring_plan_free(rig->plan);
	ring_unref(rig->before);
	rig_free(rig);
}

/* --- tables and what one node says ---------------------------------------- */

Test(command, every_answer_is_one_object_where_that_is_asked_for)
{
	static const char *const lines[] = {"member-status", "ring-status",
	    "ringready", "transfers", "transfer-limit", "cluster status",
	    "services", "status", "log-level", "reload", "cluster clear",
	    "cluster commit --wait", "wait-for-service iorio a@h", "frob",
	    "cluster", "down"};
	struct json_checker *check = json_checker_new();
	struct rig *rig = rig_new();
	char line[128];

	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		snprintf(line, sizeof(line), "%s --format=json", lines[i]);
		rig_run(rig, line);
		cr_assert_eq(json_check(check, SLICE(rig->text, rig->n_text),
				 JSON_MAX_DEPTH, NULL),
		    0, "%s: %s", line, rig->text);
		cr_assert_eq(rig->text[0], '{');
		cr_assert_eq(
		    strchr(rig->text, '\n'), rig->text + rig->n_text - 1);
	}
	json_checker_free(check);
	rig_free(rig);
}

Test(command, small_answers)
{
	struct rig *rig = rig_new();
	uint8_t up[1] = {0};

	SAYS(rig, "services", 0, "[iorio]\n");
	SAYS(rig, "services --format=json", 0,
	    "{\"ok\":true,\"message\":\"[iorio]\"}\n");
	SAYS(rig, "status", 0, "streams : 7\n");
	SAYS(rig, "status --format=json", 0, "{\"streams\":7}\n");
	SAYS(rig, "log-level", 0, "info\n");
	SAYS(rig, "log-level error", 0, "Set log level to error\n");
	SAYS(rig, "log-level loud", 1,
	    "Usage: iorio-admin log-level [debug|info|warn|error]\n");
	SAYS(rig, "reload", 0, "log.level\n");
	rig->result = ADMIN_FAILED;
	SAYS(rig, "reload", 1, "Reload failed: input/output error\n");
	SAYS(rig, "ringready", 0, "TRUE All nodes agree on the ring ['a@h']\n");
	rig->up = up;
	SAYS(rig, "ringready", 1,
	    "FALSE ['a@h'] down.  All nodes need to be up to check.\n");
	rig_free(rig);
}

/* --- limits --------------------------------------------------------------- */

Test(command, a_host_that_does_not_answer_is_given_up_after_a_minute)
{
	struct rig *rig = rig_new();

	rig->silent = 1;
	rig_begin(rig, "cluster plan");
	rig_pass(rig, ADMIN_LIMIT_US - 1000000);
	cr_assert_eq(rig->code, -1);
	rig_pass(rig, 2000000);
	cr_assert_eq(rig->code, 1);
	cr_assert_str_eq(rig->text, "RPC to 'a@h' failed: timeout\n");
	/* Its answer is still heard, and dropped. */
	rig->code = -2;
	rig_speak(rig);
	cr_assert_eq(rig->code, -2);
	/* One that never comes is freed with all others. */
	rig->silent = 1;
	rig_begin(rig, "member-status");
	rig_pass(rig, ADMIN_LIMIT_US + 1000000);
	cr_assert_eq(rig->code, 1);
	rig_free(rig);
}

Test(command, a_ring_that_is_not_there_is_said)
{
	struct rig *rig = rig_new();

	rig->ring = ring_unref(rig->ring);
	SAYS(rig, "member-status", 1, "RPC to 'a@h' failed: no ring\n");
	rig_free(rig);
}

Test(command, nothing_is_said_after_a_cancel)
{
	static const char *const lines[] = {
	    "cluster plan", "member-status", "wait-for-service iorio b@h"};
	struct rig *rig = rig_new();

	for (size_t i = 0; i < 3; i++) {
		rig->silent = i < 2;
		rig_begin(rig, lines[i]);
		cr_assert_eq(rig->code, -1);
		rig->n_text = 0;
		command_cancel(rig->command);
		rig_speak(rig);
		rig_pass(rig, 100000000);
		cr_assert(rig->code == -1 && rig->n_text == 0);
	}
	rig_free(rig);
}

Test(command, a_stop_ends_what_runs)
{
	struct rig *rig = rig_new();

	rig->silent = 1;
	rig_begin(rig, "ring-status");
	commands_stop(rig->commands, 0);
	cr_assert_eq(rig->code, 1);
	cr_assert_str_eq(
	    rig->text, "RPC to 'a@h' failed: the node is stopping\n");
	rig_free(rig);
}

/* --- waiting -------------------------------------------------------------- */

static void
up_at_the_third(struct rig *rig, struct admin_view *v, unsigned n)
{
	(void)v;
	rig->up[0] = n >= 3;
}

Test(command, wait_for_service_looks_every_three_seconds)
{
	struct rig *rig = rig_new();
	struct mono start = simenv_mono(rig->sim);
	uint8_t up[1];

	rig->up = up;
	rig->on_view = up_at_the_third;
	SAYS(rig, "wait-for-service iorio a@h", 0,
	    "iorio is not up: []\niorio is not up: []\niorio is up\n");
	cr_assert_eq(mono_diff_us(start, simenv_mono(rig->sim)) / 1000000, 6);
	cr_assert_eq(rig->n_alive, 2);
	SAYS(rig, "wait-for-service iorio a@h --format=json", 0,
	    "{\"ok\":true,\"message\":\"iorio is up\"}\n");
	rig->on_view = NULL;
	rig_begin(rig, "wait-for-service other a@h");
	cr_assert_str_eq(rig->text, "other is not up: [iorio]\n");
	rig_free(rig);
}

/* Each look finds 16 slots more in their place. */
static void
moving(struct rig *rig, struct admin_view *v, unsigned n)
{
	struct ring *r = rig->ring;

	(void)v;
	for (uint32_t g = 0; g < r->q; g++)
		r->next_owners[g] = g < 16 * (3 - (n < 3 ? n : 3));
	v->self = v->claimant = 0;
}

Test(command, commit_waits_until_all_has_moved)
{
	struct rig *rig = rig_new();

	ring_unref(rig->ring);
	rig->ring = grow_join(grow_one(64, 3), 2);
	rig->ring->members[0].state = RING_VALID;
	rig->ring->members[1].state = RING_VALID;
	for (uint32_t g = 0; g < 64; g++)
		rig->ring->owners[g] = 0;
	rig->on_view = moving;
	SAYS(rig, "cluster commit --wait", 0,
	    "Cluster changes committed\nAll transfers are done\n");
	cr_assert_eq(rig->n_views, 3);
	rig_begin_terminal(rig, "cluster commit --wait", 80);
	rig_pass(rig, 10000000);
	cr_assert_eq(rig->code, 0);
	cr_assert_str_eq(rig->text,
	    "Cluster changes committed\n"
	    "\r|                                        |   0%  0 of 32 "
	    "partitions moved"
	    "\r|====================                    |  50%  16 of 32 "
	    "partitions moved"
	    "\r|========================================| 100%  32 of 32 "
	    "partitions moved\nAll transfers are done\n");
	rig_begin_terminal(rig, "cluster commit --wait", 42);
	cr_assert_not_null(strstr(rig->text, "\r|    |   0%  0 of 32 "));
	rig_pass(rig, 10000000);
	SAYS(rig, "cluster commit --wait --format=json", 0,
	    "{\"ok\":true,\"message\":\"Cluster changes committed\\n"
	    "All transfers are done\"}\n");
	SAYS(rig, "cluster commit --wait=1", 1,
	    "Cluster changes committed\n"
	    "Transfers are not done after 1 s, and go on\n");
	rig_free(rig);
}

static void
fills_go_on(struct rig *rig, struct admin_view *v, unsigned n)
{
	(void)rig;
	v->n_queued = n < 3;
}

Test(command, commit_waits_for_fills_behind_a_forced_change)
{
	struct rig *rig = rig_new();

	rig->on_view = fills_go_on;
	SAYS(rig, "cluster commit --wait", 0,
	    "Cluster changes committed\nAll transfers are done\n");
	cr_assert_eq(rig->n_views, 3);
	rig_free(rig);
}

Test(command, commit_of_our_own_leave_ends_well_when_we_have_left)
{
	struct rig *rig = rig_new();

	for (int removed = 0; removed < 2; removed++) {
		rig->ring->members[0].state = RING_LEAVING;
		rig_begin(rig, "cluster commit --wait");
		rig_pass(rig, 5000000);
		rig->ring->members[0].state = RING_EXITING;
		rig_pass(rig, 5000000);
		cr_assert_eq(rig->code, -1);
		commands_stop(rig->commands, removed);
		cr_assert_eq(rig->code, !removed);
		cr_assert_not_null(strstr(
		    rig->text, removed ? "\nAll transfers are done\n"
				       : "' failed: the node is stopping\n"));
	}
	rig_begin(rig, "wait-for-service iorio b@h");
	commands_stop(rig->commands, 1);
	cr_assert_eq(rig->code, 1);
	rig_free(rig);
}
