/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* admin_host - what iorio-admin can see and ask of this node. */
#include "src/node/admin_host.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/node/reload.h"
#include "vnode/store.h"

struct node_admin {
	struct node_admin_config config;
	struct admin_host host;
};

static void
post(struct node_admin *a, struct msg *m, void (*fn)(struct msg *m))
{
	const struct env_post *p = &a->config.env->post;

	*m = (struct msg){.kind = MSG_CALL, .fn = fn};
	p->to_worker(p->ctx, 0, m);
}

/* --- changes -------------------------------------------------------------- */

static void
answer_change(struct msg *m)
{
	struct admin_change *c = CONTAINER_OF(m, struct admin_change, msg);

	c->done(c);
}

/* Of a node that is the only member. */
static enum admin_result
judge(const struct admin_change *c, const char *self)
{
	int us = strcmp(c->node, self) == 0;

	switch (c->op) {
	case ADMIN_JOIN:
		return us ? ADMIN_SELF_JOIN : ADMIN_NOT_REACHABLE;
	case ADMIN_LEAVE:
	case ADMIN_FORCE_REMOVE:
		return us ? ADMIN_ONLY_MEMBER : ADMIN_NOT_MEMBER;
	case ADMIN_REPLACE:
	case ADMIN_FORCE_REPLACE:
		return us ? ADMIN_INVALID_REPLACEMENT : ADMIN_NOT_MEMBER;
	case ADMIN_PLAN:
		return ADMIN_NOTHING_STAGED;
	case ADMIN_COMMIT:
		return ADMIN_NOTHING_PLANNED;
	case ADMIN_CLEAR:
		return ADMIN_OK;
	case ADMIN_DOWN:
		return us ? ADMIN_IS_UP : ADMIN_NOT_MEMBER;
	case ADMIN_LIMIT:
		return ADMIN_FAILED;
	}
	ASSERT_UNREACHED();
}

static void
change(void *ctx, struct admin_change *c)
{
	struct node_admin *a = ctx;

	c->result = judge(c, a->config.self);
	post(a, &c->msg, answer_change);
}

/* --- view ----------------------------------------------------------------- */

static void
answer_view(struct msg *m)
{
	struct admin_view *v = CONTAINER_OF(m, struct admin_view, msg);

	v->done(v);
}

static void
view(void *ctx, struct admin_view *v)
{
	struct node_admin *a = ctx;

	v->ring = a->config.ring;
	v->self = v->claimant = 0;
	v->ready = 1;
	v->limit = &a->config.transfer_limit;
	post(a, &v->msg, answer_view);
}

/* --- this node ------------------------------------------------------------ */

static void
status(void *ctx, struct buf *out, int json)
{
	struct node_admin *a = ctx;
	struct store_stats st;

	store_stats(a->config.store, &st);
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
	ring_ref(config->ring);
	a->host = (struct admin_host){
	    .ctx = a,
	    .self = config->self,
	    .change = change,
	    .view = view,
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
	ring_unref(a->config.ring);
	return mem_free(a);
}
