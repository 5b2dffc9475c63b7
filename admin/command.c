/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * command - one command of the operator, from its words to its exit code.
 *
 *	begin ─► run of its row ─► view or change asked ─► next ─► end
 *	                            ▲                        │
 *	                            └──────── pause ◄────────┘
 *
 * A timer bounds what is asked; a command that ended while the host still has
 * its request lies in `running` until that comes back, or until the end.
 */
#include "admin/command_impl.h"

#include "admin/command_parse.h"
#include "admin/help.h"
#include "admin/layout.h"
#include "admin/texts.h"
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"

struct commands {
	const struct env *env;
	const struct admin_host *host;
	struct list running;
};

struct commands *
commands_new(const struct env *env, const struct admin_host *host)
{
	struct commands *all = mem_zalloc(sizeof(*all));

	if (!all)
		return NULL;
	all->env = env;
	all->host = host;
	list_init(&all->running);
	return all;
}

const struct admin_host *
command_host(const struct command *c)
{
	return c->all->host;
}

const struct env *
command_env(const struct command *c)
{
	return c->all->env;
}

/* --- the end -------------------------------------------------------------- */

static void
stop_timer(struct command *c, struct env_timer **t)
{
	const struct env_timers *timers = &c->all->env->timers;

	timers->stop(timers->ctx, *t);
	*t = NULL;
}

static void
free_command(struct command *c)
{
	list_del(&c->link);
	buf_deinit(&c->out);
	mem_free(c->text);
	mem_free(c);
}

/* Nothing is called any more; freed now, or when the host gives back what it
 * has. */
static void
retire(struct command *c)
{
	ASSERT(!c->ended);
	c->ended = 1;
	stop_timer(c, &c->limit);
	stop_timer(c, &c->pause);
	if (!c->asked)
		free_command(c);
}

static void
finish(struct command *c, int code)
{
	const struct command_events *e = c->events;
	void *arg = c->arg;

	if (buf_error(&c->out)) {
		buf_reset(&c->out);
		buf_add_str(&c->out, "The answer is too long\n");
		code = 1;
	}
	if (c->out.n)
		e->text(arg, buf_slice(&c->out));
	retire(c);
	e->done(arg, code);
}

void
command_end(struct command *c, int code)
{
	struct buf text;

	if (c->json) {
		text = c->out;
		buf_init(&c->out, COMMAND_OUT_MAX);
		layout_json_message(&c->out, code == 0, buf_slice(&text));
		c->out.error = c->out.error ? c->out.error : text.error;
		buf_deinit(&text);
	}
	finish(c, code);
}

void
command_end_object(struct command *c)
{
	finish(c, 0);
}

void
command_misused(struct command *c)
{
	const char *how = c->word->usage;

	buf_reset(&c->out);
	buf_printf(&c->out, "Usage: iorio-admin %s%s%s\n", c->word->words,
	    how[0] ? " " : "", how);
	command_end(c, 1);
}

void
command_failed(struct command *c, const char *why)
{
	buf_printf(
	    &c->out, "RPC to '%s' failed: %s\n", c->all->host->self, why);
	command_end(c, 1);
}

void
command_flush(struct command *c)
{
	if (!c->json && c->out.n && !buf_error(&c->out))
		c->events->text(c->arg, buf_slice(&c->out));
	buf_reset(&c->out);
}

/* --- asking the host ------------------------------------------------------ */

static void
on_limit(void *arg)
{
	command_failed(arg, "timeout");
}

/* The bound of what is asked, one timer a request. */
static int
limit(struct command *c)
{
	const struct env_timers *t = &c->all->env->timers;

	ASSERT(!c->asked && !c->limit);
	c->limit = t->start(t->ctx, 0, ADMIN_LIMIT_US, on_limit, c);
	if (!c->limit) {
		command_failed(c, err_text(-ERR_NOMEM));
		return -ERR_NOMEM;
	}
	c->asked = 1;
	return 0;
}

/* The host has given back what it had; 0 when somebody still waits. */
static int
answered(struct command *c)
{
	ASSERT(c->asked);
	c->asked = 0;
	if (c->ended) {
		free_command(c);
		return 1;
	}
	stop_timer(c, &c->limit);
	return 0;
}

static void
on_view(struct admin_view *v)
{
	struct command *c = CONTAINER_OF(v, struct command, view);

	if (answered(c))
		return;
	if (!v->ring) {
		command_failed(c, "no ring");
	} else if (v->self == RING_NOBODY) {
		buf_add_str(&c->out, TEXT_REMOVED);
		command_end(c, 1);
	} else {
		c->next(c);
	}
}

void
command_view(
    struct command *c, uint64_t wait_us, void (*next)(struct command *c))
{
	if (limit(c))
		return;
	memset(&c->view, 0, sizeof(c->view));
	c->view.done = on_view;
	c->view.wait_us = wait_us;
	c->view.self = c->view.claimant = RING_NOBODY;
	c->next = next;
	c->all->host->view(c->all->host->ctx, &c->view);
}

static void
on_change(struct admin_change *a)
{
	struct command *c = CONTAINER_OF(a, struct command, change);

	if (answered(c) == 0)
		c->next(c);
}

void
command_change(struct command *c, const char *node, const char *with,
    void (*next)(struct command *c))
{
	struct admin_change *a = &c->change;

	if (limit(c))
		return;
	a->done = on_change;
	a->op = c->word->op;
	snprintf(a->node, sizeof(a->node), "%s", node ? node : "");
	snprintf(a->with, sizeof(a->with), "%s", with ? with : "");
	snprintf(
	    a->plan_id, sizeof(a->plan_id), "%s", c->plan_id ? c->plan_id : "");
	c->next = next;
	c->all->host->change(c->all->host->ctx, a);
}

static void
on_pause_over(void *arg)
{
	struct command *c = arg;

	stop_timer(c, &c->pause);
	c->resume(c);
}

static void
on_auth(struct admin_auth *a)
{
	struct command *c = CONTAINER_OF(a, struct command, auth);

	if (answered(c) == 0)
		c->next(c);
}

void
command_auth(struct command *c, void (*next)(struct command *c))
{
	const struct admin_host *h = c->all->host;

	if (limit(c))
		return;
	c->auth.done = on_auth;
	c->next = next;
	h->auth(h->ctx, &c->auth);
}

void
command_pause(struct command *c, uint64_t us, void (*resume)(struct command *c))
{
	const struct env_timers *t = &c->all->env->timers;

	ASSERT(!c->pause);
	c->resume = resume;
	c->events->alive(c->arg);
	c->pause = t->start(t->ctx, 0, us, on_pause_over, c);
	if (!c->pause)
		command_failed(c, err_text(-ERR_NOMEM));
}

/* --- the beginning -------------------------------------------------------- */

static void
on_begin(struct msg *m)
{
	struct command *c = CONTAINER_OF(m, struct command, begin);

	if (answered(c))
		return;
	switch (command_parse(c)) {
	case PARSE_OK:
		c->word->run(c);
		return;
	case PARSE_MISUSED:
		command_misused(c);
		return;
	case PARSE_CLUSTER:
		buf_add_str(&c->out, HELP_CLUSTER);
		break;
	case PARSE_UNKNOWN:
		buf_add_str(&c->out, HELP_USAGE);
		break;
	}
	command_end(c, 1);
}

/* Its own copy of the arguments, each with a NUL. */
static int
copy_args(struct command *c, const struct admin_request *q)
{
	size_t n = 1;
	char *p;

	for (uint32_t i = 0; i < q->n_args; i++)
		n += q->args[i].n + 1;
	p = c->text = mem_zalloc(n);
	if (!p)
		return -ERR_NOMEM;
	for (uint32_t i = 0; i < q->n_args; i++) {
		c->args[c->n_args++] = p;
		memcpy(p, q->args[i].p, q->args[i].n);
		p += q->args[i].n + 1;
	}
	return 0;
}

int
command_start(struct commands *all, const struct admin_request *request,
    const struct command_events *events, void *arg, struct command **out)
{
	struct command *c = mem_zalloc(sizeof(*c));

	if (!c || copy_args(c, request)) {
		mem_free(c);
		return -ERR_NOMEM;
	}
	c->all = all;
	c->events = events;
	c->arg = arg;
	c->terminal = request->terminal;
	c->columns = request->columns;
	buf_init(&c->out, COMMAND_OUT_MAX);
	list_add_tail(&all->running, &c->link);
	c->asked = 1; /* of the loop */
	c->begin = (struct msg){.kind = MSG_CALL, .fn = on_begin};
	all->env->post.to_worker(all->env->post.ctx, 0, &c->begin);
	*out = c;
	return 0;
}

void
command_cancel(struct command *c)
{
	retire(c);
}

void
commands_stop(struct commands *all, int removed)
{
	LIST_FOREACH_SAFE (p, tmp, &all->running) {
		struct command *c = LIST_ENTRY(p, struct command, link);

		if (c->ended)
			continue;
		if (removed && command_commit_removed(c))
			command_end(c, 0);
		else
			command_failed(c, "the node is stopping");
	}
}

struct commands *
commands_free(struct commands *all)
{
	struct list *p;

	if (!all)
		return NULL;
	while ((p = list_first(&all->running))) {
		struct command *c = LIST_ENTRY(p, struct command, link);

		c->asked = 0;
		if (c->ended)
			free_command(c);
		else
			retire(c);
	}
	return mem_free(all);
}
