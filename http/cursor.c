/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * cursor - codec.
 *
 * Format 1: base64url (RFC 4648 section 5) without padding, of
 *
 *	u8	format = 1
 *	[16]	cluster id
 *	num	streams; for each
 *		u64 XXH3-64 of u8 bytes of bucket, bucket, stream
 *		num incarnation (0: there is no such stream), num next seqnum
 *	num	runs of groups; for each
 *		u64 the same hash of the bucket, with no bytes of stream
 *		num groups, at least one, ascending; for each
 *			num group, num log index, num ordinal + 1 (2^32 is 0), num t
 *	u32	CRC32C of all that stands before
 *
 * Integers of fixed size are little endian; num is LEB128 of 64 bits, in the
 * shortest form.  t says where to begin to look for the log index.  The CRC
 * guards against a text that was cut or mixed up; a forged cursor shows nothing
 * that its owner may not read anyway.
 */
#include "http/cursor.h"

#include <string.h>

#include "http/base64.h"
#include "src/base/crc32c.h"
#include "src/base/err.h"
#include "src/base/hash.h"
#include "src/base/le.h"
#include "src/base/mem.h"

#define FORMAT     1
#define HEAD_BYTES 17

uint64_t
cursor_names(struct slice bucket, struct slice stream)
{
	uint8_t names[1 + 255 + 255];

	names[0] = (uint8_t)bucket.n;
	memcpy(names + 1, bucket.p, bucket.n);
	if (stream.n)
		memcpy(names + 1 + bucket.n, stream.p, stream.n);
	return hash64(names, 1 + bucket.n + stream.n, 0);
}

int
cursor_fits(uint32_t n_streams, uint32_t n_buckets, uint32_t n_groups)
{
	enum {
		AROUND = HEAD_BYTES + 2 * 5 + 4,
		STREAM = 8 + 2 * 6,
		BUCKET = 8 + 2,
		GROUP = 2 + 6 + 2 + 6,
	};

	return AROUND + n_streams * (uint64_t)STREAM +
		   n_buckets * (BUCKET + n_groups * (uint64_t)GROUP) <=
	       CURSOR_BYTES_MAX;
}

/* --- writing -------------------------------------------------------------- */

static void
add_num(struct buf *b, uint64_t v)
{
	while (v >= 0x80) {
		buf_add_byte(b, (uint8_t)(v | 0x80));
		v >>= 7;
	}
	buf_add_byte(b, (uint8_t)v);
}

/* Entries from I on that are of one bucket. */
static uint32_t
run_length(const struct cursor *c, uint32_t i)
{
	uint32_t n = 0;

	while (
	    i + n < c->n_groups && c->groups[i + n].names == c->groups[i].names)
		n++;
	return n;
}

static void
add_groups(struct buf *b, const struct cursor *c)
{
	uint32_t runs = 0, n;
	uint8_t names[8];

	for (uint32_t i = 0; i < c->n_groups; i += run_length(c, i))
		runs++;
	add_num(b, runs);
	for (uint32_t i = 0; i < c->n_groups;) {
		n = run_length(c, i);
		le_put64(names, c->groups[i].names);
		buf_add(b, names, 8);
		add_num(b, n);
		for (; n; n--, i++) {
			add_num(b, c->groups[i].group);
			add_num(b, c->groups[i].index);
			add_num(b, (uint32_t)(c->groups[i].ordinal + 1));
			add_num(b, c->groups[i].t_ms);
		}
	}
}

void
cursor_encode(
    struct buf *text, const uint8_t cluster_id[16], const struct cursor *c)
{
	struct buf b;
	uint8_t fixed[8];

	buf_init(&b, CURSOR_BYTES_MAX);
	buf_add_byte(&b, FORMAT);
	buf_add(&b, cluster_id, 16);
	add_num(&b, c->n_streams);
	for (uint32_t i = 0; i < c->n_streams; i++) {
		le_put64(fixed, c->streams[i].names);
		buf_add(&b, fixed, 8);
		add_num(&b, c->streams[i].incarnation);
		add_num(&b, c->streams[i].next);
	}
	add_groups(&b, c);
	if (!buf_error(&b)) {
		le_put32(fixed, crc32c(0, b.p, b.n));
		buf_add(&b, fixed, 4);
	}
	if (buf_error(&b))
		text->error = buf_error(&b);
	else
		base64url_add(text, buf_slice(&b));
	buf_deinit(&b);
}

/* --- reading -------------------------------------------------------------- */

struct reader {
	struct slice in;
	int bad;
};

static uint64_t
take_num(struct reader *r)
{
	uint64_t v = 0;

	for (unsigned shift = 0; r->in.n && shift < 64; shift += 7) {
		uint8_t c = *r->in.p;

		r->in = SLICE(r->in.p + 1, r->in.n - 1);
		if ((shift == 63 && c > 1) || (shift && c == 0))
			break;
		v |= (uint64_t)(c & 0x7f) << shift;
		if (!(c & 0x80))
			return v;
	}
	r->bad = 1;
	return 0;
}

static uint32_t
take_num32(struct reader *r)
{
	uint64_t v = take_num(r);

	if (v > UINT32_MAX)
		r->bad = 1;
	return (uint32_t)v;
}

static uint64_t
take_u64(struct reader *r)
{
	uint64_t v;

	if (r->in.n < 8) {
		r->bad = 1;
		return 0;
	}
	v = le_get64(r->in.p);
	r->in = SLICE(r->in.p + 8, r->in.n - 8);
	return v;
}

static int
take_streams(struct reader *r, struct cursor *c)
{
	uint32_t n = take_num32(r);

	if (r->bad || n > r->in.n / 10 || n > CURSOR_ENTRIES_MAX)
		return -ERR_INVAL;
	c->streams = mem_calloc(n + 1u, sizeof(*c->streams));
	if (!c->streams)
		return -ERR_NOMEM;
	c->n_streams = n;
	for (uint32_t i = 0; i < n; i++) {
		c->streams[i].names = take_u64(r);
		c->streams[i].incarnation = take_num(r);
		c->streams[i].next = take_num(r);
		if (c->streams[i].next == 0)
			r->bad = 1;
	}
	return r->bad ? -ERR_INVAL : 0;
}

static int
take_run(struct reader *r, struct cursor *c)
{
	uint64_t names = take_u64(r);
	uint32_t n = take_num32(r);
	struct cursor_group *p;

	if (r->bad || n == 0 || n > r->in.n / 4 ||
	    n > CURSOR_ENTRIES_MAX - c->n_groups)
		return -ERR_INVAL;
	p = mem_realloc(c->groups, (c->n_groups + n) * sizeof(*p));
	if (!p)
		return -ERR_NOMEM;
	c->groups = p;
	p += c->n_groups;
	c->n_groups += n;
	for (uint32_t i = 0; i < n; i++) {
		p[i].names = names;
		p[i].group = take_num32(r);
		p[i].index = take_num(r);
		p[i].ordinal = take_num32(r) - 1;
		p[i].t_ms = take_num(r);
		if (i && p[i].group <= p[i - 1].group)
			r->bad = 1;
	}
	return r->bad ? -ERR_INVAL : 0;
}

static int
take_groups(struct reader *r, struct cursor *c)
{
	uint32_t n = take_num32(r);
	int e = r->bad ? -ERR_INVAL : 0;

	while (e == 0 && n--)
		e = take_run(r, c);
	return e == 0 && r->in.n ? -ERR_INVAL : e;
}

static int
decode(struct cursor *c, const uint8_t cluster_id[16], struct slice all)
{
	struct reader reader;
	int r;

	if (all.n < HEAD_BYTES + 6 || all.p[0] != FORMAT ||
	    memcmp(all.p + 1, cluster_id, 16) != 0 ||
	    le_get32(all.p + all.n - 4) != crc32c(0, all.p, all.n - 4))
		return -ERR_INVAL;
	reader = (struct reader){
	    .in = SLICE(all.p + HEAD_BYTES, all.n - HEAD_BYTES - 4)};
	r = take_streams(&reader, c);
	return r ? r : take_groups(&reader, c);
}

int
cursor_decode(
    struct cursor *out, const uint8_t cluster_id[16], struct slice text)
{
	struct cursor c = {0};
	uint8_t *bytes;
	size_t n;
	int r;

	if (text.n > CURSOR_TEXT_MAX)
		return -ERR_INVAL;
	bytes = mem_alloc(text.n + 1);
	if (!bytes)
		return -ERR_NOMEM;
	r = base64url_take(text, bytes, &n);
	if (r == 0)
		r = decode(&c, cluster_id, SLICE(bytes, n));
	mem_free(bytes);
	if (r)
		cursor_deinit(&c);
	else
		*out = c;
	return r;
}

void
cursor_deinit(struct cursor *c)
{
	c->streams = mem_free(c->streams);
	c->groups = mem_free(c->groups);
	c->n_streams = c->n_groups = 0;
}

const struct cursor_stream *
cursor_find(const struct cursor *c, struct slice bucket, struct slice stream)
{
	uint64_t names = cursor_names(bucket, stream);

	for (uint32_t i = 0; i < c->n_streams; i++)
		if (c->streams[i].names == names)
			return &c->streams[i];
	return NULL;
}

const struct cursor_group *
cursor_find_group(const struct cursor *c, struct slice bucket, uint32_t group)
{
	uint64_t names = cursor_names(bucket, SLICE(NULL, 0));

	for (uint32_t i = 0; i < c->n_groups; i++)
		if (c->groups[i].names == names && c->groups[i].group == group)
			return &c->groups[i];
	return NULL;
}
