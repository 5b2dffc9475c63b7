/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* read_params - the parameters of GET /streams/:bucket/:stream (http-api.md
 * section 4.3). */
#include "http/param.h"
#include "http/read.h"
#include "src/base/err.h"

static int
bad_field(struct request *rq, const char *field, struct slice value)
{
	char why[64];

	snprintf(why, sizeof(why), "the parameter %s is not valid", field);
	respond_bad_param(rq, field, value, why);
	return -ERR_INVAL;
}

static int
take_times(struct request *rq)
{
	struct slice v;

	rq->has_since = request_param(rq, "since", &v);
	if (rq->has_since && param_time(v, &rq->since))
		return bad_field(rq, "since", v);
	rq->has_until = request_param(rq, "until", &v);
	if (rq->has_until && param_time(v, &rq->until))
		return bad_field(rq, "until", v);
	return 0;
}

/* UINT64_MAX: all there are. */
static uint64_t
default_limit(const struct request *rq)
{
	if (rq->from_arg < 0)
		return (uint64_t)-rq->from_arg;
	if (rq->has_to || rq->has_since || rq->has_until ||
	    (rq->ndjson && rq->has_from))
		return UINT64_MAX;
	return 1;
}

static void
take_limit(struct request *rq)
{
	struct slice v;
	int64_t n;

	rq->limit = default_limit(rq);
	if (request_param(rq, "limit", &v)) {
		if (param_int(v, &n))
			rq->limit = 1;
		else
			rq->limit = n > 0 ? (uint64_t)n : 0;
	}
	if (!rq->ndjson && rq->limit > READ_EVENTS_MAX &&
	    rq->limit != UINT64_MAX)
		rq->limit = READ_EVENTS_MAX;
}

void
read_shared_params(struct request *rq)
{
	struct slice v;

	rq->any = request_param(rq, "consistency", &v) &&
		  slice_equal(v, SLICE_LIT("any"));
	rq->immutable = request_param(rq, "cache", &v) &&
			slice_equal(v, SLICE_LIT("immutable"));
	rq->if_none_match = request_header(rq, "if-none-match");
}

int
read_params(struct request *rq)
{
	struct slice v;
	int64_t n = 0;

	rq->to = rq->until_seq = UINT64_MAX;
	if (request_param(rq, "from", &v) && param_int(v, &rq->from_arg) == 0)
		rq->has_from = 1;
	if (rq->from_arg > 0)
		rq->from = (uint64_t)rq->from_arg;
	if (request_param(rq, "to", &v)) {
		if (param_int(v, &n))
			return bad_field(rq, "to", v);
		rq->has_to = 1;
		rq->to = rq->to_arg = n > 0 ? (uint64_t)n : 0;
	}
	if (request_param(rq, "order", &v))
		rq->desc = slice_equal(v, SLICE_LIT("desc"));
	rq->download = request_param(rq, "download", &v);
	read_shared_params(rq);
	if (take_times(rq))
		return -ERR_INVAL;
	take_limit(rq);
	return 0;
}
