/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * read_head - the header lines of a read.
 *
 * Link (RFC 8288): `next` goes on where the answer ends, `prev` is the page
 * before it.  The first event of a page is what moves (with order=desc: `to`);
 * the other bounds stay what the caller gave, so a walk ends where its range
 * does, and events appended meanwhile are met when it is open.
 */
#include "http/cache.h"
#include "http/read.h"

/* --- Content-Disposition -------------------------------------------------- */

static int
is_plain(uint8_t c)
{
	return c >= 0x20 && c < 0x7f;
}

/* RFC 6266: a quoted name for all, the exact one when it is not ASCII. */
static void
add_disposition(const struct request *rq, struct buf *b)
{
	const char *suffix = rq->ndjson ? "ndjson" : "json";
	struct slice name = rq->stream;
	int plain = 1;

	buf_add_str(b, "Content-Disposition: attachment; filename=\"");
	for (size_t i = 0; i < name.n; i++) {
		uint8_t c = name.p[i];

		if (c == '"' || c == '\\')
			buf_add_byte(b, '\\');
		buf_add_byte(b, is_plain(c) ? c : '_');
		plain &= is_plain(c);
	}
	buf_printf(b, ".%s\"", suffix);
	if (!plain) {
		buf_add_str(b, "; filename*=UTF-8''");
		uri_escape(b, name);
		buf_printf(b, ".%s", suffix);
	}
	buf_add_str(b, "\r\n");
}

/* --- Link ----------------------------------------------------------------- */

static void
add_number(struct buf *b, const char *name, uint64_t v)
{
	buf_add_str(b, name);
	buf_add_u64(b, v);
}

/* From the event AT on, downwards with order=desc; LIMIT 0: as the caller. */
static void
add_link(const struct request *rq, struct buf *b, const char *rel, uint64_t at,
    uint64_t limit)
{
	buf_add_str(b, "</streams/");
	uri_escape(b, rq->bucket);
	buf_add_byte(b, '/');
	uri_escape(b, rq->stream);
	if (rq->desc) {
		add_number(b, "?order=desc&to=", at);
		if (rq->has_from)
			add_number(b, "&from=", rq->range_first);
	} else {
		add_number(b, "?from=", at);
		if (rq->has_to)
			add_number(b, "&to=", rq->to_arg);
	}
	if (rq->has_since)
		add_number(b, "&since=", rq->since);
	if (rq->has_until)
		add_number(b, "&until=", rq->until);
	if (limit == 0 && rq->limit != UINT64_MAX)
		limit = rq->limit;
	if (limit)
		add_number(b, "&limit=", limit);
	if (rq->any)
		buf_add_str(b, "&consistency=any");
	if (rq->immutable)
		buf_add_str(b, "&cache=immutable");
	buf_printf(b, ">; rel=\"%s\"", rel);
}

/* How many events the page before has, when N lie there. */
static uint64_t
page_before(const struct request *rq, uint64_t n)
{
	uint64_t page = rq->limit;

	if (!rq->ndjson && page > READ_EVENTS_MAX)
		page = READ_EVENTS_MAX;
	return n < page ? n : page;
}

static void
add_links(const struct request *rq, struct buf *b, uint64_t low, uint64_t high)
{
	uint64_t first = rq->range_first, last = rq->range_last, next, before;

	if (rq->desc) {
		last = rq->newest < rq->until_seq ? rq->newest : rq->until_seq;
		next = low > first ? low - 1 : 0;
		before = page_before(rq, last - high);
	} else {
		first = rq->kept_first > rq->since_seq ? rq->kept_first
						       : rq->since_seq;
		next = high < last ? high + 1 : 0;
		before = page_before(rq, low - first);
	}
	if (!next && !before)
		return;
	buf_add_str(b, "Link: ");
	if (next)
		add_link(rq, b, "next", next, 0);
	if (next && before)
		buf_add_str(b, ", ");
	if (before)
		add_link(rq, b, "prev", rq->desc ? high + before : low - before,
		    before);
	buf_add_str(b, "\r\n");
}

/* --- all of them ---------------------------------------------------------- */

int
read_is_closed(const struct request *rq)
{
	return rq->has_to && rq->to_arg <= rq->newest;
}

void
read_headers(struct request *rq, struct buf *b, uint64_t low, uint64_t high)
{
	buf_init(b, 1u << 18);
	add_number(b, "Iorio-First: ", rq->kept_first);
	add_number(b, "\r\nIorio-Last: ", rq->newest);
	buf_add_str(b, "\r\n");
	if (rq->stale)
		buf_add_str(b, "Iorio-Stale: true\r\n");
	if (read_is_closed(rq))
		cache_add_headers(rq, b, low, high);
	else
		buf_add_str(b, "Cache-Control: no-store\r\n");
	if (low)
		add_links(rq, b, low, high);
	if (rq->download)
		add_disposition(rq, b);
	buf_add(b, "", 1);
}
