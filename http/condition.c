/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * condition - If-Match and If-None-Match of an append (RFC 9110 section 13.1).
 *
 * Here the entity tag of a stream is the seqnum of its newest event.  What the
 * two headers may say besides, weak tags and lists, cannot be meant.
 */
#include "http/condition.h"

#include "http/param.h"

static int
bad_condition(struct request *rq, const char *why)
{
	respond_error(rq, 400, "bad-request", NULL, NULL, "%s", why);
	return 0;
}

/* "N" as an entity tag. */
static int
take_tag(struct slice s, uint64_t *out)
{
	int64_t n = 0;

	if (s.n < 3 || s.p[0] != '"' || s.p[s.n - 1] != '"' || s.p[1] == '-' ||
	    param_int(SLICE(s.p + 1, s.n - 2), &n))
		return 0;
	*out = (uint64_t)n;
	return 1;
}

int
condition_is_there(const struct request *rq)
{
	return request_header(rq, "if-match").p ||
	       request_header(rq, "if-none-match").p;
}

int
condition_take(struct request *rq)
{
	struct slice match = request_header(rq, "if-match");
	struct slice none = request_header(rq, "if-none-match");
	uint32_t n = request_header_count(rq, "if-match") +
		     request_header_count(rq, "if-none-match");

	if (n == 0)
		return 1;
	if (n > 1)
		return bad_condition(rq, "one condition at a time");
	rq->put.has_expect = 1;
	rq->put.expect = 0;
	if (match.p && !take_tag(match, &rq->put.expect))
		return bad_condition(rq,
		    "If-Match takes the newest seqnum in quotes, as in \"7\"; "
		    "\"0\" is a stream without events");
	if (none.p && !slice_equal(none, SLICE_LIT("*")))
		return bad_condition(rq,
		    "If-None-Match of an append takes * only: the stream has "
		    "no event");
	return 1;
}

void
condition_failed(struct request *rq)
{
	char fields[96];

	snprintf(fields, sizeof(fields), ",\"expected\":%llu,\"got\":%llu",
	    (unsigned long long)rq->put.expect,
	    (unsigned long long)rq->put.newest);
	respond_error(rq, 412, "precondition-failed", NULL, fields,
	    "the newest event of the stream is another one");
}
