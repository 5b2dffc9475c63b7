/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * api_delete - DELETE /streams/:bucket/:stream and DELETE /buckets/:bucket
 * (http-api.md sections 4.4 and 4.5).
 *
 * A bucket lies in many groups: each is asked for the bucket's streams, page by
 * page, and each of these is deleted.  That is not atomic: what is made meanwhile
 * may stay, and when part of it fails the rest is gone; asked again, what is left
 * goes.
 */
#include "http/http_impl.h"
#include "src/base/err.h"
#include "src/base/mem.h"

static void
respond_gone(struct request *rq)
{
	respond(rq, 204, NULL, NULL, SLICE(NULL, 0));
}

/* --- one stream ----------------------------------------------------------- */

static void
deleted(struct msg *m)
{
	struct vnode_delete *del = CONTAINER_OF(m, struct vnode_delete, msg);
	struct request *rq = CONTAINER_OF(del, struct request, del);

	if (!request_back(rq))
		return;
	if (del->r)
		respond_store_error(rq, del->r);
	else
		respond_gone(rq);
}

void
api_delete(struct request *rq)
{
	rq->del = (struct vnode_delete){
	    .msg = {.kind = MSG_DELETE},
	    .group = rq->group,
	    .bucket = rq->bucket,
	    .stream = rq->stream,
	};
	rq->proposed = 1;
	request_send(rq, &rq->del.msg, deleted);
}

/* --- all streams of a bucket ---------------------------------------------- */

#define PAGE 256 /* streams of a group at a time */

struct drop_call;

/* What is asked of one group. */
struct drop_part {
	struct drop_call *call;
	struct vnode_list list;
	uint32_t n_out; /* streams of the page whose end is not known */
	int failed;
	size_t after_n;
	uint8_t after[255];
};

/* One stream of a page. */
struct drop_one {
	struct vnode_delete del;
	struct drop_part *part;
};

struct drop_call {
	struct request *rq; /* NULL once nobody waits */
	uint32_t worker, n_busy;
	struct vnode_route route;
	int r; /* the worst that came */
	struct drop_part *parts;
	size_t bucket_n;
	uint8_t bucket[];
};

static void
call_free(struct drop_call *c)
{
	mem_free(c->parts);
	mem_free(c);
}

/* A write that may have been done weighs more than one that was not. */
static void
note(struct drop_call *c, int r)
{
	if (r && c->r != -ERR_UNKNOWN)
		c->r = r;
}

static void
answer(struct drop_call *c)
{
	struct request *rq = c->rq;

	if (c->r == 0)
		respond_gone(rq);
	else if (c->r == -ERR_UNKNOWN)
		respond_error(rq, 504, "unknown-outcome", NULL, NULL,
		    "whether all streams were deleted is not known: delete the "
		    "bucket again");
	else
		respond_unavailable(rq,
		    "not all streams were deleted (%s): delete the bucket "
		    "again",
		    err_text(c->r));
}

static void
end_part(struct drop_part *p)
{
	struct drop_call *c = p->call;

	vnode_list_deinit(&p->list);
	if (--c->n_busy)
		return;
	if (!c->rq)
		call_free(c);
	else if (!c->rq->done)
		answer(c);
}

static void got_page(struct msg *m);

static void
ask_page(struct drop_part *p, uint32_t group)
{
	struct drop_call *c = p->call;

	p->list = (struct vnode_list){
	    .msg = {.kind = MSG_LIST, .from = c->worker, .fn = got_page},
	    .group = group,
	    .bucket = SLICE(c->bucket, c->bucket_n),
	    .after = SLICE(p->after, p->after_n),
	    .limit = PAGE,
	};
	c->route.send(c->route.ctx, group, &p->list.msg);
}

/* The page is done: the next, if there is one and somebody wants it. */
static void
go_on(struct drop_part *p)
{
	int more = p->list.more && p->list.n_items;
	uint32_t group = p->list.group;

	if (!more || p->failed || !p->call->rq || p->call->rq->done) {
		end_part(p);
		return;
	}
	request_watch(p->call->rq);
	p->after_n = p->list.items[p->list.n_items - 1].name.n;
	memcpy(p->after, p->list.items[p->list.n_items - 1].name.p, p->after_n);
	vnode_list_deinit(&p->list);
	ask_page(p, group);
}

static void
one_deleted(struct msg *m)
{
	struct drop_one *one = CONTAINER_OF(m, struct drop_one, del.msg);
	struct drop_part *p = one->part;

	if (one->del.r) {
		note(p->call, one->del.r);
		p->failed = 1;
	}
	mem_free(one);
	if (--p->n_out == 0)
		go_on(p);
}

static void
delete_one(struct drop_part *p, struct slice name)
{
	struct drop_call *c = p->call;
	struct drop_one *one = mem_zalloc(sizeof(*one));

	if (!one) {
		note(c, -ERR_NOMEM);
		p->failed = 1;
		return;
	}
	one->part = p;
	one->del = (struct vnode_delete){
	    .msg = {.kind = MSG_DELETE, .from = c->worker, .fn = one_deleted},
	    .group = p->list.group,
	    .bucket = SLICE(c->bucket, c->bucket_n),
	    .stream = name,
	};
	p->n_out++;
	c->route.send(c->route.ctx, p->list.group, &one->del.msg);
}

static void
got_page(struct msg *m)
{
	struct drop_part *p = CONTAINER_OF(m, struct drop_part, list.msg);

	if (p->list.r) {
		note(p->call, p->list.r);
		vnode_list_clear(&p->list);
		end_part(p);
		return;
	}
	p->n_out = 1; /* until all are on their way */
	for (uint32_t i = 0; i < p->list.n_items; i++)
		delete_one(p, p->list.items[i].name);
	if (--p->n_out == 0)
		go_on(p);
}

void
api_delete_bucket(struct request *rq)
{
	const struct vnode_route *route = &rq->server->config.route;
	struct drop_call *c = mem_zalloc(sizeof(*c) + rq->bucket.n);

	if (c)
		c->parts = mem_calloc(route->n_groups, sizeof(*c->parts));
	if (!c || !c->parts) {
		mem_free(c);
		respond_store_error(rq, -ERR_NOMEM);
		return;
	}
	c->rq = rq;
	c->worker = rq->server->worker;
	c->route = *route;
	c->bucket_n = rq->bucket.n;
	memcpy(c->bucket, rq->bucket.p, rq->bucket.n);
	rq->drop = c;
	rq->proposed = 1;
	request_watch(rq);
	c->n_busy = route->n_groups;
	for (uint32_t g = 0; g < route->n_groups; g++) {
		c->parts[g].call = c;
		ask_page(&c->parts[g], g);
	}
}

void
api_delete_free(struct request *rq)
{
	struct drop_call *c = rq->drop;

	rq->drop = NULL;
	c->rq = NULL;
	if (c->n_busy == 0)
		call_free(c);
}
