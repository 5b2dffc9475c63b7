/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include "tests/admin/rig.h"

#include <criterion/criterion.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define TEXT_MAX  (1u << 20)
#define STEPS_MAX 10000

/* --- the host ------------------------------------------------------------- */

static void
answer_change(struct msg *m)
{
	struct admin_change *c = CONTAINER_OF(m, struct admin_change, msg);

	c->done(c);
}

static void
answer_view(struct msg *m)
{
	struct admin_view *v = CONTAINER_OF(m, struct admin_view, msg);

	v->done(v);
}

static void
post(struct rig *rig, struct msg *m, void (*fn)(struct msg *m))
{
	const struct env_post *p = &simenv_env(rig->sim)->post;

	*m = (struct msg){.kind = MSG_CALL, .fn = fn};
	p->to_worker(p->ctx, 0, m);
}

static void
change(void *ctx, struct admin_change *c)
{
	struct rig *rig = ctx;

	rig->asked = *c;
	rig->n_changes++;
	c->result = rig->result;
	c->before = rig->before;
	c->plan = rig->plan;
	if (rig->on_change)
		rig->on_change(rig, c);
	if (rig->silent)
		rig->held_change = c;
	else
		post(rig, &c->msg, answer_change);
}

static void
view(void *ctx, struct admin_view *v)
{
	struct rig *rig = ctx;

	v->ring = rig->ring;
	v->self = v->claimant = 0;
	v->ready = 1;
	v->up = rig->up;
	rig->n_views++;
	if (rig->on_view)
		rig->on_view(rig, v, rig->n_views);
	if (rig->silent)
		rig->held_view = v;
	else
		post(rig, &v->msg, answer_view);
}

static void
status(void *ctx, struct buf *out, int json)
{
	(void)ctx;
	buf_add_str(out, json ? "{\"streams\":7}\n" : "streams : 7\n");
}

static int
log_level(void *ctx, const char *level)
{
	(void)ctx;
	if (!level)
		return 1;
	return strcmp(level, "error") == 0 ? 3 : -ERR_INVAL;
}

static int
reload(void *ctx, struct buf *what)
{
	struct rig *rig = ctx;

	if (rig->result != ADMIN_OK)
		return -ERR_IO;
	buf_add_str(what, "log.level\n");
	return 0;
}

static uint64_t
now_ms(void *ctx)
{
	(void)ctx;
	return 1795453850000;
}

/* --- what a command says -------------------------------------------------- */

static void
on_text(void *arg, struct slice text)
{
	struct rig *rig = arg;

	cr_assert(rig->n_text + text.n < TEXT_MAX);
	memcpy(rig->text + rig->n_text, text.p, text.n);
	rig->n_text += text.n;
	rig->text[rig->n_text] = '\0';
}

static void
on_alive(void *arg)
{
	struct rig *rig = arg;

	rig->n_alive++;
}

static void
on_done(void *arg, int code)
{
	struct rig *rig = arg;

	cr_assert_eq(rig->code, -1);
	rig->code = code;
	rig->command = NULL;
}

static const struct command_events events = {on_text, on_alive, on_done};

/* --- running -------------------------------------------------------------- */

struct rig *
rig_new(void)
{
	static const uint8_t cluster[16] = "c", id[16] = "n";
	struct simenv_config sc = {.seed = 1, .n_workers = 1};
	struct rig *rig = mem_zalloc(sizeof(*rig));

	rig->sim = simenv_new(&sc);
	rig->text = mem_zalloc(TEXT_MAX);
	rig->ring = ring_new(cluster, id, "a@h", 64, 3);
	rig->host = (struct admin_host){.ctx = rig,
	    .self = "a@h",
	    .change = change,
	    .view = view,
	    .status = status,
	    .log_level = log_level,
	    .reload = reload,
	    .now_ms = now_ms};
	rig->commands = commands_new(simenv_env(rig->sim), &rig->host);
	cr_assert_not_null(rig->commands);
	return rig;
}

void
rig_free(struct rig *rig)
{
	commands_free(rig->commands);
	simenv_free(rig->sim);
	ring_unref(rig->ring);
	mem_free(rig->text);
	mem_free(rig);
}

static void
begin(struct rig *rig, const char *line, uint32_t columns)
{
	struct admin_request q = {.terminal = columns != 0, .columns = columns};

	while (*line) {
		size_t n = strcspn(line, " ");

		q.args[q.n_args++] = SLICE(line, n);
		line += n + (line[n] == ' ');
	}
	rig->n_text = 0;
	rig->text[0] = '\0';
	rig->code = -1;
	rig->n_alive = rig->n_views = rig->n_changes = 0;
	cr_assert_eq(
	    command_start(rig->commands, &q, &events, rig, &rig->command), 0);
	cr_assert(rig->n_text == 0 && rig->code == -1); /* never inside */
	simenv_run_idle(rig->sim, STEPS_MAX);
}

void
rig_begin(struct rig *rig, const char *line)
{
	begin(rig, line, 0);
}

void
rig_begin_terminal(struct rig *rig, const char *line, uint32_t columns)
{
	begin(rig, line, columns);
}

static int
ended(void *arg)
{
	return ((struct rig *)arg)->code >= 0;
}

int
rig_run(struct rig *rig, const char *line)
{
	rig_begin(rig, line);
	cr_assert(rig->code >= 0 ||
		  simenv_run_until(rig->sim, ended, rig, STEPS_MAX));
	return rig->code;
}

void
rig_pass(struct rig *rig, uint64_t us)
{
	struct mono end = mono_add_us(simenv_mono(rig->sim), us);

	while (simenv_next(rig->sim).us <= end.us) {
		simenv_advance_to(rig->sim, simenv_next(rig->sim));
		simenv_run_idle(rig->sim, STEPS_MAX);
	}
	simenv_advance_to(rig->sim, end);
}

void
rig_speak(struct rig *rig)
{
	rig->silent = 0;
	if (rig->held_change)
		post(rig, &rig->held_change->msg, answer_change);
	if (rig->held_view)
		post(rig, &rig->held_view->msg, answer_view);
	rig->held_change = NULL;
	rig->held_view = NULL;
	simenv_run_idle(rig->sim, STEPS_MAX);
}
