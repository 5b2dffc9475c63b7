/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* command_impl - what the files command*.c share. */
#ifndef ADMIN_COMMAND_IMPL_H
#define ADMIN_COMMAND_IMPL_H

#include "admin/command.h"
#include "src/base/list.h"

enum command_option {
	OPTION_WAIT = 1,
	OPTION_PLAN = 2,
	/* No option: its second argument may begin with one dash. */
	OPTION_SECRET = 4,
};

/* A row of the table in commands.c. */
struct command_word {
	const char *words; /* "cluster join" */
	uint8_t min_args, max_args;
	uint8_t options;   /* enum command_option; --format is everybody's */
	uint8_t n_nodes;   /* its first arguments are names of nodes */
	const char *usage; /* behind the words */
	void (*run)(struct command *c);
	enum admin_op op; /* of a change */
};

extern const struct command_word command_words[];
extern const size_t n_command_words;

/*
 * Invariants:
 * 1. While ASKED, change or view is with the host, which will call DONE: the
 *    command is freed after that, not before.
 * 2. After ENDED no event is called; the command lives only for 1.
 */
struct command {
	struct list link; /* in all->running */
	struct commands *all;
	struct msg begin;
	const struct command_word *word; /* NULL: usage is all it says */
	const struct command_events *events;
	void *arg;
	int terminal, json;
	uint32_t columns;
	char *text; /* what args point into */
	uint32_t n_args;
	const char *args[ADMIN_ARGS_MAX]; /* behind the words, no options */
	int wait;
	uint64_t wait_s;     /* 0: for ever */
	const char *plan_id; /* or NULL */

	struct buf out; /* not handed over yet */
	int asked, ended;
	struct admin_change change;
	struct admin_view view;
	struct admin_auth auth;
	void (*next)(struct command *c); /* with the view */
	struct env_timer *limit, *pause;
	void (*resume)(struct command *c); /* after the pause */

	/* commit --wait */
	struct mono wait_until;
	uint32_t most_left; /* slots to move, when most were */
	int bar_shown, committed;
};

const struct admin_host *command_host(const struct command *c);
const struct env *command_env(const struct command *c);

/* The end: what is in OUT, and CODE.  With --format=json OUT is a message. */
void command_end(struct command *c, int code);
/* The end with 0; OUT is the JSON object itself if that was asked for. */
void command_end_object(struct command *c);
/* `Usage: iorio-admin ...` for its row, and the end. */
void command_misused(struct command *c);
/* `RPC to N failed: WHY`, and the end. */
void command_failed(struct command *c, const char *why);

/* What is in OUT goes out now; JSON, which is one object, forgets it. */
void command_flush(struct command *c);
/* Asks for a view; then NEXT runs, with c->view answered and a ring in it. */
void command_view(
    struct command *c, uint64_t wait_us, void (*next)(struct command *c));
/* Asks for the change of its row; NODE and WITH may be NULL. */
void command_change(struct command *c, const char *node, const char *with,
    void (*next)(struct command *c));
/* Asks for the change in c->auth. */
void command_auth(struct command *c, void (*next)(struct command *c));
/* RESUME runs after US. */
void command_pause(
    struct command *c, uint64_t us, void (*resume)(struct command *c));

/* --- the rows, by file ---------------------------------------------------- */

/* command_cluster.c */
void command_cluster_change(struct command *c);
void command_plan(struct command *c);
void command_commit(struct command *c);
void command_leave(struct command *c);
/* This node has left: nonzero when C is a commit that waits for that. */
int command_commit_removed(struct command *c);

/* command_show.c */
void command_member_status(struct command *c);
void command_ring_status(struct command *c);
void command_cluster_status(struct command *c);
void command_transfers(struct command *c);
void command_transfer_limit(struct command *c);
void command_ringready(struct command *c);

/* command_users.c */
void command_user_list(struct command *c);
void command_user_add(struct command *c);
void command_user_passwd(struct command *c);
void command_user_groups(struct command *c);
void command_user_delete(struct command *c);
void command_user_revoke(struct command *c);
void command_group_list(struct command *c);
void command_group_add(struct command *c);
void command_group_groups(struct command *c);
void command_group_delete(struct command *c);
void command_grant_list(struct command *c);
void command_grant_add(struct command *c);
void command_grant_remove(struct command *c);

/* command_node.c */
void command_services(struct command *c);
void command_wait_for_service(struct command *c);
void command_status(struct command *c);
void command_log_level(struct command *c);
void command_reload(struct command *c);

#endif
