/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * node_report - every metrics.interval the node appends what it measures to
 * stream metrics.stream of bucket metrics.bucket: {"node":..., "metrics":{...}}.
 *
 * The append goes the way of any other, to whoever leads that stream; one that
 * fails is not tried again, the next one comes anyhow.  At most one is under
 * way.  Worker 0.
 */
#include "src/node/node_impl.h"

#include "ring/hash.h"
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/base/name.h"

#define REPORT_MAX (256u << 10)

struct report {
	struct node *node;
	struct vnode_put put;
	struct vnode_put_event event;
	struct env_timer *timer;
	struct buf text;
	uint32_t group;
	int under_way;
};

static void
stored(struct msg *m)
{
	struct vnode_put *put = CONTAINER_OF(m, struct vnode_put, msg);

	CONTAINER_OF(put, struct report, put)->under_way = 0;
}

static int
write_text(struct report *r)
{
	struct expose e;

	buf_reset(&r->text);
	buf_add_str(&r->text, "{\"node\":");
	buf_add_json_string(
	    &r->text, SLICE_STR(conf_str(r->node->conf, CONF_nodename)));
	buf_add_str(&r->text, ",\"metrics\":");
	expose_begin(&e, &r->text, EXPOSE_JSON);
	node_expose(r->node, &e);
	expose_end(&e);
	buf_add_byte(&r->text, '}');
	return buf_error(&r->text);
}

static void
on_time(void *arg)
{
	struct report *r = arg;
	struct node *n = r->node;
	struct vnode_route route = core_route(n->core);

	if (r->under_way || n->stopping || atomic_load(&n->removed) ||
	    write_text(r))
		return;
	r->event = (struct vnode_put_event){
	    .flags = EVENT_JSON, .data = buf_slice(&r->text)};
	r->put = (struct vnode_put){
	    .msg = {.kind = MSG_PUT, .fn = stored},
	    .group = r->group,
	    .bucket = SLICE_STR(conf_str(n->conf, CONF_metrics_bucket)),
	    .stream = SLICE_STR(conf_str(n->conf, CONF_metrics_stream)),
	    .n_events = 1,
	    .events = &r->event,
	};
	r->under_way = 1;
	route.send(route.ctx, r->group, &r->put.msg);
}

/* The group of its stream. */
static int
find_group(struct report *r)
{
	struct ring_hash *h = ring_hash_new();
	const struct conf *c = r->node->conf;

	if (!h)
		return -ERR_NOMEM;
	r->group =
	    ring_hash_group(h, SLICE_STR(conf_str(c, CONF_metrics_bucket)),
		SLICE_STR(conf_str(c, CONF_metrics_stream)),
		core_route(r->node->core).n_groups);
	ring_hash_free(h);
	return 0;
}

static int
check_name(const struct node *n, enum conf_field key, char *why)
{
	if (name_check(SLICE_STR(conf_str(n->conf, key))) == 0)
		return 0;
	snprintf(why, NODE_WHY_BYTES,
	    "metrics.bucket, metrics.stream: `%s` is not a name",
	    conf_str(n->conf, key));
	return -ERR_INVAL;
}

int
node_open_report(struct node *n, char *why)
{
	const struct env_timers *t = &n->env->timers;
	struct report *r;
	int e = check_name(n, CONF_metrics_bucket, why);

	if (e == 0)
		e = check_name(n, CONF_metrics_stream, why);
	if (e)
		return e;
	r = n->report = mem_zalloc(sizeof(*r));
	if (!r)
		return -ERR_NOMEM;
	r->node = n;
	buf_init(&r->text, REPORT_MAX);
	e = find_group(r);
	if (e)
		return e;
	r->timer = t->start(
	    t->ctx, 0, conf_num(n->conf, CONF_metrics_interval), on_time, r);
	return r->timer ? 0 : -ERR_NOMEM;
}

void
node_close_report(struct node *n)
{
	const struct env_timers *t = n->env ? &n->env->timers : NULL;
	struct report *r = n->report;

	if (!r)
		return;
	t->stop(t->ctx, r->timer);
	buf_deinit(&r->text);
	n->report = mem_free(r);
}
