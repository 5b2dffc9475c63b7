/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* api_root - changes of the documents of the root: bodies, asking, answers. */
#include "http/api_root.h"

#include "http/media.h"
#include "src/base/err.h"

/* Queue, question, arrival, append and the other members: each may take as long
 * as a request (src/node/root_doc.c, root_value.c). */
#define CHANGE_PARTS 5
#define ANSWER_MAX   (128u << 10)

/* --- the body ------------------------------------------------------------- */

int
api_object(struct request *rq)
{
	struct json_error why;
	int r = json_check(rq->server->json, rq->body, JSON_MAX_DEPTH, &why);

	if (r == -ERR_NOMEM) {
		respond_store_error(rq, r);
		return 0;
	}
	if (r || !fields_is_object(rq->body)) {
		respond_error(rq, 400, "invalid-body", NULL, NULL,
		    "the body is not a JSON object");
		return 0;
	}
	return 1;
}

void
api_object_check(struct request *rq)
{
	if (!media_is(request_header(rq, "content-type"), "application/json") ||
	    media_is_encoded(rq))
		respond_error(rq, 415, "", NULL, NULL, "-");
}

int
api_field(struct request *rq, const char *name, struct buf *out)
{
	struct slice raw;

	buf_reset(out);
	return fields_find(rq->body, name, &raw) && fields_string(raw, out);
}

void
api_bad_field(struct request *rq, const char *name)
{
	api_bad_value(rq, name, name);
}

void
api_bad_value(struct request *rq, const char *name, const char *member)
{
	struct slice raw;
	struct buf b;

	if (!fields_find(rq->body, member, &raw))
		raw = SLICE_LIT("null");
	buf_init(&b, 64u << 10);
	buf_printf(&b, ",\"field\":\"%s\",\"value\":", name);
	buf_add_slice(&b, raw);
	buf_add_byte(&b, '\0');
	respond_error(rq, 400, "invalid-field", NULL,
	    buf_error(&b) ? NULL : (char *)b.p, "the field %s is not valid",
	    name);
	buf_deinit(&b);
}

/* --- asking --------------------------------------------------------------- */

void
request_ask_root(struct request *rq, enum root_which which,
    struct root_request *q, void (*fn)(struct msg *m))
{
	const struct http_config *c = &rq->server->config;

	q->msg = (struct msg){.from = rq->server->worker, .fn = fn};
	rq->in_store = rq->proposed = 1;
	request_watch_for(rq, CHANGE_PARTS * c->request_timeout_us);
	c->ask(c->arg, which, q);
}

/* --- answers -------------------------------------------------------------- */

void
respond_root_error(struct request *rq, int r, const char *what)
{
	if (r == -ERR_LIMIT)
		respond_unavailable(rq, "there is no room for more %s", what);
	else if (r == -ERR_UNKNOWN)
		respond_error(rq, 504, "unknown-outcome", NULL, NULL,
		    "whether this was changed is not known");
	else
		respond_unavailable(
		    rq, "there is no majority of the root group now");
}

void
respond_json(
    struct request *rq, int status, const char *extra, struct buf *body)
{
	char lines[512];

	snprintf(lines, sizeof(lines), "Cache-Control: no-store\r\n%s",
	    extra ? extra : "");
	if (buf_error(body))
		respond_store_error(rq, -ERR_NOMEM);
	else
		respond(rq, status, "application/json", lines, buf_slice(body));
	buf_deinit(body);
}

void
add_pending(struct buf *b, const struct root_request *q)
{
	if (!q->pending.n)
		return;
	buf_add_str(b, ",\"pending\":[");
	buf_add_slice(b, buf_slice(&q->pending));
	buf_add_byte(b, ']');
}

void
respond_ok(struct request *rq, const struct root_request *q, int status,
    const char *extra)
{
	struct buf b;

	buf_init(&b, ANSWER_MAX);
	buf_add_str(&b, "{\"ok\":true");
	add_pending(&b, q);
	buf_add_byte(&b, '}');
	respond_json(rq, status, extra, &b);
}

void
respond_done(struct request *rq, const struct root_request *q)
{
	if (q->pending.n)
		respond_ok(rq, q, 200, NULL);
	else
		respond(rq, 204, NULL, NULL, SLICE(NULL, 0));
}
