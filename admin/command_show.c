/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* command_show - what is known of the cluster. */
#include "admin/command_impl.h"
#include "admin/render.h"
#include "admin/texts.h"

#define WAIT_US          5000000  /* for members to answer */
#define TRANSFER_WAIT_US 30000000 /* for those that may be busy with it */

static void
show_members(struct command *c)
{
	if (c->json)
		render_members_json(&c->out, &c->view);
	else
		render_members(&c->out, c->view.ring);
	command_end_object(c);
}

void
command_member_status(struct command *c)
{
	command_view(c, WAIT_US, show_members);
}

static void
show_ring(struct command *c)
{
	if (c->json)
		render_ring_json(&c->out, &c->view);
	else
		render_ring(&c->out, &c->view);
	command_end_object(c);
}

void
command_ring_status(struct command *c)
{
	command_view(c, WAIT_US, show_ring);
}

static void
show_cluster(struct command *c)
{
	render_cluster(&c->out, &c->view);
	command_end(c, 0);
}

void
command_cluster_status(struct command *c)
{
	command_view(c, WAIT_US, show_cluster);
}

static void
show_ringready(struct command *c)
{
	int yes = render_ringready(&c->out, &c->view);

	command_end(c, !yes);
}

void
command_ringready(struct command *c)
{
	command_view(c, WAIT_US, show_ringready);
}

static void
show_transfers(struct command *c)
{
	const struct admin_host *h = command_host(c);

	if (c->json)
		render_transfers_json(&c->out, &c->view);
	else
		render_transfers(&c->out, &c->view, h->now_ms(h->ctx) * 1000u);
	command_end_object(c);
}

void
command_transfers(struct command *c)
{
	command_view(c, TRANSFER_WAIT_US, show_transfers);
}

static void
show_limit(struct command *c)
{
	render_transfer_limit(&c->out, &c->view);
	command_end(c, 0);
}

#define LIMIT_MAX 1000 /* as of transfer_limit in iorio.conf */

static int
is_limit(const char *text)
{
	size_t n = strlen(text);

	return n > 0 && n <= 4 && strspn(text, "0123456789") == n &&
	       strtoul(text, NULL, 10) <= LIMIT_MAX;
}

static void
limit_set(struct command *c)
{
	command_end(
	    c, texts_change(&c->change, command_host(c)->self, &c->out));
}

void
command_transfer_limit(struct command *c)
{
	const char *limit;

	if (c->n_args == 0) {
		command_view(c, WAIT_US, show_limit);
		return;
	}
	limit = c->args[c->n_args - 1];
	if (!is_limit(limit)) {
		buf_printf(&c->out, "Invalid limit: %s\n", limit);
		command_end(c, 1);
		return;
	}
	c->change.limit = (uint32_t)strtoul(limit, NULL, 10);
	command_change(c, c->n_args == 2 ? c->args[0] : NULL, NULL, limit_set);
}
