/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * Golden bytes and hostile bytes for event, entry, chunk, manifest and images.
 */
#include <criterion/criterion.h>

#include "src/base/err.h"
#include "src/base/mem.h"
#include "tests/golden/golden.h"
#include "vnode/chunk.h"
#include "vnode/entry.h"
#include "vnode/event.h"
#include "vnode/images.h"
#include "vnode/manifest.h"

TestSuite(formats);

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
	    .total = 14,
	    .last_bytes = 7,
	    .bucket = SLICE_LIT("foo"),
	    .stream = SLICE_LIT("bar")};
	struct chunk_info c = {.first = 1,
	    .last = 2,
	    .first_t = 8,
	    .last_t = 9,
	    .bytes = 168,
	    .last_bytes = 7};
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

static void
make_images(struct buf *b)
{
	struct image im = {.group = 19,
	    .offset = 4096,
	    .generation = 1,
	    .stream_id = 5,
	    .first = 1};

	images_begin(b);
	memcpy(images_add(b, &im, 7), "records", 7);
	im.offset = 0;
	im.stream_id = 6;
	memcpy(images_add(b, &im, 3), "abc", 3);
	images_end(b, an_id.cluster_id);
	cr_assert_eq(buf_error(b), 0);
}

static void
make_members(struct buf *b)
{
	struct raft_member at[] = {{.id = 1, .voter = 1, .node = "node a"},
	    {.id = 9, .voter = 0, .node = "node b"}};
	struct raft_members members = {2, at};
	uint8_t header[ENTRY_HEADER_BYTES];

	entry_put_header(header, 1, 1700000000123);
	buf_add(b, header, sizeof(header));
	entry_add_members(b, &members);
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

	buf_reset(&b);
	make_members(&b);
	golden("members.bin", buf_slice(&b));

	buf_reset(&b);
	make_images(&b);
	golden("images.bin", buf_slice(&b));
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

Test(formats, golden_bytes_of_the_end_of_a_stream)
{
	struct entry_reader r;
	struct entry_command c;
	uint8_t header[ENTRY_HEADER_BYTES];
	struct buf b;

	buf_init(&b, 1 << 20);
	entry_put_header(header, 2, 1700000000123);
	buf_add(&b, header, sizeof(header));
	entry_add_delete(&b, 7);
	entry_add_create(&b, 8, SLICE_LIT("foo"), SLICE_LIT("bar"));
	golden("entry_delete.bin", buf_slice(&b));
	cr_assert_eq(entry_open(&r, buf_slice(&b)), 0);
	cr_assert_eq(entry_next(&r, &c), 0);
	cr_expect(c.type == ENTRY_DELETE && c.stream_id == 7);
	cr_assert_eq(entry_next(&r, &c), 0);
	cr_assert_eq(entry_next(&r, &c), ENTRY_E_END);
	b.p[ENTRY_HEADER_BYTES + 4] = 7; /* a byte short */
	cr_assert_eq(entry_open(&r, buf_slice(&b)), 0);
	cr_expect_eq(entry_next(&r, &c), -ERR_CORRUPT);
	buf_deinit(&b);
}

/* --- what guards them ----------------------------------------------------- */

static int
read_event(void *arg, struct slice in)
{
	struct event e;
	uint32_t n;
	int r = event_decode(in, 1, &e, &n);

	(void)arg;
	return r ? r : n != in.n;
}

/* All of a sealed chunk, as whoever trusts nothing in it. */
static int
read_chunk(void *arg, struct slice in)
{
	const struct chunk_info *info = arg;
	struct chunk_footer f;
	struct chunk_id id;
	struct event e;
	uint32_t at, n;

	if (chunk_decode_header(in, &id, &at) || chunk_same(&id, &an_id))
		return 1;
	for (uint64_t seq = info->first; seq <= info->last; seq++, at += n)
		if (event_decode(SLICE(in.p + at, in.n - at), 1, &e, &n) ||
		    e.seq != seq)
			return 1;
	if (in.n - at < CHUNK_FOOTER_TAIL ||
	    chunk_footer_bytes(in.p + in.n - CHUNK_FOOTER_TAIL, &n) ||
	    n != in.n - at)
		return 1;
	return chunk_decode_footer(SLICE(in.p + at, n), &f);
}

static int
read_images(void *arg, struct slice in)
{
	struct slice images;
	struct image im;
	int r = images_open(in, an_id.cluster_id, &images);

	(void)arg;
	while (r == 0)
		r = images_next(&images, &im) == 1 ? 0 : 2;
	return r == 2 ? 0 : r;
}

Test(formats, every_flipped_bit_and_every_cut_is_seen)
{
	struct event e = sample(2), got;
	struct chunk_info info;
	struct buf b;
	uint32_t n;

	buf_init(&b, 1 << 20);
	add_event(&b, &e);
	cr_assert_eq(event_decode(buf_slice(&b), 1, &got, &n), 0);
	cr_assert(slice_equal(got.data, e.data));
	cr_assert(slice_equal(got.type, e.type));
	golden_is_guarded(buf_slice(&b), read_event, NULL);
	for (size_t cut = 0; cut < b.n; cut++)
		cr_assert_eq(
		    event_decode(SLICE(b.p, cut), 1, &got, &n), EVENT_E_SHORT);
	buf_reset(&b);
	make_images(&b);
	golden_is_guarded(buf_slice(&b), read_images, NULL);
	buf_deinit(&b);
	make_chunk(&b, 3, &info);
	golden_is_guarded(buf_slice(&b), read_chunk, &info);
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
	int streams, chunks, commits, keys, ended;
	uint64_t applied, dropped;
	struct manifest_key key;
	struct manifest_ended last;
	struct manifest_kept kept;
	uint32_t policies, policies_bytes;
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
on_key(void *arg, const struct manifest_key *k)
{
	((struct seen *)arg)->keys++;
	((struct seen *)arg)->key = *k;
	return 0;
}

static int
on_dropped(void *arg, uint64_t id)
{
	((struct seen *)arg)->dropped = id;
	return 0;
}

static int
on_ended(void *arg, const struct manifest_ended *e)
{
	((struct seen *)arg)->ended++;
	((struct seen *)arg)->last = *e;
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
on_kept(void *arg, const struct manifest_kept *k)
{
	((struct seen *)arg)->kept = *k;
	return 0;
}

static int
on_policies(void *arg, struct slice piece, uint32_t at, uint32_t bytes)
{
	struct seen *seen = arg;

	cr_expect_eq(at, seen->policies);
	for (size_t i = 0; i < piece.n; i++)
		cr_assert_eq(piece.p[i], (uint8_t)(at + i));
	seen->policies += (uint32_t)piece.n;
	seen->policies_bytes = bytes;
	return 0;
}

static int
read_manifest(struct slice file, struct seen *seen, struct manifest_end *end)
{
	static const struct manifest_reader_ops ops = {on_stream, on_chunk,
	    on_key, on_dropped, on_ended, on_commit, on_kept, on_policies};
	struct manifest_id id = {.cluster_id = "0123456789abcde",
	    .group = 19,
	    .generation = 1,
	    .number = 3};

	*seen = (struct seen){0};
	return manifest_read(file, &id, &ops, seen, end);
}

Test(formats, a_manifest_says_which_streams_are_no_more)
{
	struct manifest_state st = {.checkpoint = 3, .applied_index = 4};
	struct manifest_writer w;
	struct manifest_end end;
	struct seen seen;
	struct buf b;
	uint32_t first;

	buf_init(&b, 1 << 20);
	make_manifest(&b, &first);
	cr_assert_eq(read_manifest(buf_slice(&b), &seen, &end), 0);
	cr_expect_eq(seen.dropped, 0);
	while (b.n % MANIFEST_BLOCK)
		buf_add_byte(&b, 0);
	w = (struct manifest_writer){&b, end.crc};
	manifest_add_dropped(&w, 1);
	cr_assert_eq(read_manifest(buf_slice(&b), &seen, &end), 0);
	cr_expect_eq(seen.dropped, 0, "nothing was committed");
	manifest_add_commit(&w, &st);
	golden("manifest_dropped.bin", buf_slice(&b));
	cr_assert_eq(read_manifest(buf_slice(&b), &seen, &end), 0);
	cr_expect(seen.dropped == 1 && seen.applied == 4);
	buf_deinit(&b);
}

Test(formats, a_manifest_says_which_streams_were_deleted)
{
	struct manifest_state st = {.checkpoint = 3, .applied_index = 4};
	struct manifest_ended row = {
	    .id = 5,
	    .index = 6,
	    .t_ms = 7,
	    .ordinal = 8,
	    .bucket = SLICE_LIT("bucket"),
	    .stream = SLICE_LIT("stream"),
	};
	struct manifest_id id = {.cluster_id = "0123456789abcde",
	    .group = 19,
	    .generation = 1,
	    .number = 3};
	struct manifest_writer w;
	struct manifest_end end;
	struct seen seen;
	struct buf b;

	buf_init(&b, 1 << 20);
	w = (struct manifest_writer){&b, 0};
	manifest_add_head(&w, &id);
	manifest_add_ended(
	    &w, &(struct manifest_ended){.index = 3, .ordinal = 1});
	manifest_add_ended(&w, &row);
	manifest_add_commit(&w, &st);
	golden("manifest_ended.bin", buf_slice(&b));
	cr_assert_eq(read_manifest(buf_slice(&b), &seen, &end), 0);
	cr_expect_eq(seen.ended, 2);
	cr_expect(seen.last.id == 5 && seen.last.index == 6 &&
		  seen.last.t_ms == 7 && seen.last.ordinal == 8);
	cr_expect(slice_equal(seen.last.bucket, row.bucket));
	cr_expect(slice_equal(seen.last.stream, row.stream));
	buf_deinit(&b);
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

Test(formats, an_event_bears_its_key)
{
	static const struct event_key key = {
	    .key = {1, 2, 3}, .body = {4, 5, 6}, .n_events = 9};
	uint8_t ext[EVENT_KEY_BYTES];
	struct event_key back;

	event_key_encode(&key, ext);
	cr_assert(ext[0] == 1 && ext[16] == 4 && ext[32] == 9);
	cr_assert_eq(event_key_decode(SLICE(ext, sizeof(ext)), &back), 0);
	cr_expect(memcmp(&back, &key, sizeof(key)) == 0);
	cr_expect_gt(event_key_decode(SLICE(ext, sizeof(ext) - 1), &back), 0);
	ext[32] = 0;
	cr_expect_gt(event_key_decode(SLICE(ext, sizeof(ext)), &back), 0);
}

Test(formats, a_manifest_has_the_keys_that_count)
{
	static const struct manifest_id id = {
	    .cluster_id = "0123456789abcde",
	    .group = 19,
	    .generation = 1,
	    .number = 3,
	};
	static const struct manifest_key key = {
	    .stream_id = 7,
	    .first = 8,
	    .t_ms = 1700000000123,
	    .id = {.key = {1, 2, 3}, .body = {4, 5, 6}, .n_events = 9},
	};
	struct manifest_state st = {.checkpoint = 1, .applied_index = 2};
	struct manifest_end end;
	struct seen seen;
	struct buf b;
	struct manifest_writer w = {&b, 0};

	buf_init(&b, 1 << 16);
	manifest_add_head(&w, &id);
	manifest_add_key(&w, &key);
	manifest_add_commit(&w, &st);
	cr_assert_eq(buf_error(&b), 0);
	golden("manifest_key.bin", buf_slice(&b));
	cr_assert_eq(read_manifest(buf_slice(&b), &seen, &end), 0);
	cr_assert_eq(seen.keys, 1);
	cr_expect(seen.key.stream_id == 7 && seen.key.first == 8 &&
		  seen.key.t_ms == key.t_ms && seen.key.id.n_events == 9);
	cr_expect(memcmp(seen.key.id.key, key.id.key, 16) == 0);
	cr_expect(memcmp(seen.key.id.body, key.id.body, 16) == 0);
	buf_deinit(&b);
}

Test(formats, a_manifest_says_what_is_hidden_and_by_which_policies)
{
	static const struct manifest_id id = {
	    .cluster_id = "0123456789abcde",
	    .group = 19,
	    .generation = 1,
	    .number = 3,
	};
	static const struct manifest_kept kept = {
	    .id = 1,
	    .hidden = {2, 3, 4},
	    .before = 5,
	    .from = 6,
	    .chain = {7, 8},
	};
	struct manifest_state st = {
	    .checkpoint = 1, .applied_index = 2, .policy_version = 9};
	uint8_t table[10000];
	struct manifest_end end;
	struct seen seen;
	struct buf b;
	struct manifest_writer w = {&b, 0};

	for (size_t i = 0; i < sizeof(table); i++)
		table[i] = (uint8_t)i;
	buf_init(&b, 1 << 16);
	manifest_add_head(&w, &id);
	manifest_add_kept(&w, &kept);
	manifest_add_policies(&w, SLICE(table, sizeof(table)));
	manifest_add_commit(&w, &st);
	cr_assert_eq(buf_error(&b), 0);
	golden("manifest_kept.bin", buf_slice(&b));
	cr_assert_eq(read_manifest(buf_slice(&b), &seen, &end), 0);
	cr_expect(memcmp(&seen.kept, &kept, sizeof(kept)) == 0);
	cr_expect_eq(seen.policies, sizeof(table));
	cr_expect_eq(seen.policies_bytes, sizeof(table));
	buf_deinit(&b);
}

Test(formats, an_entry_has_policies_or_a_tick)
{
	uint8_t header[ENTRY_HEADER_BYTES];
	struct entry_reader reader;
	struct entry_command c;
	struct buf b;

	buf_init(&b, 1 << 16);
	entry_put_header(header, 2, 1700000000123);
	buf_add(&b, header, sizeof(header));
	entry_add_policies(&b, SLICE_LIT("table"));
	entry_add_tick(&b);
	cr_assert_eq(buf_error(&b), 0);
	golden("entry_retention.bin", buf_slice(&b));
	cr_assert_eq(entry_open(&reader, buf_slice(&b)), 0);
	cr_assert_eq(entry_next(&reader, &c), 0);
	cr_expect(c.type == ENTRY_POLICIES &&
		  slice_equal(c.policies, SLICE_LIT("table")));
	cr_assert_eq(entry_next(&reader, &c), 0);
	cr_expect_eq(c.type, ENTRY_TICK);
	cr_expect_eq(entry_next(&reader, &c), ENTRY_E_END);
	buf_deinit(&b);
}
