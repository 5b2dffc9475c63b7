/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * key - Idempotency-Key of a write.
 *
 * Two requests with one key are the same request if their bodies, content types
 * and methods are, POST and PUT being one.  What is compared is stored with the
 * event, so it must stay what it is:
 *
 *	[1]  'A' of POST and PUT, 'P' of PATCH
 *	[16] hash128_put of XXH3-128 of the body
 *	     the content type, byte by byte
 *
 * and of all this XXH3-128 again.  PATCH: of the body that was sent, not of what
 * became of the event.
 */
#include "http/key.h"

#include "src/base/hash.h"

#define KEY_MAX 64

int
key_is_there(const struct request *rq)
{
	return request_header(rq, "idempotency-key").p != NULL;
}

static int
is_printable(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x20 || s.p[i] >= 0x7f)
			return 0;
	return 1;
}

int
key_take(struct request *rq)
{
	struct slice key = request_header(rq, "idempotency-key");
	uint32_t n = request_header_count(rq, "idempotency-key");

	if (n == 0)
		return 1;
	if (n > 1 || key.n < 1 || key.n > KEY_MAX || !is_printable(key)) {
		respond_error(rq, 400, "bad-request", NULL, NULL,
		    "Idempotency-Key is 1 to %d printable ASCII characters, "
		    "once",
		    KEY_MAX);
		return 0;
	}
	rq->put.has_key = 1;
	hash128_put(rq->put.key, hash128(key.p, key.n));
	return 1;
}

void
key_take_body(struct request *rq)
{
	struct slice type = request_header(rq, "content-type");
	uint8_t all[1 + HASH128_BYTES + EVENT_TYPE_MAX];

	if (!rq->put.has_key)
		return;
	if (type.n > EVENT_TYPE_MAX)
		type.n = EVENT_TYPE_MAX;
	all[0] = slice_equal(rq->method, SLICE_LIT("PATCH")) ? 'P' : 'A';
	hash128_put(all + 1, hash128(rq->body.p, rq->body.n));
	if (type.n)
		memcpy(all + 1 + HASH128_BYTES, type.p, type.n);
	hash128_put(rq->put.key_body, hash128(all, 1 + HASH128_BYTES + type.n));
}

void
key_mismatch(struct request *rq)
{
	respond_error(rq, 422, "idempotency-mismatch", NULL, NULL,
	    "the idempotency key was used for another body or content type; "
	    "nothing was stored");
}

const char *
key_replayed(const struct request *rq)
{
	return rq->put.replayed ? "Idempotent-Replayed: true\r\n" : "";
}
