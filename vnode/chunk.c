/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * chunk - codec of chunk files.
 *
 * Format 1, little endian.  File `<stream id>.<first seqnum>.chunk`, 16 hex
 * digits each, in the directory of the vnode.
 *
 *	header   0  u32  magic "IOCH"
 *		 4  u16  format = 1
 *		 6  u16  bytes of the header, names included
 *		 8  [16] cluster id
 *		24  u16  group
 *		26  u16  bytes of bucket
 *		28  u16  bytes of stream
 *		30  u16  0
 *		32  u64  stream id (the incarnation)
 *		40  u64  first seqnum
 *		48  [16] chain of the chunk before; zeros for the first
 *		64  u32  CRC32C of bytes 0..63 and of the names
 *		68       bucket, stream
 *
 *	records          as in event.c, seqnums dense from the first
 *
 *	footer   0  u32  magic "IOCF"
 *		 4  u32  index rows
 *		 8  u64  events
 *		16  u64  t of the first event
 *		24  u64  t of the last event
 *		32  u32  bytes of header and records
 *		36       rows: u32 seqnum - first, u32 offset in the file; one
 *		         for the first record at or after each multiple of
 *		         CHUNK_INDEX_STEP
 *	     end-8  u32  bytes of the footer, all of it
 *	     end-4  u32  CRC32C of the footer before
 *
 * The chain of a sealed chunk is XXH3-128 of (the chain before as 16 bytes,
 * then every byte of the file): equal chains prove equal histories.  Nothing in
 * the file differs between two replicas.
 *
 * Crash argument.  A chunk is written behind the journal, from applied entries
 * only, strictly by appending; how many bytes of it count is said by the
 * manifest, which is written after the chunk's data was synced.  So after a
 * crash
 *  - bytes below the manifest's length are there; the block that the next
 *    append begins in is put back from images.c if it was torn;
 *  - bytes beyond it, a half-written footer too, come from entries that are
 *    still in the journal, since segments are released only after the manifest
 *    was synced.  Replay touches the stream, and the first flush of a touched
 *    chunk truncates the file to the manifest's length before it writes;
 *  - a chunk file that no manifest names was begun by such entries: replay
 *    makes it again under the same name, with truncation.
 * A reader never looks beyond the length that its vnode told it.
 */
#include "vnode/chunk.h"

#include "src/base/assert.h"
#include "src/base/crc32c.h"
#include "src/base/err.h"
#include "src/base/le.h"
#include "vnode/event.h"

#define CHUNK_MAGIC    0x48434f49u /* "IOCH" */
#define FOOTER_MAGIC   0x46434f49u /* "IOCF" */
#define CHUNK_FORMAT   1
#define HEADER_FIXED   68
#define FOOTER_FIXED   36
#define CRC_AT         64
#define CHUNK_NAME_MAX 255

int
chunk_is_full(const struct chunk_info *c, uint32_t next_bytes)
{
	if (c->last < c->first)
		return 0; /* the first event always fits */
	return c->last - c->first + 1 >= CHUNK_EVENTS_MAX ||
	       (uint64_t)c->bytes + next_bytes > CHUNK_BYTES_MAX;
}

void
chunk_file_name(char out[CHUNK_NAME_BYTES], uint64_t stream_id, uint64_t first)
{
	snprintf(out, CHUNK_NAME_BYTES, "%016llx.%016llx.chunk",
	    (unsigned long long)stream_id, (unsigned long long)first);
}

uint32_t
chunk_header_bytes(const struct chunk_id *id)
{
	return (uint32_t)(HEADER_FIXED + id->bucket.n + id->stream.n);
}

static uint32_t
header_crc(const uint8_t *p, uint32_t bytes)
{
	return crc32c(
	    crc32c(0, p, CRC_AT), p + HEADER_FIXED, bytes - HEADER_FIXED);
}

void
chunk_encode_header(const struct chunk_id *id, uint8_t *out)
{
	uint32_t bytes = chunk_header_bytes(id);
	uint8_t *p = out;

	p = le_put32(p, CHUNK_MAGIC);
	p = le_put16(p, CHUNK_FORMAT);
	p = le_put16(p, (uint16_t)bytes);
	memcpy(p, id->cluster_id, 16);
	p += 16;
	p = le_put16(p, id->group);
	p = le_put16(p, (uint16_t)id->bucket.n);
	p = le_put16(p, (uint16_t)id->stream.n);
	p = le_put16(p, 0);
	p = le_put64(p, id->stream_id);
	p = le_put64(p, id->first);
	hash128_put(p, id->previous);
	p += HASH128_BYTES;
	memcpy(out + HEADER_FIXED, id->bucket.p, id->bucket.n);
	memcpy(out + HEADER_FIXED + id->bucket.n, id->stream.p, id->stream.n);
	le_put32(p, header_crc(out, bytes));
}

int
chunk_decode_header(struct slice in, struct chunk_id *out, uint32_t *bytes)
{
	struct chunk_id id;
	uint32_t n;

	if (in.n < HEADER_FIXED || le_get32(in.p) != CHUNK_MAGIC)
		return -ERR_CORRUPT;
	n = le_get16(in.p + 6);
	id.bucket = SLICE(in.p + HEADER_FIXED, le_get16(in.p + 26));
	id.stream = SLICE(id.bucket.p + id.bucket.n, le_get16(in.p + 28));
	if (n > in.n || n != HEADER_FIXED + id.bucket.n + id.stream.n ||
	    id.bucket.n > CHUNK_NAME_MAX || id.stream.n > CHUNK_NAME_MAX ||
	    le_get32(in.p + CRC_AT) != header_crc(in.p, n))
		return -ERR_CORRUPT;
	if (le_get16(in.p + 4) != CHUNK_FORMAT)
		return -ERR_FORMAT;
	memcpy(id.cluster_id, in.p + 8, 16);
	id.group = le_get16(in.p + 24);
	id.stream_id = le_get64(in.p + 32);
	id.first = le_get64(in.p + 40);
	id.previous = hash128_get(in.p + 48);
	*out = id;
	*bytes = n;
	return 0;
}

int
chunk_same(const struct chunk_id *a, const struct chunk_id *b)
{
	int same = memcmp(a->cluster_id, b->cluster_id, 16) == 0 &&
		   a->group == b->group && a->stream_id == b->stream_id &&
		   a->first == b->first &&
		   hash128_equal(a->previous, b->previous) &&
		   slice_equal(a->bucket, b->bucket) &&
		   slice_equal(a->stream, b->stream);

	return same ? 0 : -ERR_IDENTITY;
}

static int
add_rows(struct buf *out, struct slice whole, uint32_t at,
    const struct chunk_info *info, uint32_t *n_rows)
{
	uint64_t next_row = 0;
	uint64_t seq = info->first;
	struct event e;
	uint8_t row[8];
	uint32_t n;

	for (; at < whole.n; at += n, seq++) {
		struct slice rest = SLICE(whole.p + at, whole.n - at);

		if (event_decode(rest, 1, &e, &n) || e.seq != seq)
			return -ERR_CORRUPT;
		if (at < next_row)
			continue;
		le_put32(le_put32(row, (uint32_t)(seq - info->first)), at);
		buf_add(out, row, sizeof(row));
		(*n_rows)++;
		next_row = (at / CHUNK_INDEX_STEP + 1) * CHUNK_INDEX_STEP;
	}
	return seq == info->last + 1 ? 0 : -ERR_CORRUPT;
}

int
chunk_add_footer(struct buf *out, struct slice whole, uint32_t header_bytes,
    const struct chunk_info *info)
{
	size_t start = out->n;
	uint32_t n_rows = 0;
	uint8_t *p = buf_reserve(out, FOOTER_FIXED);
	uint8_t tail[CHUNK_FOOTER_TAIL];
	uint32_t bytes;
	int r;

	if (!p)
		return buf_error(out);
	out->n += FOOTER_FIXED;
	r = add_rows(out, whole, header_bytes, info, &n_rows);
	if (r || (r = buf_error(out)))
		return r;
	p = out->p + start;
	p = le_put32(p, FOOTER_MAGIC);
	p = le_put32(p, n_rows);
	p = le_put64(p, info->last - info->first + 1);
	p = le_put64(p, info->first_t);
	p = le_put64(p, info->last_t);
	le_put32(p, (uint32_t)whole.n);
	bytes = (uint32_t)(out->n - start) + CHUNK_FOOTER_TAIL;
	le_put32(tail, bytes);
	buf_add(out, tail, 4);
	if (buf_error(out))
		return buf_error(out);
	le_put32(tail, crc32c(0, out->p + start, out->n - start));
	buf_add(out, tail, 4);
	return buf_error(out);
}

int
chunk_footer_bytes(const uint8_t tail[CHUNK_FOOTER_TAIL], uint32_t *out)
{
	uint32_t n = le_get32(tail);
	uint32_t max = FOOTER_FIXED + CHUNK_FOOTER_TAIL + 8 * CHUNK_EVENTS_MAX;

	if (n < FOOTER_FIXED + CHUNK_FOOTER_TAIL || n > max)
		return -ERR_CORRUPT;
	*out = n;
	return 0;
}

int
chunk_decode_footer(struct slice in, struct chunk_footer *out)
{
	struct chunk_footer f;

	if (in.n < FOOTER_FIXED + CHUNK_FOOTER_TAIL ||
	    le_get32(in.p) != FOOTER_MAGIC ||
	    le_get32(in.p + in.n - 8) != in.n ||
	    le_get32(in.p + in.n - 4) != crc32c(0, in.p, in.n - 4))
		return -ERR_CORRUPT;
	f.n_rows = le_get32(in.p + 4);
	f.count = le_get64(in.p + 8);
	f.first_t = le_get64(in.p + 16);
	f.last_t = le_get64(in.p + 24);
	f.bytes = le_get32(in.p + 32);
	f.rows = in.p + FOOTER_FIXED;
	if (in.n != FOOTER_FIXED + CHUNK_FOOTER_TAIL + 8ull * f.n_rows ||
	    f.n_rows == 0 || f.count == 0 || f.count > CHUNK_EVENTS_MAX)
		return -ERR_CORRUPT;
	for (uint32_t i = 0; i < f.n_rows; i++) {
		struct chunk_row row = chunk_footer_row(&f, i);

		if (row.nth >= f.count || row.offset >= f.bytes)
			return -ERR_CORRUPT;
	}
	*out = f;
	return 0;
}

struct chunk_row
chunk_footer_row(const struct chunk_footer *f, uint32_t i)
{
	ASSERT(i < f->n_rows);
	return (struct chunk_row){
	    le_get32(f->rows + 8 * i), le_get32(f->rows + 8 * i + 4)};
}

static int
verify_records(struct slice in, const struct chunk_info *c)
{
	uint64_t seq = c->first;
	struct event e;
	uint32_t n;

	for (; in.n; in = SLICE(in.p + n, in.n - n), seq++)
		if (event_decode(in, 1, &e, &n) || e.seq != seq)
			return -ERR_CORRUPT;
	return seq == c->last + 1 ? 0 : -ERR_CORRUPT;
}

int
chunk_verify(struct slice bytes, const struct chunk_id *id,
    const struct chunk_info *c, struct hash128_stream *stream)
{
	struct chunk_footer footer;
	struct chunk_id found;
	uint32_t n;
	int r = chunk_decode_header(bytes, &found, &n);

	if (r)
		return r;
	if (chunk_same(&found, id))
		return -ERR_IDENTITY;
	if (c->bytes < n || c->bytes > bytes.n ||
	    (!chunk_has_footer(c) && c->bytes != bytes.n))
		return -ERR_CORRUPT;
	r = verify_records(SLICE(bytes.p + n, c->bytes - n), c);
	if (r || !chunk_has_footer(c))
		return r;
	r = chunk_decode_footer(
	    SLICE(bytes.p + c->bytes, bytes.n - c->bytes), &footer);
	if (r)
		return r;
	return hash128_equal(
		   hash128_chain(stream, id->previous, bytes.p, bytes.n),
		   c->chain)
		   ? 0
		   : -ERR_CORRUPT;
}
