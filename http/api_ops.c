/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* api_ops - /ping and what load balancers ask (http-api.md section 5). */
#include "http/http_impl.h"
#include "http/openapi.h"
#include "src/base/err.h"

#define NO_STORE "Cache-Control: no-store\r\n"

static void
pong(struct msg *m)
{
	struct vnode_ping *ping = CONTAINER_OF(m, struct vnode_ping, msg);
	struct request *rq = CONTAINER_OF(ping, struct request, ping);
	char index[RING_INDEX_BYTES], body[RING_INDEX_BYTES + 16];
	int n;

	if (!request_back(rq))
		return;
	if (ping->r) {
		respond_store_error(rq, ping->r);
		return;
	}
	ring_index_text(rq->group, rq->server->config.route.n_groups, index);
	n = snprintf(body, sizeof(body), "{\"pong\":\"%s\"}", index);
	respond(rq, 200, "application/json", "Cache-Control: no-store\r\n",
	    SLICE(body, (size_t)n));
}

void
api_ping(struct request *rq)
{
	const struct env_rng *rng = &rq->server->config.env->rng;
	uint32_t chance;

	rng->bytes(rng->ctx, &chance, sizeof(chance));
	rq->group = chance % rq->server->config.route.n_groups;
	rq->ping =
	    (struct vnode_ping){.msg = {.kind = MSG_PING}, .group = rq->group};
	request_send(rq, &rq->ping.msg, pong);
}

static void
respond_health(struct request *rq, int ready, struct slice text)
{
	respond(rq, ready ? 200 : 503, "text/plain",
	    ready ? NO_STORE : NO_STORE "Retry-After: 1\r\n", text);
}

/* --- what the node shows of itself ---------------------------------------- */

static const char *
view_type(enum http_view_kind kind)
{
	switch (kind) {
	case HTTP_VIEW_CLUSTER:
	case HTTP_VIEW_STATS:
		return "application/json";
	case HTTP_VIEW_METRICS:
		return EXPOSE_PROMETHEUS_TYPE;
	case HTTP_VIEW_OPENMETRICS:
		return EXPOSE_OPENMETRICS_TYPE;
	case HTTP_VIEW_HEALTH:
		break;
	}
	return "text/plain";
}

static void
viewed(struct msg *m)
{
	struct http_view *v = CONTAINER_OF(m, struct http_view, msg);
	struct request *rq = CONTAINER_OF(v, struct request, view);

	if (!request_back(rq))
		return;
	if (v->r || buf_error(&v->out))
		respond_store_error(rq, v->r ? v->r : -ERR_NOMEM);
	else if (v->kind == HTTP_VIEW_HEALTH)
		respond_health(rq, v->is_ready, buf_slice(&v->out));
	else
		respond(
		    rq, 200, view_type(v->kind), NO_STORE, buf_slice(&v->out));
}

#define VIEW_MAX (4u << 20)

static void
view(struct request *rq, enum http_view_kind kind)
{
	const struct http_config *c = &rq->server->config;

	buf_init(&rq->view.out, VIEW_MAX);
	rq->view.kind = kind;
	rq->view.msg = (struct msg){
	    .kind = MSG_CALL, .from = rq->server->worker, .fn = viewed};
	rq->in_store = 1;
	request_watch(rq);
	c->view(c->arg, &rq->view);
}

void
api_cluster(struct request *rq)
{
	view(rq, HTTP_VIEW_CLUSTER);
}

void
api_stats(struct request *rq)
{
	view(rq, HTTP_VIEW_STATS);
}

/* What Prometheus sends names OpenMetrics when it can read that. */
void
api_metrics(struct request *rq)
{
	static const char open[] = "application/openmetrics-text";
	int by_name = accept_q_by_name(rq->accept, open);
	int plain = accept_q(rq->accept, "text/plain");

	if (by_name > 0 && by_name >= plain)
		view(rq, HTTP_VIEW_OPENMETRICS);
	else if (plain > 0)
		view(rq, HTTP_VIEW_METRICS);
	else
		respond_error(rq, 406, "not-acceptable", NULL, NULL,
		    "the answer is text/plain or %s", open);
}

void
api_openapi(struct request *rq)
{
	respond(rq, 200, "application/json", "Cache-Control: no-cache\r\n",
	    openapi_text());
}

/* --- load balancers ------------------------------------------------------- */

void
api_live(struct request *rq)
{
	struct slice none;

	respond(rq, 200, "text/plain", NO_STORE,
	    request_param(rq, "verbose", &none) ? SLICE_LIT("[+]serving\nok")
						: SLICE_LIT("ok"));
}

void
api_ready(struct request *rq)
{
	const struct http_config *c = &rq->server->config;
	struct slice none;
	int ready;

	if (request_param(rq, "verbose", &none)) {
		view(rq, HTTP_VIEW_HEALTH);
		return;
	}
	ready = c->ready(c->arg) && !rq->server->stopping;
	respond_health(
	    rq, ready, ready ? SLICE_LIT("ok") : SLICE_LIT("not ready"));
}
