/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * api_read - GET /streams/:bucket/:stream and one raw event (http-api.md 4.3).
 *
 *	parameters -> seek since -> seek until -> page -> page ... -> end
 *
 * JSON is gathered and sent whole; NDJSON goes out page by page, the next one
 * being asked for when the output has drained, so any range costs the same
 * memory.
 */
#include "http/http_impl.h"
#include "http/render.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define JSON_EVENTS_MAX 10000
#define JSON_BYTES_MAX  (8u << 20)
#define PAGE_BYTES      (1u << 20)

enum stage { STAGE_SINCE, STAGE_UNTIL, STAGE_FIRST, STAGE_MORE };

static void got_page(struct msg *m);

static void
ask(struct request *rq, enum vnode_read_op op)
{
	struct vnode_read *r = &rq->read;

	r->msg.kind = MSG_READ;
	r->group = rq->group;
	r->bucket = rq->bucket;
	r->stream = rq->stream;
	r->op = op;
	r->max_bytes = PAGE_BYTES;
	r->desc = rq->desc;
	request_send(rq, &r->msg, got_page);
}

/* --- parameters ----------------------------------------------------------- */

static int
parse_int(struct slice s, int64_t *out)
{
	uint64_t n = 0;
	int minus = s.n && s.p[0] == '-';

	if (minus)
		s = SLICE(s.p + 1, s.n - 1);
	if (s.n == 0 || s.n > 18)
		return -ERR_INVAL;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return -ERR_INVAL;
		n = n * 10 + (uint64_t)(s.p[i] - '0');
	}
	*out = minus ? -(int64_t)n : (int64_t)n;
	return 0;
}

/* Milliseconds, or RFC 3339. */
static int
parse_time(struct slice s, uint64_t *out)
{
	char text[40] = "";
	unsigned y, mo, d, h, mi, sec;
	int used = 0, zone = 0;
	int64_t ms = 0;
	struct tm tm = {0};
	char *p;

	if (parse_int(s, &ms) == 0) {
		*out = ms > 0 ? (uint64_t)ms : 0;
		return 0;
	}
	if (s.n >= sizeof(text))
		return -ERR_INVAL;
	memcpy(text, s.p, s.n);
	if (sscanf(text, "%4u-%2u-%2u%*1[Tt ]%2u:%2u:%2u%n", &y, &mo, &d, &h,
		&mi, &sec, &used) != 6 ||
	    mo < 1 || mo > 12 || d < 1 || d > 31 || h > 23 || mi > 59 ||
	    sec > 60 || y < 1970)
		return -ERR_INVAL;
	p = text + used;
	ms = 0;
	if (*p == '.') {
		int64_t unit = 100;

		for (p++; *p >= '0' && *p <= '9'; p++, unit /= 10)
			ms += (*p - '0') * unit;
	}
	if (*p == 'Z' || *p == 'z') {
		p++;
	} else if ((*p == '+' || *p == '-') &&
		   sscanf(p + 1, "%2u:%2u%n", &h, &mi, &used) == 2 &&
		   used == 5) {
		zone = (int)(h * 60 + mi) * (*p == '-' ? -60 : 60);
		sscanf(text, "%*4u-%*2u-%*2u%*1[Tt ]%2u:%2u", &h, &mi);
		p += 6;
	} else {
		return -ERR_INVAL;
	}
	if (*p)
		return -ERR_INVAL;
	tm.tm_year = (int)y - 1900;
	tm.tm_mon = (int)mo - 1;
	tm.tm_mday = (int)d;
	tm.tm_hour = (int)h;
	tm.tm_min = (int)mi;
	tm.tm_sec = (int)sec;
	ms += ((int64_t)timegm(&tm) - zone) * 1000;
	*out = ms > 0 ? (uint64_t)ms : 0;
	return 0;
}

static int
bad_field(struct request *rq, const char *field, struct slice value)
{
	struct buf b;

	buf_init(&b, 1u << 18);
	buf_printf(&b, ",\"field\":\"%s\",\"value\":", field);
	/* Decoded bytes may be anything: only what is plain is echoed. */
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] < 0x20 || value.p[i] >= 0x7f)
			value.n = 0;
	buf_add_json_string(&b, value);
	buf_add(&b, "", 1);
	respond_error(rq, 400, "invalid-field", NULL, (char *)b.p,
	    "the parameter %s is not valid", field);
	buf_deinit(&b);
	return -ERR_INVAL;
}

static int
take_times(struct request *rq)
{
	struct slice v;

	rq->has_since = request_param(rq, "since", &v);
	if (rq->has_since && parse_time(v, &rq->since))
		return bad_field(rq, "since", v);
	rq->has_until = request_param(rq, "until", &v);
	if (rq->has_until && parse_time(v, &rq->until))
		return bad_field(rq, "until", v);
	return 0;
}

static void
take_limit(struct request *rq)
{
	struct slice v;
	int64_t n;

	if (rq->from_arg < 0)
		rq->limit = (uint64_t)-rq->from_arg;
	else if (rq->has_to || rq->has_since || rq->has_until ||
		 (rq->ndjson && rq->has_from))
		rq->limit = UINT64_MAX;
	else
		rq->limit = 1;
	if (request_param(rq, "limit", &v)) {
		rq->has_limit = 1;
		if (parse_int(v, &n))
			rq->limit = 1;
		else
			rq->limit = n > 0 ? (uint64_t)n : 0;
	}
	if (!rq->ndjson && rq->limit > JSON_EVENTS_MAX)
		rq->limit = JSON_EVENTS_MAX;
}

static int
take_params(struct request *rq)
{
	struct slice v;
	int64_t n = 0;

	rq->to = UINT64_MAX;
	if (request_param(rq, "from", &v) && parse_int(v, &rq->from_arg) == 0)
		rq->has_from = 1;
	if (rq->from_arg > 0)
		rq->from = (uint64_t)rq->from_arg;
	if (request_param(rq, "to", &v)) {
		if (parse_int(v, &n))
			return bad_field(rq, "to", v);
		rq->has_to = 1;
		rq->to = n > 0 ? (uint64_t)n : 0;
	}
	if (request_param(rq, "order", &v))
		rq->desc = slice_equal(v, SLICE_LIT("desc"));
	rq->download = request_param(rq, "download", &v);
	if (take_times(rq))
		return -ERR_INVAL;
	take_limit(rq);
	return 0;
}

/* --- stages --------------------------------------------------------------- */

static void
ask_first(struct request *rq)
{
	struct vnode_read *r = &rq->read;

	rq->stage = STAGE_FIRST;
	r->from = rq->from;
	r->to = rq->to;
	r->last_n = 0;
	if (rq->from_arg < 0)
		r->last_n = (uint64_t)-rq->from_arg;
	else if (!rq->has_from && !rq->has_since && !rq->desc)
		r->last_n = rq->limit == UINT64_MAX ? 0 : rq->limit;
	r->limit = rq->limit;
	ask(rq, VNODE_READ_PAGE);
}

static void
ask_next_stage(struct request *rq)
{
	if (rq->stage == STAGE_SINCE && rq->has_since) {
		rq->read.seek_ms = rq->since;
		ask(rq, VNODE_READ_SEEK);
	} else if (rq->stage <= STAGE_UNTIL && rq->has_until) {
		rq->stage = STAGE_UNTIL;
		rq->read.seek_ms = rq->until;
		ask(rq, VNODE_READ_SEEK);
	} else {
		ask_first(rq);
	}
}

static void
got_seek(struct request *rq)
{
	uint64_t seq = rq->read.seek;

	if (rq->stage == STAGE_SINCE) {
		if (seq > rq->from)
			rq->from = seq;
		rq->stage = STAGE_UNTIL;
	} else {
		if (seq - 1 < rq->to)
			rq->to = seq - 1;
		rq->stage = STAGE_FIRST;
	}
	ask_next_stage(rq);
}

/* --- answers -------------------------------------------------------------- */

static void
add_quoted_name(struct buf *b, struct slice name)
{
	for (size_t i = 0; i < name.n; i++) {
		uint8_t c = name.p[i];

		if (c == '"' || c == '\\')
			buf_add_byte(b, '\\');
		buf_add_byte(b, c >= 0x20 && c < 0x7f ? c : '_');
	}
}

static void
add_link(struct request *rq, struct buf *b, const char *rel, uint64_t from,
    uint64_t to)
{
	buf_printf(b, "Link: </streams/");
	uri_escape(b, rq->bucket);
	buf_add_byte(b, '/');
	uri_escape(b, rq->stream);
	buf_printf(b, "?from=%llu&to=%llu%s>; rel=%s\r\n",
	    (unsigned long long)from, (unsigned long long)to,
	    rq->desc ? "&order=desc" : "", rel);
}

/* The headers of a read.  CUT: the JSON page ends before the range does. */
static void
read_headers(struct request *rq, struct buf *b, int cut)
{
	const struct vnode_read *r = &rq->read;
	int closed = rq->has_to && rq->to <= r->newest;

	buf_init(b, 1u << 18);
	buf_printf(b, "Iorio-First: %llu\r\nIorio-Last: %llu\r\n",
	    (unsigned long long)r->kept_first, (unsigned long long)r->newest);
	buf_add_str(b, closed ? "Cache-Control: private, no-cache\r\n"
				"Vary: Accept, Authorization, X-Session\r\n"
			      : "Cache-Control: no-store\r\n");
	if (cut)
		add_link(rq, b, "next", rq->next, rq->last);
	if (rq->download) {
		buf_add_str(b, "Content-Disposition: attachment; filename=\"");
		add_quoted_name(b, rq->stream);
		buf_printf(b, ".%s\"\r\n", rq->ndjson ? "ndjson" : "json");
	}
	buf_add(b, "", 1);
}

static int
done(const struct request *rq)
{
	return rq->left == 0 || rq->next > rq->last || rq->last == 0;
}

static void
send_json(struct request *rq)
{
	struct buf extra;

	read_headers(rq, &extra,
	    rq->next <= rq->last && rq->last &&
		(!rq->has_limit || rq->limit == JSON_EVENTS_MAX) &&
		rq->items.bytes);
	render_array_end(&rq->items);
	if (rq->items.error || buf_error(&extra))
		respond_store_error(rq, -ERR_NOMEM);
	else
		respond_out(
		    rq, 200, "application/json", (char *)extra.p, &rq->items);
	buf_deinit(&extra);
}

static void
send_head_only(struct request *rq)
{
	struct buf extra;

	read_headers(rq, &extra, 0);
	respond_head(rq, 200,
	    rq->ndjson ? "application/x-ndjson" : "application/json",
	    (char *)extra.p);
	buf_deinit(&extra);
}

static void
begin_ndjson(struct request *rq)
{
	struct buf extra;

	read_headers(rq, &extra, 0);
	rq->streaming = 1;
	respond_begin(rq, 200, "application/x-ndjson", (char *)extra.p);
	buf_deinit(&extra);
}

static void
finish(struct request *rq)
{
	if (rq->ndjson)
		respond_end(rq);
	else
		send_json(rq);
}

void
api_read_resume(struct request *rq)
{
	struct vnode_read *r = &rq->read;

	if (done(rq)) {
		finish(rq);
		return;
	}
	r->from = rq->next;
	r->to = rq->last;
	r->last_n = 0;
	r->limit = rq->left;
	ask(rq, VNODE_READ_PAGE);
}

/* What was sent is taken off the range. */
static void
advance(struct request *rq)
{
	const struct vnode_page *page = &rq->read.page;

	if (page->n_parts == 0) {
		rq->left = 0;
		return;
	}
	rq->left -= page->last - page->first + 1;
	if (!rq->desc)
		rq->next = page->last + 1;
	else
		rq->last = page->first - 1;
}

static void
damaged(struct request *rq)
{
	char fields[96];

	snprintf(fields, sizeof(fields), ",\"first\":%llu,\"last\":%llu",
	    (unsigned long long)rq->read.damaged_first,
	    (unsigned long long)rq->read.damaged_last);
	respond_error(rq, 500, "damaged", NULL, fields,
	    "these events cannot be read here and now");
}

/* Is it first, and is there room?  Then the next page; or later. */
static void
go_on(struct request *rq)
{
	conn_kick(rq->conn);
	if (conn_has_room(rq))
		api_read_resume(rq);
	else
		rq->stalled = 1;
}

static void
begin_range(struct request *rq)
{
	rq->next = rq->read.range_first;
	rq->last = rq->read.range_last;
	rq->left = rq->limit;
	rq->stage = STAGE_MORE;
	if (rq->ndjson && !rq->is_head)
		begin_ndjson(rq);
}

static void
use_page(struct request *rq)
{
	int r;

	if (rq->stage == STAGE_FIRST)
		begin_range(rq);
	if (rq->is_head) {
		send_head_only(rq);
		return;
	}
	r = render_page(rq, &rq->items, &rq->read.page);
	advance(rq);
	vnode_page_deinit(&rq->read.page);
	if (r && rq->streaming)
		conn_close(rq->conn);
	else if (r)
		respond_store_error(rq, r);
	else if (rq->ndjson) {
		respond_chunk(rq, &rq->items);
		go_on(rq);
	} else if (rq->items.bytes >= JSON_BYTES_MAX)
		send_json(rq);
	else
		api_read_resume(rq);
}

/* It cannot go on.  Once the head is out, an unfinished body must say so. */
static void
fail(struct request *rq, int r)
{
	if (rq->streaming)
		conn_close(rq->conn);
	else if (r == -ERR_CORRUPT)
		damaged(rq);
	else
		respond_store_error(rq, r);
}

static void
got_page(struct msg *m)
{
	struct vnode_read *r = CONTAINER_OF(m, struct vnode_read, msg);
	struct request *rq = CONTAINER_OF(r, struct request, read);

	if (!request_back(rq))
		return;
	if (r->r)
		fail(rq, r->r);
	else if (rq->raw)
		render_raw(rq);
	else if (r->op == VNODE_READ_SEEK)
		got_seek(rq);
	else
		use_page(rq);
}

void
api_read(struct request *rq)
{
	int json = accept_q(rq->accept, "application/json");
	int ndjson = accept_q_by_name(rq->accept, "application/x-ndjson");

	rq->ndjson = ndjson > 0 && ndjson >= json;
	if (!rq->ndjson && json == 0 && !rq->problem) {
		respond_error(rq, 406, "not-acceptable", NULL, NULL,
		    "there is application/json and application/x-ndjson");
		return;
	}
	if (take_params(rq))
		return;
	ask_next_stage(rq);
}

void
api_read_raw(struct request *rq)
{
	int64_t seq = 0;

	if (parse_int(rq->uri.segments[3], &seq) || seq <= 0) {
		respond_error(rq, 404, "not-found", NULL, NULL,
		    "events are numbered 1, 2, 3, ...");
		return;
	}
	rq->raw = 1;
	rq->read.from = rq->read.to = (uint64_t)seq;
	rq->read.limit = 1;
	ask(rq, VNODE_READ_PAGE);
}
