/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * Golden bytes and hostile bytes for event, entry, chunk and manifest.
 * IORIO_GOLDEN_WRITE=1 writes the golden files anew.
 */
#include <criterion/criterion.h>

#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/chunk.h"
#include "vnode/entry.h"
#include "vnode/event.h"
#include "vnode/manifest.h"

TestSuite(formats);

static void
golden(const char *name, struct slice got)
{
	char path[256];
	uint8_t want[8192];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", GOLDEN_DIR, name);
	if (getenv("IORIO_GOLDEN_WRITE")) {
		f = fopen(path, "wb");
		cr_assert(f && fwrite(got.p, 1, got.n, f) == got.n);
		fclose(f);
	}
	f = fopen(path, "rb");
	cr_assert_not_null(f, "%s is missing", path);
	n = fread(want, 1, sizeof(want), f);
	fclose(f);
	cr_assert(slice_equal(got, SLICE(want, n)), "%s differs", name);
}

static void
add_event(struct buf *b, const struct event *e)
{
	uint8_t *p = buf_reserve(b, event_bytes(e));

	b->n += event_encode_head(e, p);
	buf_add_slice(b, e->data);
}

static struct event
sample(uint64_t seq)
{
	return (struct event){
	    .seq = seq,
	    .t_ms = 1700000000123 + seq,
	    .index = 7 + seq,
	    .ordinal = (uint32_t)seq % 3,
	    .flags = seq % 2 ? EVENT_JSON : 0,
	    .type = seq % 2 ? SLICE_LIT("") : SLICE_LIT("image/png"),
	    .data = SLICE_LIT("{\"a\":1}"),
	};
}

static const struct chunk_id an_id = {
    .cluster_id = "0123456789abcde",
    .group = 19,
    .stream_id = 5,
    .first = 1,
    .previous = {0x1122334455667788, 0x99aabbccddeeff00},
    .bucket = {(const uint8_t *)"foo", 3},
    .stream = {(const uint8_t *)"bar", 3},
};

/* A sealed chunk of N events; INFO as its vnode would know it. */
static void
make_chunk(struct buf *b, uint64_t n, struct chunk_info *info)
{
	buf_init(b, 32 << 20);
	chunk_encode_header(&an_id, buf_reserve(b, chunk_header_bytes(&an_id)));
	b->n = chunk_header_bytes(&an_id);
	*info = (struct chunk_info){.first = 1,
	    .last = n,
	    .first_t = 1700000000124,
	    .last_t = 1700000000123 + n};
	for (uint64_t seq = 1; seq <= n; seq++) {
		struct event e = sample(seq);

		add_event(b, &e);
	}
	info->bytes = (uint32_t)b->n;
	/* The footer's rows may move the buffer: read from a copy. */
	uint8_t *copy = mem_alloc(b->n);
	memcpy(copy, b->p, b->n);
	cr_assert_eq(chunk_add_footer(b, SLICE(copy, info->bytes),
			 chunk_header_bytes(&an_id), info),
	    0);
	mem_free(copy);
}

static void
make_manifest(struct buf *b, uint32_t *first_commit)
{
	struct manifest_writer w = {b, 0};
	struct manifest_id id = {.cluster_id = "0123456789abcde",
	    .group = 19,
	    .generation = 1,
	    .number = 3};
	struct manifest_stream s = {.id = 1,
	    .first = 1,
	    .last = 2,
	    .last_t = 9,
	    .bytes = 14,
	    .bucket = SLICE_LIT("foo"),
	    .stream = SLICE_LIT("bar")};
	struct chunk_info c = {
	    .first = 1, .last = 2, .first_t = 8, .last_t = 9, .bytes = 168};
	struct manifest_state st = {.checkpoint = 1,
	    .term = 2,
	    .vote = 1,
	    .applied_index = 2,
	    .applied_term = 2,
	    .next_stream_id = 2,
	    .clock_ms = 9,
	    .policy_version = 0,
	    .journal_floor = 7,
	    .damaged = 1,
	    .members = {2, {{.id = 1, .voter = 1, .node = "fedcba987654321"},
			       {.id = 9, .node = "0123456789abcde"}}}};

	manifest_add_head(&w, &id);
	manifest_add_stream(&w, &s);
	manifest_add_chunk(&w, 1, &c);
	manifest_add_commit(&w, &st);
	*first_commit = (uint32_t)b->n;
	while (b->n % MANIFEST_BLOCK)
		buf_add_byte(b, 0);
	s.last = 3;
	s.bucket = s.stream = SLICE_LIT("");
	c.last = 3;
	c.bytes = 215;
	c.sealed = 1;
	c.chain = (struct hash128){1, 2};
	st.checkpoint = 2;
	st.applied_index = 3;
	manifest_add_stream(&w, &s);
	manifest_add_chunk(&w, 1, &c);
	manifest_add_commit(&w, &st);
	cr_assert_eq(buf_error(b), 0);
}

Test(formats, golden_bytes)
{
	struct event key = sample(4);
	struct chunk_info info;
	struct buf b;
	uint8_t header[ENTRY_HEADER_BYTES], mark[MANIFEST_MARK_BYTES];
	struct manifest_mark m = {3, 4711, 2, 99};
	uint32_t at;

	buf_init(&b, 1 << 20);
	key.flags |= EVENT_KEY;
	key.ext = SLICE_LIT("0123456789abcdef0123456789abcdef\1\0\0\0");
	add_event(&b, &(struct event){.seq = 1,
			  .t_ms = 1700000000123,
			  .index = 2,
			  .flags = EVENT_JSON,
			  .data = SLICE_LIT("{\"a\":1}")});
	add_event(&b, &key);
	golden("event.bin", buf_slice(&b));

	buf_reset(&b);
	entry_put_header(header, 3, 1700000000123);
	buf_add(&b, header, sizeof(header));
	entry_add_noop(&b);
	entry_add_create(&b, 1, SLICE_LIT("foo"), SLICE_LIT("bar"));
	entry_add_append(&b, 1, 1, 1, event_bytes(&key));
	add_event(&b, &key);
	golden("entry.bin", buf_slice(&b));
	buf_deinit(&b);

	make_chunk(&b, 3, &info);
	golden("chunk.bin", buf_slice(&b));
	buf_deinit(&b);

	buf_init(&b, 1 << 20);
	make_manifest(&b, &at);
	golden("manifest.bin", buf_slice(&b));
	buf_reset(&b);
	manifest_encode_mark(&m, mark);
	golden("mark.bin", SLICE(mark, sizeof(mark)));
	buf_deinit(&b);
}

Test(formats, every_flipped_bit_of_an_event_is_seen)
{
	struct event e = sample(2), got;
	struct buf b;
	uint32_t n;

	buf_init(&b, 4096);
	add_event(&b, &e);
	cr_assert_eq(event_decode(buf_slice(&b), 1, &got, &n), 0);
	cr_assert_eq(n, b.n);
	cr_assert(slice_equal(got.data, e.data));
	cr_assert(slice_equal(got.type, e.type));
	for (size_t bit = 0; bit < 8 * b.n; bit++) {
		b.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		cr_assert_neq(event_decode(buf_slice(&b), 1, &got, &n), 0);
		b.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t cut = 0; cut < b.n; cut++)
		cr_assert_eq(
		    event_decode(SLICE(b.p, cut), 1, &got, &n), EVENT_E_SHORT);
	buf_deinit(&b);
}

Test(formats, entries_are_read_back_and_hostile_ones_refused)
{
	struct entry_reader r;
	struct entry_command c;
	uint8_t header[ENTRY_HEADER_BYTES];
	struct buf b;

	buf_init(&b, 4096);
	entry_put_header(header, 2, 77);
	buf_add(&b, header, sizeof(header));
	entry_add_create(&b, 9, SLICE_LIT("b"), SLICE_LIT("s"));
	entry_add_append(&b, 9, 4, 2, 3);
	buf_add_str(&b, "xyz");
	cr_assert_eq(entry_open(&r, buf_slice(&b)), 0);
	cr_assert_eq(r.clock_ms, 77);
	cr_assert_eq(entry_next(&r, &c), 0);
	cr_assert(slice_equal(c.stream, SLICE_LIT("s")));
	cr_assert_eq(entry_next(&r, &c), 0);
	cr_assert(slice_equal(c.records, SLICE_LIT("xyz")));
	cr_assert_eq(entry_next(&r, &c), ENTRY_E_END);
	for (size_t cut = 0; cut < b.n; cut++) {
		int x = entry_open(&r, SLICE(b.p, cut));

		while (x == 0)
			x = entry_next(&r, &c);
		cr_assert_eq(x, -ERR_CORRUPT, "cut at %zu", cut);
	}
	for (size_t bit = 0; bit < 8 * b.n; bit++) { /* no crash, no loop */
		int x;

		b.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		x = entry_open(&r, buf_slice(&b));
		for (int i = 0; x == 0 && i < 10; i++)
			x = entry_next(&r, &c);
		cr_assert_neq(x, 0);
		b.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	buf_deinit(&b);
}

Test(formats, a_chunk_is_cut_by_bytes_or_by_events)
{
	struct chunk_info c = {.first = 1, .last = 0, .bytes = 80};

	cr_assert_not(chunk_is_full(&c, 9 << 20), "the first always fits");
	c.last = CHUNK_EVENTS_MAX - 1;
	cr_assert_not(chunk_is_full(&c, 100));
	c.last = CHUNK_EVENTS_MAX;
	cr_assert(chunk_is_full(&c, 100));
	c.last = 5;
	c.bytes = CHUNK_BYTES_MAX - 100;
	cr_assert_not(chunk_is_full(&c, 100));
	cr_assert(chunk_is_full(&c, 101));
}

Test(formats, a_sealed_chunk_tells_where_its_events_are)
{
	struct chunk_info info;
	struct chunk_footer f;
	struct chunk_id id;
	struct buf b;
	uint32_t n;

	make_chunk(&b, 4000, &info);
	cr_assert_eq(chunk_decode_header(buf_slice(&b), &id, &n), 0);
	cr_assert_eq(chunk_same(&id, &an_id), 0);
	cr_assert_eq(chunk_footer_bytes(b.p + b.n - CHUNK_FOOTER_TAIL, &n), 0);
	cr_assert_eq(n, b.n - info.bytes);
	cr_assert_eq(chunk_decode_footer(SLICE(b.p + info.bytes, n), &f), 0);
	cr_assert_eq(f.count, 4000);
	cr_assert_gt(f.n_rows, 2);
	for (uint32_t i = 0; i < f.n_rows; i++) {
		struct chunk_row row = chunk_footer_row(&f, i);
		struct event e;
		uint32_t bytes;

		cr_assert_eq(event_decode(SLICE(b.p + row.offset,
					      info.bytes - row.offset),
				 1, &e, &bytes),
		    0);
		cr_assert_eq(e.seq, info.first + row.nth);
	}
	for (size_t bit = 0; bit < 8 * n; bit += 3) {
		uint8_t *p = b.p + info.bytes + bit / 8;

		*p ^= (uint8_t)(1 << bit % 8);
		cr_assert_neq(
		    chunk_decode_footer(SLICE(b.p + info.bytes, n), &f), 0);
		*p ^= (uint8_t)(1 << bit % 8);
	}
	buf_deinit(&b);
}

struct seen {
	int streams, chunks, commits;
	uint64_t applied;
};

static int
on_stream(void *arg, const struct manifest_stream *s)
{
	(void)s;
	((struct seen *)arg)->streams++;
	return 0;
}

static int
on_chunk(void *arg, uint64_t id, const struct chunk_info *c)
{
	(void)id;
	(void)c;
	((struct seen *)arg)->chunks++;
	return 0;
}

static int
on_commit(void *arg, const struct manifest_state *s)
{
	((struct seen *)arg)->commits++;
	((struct seen *)arg)->applied = s->applied_index;
	return 0;
}

static int
read_manifest(struct slice file, struct seen *seen, struct manifest_end *end)
{
	static const struct manifest_reader_ops ops = {
	    on_stream, on_chunk, on_commit};
	struct manifest_id id = {.cluster_id = "0123456789abcde",
	    .group = 19,
	    .generation = 1,
	    .number = 3};

	*seen = (struct seen){0};
	return manifest_read(file, &id, &ops, seen, end);
}

Test(formats, a_manifest_counts_up_to_its_last_commit)
{
	struct manifest_end end;
	struct seen seen;
	struct buf b;
	uint32_t first;

	buf_init(&b, 1 << 20);
	make_manifest(&b, &first);
	cr_assert_eq(read_manifest(buf_slice(&b), &seen, &end), 0);
	cr_assert_eq(seen.commits, 2);
	cr_assert_eq(seen.applied, 3);
	cr_assert_eq(end.bytes, b.n);
	for (size_t cut = 0; cut < b.n; cut++) {
		int r = read_manifest(SLICE(b.p, cut), &seen, &end);

		cr_assert_eq(r, cut < first ? -ERR_CORRUPT : 0);
		if (r == 0)
			cr_assert(end.bytes == first && seen.applied == 2);
	}
	for (size_t bit = 0; bit < 8 * b.n; bit++) {
		int r;

		b.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
		r = read_manifest(buf_slice(&b), &seen, &end);
		if (bit / 8 < first)
			cr_assert_lt(r, 0);
		else if (bit / 8 < manifest_next(first)) /* padding */
			cr_assert(r == 0 && end.bytes == b.n);
		else
			cr_assert(r == 0 && end.bytes == first);
		b.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	buf_deinit(&b);
}
