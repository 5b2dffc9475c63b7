/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* api_ops - /ping and what load balancers ask (http-api.md section 5). */
#include "http/http_impl.h"
#include "src/base/err.h"

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

/* --- the cluster ---------------------------------------------------------- */

static void
viewed(struct msg *m)
{
	struct http_view *v = CONTAINER_OF(m, struct http_view, msg);
	struct request *rq = CONTAINER_OF(v, struct request, view);

	if (!request_back(rq))
		return;
	if (v->r || buf_error(&v->out))
		respond_store_error(rq, v->r ? v->r : -ERR_NOMEM);
	else
		respond(rq, 200, "application/json",
		    "Cache-Control: no-store\r\n", buf_slice(&v->out));
}

#define VIEW_MAX (4u << 20)

void
api_cluster(struct request *rq)
{
	const struct http_config *c = &rq->server->config;

	buf_init(&rq->view.out, VIEW_MAX);
	rq->view.msg = (struct msg){
	    .kind = MSG_CALL, .from = rq->server->worker, .fn = viewed};
	rq->in_store = 1;
	request_watch(rq);
	c->view(c->arg, &rq->view);
}

/* --- load balancers ------------------------------------------------------- */

void
api_live(struct request *rq)
{
	struct slice none;

	respond(rq, 200, "text/plain", "Cache-Control: no-store\r\n",
	    request_param(rq, "verbose", &none) ? SLICE_LIT("[+]serving\nok")
						: SLICE_LIT("ok"));
}

void
api_ready(struct request *rq)
{
	const struct http_config *c = &rq->server->config;
	struct slice none;
	struct buf lines;
	int ready;

	buf_init(&lines, 4096);
	ready = c->ready(c->arg, &lines) && !rq->server->stopping;
	if (!request_param(rq, "verbose", &none)) {
		buf_reset(&lines);
		buf_add_str(&lines, ready ? "ok" : "not ready");
	}
	respond(rq, ready ? 200 : 503, "text/plain",
	    ready ? "Cache-Control: no-store\r\n"
		  : "Cache-Control: no-store\r\nRetry-After: 1\r\n",
	    buf_slice(&lines));
	buf_deinit(&lines);
}
