/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * response - heads, bodies and errors of answers.
 *
 * RFC 9110 and 9112; error bodies are those of RFC 9457 when they are asked
 * for.
 */
#include <stdarg.h>

#include "http/http_impl.h"
#include "http/text.h"
#include "src/base/err.h"
#include "src/base/utf8.h"

#define REASON_BYTES 512

const char *
status_text(int status)
{
	static const struct {
		int status;
		const char *text;
	} texts[] = {
	    {101, "Switching Protocols"},
	    {200, "OK"},
	    {201, "Created"},
	    {204, "No Content"},
	    {304, "Not Modified"},
	    {308, "Permanent Redirect"},
	    {400, "Bad Request"},
	    {401, "Unauthorized"},
	    {403, "Forbidden"},
	    {404, "Not Found"},
	    {405, "Method Not Allowed"},
	    {406, "Not Acceptable"},
	    {408, "Request Timeout"},
	    {409, "Conflict"},
	    {410, "Gone"},
	    {412, "Precondition Failed"},
	    {413, "Content Too Large"},
	    {414, "URI Too Long"},
	    {415, "Unsupported Media Type"},
	    {417, "Expectation Failed"},
	    {422, "Unprocessable Content"},
	    {426, "Upgrade Required"},
	    {428, "Precondition Required"},
	    {429, "Too Many Requests"},
	    {431, "Request Header Fields Too Large"},
	    {500, "Internal Server Error"},
	    {501, "Not Implemented"},
	    {503, "Service Unavailable"},
	    {504, "Gateway Timeout"},
	    {505, "HTTP Version Not Supported"},
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		if (texts[i].status == status)
			return texts[i].text;
	return "Error";
}

/* --- bytes ---------------------------------------------------------------- */

/* Answers that wait for others before them are short, as a rule. */
#define WAITING_BYTES 1024

static uint8_t *
reserve(struct request *rq, size_t n)
{
	struct conn *c = rq->conn;

	if (!conn_is_first(rq)) {
		c->queued += n;
		return out_reserve(&rq->out, n, WAITING_BYTES);
	}
	if (!c->out.text)
		c->out.text = server_block(rq->server);
	return out_reserve(&c->out, n, IN_BYTES);
}

void
respond_bytes(struct request *rq, const void *p, size_t n)
{
	uint8_t *to = n ? reserve(rq, n) : NULL;

	if (to)
		memcpy(to, p, n);
}

void
respond_block(struct request *rq, struct slice s, struct block *block)
{
	if (conn_is_first(rq)) {
		out_block(&rq->conn->out, s, block);
		return;
	}
	rq->conn->queued += s.n;
	out_block(&rq->out, s, block);
}

/* --- heads ---------------------------------------------------------------- */

/* A sane id of the client is echoed: printable, short, nothing to inject. */
void
respond_choose_id(struct request *rq, struct slice id)
{
	static const char digits[] = "0123456789abcdef";
	const struct env_rng *rng = &rq->server->config.env->rng;
	uint64_t n;
	size_t i;

	for (i = 0; i < id.n; i++)
		if (id.p[i] <= 0x20 || id.p[i] >= 0x7f || id.p[i] == '"')
			break;
	if (id.n && id.n < REQUEST_ID_BYTES && i == id.n) {
		memcpy(rq->id, id.p, id.n);
		return;
	}
	if (rq->server->next_id == 0)
		rng->bytes(rng->ctx, &rq->server->next_id, 8);
	n = rq->server->next_id += 0x9e3779b97f4a7c15u;
	for (i = 0; i < 16; i++, n >>= 4)
		rq->id[i] = digits[n & 15];
}

static int
is_last(const struct request *rq)
{
	return rq->link.next == &rq->conn->requests;
}

#define HEAD_BYTES 512 /* without type and EXTRA; an id is at most 64 */

/* LAST: what ends the head. */
static void
send_head(struct request *rq, int status, const char *type, const char *extra,
    const char *last)
{
	char text[HEAD_BYTES], *at = text;

	rq->status = status;
	if (rq->server->stopping && is_last(rq))
		rq->keep_alive = 0;
	at = text_add(at, "HTTP/1.1 ");
	at = text_add_u64(at, (uint64_t)status);
	at = text_add(at, " ");
	at = text_add(at, status_text(status));
	at = text_add(at, "\r\nDate: ");
	at = text_add(at, server_date(rq->server));
	at = text_add(at, "\r\nServer: iorio\r\nX-Content-Type-Options: nosniff"
			  "\r\nX-Request-Id: ");
	at = text_add(at, rq->id);
	if (!rq->keep_alive)
		at = text_add(at, "\r\nConnection: close");
	else if (rq->http10)
		at = text_add(at, "\r\nConnection: keep-alive");
	if (type)
		at = text_add(at, "\r\nContent-Type: ");
	respond_bytes(rq, text, (size_t)(at - text));
	if (type)
		respond_bytes(rq, type, strlen(type));
	respond_bytes(rq, "\r\n", 2);
	if (extra)
		respond_bytes(rq, extra, strlen(extra));
	cors_add(rq);
	limit_add(rq);
	respond_bytes(rq, last, strlen(last));
}

/* --- answers -------------------------------------------------------------- */

static void
complete(struct request *rq)
{
	rq->streaming = 0;
	rq->done = 1;
	list_del(&rq->asked);
	conn_kick(rq->conn);
}

/* What ends the head of an answer with N bytes. */
static void
length_line(char line[64], int status, uint64_t n)
{
	char *at = line;

	if (status != 204 && status != 304) {
		at = text_add(at, "Content-Length: ");
		at = text_add_u64(at, n);
		at = text_add(at, "\r\n");
	}
	memcpy(at, "\r\n", 3);
}

static void
add_body(struct request *rq, struct out *body)
{
	rq->bytes_out += body->bytes;
	if (conn_is_first(rq)) {
		out_splice(&rq->conn->out, body);
		return;
	}
	rq->conn->queued += body->bytes;
	out_splice(&rq->out, body);
}

void
respond_out(struct request *rq, int status, const char *type, const char *extra,
    struct out *body)
{
	char last[64];

	length_line(last, status, body->bytes);
	send_head(rq, status, type, extra, last);
	if (!rq->is_head)
		add_body(rq, body);
	complete(rq);
}

void
respond_head(
    struct request *rq, int status, const char *type, const char *extra)
{
	send_head(rq, status, type, extra, "\r\n");
	complete(rq);
}

void
respond_with(struct request *rq, int status, const char *type,
    const char *extra, struct slice body, struct block *block)
{
	char last[64];

	length_line(last, status, body.n);
	send_head(rq, status, type, extra, last);
	if (!rq->is_head) {
		if (block)
			respond_block(rq, body, block);
		else
			respond_bytes(rq, body.p, body.n);
		rq->bytes_out += body.n;
	}
	complete(rq);
}

void
respond(struct request *rq, int status, const char *type, const char *extra,
    struct slice body)
{
	respond_with(rq, status, type, extra, body, NULL);
}

void
respond_begin(
    struct request *rq, int status, const char *type, const char *extra)
{
	if (rq->http10)
		rq->keep_alive = 0; /* the body ends with the connection */
	send_head(rq, status, type, extra,
	    rq->http10 ? "\r\n" : "Transfer-Encoding: chunked\r\n\r\n");
}

void
respond_upgrade(struct request *rq, const char *extra)
{
	send_head(rq, 101, NULL, extra, "\r\n");
}

void
respond_more(struct request *rq, struct out *body)
{
	add_body(rq, body);
}

void
respond_chunk(struct request *rq, struct out *body)
{
	char size[TEXT_HEX_BYTES + 2], *end;

	if (body->bytes == 0)
		return; /* an empty chunk would be the last */
	end = text_add(text_add_hex(size, body->bytes), "\r\n");
	if (!rq->http10)
		respond_bytes(rq, size, (size_t)(end - size));
	add_body(rq, body);
	if (!rq->http10)
		respond_bytes(rq, "\r\n", 2);
}

void
respond_end(struct request *rq)
{
	if (!rq->http10 && !rq->is_head)
		respond_bytes(rq, "0\r\n\r\n", 5);
	complete(rq);
}

void
respond_abort(struct request *rq)
{
	if (rq->http10) { /* its end would be that of the body */
		conn_reset(rq->conn);
		return;
	}
	rq->keep_alive = 0;
	complete(rq);
}

/* --- errors --------------------------------------------------------------- */

static void
send_error(struct request *rq, int status, const char *type, const char *extra,
    const char *fields, const char *fmt, va_list ap)
{
	char reason[REASON_BYTES];
	struct buf b;

	vsnprintf(reason, sizeof(reason), fmt, ap);
	if (status == 415) { /* http-api.md: old clients expect no body */
		respond(rq, status, NULL, extra, SLICE(NULL, 0));
		return;
	}
	buf_init(&b, 1u << 20);
	buf_printf(&b, "{\"type\":\"%s\",\"reason\":", type);
	buf_add_json_string(&b, SLICE_STR(reason));
	buf_printf(&b, ",\"status\":%d", status);
	if (fields)
		buf_add_str(&b, fields);
	if (rq->problem) {
		buf_printf(
		    &b, ",\"title\":\"%s\",\"detail\":", status_text(status));
		buf_add_json_string(&b, SLICE_STR(reason));
	}
	buf_add_byte(&b, '}');
	respond(rq, status,
	    rq->problem ? "application/problem+json" : "application/json",
	    extra, buf_slice(&b));
	buf_deinit(&b);
}

void
respond_error(struct request *rq, int status, const char *type,
    const char *extra, const char *fields, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	send_error(rq, status, type, extra, fields, fmt, ap);
	va_end(ap);
}

void
respond_unavailable(struct request *rq, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	send_error(rq, 503, "unavailable", "Retry-After: 1\r\n", NULL, fmt, ap);
	va_end(ap);
}

void
respond_bad_param(
    struct request *rq, const char *field, struct slice value, const char *why)
{
	struct buf b;

	/* Decoded bytes may be anything, a JSON text is UTF-8. */
	if (value.n && utf8_check(value.p, value.n) != value.n)
		value.n = 0;
	buf_init(&b, 128u << 10);
	buf_printf(&b, ",\"field\":\"%s\",\"value\":", field);
	buf_add_json_string(&b, value);
	buf_add_byte(&b, '\0');
	respond_error(rq, 400, "invalid-field", NULL,
	    buf_error(&b) ? NULL : (char *)b.p, "%s", why);
	buf_deinit(&b);
}

void
respond_damaged(struct request *rq)
{
	char fields[96];

	snprintf(fields, sizeof(fields), ",\"first\":%llu,\"last\":%llu",
	    (unsigned long long)rq->read.damaged_first,
	    (unsigned long long)rq->read.damaged_last);
	respond_error(rq, 500, "damaged", NULL, fields,
	    "these events cannot be read here and now");
}

void
respond_store_error(struct request *rq, int r)
{
	switch (r) {
	case -ERR_UNKNOWN:
		respond_error(rq, 504, "unknown-outcome", NULL, NULL,
		    "whether it was done is not known");
		break;
	case -ERR_LIMIT:
		respond_error(rq, 413, "too-large", NULL, NULL,
		    "this is more than the journal takes at once");
		break;
	case -ERR_NOSPC:
		respond_unavailable(rq, "the disk is full");
		break;
	case -ERR_NOMEM:
	case -ERR_IO:
	case -ERR_TIMEOUT:
	case -ERR_UNAVAILABLE:
	case -ERR_NOTLEADER:
	case -ERR_BUSY:
	case -ERR_STOPPING:
	case -ERR_CANCELED:
		respond_unavailable(rq, "%s", err_text(r));
		break;
	default: /* nobody has expected it */
		respond_error(rq, 500, "internal", NULL, NULL,
		    "this should not have happened: %s", err_text(r));
	}
}
