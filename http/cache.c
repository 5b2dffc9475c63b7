/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * cache - entity tags of events that do not change.
 *
 * A tag is the hash of what decides about the bytes: cluster, incarnation of the
 * stream, the first and the last event in it, and how they are written.  So it
 * costs nothing to know, and that of a stream made again, or of a range that
 * lost its oldest events, is another one.
 */
#include "http/cache.h"

#include "src/base/hash.h"
#include "src/base/le.h"

#define TAG_BYTES 35 /* with quotes and NUL */

enum { FORM_NDJSON = 1, FORM_DESC = 2, FORM_RAW = 4 };

static void
make_tag(
    const struct request *rq, uint64_t low, uint64_t high, char out[TAG_BYTES])
{
	uint8_t in[16 + 3 * 8 + 1], *p = in + 16;
	struct hash128 h;

	memcpy(in, rq->server->config.cluster_id, 16);
	p = le_put64(p, rq->incarnation);
	p = le_put64(p, low);
	p = le_put64(p, high);
	*p = (uint8_t)((rq->ndjson ? FORM_NDJSON : 0) |
		       (rq->desc ? FORM_DESC : 0) | (rq->raw ? FORM_RAW : 0));
	h = hash128(in, sizeof(in));
	snprintf(out, TAG_BYTES, "\"%016llx%016llx\"", (unsigned long long)h.hi,
	    (unsigned long long)h.lo);
}

static int
is_public(const struct request *rq)
{
	return rq->server->auth && auth_is_public(rq->server->auth, AUTH_GET,
				       rq->bucket, rq->stream);
}

void
cache_add_headers(
    const struct request *rq, struct buf *b, uint64_t low, uint64_t high)
{
	char tag[TAG_BYTES];

	make_tag(rq, low, high, tag);
	buf_printf(b,
	    "ETag: %s\r\nCache-Control: %s, %s\r\n"
	    "Vary: Accept, Authorization, X-Session\r\n",
	    tag, rq->immutable && is_public(rq) ? "public" : "private",
	    rq->immutable ? "max-age=31536000, immutable" : "no-cache");
}

/* RFC 9110 section 13.1.2.  A list of tags is searched as text: ours, with its
 * quotes, can only be there as a whole one. */
int
cache_has_it(const struct request *rq, uint64_t low, uint64_t high)
{
	struct slice in = rq->if_none_match;
	char tag[TAG_BYTES];

	if (in.n == 0)
		return 0;
	if (slice_equal(in, SLICE_LIT("*")))
		return 1;
	make_tag(rq, low, high, tag);
	return memmem(in.p, in.n, tag, TAG_BYTES - 1) != NULL;
}
