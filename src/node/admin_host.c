/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* admin_host - what iorio-admin can see and ask of this node. */
#include "src/node/admin_host.h"

#include "admin/render.h"
#include "http/server.h"
#include "ring/plan.h"
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/expose.h"
#include "src/base/mem.h"
#include "src/node/admin_users.h"
#include "src/node/admin_view.h"
#include "src/node/core.h"
#include "src/node/plan_room.h"
#include "src/node/reload.h"

struct node_admin {
	struct node_admin_config config;
	struct admin_host host;
	struct admin_seen seen; /* of the view that is answered */
};

/* A change that is under way. */
struct asked {
	struct cluster_edit edit;
	struct join_call join;
	struct fill_limit_call limit;
	struct node_admin *admin;
	struct admin_change *change;
	int is_up;           /* DOWN: who is to be marked */
	struct ring *before; /* PLAN */
	struct ring_plan *plan;
	int lacks; /* some member has no room for what PLAN gives it */
	struct plan_lack lack;
};

/* --- changes of the ring -------------------------------------------------- */

static enum admin_result
result_of(enum ring_refusal r)
{
	switch (r) {
	case RING_OK:
	case RING_SAME:
		return ADMIN_OK;
	case RING_ALREADY_MEMBER:
		return ADMIN_NOT_SINGLE_NODE;
	case RING_ALREADY_LEAVING:
		return ADMIN_ALREADY_LEAVING;
	case RING_NOT_MEMBER:
		return ADMIN_NOT_MEMBER;
	case RING_ONLY_MEMBER:
		return ADMIN_ONLY_MEMBER;
	case RING_INVALID_REPLACEMENT:
		return ADMIN_INVALID_REPLACEMENT;
	case RING_ALREADY_REPLACEMENT:
		return ADMIN_ALREADY_REPLACEMENT;
	case RING_NOTHING_STAGED:
		return ADMIN_NOTHING_STAGED;
	case RING_NOTHING_PLANNED:
		return ADMIN_NOTHING_PLANNED;
	case RING_PLAN_CHANGED:
		return ADMIN_PLAN_CHANGED;
	case RING_IS_UP:
		return ADMIN_IS_UP;
	case RING_TOO_MANY:
	case RING_NO_MEMORY:
		break;
	}
	return ADMIN_FAILED;
}

/* The words of each change, as they are typed. */
static const char *const op_words[] = {
    [ADMIN_JOIN] = "cluster join",
    [ADMIN_LEAVE] = "cluster leave",
    [ADMIN_FORCE_REMOVE] = "cluster force-remove",
    [ADMIN_REPLACE] = "cluster replace",
    [ADMIN_FORCE_REPLACE] = "cluster force-replace",
    [ADMIN_PLAN] = "cluster plan",
    [ADMIN_COMMIT] = "cluster commit",
    [ADMIN_CLEAR] = "cluster clear",
    [ADMIN_DOWN] = "down",
    [ADMIN_LIMIT] = "transfer-limit",
};

/* Many answers send the operator to the log. */
static void
log_failure(const struct asked *a, const char *why)
{
	const struct admin_change *c = a->change;

	log_write(a->admin->config.log, LOG_WARN, "%s%s%s%s%s: %s",
	    op_words[c->op], c->node[0] ? " " : "", c->node,
	    c->with[0] ? " " : "", c->with, why);
}

static enum ring_refusal
make_plan(struct asked *a, struct ring *now, struct ring **out)
{
	enum ring_refusal r;

	a->plan = ring_plan_free(a->plan);
	a->before = ring_unref(a->before);
	r = ring_plan_new(now, &a->plan);
	a->lacks =
	    r == RING_OK && plan_room_lacks(core_cluster(a->admin->config.core),
				a->plan, &a->lack);
	if (a->lacks)
		return RING_SAME; /* and edited says so */
	if (r == RING_OK)
		r = ring_plan_store(now, a->plan, out);
	if (r == RING_OK || r == RING_SAME)
		a->before = ring_ref(now);
	return r;
}

static enum ring_refusal
make(struct cluster_edit *e, struct ring *now, struct ring **out)
{
	struct asked *a = CONTAINER_OF(e, struct asked, edit);
	const struct admin_change *c = a->change;

	switch (c->op) {
	case ADMIN_LEAVE:
		return ring_stage_leave(now, c->node, out);
	case ADMIN_FORCE_REMOVE:
		return ring_stage_remove(now, c->node, out);
	case ADMIN_REPLACE:
		return ring_stage_replace(now, c->node, c->with, 0, out);
	case ADMIN_FORCE_REPLACE:
		return ring_stage_replace(now, c->node, c->with, 1, out);
	case ADMIN_PLAN:
		return make_plan(a, now, out);
	case ADMIN_COMMIT:
		return plan_room_commit(core_cluster(a->admin->config.core),
		    now, c->plan_id, out, &a->lacks, &a->lack);
	case ADMIN_CLEAR:
		return ring_clear(now, out);
	case ADMIN_DOWN:
		return ring_mark_down(now, c->node, a->is_up, out);
	case ADMIN_JOIN:
	case ADMIN_LIMIT:
		break;
	}
	ASSERT_UNREACHED();
}

static void
end(struct asked *a, enum admin_result result)
{
	struct admin_change *c = a->change;

	c->result = result;
	c->before = a->before;
	c->plan = a->plan;
	c->done(c);
	ring_plan_free(a->plan);
	ring_unref(a->before);
	mem_free(a);
}

static void
edited(struct cluster_edit *e, int r, enum ring_refusal refusal,
    struct ring *after)
{
	struct asked *a = CONTAINER_OF(e, struct asked, edit);

	(void)after;
	if (r == 0 && a->lacks) {
		a->change->cramped = a->lack.name;
		a->change->needed = a->lack.needed;
		a->change->room = a->lack.room;
		end(a, ADMIN_NO_ROOM);
		return;
	}
	if (r)
		log_failure(a, r == -ERR_UNAVAILABLE
				   ? "no majority of the voters of the "
				     "root group answers"
				   : err_text(r));
	else if (result_of(refusal) == ADMIN_FAILED)
		log_failure(a, refusal == RING_TOO_MANY
				   ? "there are too many members"
				   : err_text(-ERR_NOMEM));
	/* No majority of the root's voters, or damage: nothing has changed. */
	end(a, r ? ADMIN_RING_NOT_READY : result_of(refusal));
}

static int
is_up(const struct node_admin *n, const char *name)
{
	struct cluster *c = core_cluster(n->config.core);
	const struct ring *r = cluster_ring(c);

	for (uint16_t i = 0; i < r->n_members; i++)
		if (strcmp(r->members[i].name, name) == 0)
			return cluster_is_up(c, i);
	return 0;
}

/* --- joining -------------------------------------------------------------- */

static void
let_in(struct join_call *call, enum admin_result result, struct ring *ring,
    int known)
{
	struct asked *a = CONTAINER_OF(call, struct asked, join);
	const struct node_admin_config *config = &a->admin->config;
	struct ring *kept = ring ? ring_ref(ring) : NULL;

	a->change->known_other_id = known;
	a->change->n_streams = call->n_streams;
	if (result == ADMIN_FAILED)
		log_failure(a, "that node refuses, or this one stops");
	end(a, result);
	if (result == ADMIN_OK)
		config->joined(config->arg, kept);
	ring_unref(kept);
}

static enum admin_result
may_join(struct node_admin *n, const struct admin_change *c)
{
	struct cluster *cluster = core_cluster(n->config.core);

	if (strcmp(c->node, n->config.self) == 0)
		return ADMIN_SELF_JOIN;
	if (cluster_ring(cluster)->n_members > 1)
		return ADMIN_NOT_SINGLE_NODE;
	return ADMIN_OK;
}

/* --- transfer_limit ------------------------------------------------------- */

static void
limit_set(struct fill_limit_call *call, struct ring *ring, uint8_t *failed,
    int n_failed)
{
	struct asked *a = CONTAINER_OF(call, struct asked, limit);

	a->change->members = ring;
	a->change->failed = failed;
	end(a, n_failed == 0 ? ADMIN_OK : ADMIN_FAILED);
}

static void
set_limit(struct node_admin *n, struct asked *a)
{
	a->limit = (struct fill_limit_call){
	    .limit = a->change->limit,
	    .node = a->change->node[0] ? a->change->node : NULL,
	    .done = limit_set,
	};
	fill_limit_set(core_fill_limit(n->config.core), &a->limit);
}

/* --- asking --------------------------------------------------------------- */

/* On a later turn than the call. */
static void
begin(struct msg *m)
{
	struct admin_change *c = CONTAINER_OF(m, struct admin_change, msg);
	struct node_admin *n = m->via;
	struct asked *a = mem_zalloc(sizeof(*a));
	enum admin_result r = ADMIN_OK;

	if (!a) {
		c->result = ADMIN_FAILED;
		c->done(c);
		return;
	}
	a->admin = n;
	a->change = c;
	a->edit = (struct cluster_edit){.make = make, .done = edited};
	a->join.done = let_in;
	if (cluster_is_gone(core_cluster(n->config.core)))
		r = ADMIN_REMOVED;
	else if (c->op == ADMIN_JOIN)
		r = may_join(n, c);
	else if (c->op == ADMIN_DOWN)
		a->is_up = is_up(n, c->node);
	if (r == ADMIN_OK && c->op == ADMIN_JOIN) {
		memcpy(a->join.contact, c->node, sizeof(c->node));
		if (join_ask(core_join(n->config.core), &a->join))
			r = ADMIN_TRY_AGAIN;
		else
			return;
	}
	if (r == ADMIN_OK && c->op == ADMIN_LIMIT)
		set_limit(n, a);
	else if (r == ADMIN_OK)
		cluster_edit(core_cluster(n->config.core), &a->edit);
	else
		end(a, r);
}

static void
post(struct node_admin *a, struct msg *m, void (*fn)(struct msg *m))
{
	const struct env_post *p = &a->config.env->post;

	*m = (struct msg){.kind = MSG_CALL, .fn = fn, .via = a};
	p->to_worker(p->ctx, 0, m);
}

static void
change(void *ctx, struct admin_change *c)
{
	post(ctx, &c->msg, begin);
}

/* --- view ----------------------------------------------------------------- */

static void
answer_view(struct msg *m)
{
	struct admin_view *v = CONTAINER_OF(m, struct admin_view, msg);
	struct node_admin *a = m->via;

	v->self = v->claimant = RING_NOBODY;
	admin_see(&a->seen, a->config.core, a->config.self, v);
	v->done(v);
	admin_seen_clear(&a->seen);
}

/* The same for HTTP, on worker 0; back to the worker that asked. */
static void
answer_http(struct msg *m)
{
	struct http_view *v = CONTAINER_OF(m, struct http_view, msg);
	struct node_admin *a = m->via;
	const struct env_post *p = &a->config.env->post;
	struct admin_view all = {.self = RING_NOBODY, .claimant = RING_NOBODY};

	admin_see(&a->seen, a->config.core, a->config.self, &all);
	v->r = all.ring ? 0 : -ERR_NOMEM;
	if (all.ring)
		render_all_json(&v->out, &all);
	admin_seen_clear(&a->seen);
	m->fn = m->then;
	m->answer = 1;
	p->to_worker(p->ctx, m->from, m);
}

void
node_admin_view(struct node_admin *a, struct http_view *v)
{
	const struct env_post *p = &a->config.env->post;

	v->msg.then = v->msg.fn;
	v->msg.fn = answer_http;
	v->msg.via = a;
	p->to_worker(p->ctx, 0, &v->msg);
}

static void
view(void *ctx, struct admin_view *v)
{
	post(ctx, &v->msg, answer_view);
}

/* --- users ---------------------------------------------------------------- */

static void
begin_auth(struct msg *m)
{
	struct admin_auth *q = CONTAINER_OF(m, struct admin_auth, msg);
	struct node_admin *a = m->via;

	admin_users_ask(
	    roots_users(core_roots(a->config.core)), a->config.logins, q);
}

static void
auth(void *ctx, struct admin_auth *q)
{
	post(ctx, &q->msg, begin_auth);
}

static const struct doc *
users(void *ctx)
{
	struct node_admin *a = ctx;

	return users_doc(roots_users(core_roots(a->config.core)));
}

/* --- this node ------------------------------------------------------------ */

static void
status(void *ctx, struct buf *out, int json)
{
	struct node_admin *a = ctx;
	struct store_stats st;
	struct expose e;

	store_stats(core_store(a->config.core), &st);
	const struct {
		const char *name;
		uint64_t value;
	} rows[] = {
	    {"streams", st.n_streams},
	    {"events", st.n_events},
	    {"bytes", st.bytes},
	    {"dirty_bytes", st.dirty_bytes},
	    {"clean_bytes", st.clean_bytes},
	    {"checkpoints", st.n_checkpoints},
	    {"free_bytes", st.free_bytes},
	    {"writable", st.writable != 0},
	    {"open_files", st.n_files},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		buf_printf(out, json ? "%s\"%s\":%llu" : "%s%s : %llu\n",
		    !json ? ""
		    : i   ? ","
			  : "{",
		    rows[i].name, (unsigned long long)rows[i].value);
	if (json)
		buf_add_str(out, ",\"metrics\":");
	expose_begin(&e, out, json ? EXPOSE_JSON : EXPOSE_LINES);
	a->config.expose(a->config.arg, &e);
	expose_end(&e);
	if (json)
		buf_add_str(out, "}\n");
}

static int
log_level(void *ctx, const char *level)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};
	struct node_admin *a = ctx;

	if (!level)
		return (int)log_get_level(a->config.log);
	for (int i = 0; i < 4; i++) {
		if (strcmp(level, names[i]))
			continue;
		log_set_level(a->config.log, (enum log_level)i);
		return i;
	}
	return -ERR_INVAL;
}

static int
reload(void *ctx, struct buf *what)
{
	struct node_admin *a = ctx;

	reload_start(a->config.reload);
	buf_add_str(
	    what, "Reading iorio.conf again; the log says what changed\n");
	return 0;
}

static uint64_t
now_ms(void *ctx)
{
	struct node_admin *a = ctx;
	const struct env_clock *clock = &a->config.env->clock;

	return clock->wall(clock->ctx).ms;
}

struct node_admin *
node_admin_new(const struct node_admin_config *config)
{
	struct node_admin *a = mem_zalloc(sizeof(*a));

	if (!a)
		return NULL;
	a->config = *config;
	a->host = (struct admin_host){
	    .ctx = a,
	    .self = config->self,
	    .change = change,
	    .view = view,
	    .auth = auth,
	    .users = users,
	    .status = status,
	    .log_level = log_level,
	    .reload = reload,
	    .now_ms = now_ms,
	};
	return a;
}

const struct admin_host *
node_admin_host(struct node_admin *a)
{
	return &a->host;
}

struct node_admin *
node_admin_free(struct node_admin *a)
{
	if (!a)
		return NULL;
	admin_seen_clear(&a->seen);
	return mem_free(a);
}
