/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * root_value - a document of the root as a value on each worker.
 *
 * A change:	edit (root_doc) -> committed -> here: value made, told to each
 *		worker, which says so -> the beats say so -> all that are heard
 *		of say so, or request.timeout is over -> answered
 */
#include "src/node/root_value.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define PENDING_MAX      (64u << 10)
#define CONFIRM_AGAIN_US 1000000

/* A request under way. */
struct asked {
	struct root_request *request;
	struct root_edit edit;
	struct root_value *value;
	struct asked *next;
	uint64_t until_us;
};

struct root_value {
	struct root_value_config config;
	const struct root_kind *kind;
	const struct env *env;
	struct root_doc *doc;
	void *now;             /* made last */
	uint64_t seq;          /* the event that it was made of */
	uint64_t refused;      /* the last that no value could be made of */
	uint32_t n_telling;    /* workers that have not said so yet */
	int untold;            /* one could not be told */
	uint64_t told;         /* the event that all workers go by */
	uint64_t in_force;     /* and that was reached */
	int any_told;          /* told is that of a value, if 0, too */
	struct asked *waiting; /* committed, not in force everywhere */
	int stopping;
	int confirming, confirmed; /* what is here is the newest */
	uint64_t confirm_at_us;
	struct root_edit confirm;
};

static uint64_t
now_us(const struct root_value *v)
{
	return v->env->clock.mono(v->env->clock.ctx).us;
}

/* --- publishing ----------------------------------------------------------- */

struct value_call {
	struct msg msg, back;
	struct root_value *value;
	void *what;
	uint64_t seq;
	uint32_t worker;
	int r; /* of publish */
};

static void publish(struct root_value *v);

static void
look_at_force(struct root_value *v)
{
	uint64_t seq = v->told;

	if (v->kind->reached) {
		uint64_t reached = v->kind->reached(v->config.arg);

		seq = reached < seq ? reached : seq;
	}
	if (seq <= v->in_force)
		return;
	v->in_force = seq;
	cluster_set_in_force(v->config.cluster, v->kind->which, seq);
}

static void
told(struct msg *m)
{
	struct value_call *call = CONTAINER_OF(m, struct value_call, back);
	struct root_value *v = call->value;
	uint64_t seq = call->seq;

	v->kind->unref(call->what);
	v->untold |= call->r != 0;
	mem_free(call);
	if (--v->n_telling || v->untold)
		return; /* the rest with the next tick */
	v->told = seq;
	v->any_told = 1;
	look_at_force(v);
	if (v->seq > seq)
		publish(v);
	root_value_heard(v);
}

static void
take_value(struct msg *m)
{
	struct value_call *call = CONTAINER_OF(m, struct value_call, msg);
	struct root_value *v = call->value;
	const struct env_post *post = &v->env->post;

	call->r = v->kind->publish(v->config.arg, call->worker, call->what);
	call->back = (struct msg){.kind = MSG_CALL, .fn = told};
	post->to_worker(post->ctx, 0, &call->back);
}

/* To each worker; the next value waits until all have this one. */
static void
publish(struct root_value *v)
{
	const struct env_post *post = &v->env->post;
	struct value_call *calls[256];
	uint32_t n = post->n_workers;

	if (v->n_telling || !v->now || !v->confirmed)
		return;
	ASSERT(n <= sizeof(calls) / sizeof(*calls));
	for (uint32_t i = 0; i < n; i++) {
		calls[i] = mem_zalloc(sizeof(**calls));
		if (calls[i])
			continue;
		while (i)
			mem_free(calls[--i]);
		return; /* with the next tick */
	}
	v->n_telling = n;
	v->untold = 0;
	for (uint32_t i = 0; i < n; i++) {
		*calls[i] = (struct value_call){
		    .msg = {.kind = MSG_CALL, .fn = take_value},
		    .value = v,
		    .what = v->kind->ref(v->now),
		    .seq = v->seq,
		    .worker = i,
		};
		post->to_worker(post->ctx, i, &calls[i]->msg);
	}
}

/* --- following ------------------------------------------------------------ */

static int
make_nothing(struct root_edit *e, const struct doc *now, struct doc **change)
{
	(void)e;
	(void)now;
	*change = NULL;
	return 0;
}

static void
make_value(struct root_value *v)
{
	const struct doc *d = root_doc_now(v->doc);
	void *value;
	int r;

	if (v->refused && v->refused == doc_seq(d))
		return;
	r = v->kind->make(v->config.arg, d, &value);
	if (r) {
		log_write(v->config.log, LOG_ERROR,
		    "%s cannot be read: %s; this node goes by what it knew "
		    "before",
		    v->kind->what, err_text(r));
		v->refused = r == -ERR_NOMEM ? 0 : doc_seq(d);
		return;
	}
	v->kind->unref(v->now);
	v->now = value;
	v->seq = doc_seq(d);
}

static void
was_confirmed(struct root_edit *e, int r)
{
	struct root_value *v = CONTAINER_OF(e, struct root_value, confirm);

	if (r == 0 && !v->now)
		make_value(v);
	if (!v->now) {
		v->confirming = 0; /* once more */
		v->confirm_at_us = now_us(v) + CONFIRM_AGAIN_US;
		return;
	}
	if (r && !v->stopping)
		log_write(v->config.log, LOG_WARN,
		    "no majority of the root group: going by %s as known here",
		    v->kind->what);
	v->confirmed = 1;
	publish(v);
}

static void
confirm(struct root_value *v)
{
	if (v->confirming || v->confirmed)
		return;
	v->confirming = 1;
	v->confirm = (struct root_edit){.make = make_nothing,
	    .done = was_confirmed,
	    .when = v->kind->from_nothing ? ROOT_EDIT_ANY : ROOT_EDIT_NEXT};
	root_doc_edit(v->doc, &v->confirm);
}

/* The document is another one. */
static void
changed(void *arg)
{
	struct root_value *v = arg;

	make_value(v);
	if (v->now)
		confirm(v);
	publish(v);
}

/* --- requests ------------------------------------------------------------- */

static void
answer(struct root_value *v, struct root_request *q, int r)
{
	const struct env_post *post = &v->env->post;

	q->r = r;
	q->msg.fn = q->msg.then;
	q->msg.answer = 1;
	post->to_worker(post->ctx, q->msg.from, &q->msg);
}

/* Whether event SEQ is in force on member I. */
static int
has_it(const struct root_value *v, uint16_t i, uint64_t seq)
{
	const struct cluster *c = v->config.cluster;
	struct beat told;

	if (cluster_is_self(c, i))
		return v->in_force >= seq;
	cluster_told(c, i, &told);
	return told.in_force[v->kind->which] >= seq;
}

/* Nothing is left to wait for. */
static int
is_over(const struct root_value *v, const struct asked *a)
{
	const struct cluster *c = v->config.cluster;
	uint16_t n = cluster_ring(c)->n_members;

	if (v->stopping || now_us(v) >= a->until_us)
		return 1;
	for (uint16_t i = 0; i < n; i++)
		if (!has_it(v, i, a->edit.seq) &&
		    (cluster_is_self(c, i) || cluster_is_up(c, i)))
			return 0;
	return 1;
}

static void
name_pending(const struct root_value *v, const struct asked *a)
{
	const struct ring *r = cluster_ring(v->config.cluster);
	struct buf *out = &a->request->pending;

	for (uint16_t i = 0; i < r->n_members; i++) {
		if (has_it(v, i, a->edit.seq))
			continue;
		if (out->n)
			buf_add_byte(out, ',');
		buf_add_json_string(out, SLICE_STR(r->members[i].name));
	}
}

void
root_value_heard(struct root_value *v)
{
	struct asked **at = &v->waiting, *a;

	while ((a = *at)) {
		if (!is_over(v, a)) {
			at = &a->next;
			continue;
		}
		*at = a->next;
		name_pending(v, a);
		answer(v, a->request, 0);
		mem_free(a);
	}
}

static int
make(struct root_edit *e, const struct doc *now, struct doc **change)
{
	struct root_request *q = CONTAINER_OF(e, struct asked, edit)->request;

	return q->make(q, now, change);
}

static void
edited(struct root_edit *e, int r)
{
	struct asked *a = CONTAINER_OF(e, struct asked, edit);
	struct root_value *v = a->value;

	if (r) {
		answer(v, a->request, r);
		mem_free(a);
		return;
	}
	a->until_us = now_us(v) + v->config.timeout_us;
	a->next = v->waiting;
	v->waiting = a;
	root_value_heard(v);
}

static void
begin(struct msg *m)
{
	struct root_request *q = CONTAINER_OF(m, struct root_request, msg);
	struct root_value *v = m->via;
	struct asked *a = mem_zalloc(sizeof(*a));

	if (!a) {
		answer(v, q, -ERR_NOMEM);
		return;
	}
	a->request = q;
	a->value = v;
	a->edit = (struct root_edit){.make = make,
	    .done = edited,
	    .when = v->kind->from_nothing ? ROOT_EDIT_ANY : ROOT_EDIT_NEXT};
	root_doc_edit(v->doc, &a->edit);
}

void
root_value_ask(struct root_value *v, struct root_request *q)
{
	const struct env_post *post = &v->env->post;

	buf_init(&q->pending, PENDING_MAX);
	q->msg.kind = MSG_CALL;
	q->msg.then = q->msg.fn;
	q->msg.fn = begin;
	q->msg.via = v;
	post->to_worker(post->ctx, 0, &q->msg);
}

/* --- life ----------------------------------------------------------------- */

struct root_value *
root_value_new(const struct root_value_config *config)
{
	struct root_value *v = mem_zalloc(sizeof(*v));
	struct root_doc_config dc = {
	    .env = config->env,
	    .log = config->log,
	    .router = config->router,
	    .group = config->group,
	    .stream = config->kind->stream,
	    .timeout_us = config->timeout_us,
	    .changed = changed,
	    .arg = v,
	};

	if (!v)
		return NULL;
	v->config = *config;
	v->kind = config->kind;
	v->env = config->env;
	v->doc = root_doc_new(&dc);
	return v->doc ? v : root_value_free(v);
}

struct root_value *
root_value_free(struct root_value *v)
{
	if (!v)
		return NULL;
	root_doc_free(v->doc);
	v->kind->unref(v->now);
	return mem_free(v);
}

void
root_value_start(struct root_value *v, struct cluster *cluster)
{
	v->config.cluster = cluster;
}

void
root_value_stop(struct root_value *v)
{
	v->stopping = 1;
	root_doc_stop(v->doc);
	root_value_heard(v);
}

void
root_value_looked(struct root_value *v)
{
	root_doc_look(v->doc);
}

void
root_value_tick(struct root_value *v)
{
	root_doc_tick(v->doc);
	if (v->seq < doc_seq(root_doc_now(v->doc)))
		changed(v); /* there was no memory */
	if (v->kind->from_nothing && root_doc_is_empty(v->doc) &&
	    !v->stopping && now_us(v) >= v->confirm_at_us)
		confirm(v);
	if (v->now && (!v->any_told || v->seq > v->told))
		publish(v);
	look_at_force(v);
	root_value_heard(v);
}

struct root_doc *
root_value_doc(const struct root_value *v)
{
	return v->doc;
}

int
root_value_is_stopping(const struct root_value *v)
{
	return v->stopping;
}

void *
root_value_now(const struct root_value *v)
{
	return v->now;
}
