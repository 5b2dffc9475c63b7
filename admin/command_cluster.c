/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* command_cluster - staging, plan, commit and what follows it. */
#include "admin/command_impl.h"
#include "admin/layout.h"
#include "admin/render.h"
#include "admin/texts.h"
#include "ring/plan.h"
#include "src/base/err.h"

#define WAIT_POLL_US 1000000
#define WAIT_VIEW_US 5000000
#define BAR_CELLS    40
#define BAR_REST     38 /* columns beside it */

static void
say_change(struct command *c)
{
	command_end(
	    c, texts_change(&c->change, command_host(c)->self, &c->out));
}

void
command_cluster_change(struct command *c)
{
	command_change(c, c->n_args > 0 ? c->args[0] : NULL,
	    c->n_args > 1 ? c->args[1] : NULL, say_change);
}

void
command_leave(struct command *c)
{
	command_change(c, c->n_args ? c->args[0] : command_host(c)->self, NULL,
	    say_change);
}

/* --- plan ----------------------------------------------------------------- */

static void
show_plan(struct command *c)
{
	struct admin_change *a = &c->change;
	int r;

	if (a->result != ADMIN_OK) {
		say_change(c);
		return;
	}
	r = c->json ? render_plan_json(&c->out, a->before, a->plan)
		    : render_plan(&c->out, a->before, a->plan);
	if (r)
		command_failed(c, err_text(r));
	else
		command_end_object(c);
}

void
command_plan(struct command *c)
{
	command_change(c, NULL, NULL, show_plan);
}

/* --- commit --wait -------------------------------------------------------- */

static void look(struct command *c);

/* Slots that are to move; behind a forced change, groups that are filled. */
static uint32_t
count_left(const struct admin_view *v)
{
	uint32_t n = ring_pending(v->ring);

	if (n)
		return n;
	for (uint16_t i = 0; v->sending && i < v->ring->n_members; i++)
		n += v->sending[i];
	return n + v->n_queued;
}

static int
is_leaving(const struct admin_view *v)
{
	for (uint16_t i = 0; i < v->ring->n_members; i++)
		if (v->ring->members[i].state == RING_LEAVING ||
		    v->ring->members[i].state == RING_EXITING)
			return 1;
	return 0;
}

/* It must fit on one line, or it is not written over by the next one. */
static uint32_t
bar_width(const struct command *c)
{
	if (c->columns == 0 || c->columns >= BAR_CELLS + BAR_REST)
		return BAR_CELLS;
	return c->columns > BAR_REST ? c->columns - BAR_REST : 1;
}

static void
show_bar(struct command *c, uint32_t left)
{
	uint32_t done = c->most_left - left, width = bar_width(c);
	uint32_t cells;

	if (!c->terminal || c->json || c->most_left == 0)
		return;
	cells = (uint32_t)((uint64_t)done * width / c->most_left);
	buf_add_str(&c->out, "\r|");
	layout_fill(&c->out, '=', cells);
	layout_fill(&c->out, ' ', width - cells);
	buf_printf(&c->out, "| %3u%%  %u of %u partitions moved",
	    (uint32_t)(done * 100ull / c->most_left), done, c->most_left);
	c->bar_shown = 1;
	command_flush(c);
}

static void
end_bar(struct command *c)
{
	if (c->bar_shown)
		buf_add_byte(&c->out, '\n');
}

static void
seen(struct command *c)
{
	const struct admin_view *v = &c->view;
	uint32_t left = count_left(v);
	struct mono now = command_env(c)->clock.mono(command_env(c)->clock.ctx);

	if (left > c->most_left)
		c->most_left = left;
	if (left || is_leaving(v)) {
		show_bar(c, left);
		if (c->wait_s && now.us >= c->wait_until.us) {
			end_bar(c);
			buf_printf(&c->out,
			    "Transfers are not done after %llu s, and go "
			    "on\n",
			    (unsigned long long)c->wait_s);
			command_end(c, 1);
			return;
		}
		command_pause(c, WAIT_POLL_US, look);
		return;
	}
	show_bar(c, 0);
	end_bar(c);
	buf_add_str(&c->out, "All transfers are done\n");
	command_end(c, 0);
}

static void
look(struct command *c)
{
	command_view(c, WAIT_VIEW_US, seen);
}

static void
committed(struct command *c)
{
	const struct env_clock *clock = &command_env(c)->clock;

	if (!c->wait || c->change.result != ADMIN_OK) {
		say_change(c);
		return;
	}
	c->committed = 1;
	texts_change(&c->change, command_host(c)->self, &c->out);
	if (!c->json)
		command_flush(c);
	c->wait_until =
	    mono_add_us(clock->mono(clock->ctx), c->wait_s * 1000000u);
	look(c);
}

void
command_commit(struct command *c)
{
	command_change(c, NULL, NULL, committed);
}

int
command_commit_removed(struct command *c)
{
	if (!c->committed)
		return 0;
	end_bar(c);
	buf_add_str(&c->out, "All transfers are done\n");
	return 1;
}
