/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * cluster_token - one administrator's token for all nodes of a cluster, so that
 * a client behind a load balancer needs one.
 *
 * It is the only event of stream `token` of the root: put there by the node that
 * has founded the cluster, under the condition that there is none.
 */
#include "src/base/assert.h"
#include "src/base/mem.h"
#include "src/node/cluster_impl.h"

struct token_put {
	struct vnode_put put;
	struct vnode_put_event event;
	struct cluster *cluster;
};

static void
written(struct msg *m)
{
	struct token_put *t = CONTAINER_OF(m, struct token_put, put.msg);

	/* However it went: what is there is seen in the root's replica. */
	t->cluster->token = NULL;
	t->cluster->n_out--;
	mem_free(t);
}

void
token_tick(struct cluster *c)
{
	struct token_put *t;

	if (!c->config.token || c->config.identity->joined || !c->looked ||
	    c->has_token || c->token ||
	    !store_leads(*c->config.store, c->gossip.ring->q))
		return;
	t = mem_zalloc(sizeof(*t));
	if (!t)
		return;
	t->cluster = c;
	t->event = (struct vnode_put_event){
	    .type = SLICE_LIT("text/plain"),
	    .data = SLICE_STR(c->config.token),
	};
	t->put = (struct vnode_put){
	    .msg = {.kind = MSG_PUT, .fn = written},
	    .group = c->gossip.ring->q,
	    .bucket = SLICE_LIT(ROOT_BUCKET),
	    .stream = SLICE_LIT(ROOT_TOKEN),
	    .n_events = 1,
	    .events = &t->event,
	    .has_expect = 1,
	};
	c->token = t;
	c->n_out++;
	router_send(c->config.router, t->put.group, &t->put.msg);
}
