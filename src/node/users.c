/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * users - the document `auth` of the root, as a view on each worker.
 *
 * A change:	edit (root_doc) -> committed -> here: view made, told to each
 *		worker, which says so -> the beats say so -> all that are heard
 *		of say so, or request.timeout is over -> answered
 *
 * After a start the root is asked once which event is the newest, and nothing is
 * told before that one is here: what was acknowledged is in force.  Without a
 * majority of the root the node goes on with what it has.
 *
 * The first of all documents is made by the founder of the cluster, once its
 * replica of the root was read and had none.
 */
#include "src/node/users.h"

#include <string.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define PENDING_MAX (64u << 10)

/* A request under way. */
struct asked {
	struct auth_request *request;
	struct root_edit edit;
	struct users *users;
	struct asked *next;
	uint64_t until_us;
};

struct users {
	struct users_config config;
	const struct env *env;
	struct root_doc *doc;
	struct auth_view *view; /* made last */
	uint32_t n_telling;     /* workers that have not said so yet */
	uint64_t in_force;      /* the event that all workers go by */
	struct asked *waiting;  /* committed, not in force everywhere */
	int making_first, stopping;
	int confirming, confirmed; /* what is here is the newest */
	struct root_edit confirm;
	struct root_edit first;
	struct doc *first_doc;
};

static uint64_t
now_us(const struct users *u)
{
	return u->env->clock.mono(u->env->clock.ctx).us;
}

/* --- publishing ----------------------------------------------------------- */

struct view_call {
	struct msg msg, back;
	struct users *users;
	struct auth_view *view;
	uint32_t worker;
};

static void publish(struct users *u);

static void
told(struct msg *m)
{
	struct view_call *call = CONTAINER_OF(m, struct view_call, back);
	struct users *u = call->users;
	uint64_t seq = auth_view_seq(call->view);

	auth_view_unref(call->view);
	mem_free(call);
	if (--u->n_telling)
		return;
	u->in_force = seq;
	cluster_set_auth(u->config.cluster, seq);
	if (auth_view_seq(u->view) > seq)
		publish(u);
	users_heard(u);
}

static void
take_view(struct msg *m)
{
	struct view_call *call = CONTAINER_OF(m, struct view_call, msg);
	struct users *u = call->users;
	const struct env_post *post = &u->env->post;

	u->config.publish(u->config.arg, call->worker, call->view);
	call->back = (struct msg){.kind = MSG_CALL, .fn = told};
	post->to_worker(post->ctx, 0, &call->back);
}

/* To each worker; the next view waits until all have this one. */
static void
publish(struct users *u)
{
	const struct env_post *post = &u->env->post;
	struct view_call *calls[256];
	uint32_t n = post->n_workers;

	if (u->n_telling || !u->view || !u->confirmed)
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
	u->n_telling = n;
	for (uint32_t i = 0; i < n; i++) {
		*calls[i] = (struct view_call){
		    .msg = {.kind = MSG_CALL, .fn = take_view},
		    .users = u,
		    .view = auth_view_ref(u->view),
		    .worker = i,
		};
		post->to_worker(post->ctx, i, &calls[i]->msg);
	}
}

static int
make_nothing(struct root_edit *e, const struct doc *now, struct doc **change)
{
	(void)e;
	(void)now;
	*change = NULL;
	return 0;
}

static void
was_confirmed(struct root_edit *e, int r)
{
	struct users *u = CONTAINER_OF(e, struct users, confirm);

	if (r && !u->stopping)
		log_write(u->config.log, LOG_WARN,
		    "no majority of the root group: going by the users known "
		    "here");
	u->confirmed = 1;
	publish(u);
}

static void
confirm(struct users *u)
{
	if (u->confirming)
		return;
	u->confirming = 1;
	u->confirm =
	    (struct root_edit){.make = make_nothing, .done = was_confirmed};
	root_doc_edit(u->doc, &u->confirm);
}

/* The document is another one. */
static void
doc_changed_to(void *arg)
{
	struct users *u = arg;
	struct auth_view *view;
	int r = auth_view_new(&view, root_doc_now(u->doc), &u->config.rules);

	if (r) {
		log_write(u->config.log, LOG_ERROR,
		    "the users of the cluster cannot be read: %s; this node "
		    "goes by what it knew before",
		    err_text(r));
		return;
	}
	auth_view_unref(u->view);
	u->view = view;
	confirm(u);
	publish(u);
}

/* --- the first ------------------------------------------------------------ */

static int
make_first(struct root_edit *e, const struct doc *now, struct doc **change)
{
	struct users *u = CONTAINER_OF(e, struct users, first);

	(void)now;
	*change = u->first_doc;
	u->first_doc = NULL;
	return *change ? 0 : -ERR_NOMEM;
}

static void
first_made(struct root_edit *e, int r)
{
	struct users *u = CONTAINER_OF(e, struct users, first);

	if (r == 0)
		log_write(u->config.log, LOG_INFO,
		    "the users of a new cluster were made");
	u->first_doc = doc_free(u->first_doc);
	u->making_first = 0; /* once more, if there still is nothing */
}

void
users_first(struct users *u, const struct auth_first *f)
{
	if (!f || u->stopping || auth_make_first(f, &u->first_doc)) {
		u->making_first = 0;
		return;
	}
	u->first = (struct root_edit){
	    .make = make_first, .done = first_made, .first = 1};
	root_doc_edit(u->doc, &u->first);
}

static void
tick_first(struct users *u)
{
	if (!u->config.first || u->config.identity->joined || u->making_first ||
	    u->stopping || !root_doc_is_empty(u->doc) ||
	    !store_leads(*u->config.store, u->config.group))
		return;
	u->making_first = 1;
	u->config.first(u->config.arg, u);
}

/* --- requests ------------------------------------------------------------- */

static void
answer(struct users *u, struct auth_request *q, int r)
{
	const struct env_post *post = &u->env->post;

	q->r = r;
	q->msg.fn = q->msg.then;
	q->msg.answer = 1;
	post->to_worker(post->ctx, q->msg.from, &q->msg);
}

static int
is_self(const struct users *u, uint16_t i)
{
	return memcmp(cluster_ring(u->config.cluster)->members[i].id,
		   u->config.identity->node_id, 16) == 0;
}

/* Whether event SEQ is in force on member I. */
static int
has_it(const struct users *u, uint16_t i, uint64_t seq)
{
	struct beat told;

	if (is_self(u, i))
		return u->in_force >= seq;
	cluster_told(u->config.cluster, i, &told);
	return told.auth >= seq;
}

/* Nothing is left to wait for. */
static int
is_over(const struct users *u, const struct asked *a)
{
	const struct cluster *c = u->config.cluster;
	uint16_t n = cluster_ring(c)->n_members;

	if (u->stopping || now_us(u) >= a->until_us)
		return 1;
	for (uint16_t i = 0; i < n; i++)
		if (!has_it(u, i, a->edit.seq) &&
		    (is_self(u, i) || cluster_is_up(c, i)))
			return 0;
	return 1;
}

static void
name_pending(const struct users *u, const struct asked *a)
{
	const struct ring *r = cluster_ring(u->config.cluster);
	struct buf *out = &a->request->pending;

	for (uint16_t i = 0; i < r->n_members; i++) {
		if (has_it(u, i, a->edit.seq))
			continue;
		if (out->n)
			buf_add_byte(out, ',');
		buf_add_json_string(out, SLICE_STR(r->members[i].name));
	}
}

void
users_heard(void *arg)
{
	struct users *u = arg;
	struct asked **at = &u->waiting, *a;

	while ((a = *at)) {
		if (!is_over(u, a)) {
			at = &a->next;
			continue;
		}
		*at = a->next;
		name_pending(u, a);
		answer(u, a->request, 0);
		mem_free(a);
	}
}

static int
make(struct root_edit *e, const struct doc *now, struct doc **change)
{
	struct auth_request *q = CONTAINER_OF(e, struct asked, edit)->request;

	return auth_make(now, &q->change, &q->refusal, change);
}

static void
edited(struct root_edit *e, int r)
{
	struct asked *a = CONTAINER_OF(e, struct asked, edit);
	struct users *u = a->users;
	enum auth_refusal refusal = a->request->refusal;

	if (r || (refusal != AUTH_OK && refusal != AUTH_SAME)) {
		answer(u, a->request, r);
		mem_free(a);
		return;
	}
	a->until_us = now_us(u) + u->config.timeout_us;
	a->next = u->waiting;
	u->waiting = a;
	users_heard(u);
}

static void
begin(struct msg *m)
{
	struct auth_request *q = CONTAINER_OF(m, struct auth_request, msg);
	struct users *u = m->via;
	struct asked *a = mem_zalloc(sizeof(*a));

	if (!a) {
		answer(u, q, -ERR_NOMEM);
		return;
	}
	a->request = q;
	a->users = u;
	a->edit = (struct root_edit){.make = make, .done = edited};
	root_doc_edit(u->doc, &a->edit);
}

void
users_ask(void *arg, struct auth_request *q)
{
	struct users *u = arg;
	const struct env_post *post = &u->env->post;

	buf_init(&q->pending, PENDING_MAX);
	q->msg.kind = MSG_CALL;
	q->msg.then = q->msg.fn;
	q->msg.fn = begin;
	q->msg.via = u;
	post->to_worker(post->ctx, 0, &q->msg);
}

const struct doc *
users_doc(const struct users *u)
{
	return u->view ? auth_view_doc(u->view) : NULL;
}

/* --- life ----------------------------------------------------------------- */

struct users *
users_new(const struct users_config *config)
{
	struct users *u = mem_zalloc(sizeof(*u));
	struct root_doc_config dc = {
	    .env = config->env,
	    .log = config->log,
	    .router = config->router,
	    .group = config->group,
	    .stream = "auth",
	    .timeout_us = config->timeout_us,
	    .changed = doc_changed_to,
	    .arg = u,
	};

	if (!u)
		return NULL;
	u->config = *config;
	u->env = config->env;
	u->doc = root_doc_new(&dc);
	return u->doc ? u : users_free(u);
}

struct users *
users_free(struct users *u)
{
	if (!u)
		return NULL;
	root_doc_free(u->doc);
	auth_view_unref(u->view);
	doc_free(u->first_doc);
	return mem_free(u);
}

void
users_start(struct users *u, struct cluster *cluster)
{
	u->config.cluster = cluster;
}

void
users_stop(struct users *u)
{
	u->stopping = 1;
	root_doc_stop(u->doc);
	users_heard(u);
}

void
users_looked(void *arg)
{
	struct users *u = arg;

	root_doc_look(u->doc);
}

void
users_tick(struct users *u)
{
	root_doc_tick(u->doc);
	tick_first(u);
	if (u->view && auth_view_seq(u->view) < doc_seq(root_doc_now(u->doc)))
		doc_changed_to(u); /* there was no memory */
	if (u->view && auth_view_seq(u->view) > u->in_force)
		publish(u);
	users_heard(u);
}
