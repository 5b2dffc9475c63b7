/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * response - heads, bodies and errors of answers.
 *
 * RFC 9110 and 9112; error bodies are those of RFC 9457 when they are asked
 * for.
 */
#include <stdarg.h>

#include "http/http_impl.h"
#include "src/base/err.h"

#define REASON_BYTES 512

const char *
status_text(int status)
{
	static const struct {
		int status;
		const char *text;
	} texts[] = {
	    {200, "OK"},
	    {201, "Created"},
	    {204, "No Content"},
	    {304, "Not Modified"},
	    {400, "Bad Request"},
	    {401, "Unauthorized"},
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
	    {428, "Precondition Required"},
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

/* A sane id of the client is echoed: printable, short, nothing to inject. */
static void
choose_id(struct request *rq)
{
	struct slice id = request_header(rq, "x-request-id");
	uint8_t random[8];
	size_t i;

	if (rq->id[0])
		return;
	for (i = 0; i < id.n; i++)
		if (id.p[i] <= 0x20 || id.p[i] >= 0x7f || id.p[i] == '"')
			break;
	if (id.n && id.n < REQUEST_ID_BYTES && i == id.n) {
		memcpy(rq->id, id.p, id.n);
		return;
	}
	if (rq->server->next_id == 0)
		rq->server->config.env->rng.bytes(
		    rq->server->config.env->rng.ctx, &rq->server->next_id, 8);
	rq->server->next_id += 0x9e3779b97f4a7c15u;
	memcpy(random, &rq->server->next_id, sizeof(random));
	for (i = 0; i < sizeof(random); i++)
		snprintf(rq->id + 2 * i, 3, "%02x", random[i]);
}

static void
add_head(struct buf *b, struct request *rq, int status, const char *type,
    const char *extra)
{
	choose_id(rq);
	buf_printf(b, "HTTP/1.1 %d %s\r\nDate: %s\r\nServer: iorio\r\n", status,
	    status_text(status), server_date(rq->server));
	if (type)
		buf_printf(b, "Content-Type: %s\r\n", type);
	buf_printf(b, "X-Content-Type-Options: nosniff\r\nX-Request-Id: %s\r\n",
	    rq->id);
	if (extra)
		buf_add_str(b, extra);
	if (!rq->keep_alive)
		buf_add_str(b, "Connection: close\r\n");
	else if (rq->http10)
		buf_add_str(b, "Connection: keep-alive\r\n");
}

void
respond(struct request *rq, int status, const char *type, const char *extra,
    struct slice body)
{
	struct conn *c = rq->conn;
	struct buf b;

	buf_init(&b, 1u << 20);
	rq->status = status;
	rq->answered = 1;
	add_head(&b, rq, status, type, extra);
	if (status == 204 || status == 304)
		buf_add_str(&b, "\r\n");
	else
		buf_printf(&b, "Content-Length: %zu\r\n\r\n", body.n);
	conn_out(c, b.p, b.n);
	if (!rq->is_head) {
		conn_out(c, body.p, body.n);
		rq->bytes_out += body.n;
	}
	buf_deinit(&b);
	conn_answered(c);
}

void
respond_begin(
    struct request *rq, int status, const char *type, const char *extra)
{
	struct buf b;

	buf_init(&b, 1u << 20);
	rq->status = status;
	rq->answered = 1;
	if (rq->http10)
		rq->keep_alive = 0; /* the body ends with the connection */
	add_head(&b, rq, status, type, extra);
	buf_add_str(
	    &b, rq->http10 ? "\r\n" : "Transfer-Encoding: chunked\r\n\r\n");
	conn_out(rq->conn, b.p, b.n);
	buf_deinit(&b);
}

void
respond_chunk_begin(struct request *rq, size_t bytes)
{
	char size[24];

	rq->bytes_out += bytes;
	if (!rq->http10)
		conn_out(rq->conn, size,
		    (size_t)snprintf(size, sizeof(size), "%zx\r\n", bytes));
}

void
respond_chunk_end(struct request *rq)
{
	if (!rq->http10)
		conn_out(rq->conn, "\r\n", 2);
}

void
respond_chunk(struct request *rq, struct slice text)
{
	if (text.n == 0)
		return;
	respond_chunk_begin(rq, text.n);
	conn_out(rq->conn, text.p, text.n);
	respond_chunk_end(rq);
}

void
respond_end(struct request *rq)
{
	rq->streaming = 0;
	if (!rq->http10)
		conn_out(rq->conn, "0\r\n\r\n", 5);
	conn_answered(rq->conn);
}

void
respond_error(struct request *rq, int status, const char *type,
    const char *extra, const char *fields, const char *fmt, ...)
{
	int problem = accepts_by_name(rq, "application/problem+json");
	char reason[REASON_BYTES];
	struct buf b;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	buf_init(&b, 1u << 20);
	buf_printf(&b, "{\"type\":\"%s\",\"reason\":", type);
	buf_add_json_string(&b, SLICE_STR(reason));
	buf_printf(&b, ",\"status\":%d", status);
	if (fields)
		buf_add_str(&b, fields);
	if (problem) {
		buf_printf(
		    &b, ",\"title\":\"%s\",\"detail\":", status_text(status));
		buf_add_json_string(&b, SLICE_STR(reason));
	}
	buf_add_byte(&b, '}');
	if (status == 415)
		respond(rq, status, NULL, extra, SLICE(NULL, 0));
	else
		respond(rq, status,
		    problem ? "application/problem+json" : "application/json",
		    extra, buf_slice(&b));
	buf_deinit(&b);
}

void
respond_store_error(struct request *rq, int r)
{
	switch (r) {
	case -ERR_UNKNOWN:
		respond_error(rq, 504, "unknown-outcome", NULL, NULL,
		    "whether the event was stored is not known");
		break;
	case -ERR_LIMIT:
		respond_error(rq, 413, "too-large", NULL, NULL,
		    "the event is larger than the journal takes");
		break;
	case -ERR_NOSPC:
		respond_error(rq, 503, "unavailable", "Retry-After: 1\r\n",
		    NULL, "the disk is full");
		break;
	default:
		respond_error(rq, 503, "unavailable", "Retry-After: 1\r\n",
		    NULL, "%s", err_text(r));
	}
}

/* --- Accept: RFC 9110 section 12.5.1
 * --------------------------------------------------- */

static int
same(struct slice a, struct slice b)
{
	if (a.n != b.n)
		return 0;
	for (size_t i = 0; i < a.n; i++)
		if ((a.p[i] | 0x20) != (b.p[i] | 0x20))
			return 0;
	return 1;
}

static struct slice
trim(struct slice s)
{
	while (s.n && (*s.p == ' ' || *s.p == '\t'))
		s = SLICE(s.p + 1, s.n - 1);
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/* Up to the next SEP, which is taken out of *REST. */
static struct slice
next_part(struct slice *rest, char sep)
{
	const uint8_t *p = memchr(rest->p, sep, rest->n);
	struct slice part = SLICE(rest->p, p ? (size_t)(p - rest->p) : rest->n);
	size_t used = p ? part.n + 1 : part.n;

	*rest = SLICE(rest->p + used, rest->n - used);
	return trim(part);
}

static int
refused_by_q(struct slice params)
{
	while (params.n) {
		struct slice p = next_part(&params, ';');

		if (p.n >= 3 && (p.p[0] | 0x20) == 'q' && p.p[1] == '=') {
			for (size_t i = 2; i < p.n; i++)
				if (p.p[i] >= '1' && p.p[i] <= '9')
					return 0;
			return 1;
		}
	}
	return 0;
}

static int
accepts_how(const struct request *rq, const char *type, int by_name)
{
	struct slice rest = request_header(rq, "accept");
	struct slice want = SLICE_STR(type);
	const char *slash = strchr(type, '/');
	int yes = rest.n == 0 && !by_name, named = 0;

	while (rest.n) {
		struct slice item = next_part(&rest, ',');
		struct slice range = next_part(&item, ';');
		int ok = !refused_by_q(item);

		if (same(range, want)) {
			yes = ok;
			named = 1;
		} else if (!by_name && !named &&
			   (same(range, SLICE_LIT("*/*")) ||
			       (range.n == (size_t)(slash - type) + 2 &&
				   range.p[range.n - 1] == '*' &&
				   same(SLICE(range.p, range.n - 1),
				       SLICE(want.p, range.n - 1))))) {
			yes = ok;
		}
	}
	return yes;
}

int
accepts(const struct request *rq, const char *type)
{
	return accepts_how(rq, type, 0);
}

int
accepts_by_name(const struct request *rq, const char *type)
{
	return accepts_how(rq, type, 1);
}
