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
#include "http/cache.h"
#include "http/param.h"
#include "http/read.h"
#include "http/render.h"
#include "src/base/err.h"

#define PAGE_BYTES (1u << 20)
/* What a read may hold while others on its connection are before it. */
#define AHEAD_BYTES (64u << 10)

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
	r->max_bytes = conn_is_first(rq) ? PAGE_BYTES : AHEAD_BYTES;
	if (rq->if_none_match.n && rq->stage == STAGE_FIRST)
		r->max_bytes = 1; /* maybe none of it is needed */
	r->desc = rq->desc;
	r->any = rq->any;
	r->stale = 0;
	request_send(rq, &r->msg, got_page);
}

/* --- stages --------------------------------------------------------------- */

static uint64_t
most_events(const struct request *rq)
{
	return rq->ndjson || rq->limit < READ_EVENTS_MAX ? rq->limit
							 : READ_EVENTS_MAX;
}

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
	else if (!rq->has_from && !rq->desc && rq->limit != UINT64_MAX)
		r->last_n = rq->limit;
	r->limit = rq->left = most_events(rq);
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
		rq->since_seq = seq;
		if (seq > rq->from)
			rq->from = seq;
		rq->stage = STAGE_UNTIL;
	} else {
		rq->until_seq = seq - 1;
		if (seq - 1 < rq->to)
			rq->to = seq - 1;
		rq->stage = STAGE_FIRST;
	}
	ask_next_stage(rq);
}

/* --- answers -------------------------------------------------------------- */

static int
done(const struct request *rq)
{
	return rq->left == 0 || rq->next > rq->last || rq->last == 0;
}

/* 1: the client has this answer, and has been told so. */
static int
not_modified(struct request *rq, uint64_t low, uint64_t high)
{
	struct buf extra;

	if (!read_is_closed(rq) || !cache_has_it(rq, low, high))
		return 0;
	read_headers(rq, &extra, low, high);
	if (buf_error(&extra))
		respond_store_error(rq, -ERR_NOMEM);
	else
		respond(rq, 304, NULL, (char *)extra.p, SLICE(NULL, 0));
	buf_deinit(&extra);
	return 1;
}

/* What will be sent as far as that is known before it is read: all of it, but
 * for a JSON answer that becomes too large. */
static void
expected(const struct request *rq, uint64_t *low, uint64_t *high)
{
	uint64_t most = most_events(rq);

	*low = rq->range_first;
	*high = rq->range_last;
	if (*low > *high || most == 0)
		*low = *high = 0;
	else if (*high - *low >= most && rq->desc)
		*low = *high - most + 1;
	else if (*high - *low >= most)
		*high = *low + most - 1;
}

/* Answers with what has been gathered: all, or what one answer may have. */
static void
send_json(struct request *rq)
{
	uint64_t low = 0, high = 0;
	struct buf extra;

	if (rq->items.bytes) {
		low = rq->desc ? rq->last + 1 : rq->range_first;
		high = rq->desc ? rq->range_last : rq->next - 1;
	}
	if (not_modified(rq, low, high))
		return;
	read_headers(rq, &extra, low, high);
	render_array_end(&rq->items);
	if (rq->items.error || buf_error(&extra))
		respond_store_error(rq, -ERR_NOMEM);
	else
		respond_out(
		    rq, 200, "application/json", (char *)extra.p, &rq->items);
	buf_deinit(&extra);
}

static void
begin_ndjson(struct request *rq, uint64_t low, uint64_t high)
{
	struct buf extra;

	read_headers(rq, &extra, low, high);
	rq->streaming = 1;
	if (buf_error(&extra))
		respond_store_error(rq, -ERR_NOMEM);
	else if (rq->is_head)
		respond_head(rq, 200, "application/x-ndjson", (char *)extra.p);
	else
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

	if (rq->raw || rq->stage == STAGE_FIRST) {
		ask(rq, VNODE_READ_PAGE);
		return;
	}
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

/* N events of the page were used: they are taken off the range. */
static void
advance(struct request *rq, uint64_t n)
{
	if (rq->read.page.n_parts == 0) {
		rq->left = 0;
		return;
	}
	rq->left -= n;
	if (!rq->desc)
		rq->next = rq->read.page.first + n;
	else
		rq->last = rq->read.page.last - n;
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
	const struct vnode_read *r = &rq->read;
	uint64_t low, high;

	rq->next = rq->range_first = r->range_first;
	rq->last = rq->range_last = r->range_last;
	rq->kept_first = r->kept_first;
	rq->newest = r->newest;
	rq->stale = r->stale;
	rq->stage = STAGE_MORE;
	expected(rq, &low, &high);
	if (!not_modified(rq, low, high) && rq->ndjson)
		begin_ndjson(rq, low, high);
}

static uint64_t
page_events(const struct vnode_page *page)
{
	return page->n_parts ? page->last - page->first + 1 : 0;
}

static void
use_page(struct request *rq)
{
	struct vnode_page *page = &rq->read.page;
	uint64_t n = 0;
	int r, full;

	if (rq->stage == STAGE_FIRST)
		begin_range(rq);
	if (rq->done) /* HEAD, 304 */
		return;
	r = render_page(rq, &rq->items, page, &n);
	rq->n_read += n;
	full = n < page_events(page);
	advance(rq, n);
	vnode_page_deinit(page);
	if (r && rq->streaming) {
		respond_abort(rq);
	} else if (r) {
		respond_store_error(rq, r);
	} else if (full) {
		send_json(rq);
	} else {
		if (rq->ndjson)
			respond_chunk(rq, &rq->items);
		go_on(rq);
	}
}

/*
 * Whether the stream is no more the one that the read began with: what was sent
 * of that one, and what would come of its successor, must not be taken for one
 * history.
 */
static int
was_deleted(struct request *rq)
{
	uint64_t id = rq->read.incarnation;
	int other = rq->incarnation && id != rq->incarnation;

	rq->incarnation = id;
	return other;
}

/* It cannot go on.  Once the head is out, an unfinished body must say so. */
static void
fail(struct request *rq, int r)
{
	if (rq->streaming)
		respond_abort(rq);
	else if (r == -ERR_CORRUPT)
		respond_damaged(rq);
	else /* a limit of a read: no descriptor is left for a file */
		respond_store_error(rq, r == -ERR_LIMIT ? -ERR_BUSY : r);
}

/* A large event for one that others are before: it is read again later, so
 * that what is pipelined on a connection does not add up. */
static int
too_early(const struct request *rq)
{
	const struct vnode_page *page = &rq->read.page;
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < page->n_parts; i++)
		bytes += page->parts[i].records.n;
	return bytes > AHEAD_BYTES && !conn_is_first(rq);
}

static void
got_page(struct msg *m)
{
	struct vnode_read *r = CONTAINER_OF(m, struct vnode_read, msg);
	struct request *rq = CONTAINER_OF(r, struct request, read);

	if (!request_back(rq))
		return;
	if (r->r) {
		fail(rq, r->r);
	} else if (was_deleted(rq)) {
		vnode_page_deinit(&r->page);
		fail(rq, -ERR_UNAVAILABLE);
	} else if (too_early(rq)) {
		vnode_page_deinit(&r->page);
		rq->stalled = 1;
	} else if (rq->raw)
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
	if (read_params(rq))
		return;
	ask_next_stage(rq);
}

void
api_read_raw(struct request *rq)
{
	int64_t seq = 0;

	if (param_int(rq->uri.segments[3], &seq) || seq <= 0) {
		respond_error(rq, 404, "not-found", NULL, NULL,
		    "events are numbered 1, 2, 3, ...");
		return;
	}
	rq->raw = 1;
	read_shared_params(rq);
	rq->read.from = rq->read.to = (uint64_t)seq;
	rq->read.limit = 1;
	ask(rq, VNODE_READ_PAGE);
}
