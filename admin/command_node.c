/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* command_node - what concerns one node: its services, counters and settings.
 */
#include "admin/command_impl.h"
#include "src/base/err.h"
#include "src/base/log.h"

#define SERVICE         "iorio"
#define SERVICE_POLL_US 3000000
#define SERVICE_VIEW_US 3000000

void
command_services(struct command *c)
{
	buf_add_str(&c->out, "[" SERVICE "]\n");
	command_end(c, 0);
}

static void ask_service(struct command *c);

static int
is_up(const struct admin_view *v, const char *node)
{
	for (uint16_t i = 0; i < v->ring->n_members; i++)
		if (strcmp(v->ring->members[i].name, node) == 0)
			return !v->up || v->up[i];
	return 0;
}

static void
seen(struct command *c)
{
	int up = is_up(&c->view, c->args[1]);

	if (up && strcmp(c->args[0], SERVICE) == 0) {
		buf_printf(&c->out, "%s is up\n", c->args[0]);
		command_end(c, 0);
		return;
	}
	buf_printf(
	    &c->out, "%s is not up: [%s]\n", c->args[0], up ? SERVICE : "");
	command_flush(c);
	command_pause(c, SERVICE_POLL_US, ask_service);
}

static void
ask_service(struct command *c)
{
	command_view(c, SERVICE_VIEW_US, seen);
}

void
command_wait_for_service(struct command *c)
{
	ask_service(c);
}

void
command_status(struct command *c)
{
	const struct admin_host *h = command_host(c);

	h->status(h->ctx, &c->out, c->json);
	command_end_object(c);
}

void
command_log_level(struct command *c)
{
	static const char *const names[] = {[LOG_DEBUG] = "debug",
	    [LOG_INFO] = "info",
	    [LOG_WARN] = "warn",
	    [LOG_ERROR] = "error"};
	const struct admin_host *h = command_host(c);
	const char *want = c->n_args ? c->args[0] : NULL;
	int level = h->log_level(h->ctx, want);

	if (level < 0) {
		command_misused(c);
		return;
	}
	buf_printf(
	    &c->out, want ? "Set log level to %s\n" : "%s\n", names[level]);
	command_end(c, 0);
}

void
command_reload(struct command *c)
{
	const struct admin_host *h = command_host(c);
	int r = h->reload(h->ctx, &c->out);

	if (r && !c->out.n)
		buf_printf(&c->out, "Reload failed: %s\n", err_text(r));
	command_end(c, r != 0);
}
