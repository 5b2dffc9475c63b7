/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * api_patch - PATCH of /streams/:bucket/:stream (http-api.md section 4.2).
 *
 *	wait -> read the newest event -> apply -> put, if it still is -> answer
 *		 ^					    | it is not
 *		 +------------------------------------------+ 3 times
 *
 * With an idempotency key the put is answered by an earlier one, if there was.
 * What cannot be put may be a request that comes again, whose patch or condition
 * does not fit any more since it was done: so before it is refused, the vnode is
 * asked for the key, by a put that can only be a replay (failed).
 *
 * Patches to one stream that come to the same worker are done one after the
 * other, so only those of other workers and other writers come in between.
 *
 * What is small is applied at once, the rest on a lane: no loop is held up by a
 * large document.
 */
#include "http/condition.h"
#include "http/key.h"
#include "http/media.h"
#include "http/patch.h"
#include "http/text.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/base/name.h"

#define TRIES_MAX 4

struct patch_call {
	struct request *rq;
	struct list link;   /* of server.patching, or behind another */
	struct list behind; /* those that wait for this one */
	int at_work;        /* in server.patching */
	enum patch_kind kind;
	uint32_t tries;
	int has_condition; /* of the client: EXPECT is right or nothing */
	uint64_t expect, newest;
	void (*refuse)(struct patch_call *c); /* unless it was done before */
	struct slice document;                /* in a page of rq->read */
	struct buf result;
	uint64_t charged; /* for it */
	struct vnode_put_event events[2];
	/* applying */
	struct patch_limits limits;
	struct patch_error err;
	int r;
	struct env_job job;
	struct msg back;
};

static void begin(struct patch_call *c);

/* --- one after the other -------------------------------------------------- */

static int
same_stream(const struct request *a, const struct request *b)
{
	return a->group == b->group && slice_equal(a->stream, b->stream) &&
	       slice_equal(a->bucket, b->bucket);
}

static void
take_turn(struct patch_call *c)
{
	struct http_server *s = c->rq->server;

	LIST_FOREACH (node, &s->patching) {
		struct patch_call *at =
		    LIST_ENTRY(node, struct patch_call, link);

		if (!same_stream(at->rq, c->rq))
			continue;
		list_add_tail(&at->behind, &c->link);
		request_watch(c->rq);
		return;
	}
	c->at_work = 1;
	list_add_tail(&s->patching, &c->link);
	begin(c);
}

void
api_patch_leave(struct request *rq)
{
	struct patch_call *c = rq->patch, *next;
	struct list *node;

	list_del(&c->link);
	node = c->at_work ? list_take_first(&c->behind) : NULL;
	c->at_work = 0;
	if (!node)
		return;
	next = LIST_ENTRY(node, struct patch_call, link);
	next->at_work = 1;
	list_splice_tail(&next->behind, &c->behind);
	list_add_tail(&rq->server->patching, &next->link);
	begin(next);
}

void
api_patch_free(struct request *rq)
{
	buf_deinit(&rq->patch->result);
	rq->patch = mem_free(rq->patch);
}

/* --- answers -------------------------------------------------------------- */

static void
done(struct patch_call *c)
{
	char text[128], *at = text, extra[96];
	struct request *rq = c->rq;

	at = text_add(at, "{\"meta\":{\"id\":");
	at = text_add_u64(at, rq->put.first);
	at = text_add(at, ",\"t\":");
	at = text_add_u64(at, rq->put.t_ms);
	at = text_add(at, "}}");
	snprintf(extra, sizeof(extra), "iorio-replicas: %u\r\n%s",
	    rq->put.n_replicas, key_replayed(rq));
	respond(rq, 200, "application/json", extra,
	    SLICE(text, (size_t)(at - text)));
}

/* The one error whose reason is an object: http-api.md section 1. */
static void
conflict(struct patch_call *c)
{
	struct request *rq = c->rq;
	char text[320];
	int n = snprintf(text, sizeof(text),
	    "{\"type\":\"error\",\"reason\":{\"reason\":\"conflict\","
	    "\"field\":\"seqnum\",\"expected\":%llu,\"got\":%llu},"
	    "\"status\":409%s}",
	    (unsigned long long)c->expect, (unsigned long long)c->newest,
	    rq->problem ? ",\"title\":\"Conflict\",\"detail\":\"other events "
			  "came in between\""
			: "");

	respond(rq, 409,
	    rq->problem ? "application/problem+json" : "application/json", NULL,
	    SLICE(text, (size_t)n));
}

static void
not_applied(struct patch_call *c)
{
	struct request *rq = c->rq;
	char fields[32];

	snprintf(fields, sizeof(fields), ",\"op\":%u", c->err.op);
	if (c->r < 0)
		respond_store_error(rq, c->r);
	else if (c->r == PATCH_E_LIMIT)
		respond_error(rq, 413, "too-large", NULL, NULL,
		    "the patch cannot be applied: %s", c->err.text);
	else if (c->err.has_op)
		respond_error(rq, 400, "invalid-body", NULL, fields,
		    "operation %u cannot be applied: %s", c->err.op,
		    c->err.text);
	else
		respond_error(rq, 400, "invalid-body", NULL, NULL,
		    "the patch cannot be applied: %s", c->err.text);
}

static void
unmet(struct patch_call *c)
{
	c->rq->put.expect = c->expect;
	c->rq->put.newest = c->newest;
	condition_failed(c->rq);
}

static void
not_there(struct patch_call *c)
{
	respond_error(c->rq, 404, "not-found", NULL, NULL,
	    "the stream has no event that could be patched");
}

static void
not_json(struct patch_call *c)
{
	respond_error(c->rq, 400, "invalid-body", NULL, NULL,
	    "the newest event of the stream is not JSON");
}

/* --- putting -------------------------------------------------------------- */

/* The events are there, and key and condition. */
static void
send_put(struct patch_call *c, void (*back)(struct msg *m))
{
	struct vnode_put *put = &c->rq->put;

	put->msg = (struct msg){.kind = MSG_PUT};
	put->group = c->rq->group;
	put->bucket = c->rq->bucket;
	put->stream = c->rq->stream;
	put->events = c->events;
	put->has_expect = 1;
	request_send(c->rq, &put->msg, back);
}

static void
asked_for_key(struct msg *m)
{
	struct vnode_put *put = CONTAINER_OF(m, struct vnode_put, msg);
	struct request *rq = CONTAINER_OF(put, struct request, put);
	struct patch_call *c = rq->patch;

	if (!request_back(rq))
		return;
	api_patch_leave(rq);
	if (put->r == 0)
		done(c);
	else if (put->r == -ERR_MISMATCH)
		key_mismatch(rq);
	else if (put->r == -ERR_CONFLICT)
		c->refuse(c);
	else
		respond_store_error(rq, put->r);
}

/* REFUSE answers, unless there was an earlier one. */
static void
failed(struct patch_call *c, void (*refuse)(struct patch_call *c))
{
	struct request *rq = c->rq;

	if (!rq->put.has_key) {
		api_patch_leave(rq);
		refuse(c);
		return;
	}
	c->refuse = refuse;
	rq->proposed = 0;
	c->events[0] = (struct vnode_put_event){.flags = EVENT_JSON};
	rq->put.n_events = 1;
	rq->put.patch_of = 0;
	rq->put.expect = UINT64_MAX; /* never */
	send_put(c, asked_for_key);
}

static int
may_try_again(const struct patch_call *c)
{
	const struct request *rq = c->rq;

	return c->tries < TRIES_MAX &&
	       mono_diff_us(rq->started, server_now(rq->server)) <
		   rq->server->config.request_timeout_us;
}

static void
stored(struct msg *m)
{
	struct vnode_put *put = CONTAINER_OF(m, struct vnode_put, msg);
	struct request *rq = CONTAINER_OF(put, struct request, put);
	struct patch_call *c = rq->patch;

	if (!request_back(rq))
		return;
	if (put->r == -ERR_CONFLICT && !c->has_condition && may_try_again(c)) {
		begin(c);
		return;
	}
	c->newest = put->newest;
	if (put->r == -ERR_CONFLICT) {
		failed(c, c->has_condition ? unmet : conflict);
		return;
	}
	api_patch_leave(rq);
	if (put->r == 0)
		done(c);
	else if (put->r == -ERR_MISMATCH)
		key_mismatch(rq);
	else
		respond_store_error(rq, put->r);
}

/* The result is charged as the body is; 0: it is too much. */
static int
charge(struct patch_call *c)
{
	uint64_t n = c->result.cap - c->charged;

	c->charged += n;
	c->rq->charged += n;
	return server_charge(c->rq->server, n);
}

static void
put(struct patch_call *c)
{
	struct request *rq = c->rq;
	struct slice body = rq->body;

	if (!charge(c)) {
		api_patch_leave(rq);
		respond_unavailable(rq, "too many bodies are in flight");
		return;
	}
	c->events[0] = (struct vnode_put_event){
	    .flags = EVENT_JSON,
	    .data = buf_slice(&c->result),
	};
	c->events[1] = (struct vnode_put_event){
	    .flags = (uint16_t)(EVENT_JSON |
				(json_has_newline(body) ? EVENT_NEWLINE : 0)),
	    .data = body,
	};
	rq->put.n_events = 2;
	rq->put.expect = c->expect;
	rq->put.patch_of = rq->read.incarnation;
	rq->proposed = 1;
	send_put(c, stored);
}

/* --- applying ------------------------------------------------------------- */

static void
applied(struct patch_call *c)
{
	vnode_page_deinit(&c->rq->read.page);
	if (c->r == 0)
		put(c);
	else
		failed(c, not_applied);
}

static void
back_from_lane(struct msg *m)
{
	struct patch_call *c = CONTAINER_OF(m, struct patch_call, back);

	if (request_back(c->rq))
		applied(c);
}

/* Worker to lane: C is the lane's until it is posted back. */
static void
run_on_lane(struct env_job *job)
{
	struct patch_call *c = CONTAINER_OF(job, struct patch_call, job);
	const struct env_post *post = &c->rq->server->config.env->post;
	struct json_checker *json = json_checker_new();

	c->r = json ? patch_apply(json, c->kind, c->document, c->rq->body,
			  &c->limits, &c->result, &c->err)
		    : -ERR_NOMEM;
	json_checker_free(json);
	post->to_worker(post->ctx, c->rq->server->worker, &c->back);
}

static void
apply_on_lane(struct patch_call *c)
{
	const struct env_post *post = &c->rq->server->config.env->post;

	buf_reset(&c->result);
	c->limits.values = PATCH_VALUES_MAX;
	c->limits.work = PATCH_WORK_MAX;
	c->back = (struct msg){.kind = MSG_CALL, .fn = back_from_lane};
	c->job.run = run_on_lane;
	c->rq->in_store = 1;
	request_watch(c->rq);
	post->to_lane(post->ctx, LANE_READ, &c->job);
}

static void
apply(struct patch_call *c)
{
	struct request *rq = c->rq;

	buf_reset(&c->result);
	c->limits = (struct patch_limits){
	    PATCH_SMALL_VALUES, PATCH_SMALL_WORK, rq->server->config.max_body};
	if (c->document.n + rq->body.n > PATCH_SMALL_BYTES) {
		apply_on_lane(c);
		return;
	}
	c->r = patch_apply(rq->server->json, c->kind, c->document, rq->body,
	    &c->limits, &c->result, &c->err);
	if (c->r == PATCH_E_LIMIT)
		apply_on_lane(c);
	else
		applied(c);
}

/* --- reading -------------------------------------------------------------- */

/* Why the newest event cannot be patched, or NULL. */
static void (*refusal(const struct patch_call *c, const struct event *e))(
    struct patch_call *c)
{
	if (!e)
		return not_there;
	if (c->has_condition && c->expect != e->seq)
		return unmet;
	return e->flags & EVENT_JSON ? NULL : not_json;
}

static void
got_newest(struct msg *m)
{
	struct vnode_read *r = CONTAINER_OF(m, struct vnode_read, msg);
	struct request *rq = CONTAINER_OF(r, struct request, read);
	struct patch_call *c = rq->patch;
	struct event e, *found = NULL;
	uint32_t bytes;

	if (!request_back(rq))
		return;
	if (r->r) {
		api_patch_leave(rq);
		if (r->r == -ERR_CORRUPT)
			respond_damaged(rq);
		else
			respond_store_error(rq, r->r);
		return;
	}
	if (r->page.n_parts &&
	    event_decode(r->page.parts[0].records, 0, &e, &bytes) == 0)
		found = &e;
	c->newest = r->newest;
	c->refuse = refusal(c, found);
	if (c->refuse) {
		vnode_page_deinit(&r->page);
		failed(c, c->refuse);
		return;
	}
	c->expect = e.seq;
	c->document = e.data;
	apply(c);
}

static void
begin(struct patch_call *c)
{
	struct request *rq = c->rq;
	struct vnode_read *r = &rq->read;

	c->tries++;
	rq->proposed = 0;
	*r = (struct vnode_read){
	    .msg = {.kind = MSG_READ},
	    .group = rq->group,
	    .bucket = rq->bucket,
	    .stream = rq->stream,
	    .op = VNODE_READ_PAGE,
	    .to = UINT64_MAX,
	    .last_n = 1,
	    .limit = 1,
	    .max_bytes = 1,
	};
	request_send(rq, &r->msg, got_newest);
}

/* --- the request ---------------------------------------------------------- */

static int
take_kind(struct request *rq, enum patch_kind *out)
{
	struct slice type = request_header(rq, "content-type");

	if (media_is_encoded(rq) ||
	    request_header_count(rq, "content-type") > 1)
		return 0;
	*out = media_is(type, "application/json-patch+json") ? PATCH_JSON
							     : PATCH_MERGE;
	return *out == PATCH_JSON ||
	       media_is(type, "application/merge-patch+json");
}

static int
may_be_patched(struct slice name)
{
	return !name_is_of_patches(name) &&
	       name.n + NAME_PATCH_BYTES <= NAME_MAX_BYTES;
}

void
api_patch_check(struct request *rq)
{
	enum patch_kind kind;
	struct patch_call *c;

	if (!take_kind(rq, &kind)) {
		respond_error(rq, 415, "", API_PATCH_ACCEPT, NULL, "-");
		return;
	}
	if (!may_be_patched(rq->stream)) {
		respond_error(rq, 400, "illegal-name", NULL, NULL,
		    "a stream with this name cannot be patched: its patches go "
		    "to <name>-$patch, which is no name for more patches and "
		    "has at most 255 bytes");
		return;
	}
	if (!key_take(rq) || !condition_take(rq))
		return;
	c = mem_zalloc(sizeof(*c));
	if (!c) {
		respond_store_error(rq, -ERR_NOMEM);
		return;
	}
	c->rq = rq;
	c->kind = kind;
	c->has_condition = rq->put.has_expect;
	c->expect = rq->put.expect;
	buf_init(&c->result, rq->server->config.max_body);
	list_init(&c->link);
	list_init(&c->behind);
	rq->patch = c;
}

void
api_patch(struct request *rq)
{
	key_take_body(rq);
	take_turn(rq->patch);
}
