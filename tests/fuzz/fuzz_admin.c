/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_admin - what may come over the control socket, and what an operator may
 * type.
 *
 * The input is taken three times: as a request and as frames, which are refused
 * or in bounds; and, a word a line, as a command.  That ends exactly once, says
 * lines, and one JSON object where that was asked for.
 */
#include "admin/command.h"
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/json.h"
#include "src/base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/simenv.h"

#define STEPS_MAX 1000

struct world {
	struct simenv *sim;
	struct ring *ring;
	unsigned answer; /* what the host says to a change */
	struct buf text;
	int code; /* -1: it runs */
};

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
post(struct world *w, struct msg *m, void (*fn)(struct msg *m))
{
	const struct env_post *p = &simenv_env(w->sim)->post;

	*m = (struct msg){.kind = MSG_CALL, .fn = fn};
	p->to_worker(p->ctx, 0, m);
}

static void
change(void *ctx, struct admin_change *c)
{
	struct world *w = ctx;

	c->result = (enum admin_result)(w->answer % (ADMIN_FAILED + 1));
	c->cramped = "cramped";
	if (c->op == ADMIN_PLAN && c->result == ADMIN_OK)
		c->result = ADMIN_NOTHING_STAGED;
	post(w, &c->msg, answer_change);
}

static void
view(void *ctx, struct admin_view *v)
{
	struct world *w = ctx;

	v->ring = w->ring;
	v->self = v->claimant = 0;
	v->ready = (int)(w->answer % 3) - 1;
	post(w, &v->msg, answer_view);
}

static void
answer_auth(struct msg *m)
{
	struct admin_auth *a = CONTAINER_OF(m, struct admin_auth, msg);

	a->done(a);
}

static void
auth(void *ctx, struct admin_auth *a)
{
	struct world *w = ctx;

	ASSERT(auth_name_is_legal(a->change.name) || a->change.op >= AUTH_GIVE);
	a->r = w->answer % 3 ? 0 : -ERR_UNAVAILABLE;
	a->refusal = (enum auth_refusal)(w->answer % (AUTH_MANY_GROUPS + 1));
	post(w, &a->msg, answer_auth);
}

static const struct doc *
users(void *ctx)
{
	(void)ctx;
	return NULL;
}

static void
status(void *ctx, struct buf *out, int json)
{
	(void)ctx;
	buf_add_str(out, json ? "{}\n" : "none : 0\n");
}

static int
log_level(void *ctx, const char *level)
{
	(void)ctx;
	return level && strcmp(level, "warn") ? -ERR_INVAL : 2;
}

static int
reload(void *ctx, struct buf *what)
{
	(void)ctx;
	(void)what;
	return -ERR_IO;
}

static uint64_t
now_ms(void *ctx)
{
	(void)ctx;
	return 0;
}

/* --- what it says --------------------------------------------------------- */

static void
on_text(void *arg, struct slice text)
{
	struct world *w = arg;

	ASSERT(w->code == -1);
	buf_add_slice(&w->text, text);
}

static void
on_alive(void *arg)
{
	ASSERT(((struct world *)arg)->code == -1);
}

static void
on_done(void *arg, int code)
{
	struct world *w = arg;

	ASSERT(w->code == -1 && code >= 0 && code <= 2);
	w->code = code;
}

static const struct command_events events = {on_text, on_alive, on_done};

static void
check_answer(const struct world *w, const struct admin_request *q)
{
	struct json_checker *c = json_checker_new();
	int json = 0;

	for (uint32_t i = 0; i < q->n_args; i++)
		json |= slice_equal(q->args[i], SLICE_LIT("--format=json"));
	ASSERT(buf_error(&w->text) == 0 && w->text.n > 0);
	ASSERT(w->text.p[w->text.n - 1] == '\n');
	ASSERT(c);
	if (json) {
		ASSERT(w->text.p[0] == '{');
		ASSERT(json_check(
			   c, buf_slice(&w->text), JSON_MAX_DEPTH, NULL) == 0);
	}
	json_checker_free(c);
}

static int
ended(void *arg)
{
	return ((struct world *)arg)->code >= 0;
}

static void
run(const struct admin_request *q, unsigned answer)
{
	static const uint8_t cluster[16] = "c", id[16] = "n";
	struct simenv_config sc = {.seed = 1, .n_workers = 1};
	struct world w = {.answer = answer, .code = -1};
	struct admin_host host = {&w, "a@h", change, view, auth, users, status,
	    log_level, reload, now_ms};
	struct commands *all;
	struct command *c;

	w.sim = simenv_new(&sc);
	w.ring = ring_new(cluster, id, "a@h", 8, 3);
	ASSERT(w.sim && w.ring);
	all = commands_new(simenv_env(w.sim), &host);
	buf_init(&w.text, 1u << 20);
	ASSERT(all && command_start(all, q, &events, &w, &c) == 0);
	ASSERT(w.code == -1);
	/* What waits for a node that is not there would go on for ever. */
	if (!simenv_run_until(w.sim, ended, &w, STEPS_MAX)) {
		command_cancel(c);
		simenv_run_idle(w.sim, STEPS_MAX);
	} else {
		check_answer(&w, q);
	}
	commands_free(all);
	simenv_free(w.sim);
	ring_unref(w.ring);
	buf_deinit(&w.text);
}

/* --- the three ways ------------------------------------------------------- */

static void
is_within(struct slice part, struct slice whole)
{
	ASSERT(part.n == 0 ||
	       (part.p >= whole.p && part.p + part.n <= whole.p + whole.n));
}

static void
as_request(struct slice in)
{
	struct admin_request q;

	if (admin_request_decode(in, &q))
		return;
	ASSERT(q.n_args <= ADMIN_ARGS_MAX);
	for (uint32_t i = 0; i < q.n_args; i++)
		is_within(q.args[i], in);
	run(&q, (unsigned)in.n);
}

static void
as_frames(struct slice in)
{
	struct slice rest = in, body;
	enum admin_frame kind;
	size_t before = rest.n;

	while (admin_frame_decode(&rest, &kind, &body) == 0) {
		is_within(body, in);
		ASSERT(rest.n + body.n + ADMIN_FRAME_HEAD == before);
		before = rest.n;
	}
}

static void
as_words(struct slice in)
{
	struct admin_request q = {.terminal = (int)(in.n & 1), .columns = 80};
	struct admin_request got;
	struct buf b;

	while (in.n && q.n_args < ADMIN_ARGS_MAX) {
		const uint8_t *end = memchr(in.p, '\n', in.n);
		size_t n = end ? (size_t)(end - in.p) : in.n;

		q.args[q.n_args++] = SLICE(in.p, n);
		in = SLICE(in.p + n + (end != NULL), in.n - n - (end != NULL));
	}
	buf_init(&b, ADMIN_REQUEST_MAX);
	admin_request_encode(&q, &b);
	if (buf_error(&b) == 0) {
		ASSERT(admin_request_decode(buf_slice(&b), &got) == 0);
		ASSERT(got.terminal == q.terminal && got.n_args == q.n_args);
		for (uint32_t i = 0; i < q.n_args; i++)
			ASSERT(slice_equal(got.args[i], q.args[i]));
		run(&got, (unsigned)b.n);
	}
	buf_deinit(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	as_request(SLICE(p, n));
	as_frames(SLICE(p, n));
	as_words(SLICE(p, n));
	return 0;
}
