/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* commands - the table: what words there are, and what they take. */
#include "admin/command_impl.h"

#define CHANGE(word, n, how, op)                                               \
	{                                                                      \
		"cluster " word, n, n, 0, n, how, command_cluster_change, op   \
	}

const struct command_word command_words[] = {
    CHANGE("join", 1, "<node>", ADMIN_JOIN),
    {"cluster leave", 0, 1, 0, 1, "[<node>]", command_leave, ADMIN_LEAVE},
    CHANGE("force-remove", 1, "<node>", ADMIN_FORCE_REMOVE),
    CHANGE("replace", 2, "<node1> <node2>", ADMIN_REPLACE),
    CHANGE("force-replace", 2, "<node1> <node2>", ADMIN_FORCE_REPLACE),
    {"cluster plan", 0, 0, 0, 0, "", command_plan, ADMIN_PLAN},
    {"cluster commit", 0, 0, OPTION_WAIT | OPTION_PLAN, 0,
	"[--wait[=SECONDS]] [--plan ID]", command_commit, ADMIN_COMMIT},
    CHANGE("clear", 0, "", ADMIN_CLEAR),
    {"cluster status", 0, 0, 0, 0, "", command_cluster_status, 0},
    {"down", 1, 1, 0, 1, "<node>", command_cluster_change, ADMIN_DOWN},
    {"member-status", 0, 0, 0, 0, "", command_member_status, 0},
    {"ring-status", 0, 0, 0, 0, "", command_ring_status, 0},
    {"ringready", 0, 0, 0, 0, "", command_ringready, 0},
    {"transfers", 0, 0, 0, 0, "", command_transfers, 0},
    {"transfer-limit", 0, 2, 0, 0, "[[<node>] <limit>]", command_transfer_limit,
	ADMIN_LIMIT},
    {"user list", 0, 0, 0, 0, "", command_user_list, 0},
    {"user add", 2, 8, OPTION_SECRET, 0, "<name> <password or -> [<group>...]",
	command_user_add, 0},
    {"user passwd", 2, 2, OPTION_SECRET, 0, "<name> <password or ->",
	command_user_passwd, 0},
    {"user groups", 1, 8, 0, 0, "<name> [<group>...]", command_user_groups, 0},
    {"user delete", 1, 1, 0, 0, "<name>", command_user_delete, 0},
    {"user revoke", 1, 1, 0, 0, "<name>", command_user_revoke, 0},
    {"group list", 0, 0, 0, 0, "", command_group_list, 0},
    {"group add", 1, 8, 0, 0, "<name> [<group>...]", command_group_add, 0},
    {"group groups", 1, 8, 0, 0, "<name> [<group>...]", command_group_groups,
	0},
    {"group delete", 1, 1, 0, 0, "<name>", command_group_delete, 0},
    {"grant list", 1, 2, 0, 0, "<bucket> [<stream>]", command_grant_list, 0},
    {"grant add", 3, 4, 0, 0, "<role> <permission> <bucket> [<stream>]",
	command_grant_add, 0},
    {"grant remove", 3, 4, 0, 0, "<role> <permission> <bucket> [<stream>]",
	command_grant_remove, 0},
    {"services", 0, 0, 0, 0, "", command_services, 0},
    {"wait-for-service", 2, 2, 0, 0, "<service> <node>",
	command_wait_for_service, 0},
    {"status", 0, 0, 0, 0, "", command_status, 0},
    {"log-level", 0, 1, 0, 0, "[debug|info|warn|error]", command_log_level, 0},
    {"reload", 0, 0, 0, 0, "", command_reload, 0},
};

const size_t n_command_words = sizeof(command_words) / sizeof(*command_words);
