/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* api_append - POST and PUT of /streams/:bucket/:stream (http-api.md section
 * 4.1). */
#include "http/batch.h"
#include "http/condition.h"
#include "http/key.h"
#include "http/media.h"
#include "http/text.h"
#include "src/base/err.h"

/* The body of the answer; as long as TEXT at most. */
static struct slice
meta_text(const struct request *rq, char text[128])
{
	const struct vnode_put *put = &rq->put;
	char *at = text;

	if (rq->batch) {
		at = text_add(at, "{\"meta\":{\"first\":");
		at = text_add_u64(at, put->first);
		at = text_add(at, ",\"last\":");
		at = text_add_u64(at, put->last);
		at = text_add(at, ",\"count\":");
		at = text_add_u64(at, put->n_events);
	} else {
		at = text_add(at, "{\"meta\":{\"id\":");
		at = text_add_u64(at, put->first);
	}
	at = text_add(at, ",\"t\":");
	at = text_add_u64(at, put->t_ms);
	at = text_add(at, "}}");
	return SLICE(text, (size_t)(at - text));
}

static void
stored(struct msg *m)
{
	struct vnode_put *put = CONTAINER_OF(m, struct vnode_put, msg);
	struct request *rq = CONTAINER_OF(put, struct request, put);
	char body[128];
	struct buf extra;

	if (!request_back(rq))
		return;
	if (put->r == -ERR_CONFLICT) {
		condition_failed(rq);
		return;
	}
	if (put->r == -ERR_MISMATCH) {
		key_mismatch(rq);
		return;
	}
	if (put->r) {
		respond_store_error(rq, put->r);
		return;
	}
	rq->n_appended = put->n_events;
	for (uint32_t i = 0; i < put->n_events; i++)
		rq->appended_bytes += put->events[i].data.n;
	buf_init(&extra, 4096);
	buf_add_str(&extra, "Location: /streams/");
	uri_escape(&extra, rq->bucket);
	buf_add_byte(&extra, '/');
	uri_escape(&extra, rq->stream);
	buf_add_byte(&extra, '/');
	buf_add_u64(&extra, put->first);
	buf_add_str(&extra, "\r\niorio-replicas: ");
	buf_add_u64(&extra, put->n_replicas);
	buf_add_str(&extra, "\r\n");
	buf_add_str(&extra, key_replayed(rq));
	buf_add(&extra, "", 1);
	if (buf_error(&extra))
		respond_store_error(rq, -ERR_UNKNOWN);
	else
		respond(rq, 201, "application/json", (const char *)extra.p,
		    meta_text(rq, body));
	buf_deinit(&extra);
}

/* 1: the event is ready, 0: it was refused. */
static int
take_json(struct request *rq)
{
	struct json_error why;
	int r = json_check(rq->server->json, rq->body, JSON_MAX_DEPTH, &why);

	if (r == -ERR_NOMEM) {
		respond_store_error(rq, r);
		return 0;
	}
	if (r) {
		respond_error(rq, 400, "invalid-body", NULL, NULL,
		    "the body is not one JSON value: %s at byte %zu", why.text,
		    why.offset);
		return 0;
	}
	rq->event.flags =
	    (uint16_t)(EVENT_JSON |
		       (json_has_newline(rq->body) ? EVENT_NEWLINE : 0));
	return 1;
}

void
api_append_check(struct request *rq)
{
	struct slice type = request_header(rq, "content-type");

	if (type.n == 0 || media_is_encoded(rq))
		respond_error(rq, 415, "", NULL, NULL, "-");
	else if (!media_is_good(type) ||
		 request_header_count(rq, "content-type") > 1)
		respond_error(rq, 400, "bad-request", NULL, NULL,
		    "the content type is malformed, given twice or longer than "
		    "%d bytes",
		    EVENT_TYPE_MAX);
	else if (!key_take(rq) || !condition_take(rq))
		return;
	else if (media_is(type, "application/json"))
		rq->event.flags = EVENT_JSON;
	else if (media_is(type, "application/x-ndjson"))
		rq->batch = 1;
	else
		rq->event.type = type;
}

void
api_append(struct request *rq)
{
	struct vnode_put *put = &rq->put;

	if (rq->batch ? !batch_take(rq)
		      : (rq->event.flags & EVENT_JSON) && !take_json(rq))
		return;
	key_take_body(rq);
	rq->event.data = rq->body;
	/* Key and condition are there. */
	put->msg = (struct msg){.kind = MSG_PUT};
	put->group = rq->group;
	put->bucket = rq->bucket;
	put->stream = rq->stream;
	put->n_events = rq->batch ? rq->n_events : 1;
	put->events = rq->batch ? rq->events : &rq->event;
	rq->proposed = 1;
	request_send(rq, &rq->put.msg, stored);
}

void
api_append_put(struct request *rq)
{
	if (condition_is_there(rq) || key_is_there(rq))
		api_append_check(rq);
	else
		respond_error(rq, 428, "precondition-required", NULL, NULL,
		    "PUT may be repeated on the way: send Idempotency-Key, "
		    "If-Match or If-None-Match with it, or use POST");
}
