/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * command - one command of the operator, from its words to its exit code.
 *
 * Owns:    what it asked the host for, also when nobody waits any more.
 * Thread:  worker 0; no callback before the call that asked for it returned.
 * Bound:   ADMIN_LIMIT_US for each thing asked of the host; an answer of
 *          COMMAND_OUT_MAX.
 */
#ifndef ADMIN_COMMAND_H
#define ADMIN_COMMAND_H

#include "admin/host.h"
#include "admin/wire.h"
#include "src/base/env.h"

#define COMMAND_OUT_MAX (16u << 20)

struct commands; /* all that run */
struct command;

/* ENV and HOST are borrowed until commands_free.  NULL: no memory. */
struct commands *commands_new(
    const struct env *env, const struct admin_host *host);
/* Those that run end: the node stops.  REMOVED: because it has left its
 * cluster, which a commit may have waited for. */
void commands_stop(struct commands *all, int removed);
/* No loop runs any more.  Takes NULL, returns NULL. */
struct commands *commands_free(struct commands *all);

struct command_events {
	/* TEXT is for standard output; borrowed. */
	void (*text)(void *arg, struct slice text);
	/* Nothing to say yet; the command is not stuck. */
	void (*alive)(void *arg);
	/* The last one. */
	void (*done)(void *arg, int code);
};

/*
 * Carries out what REQUEST says (borrowed for the call).  0 or -ERR_NOMEM; only
 * after 0 is EVENTS->done called, unless command_cancel comes first.
 */
int command_start(struct commands *all, const struct admin_request *request,
    const struct command_events *events, void *arg, struct command **out);
/* Nobody waits for it: nothing more is called.  Not after DONE. */
void command_cancel(struct command *c);

#endif
