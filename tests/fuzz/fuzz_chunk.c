/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_chunk - a chunk file as it is found on disk: its header and footer, and
 * pages read from it as a vnode asks for them.  A page holds the very bytes of
 * the file, every event that is whole can be read however the rest looks, and
 * only what is damaged is called so.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/reseal.h"
#include "tests/fuzz/rig.h"
#include "vnode/chunk_read.h"
#include "vnode/event.h"

#define EVENTS_MAX 512
#define SINGLE_MAX 16 /* more are not read one by one: it takes too long */
#define DIR        "v"

void
fuzz_reseal(uint8_t *p, size_t n)
{
	reseal_chunk(p, n);
}

/* The file, and what a vnode that wrote it would know. */
struct file {
	struct slice bytes;
	struct chunk_id id;
	uint32_t header_bytes;
	struct chunk_info info;
	uint64_t n_whole;            /* events from the first on */
	uint32_t at[EVENTS_MAX + 1]; /* where they begin, and the last ends */
	uint64_t t_ms[EVENTS_MAX];
};

/* --- header and records --------------------------------------------------- */

static int
open_file(struct file *f, struct slice in)
{
	uint8_t header[CHUNK_HEADER_BYTES_MAX];
	int r;

	*f = (struct file){.bytes = in};
	r = chunk_decode_header(in, &f->id, &f->header_bytes);
	if (r) {
		ASSERT(r == -ERR_CORRUPT || r == -ERR_FORMAT);
		return r;
	}
	ASSERT(f->header_bytes <= in.n);
	ASSERT(chunk_header_bytes(&f->id) == f->header_bytes);
	if (le_get16(in.p + 30) == 0) { /* reserved */
		chunk_encode_header(&f->id, header);
		ASSERT(memcmp(header, in.p, f->header_bytes) == 0);
	}
	return 0;
}

static void
find_events(struct file *f)
{
	uint32_t at = f->header_bytes, n;
	struct event e;

	while (f->n_whole < EVENTS_MAX &&
	       event_decode(
		   SLICE(f->bytes.p + at, f->bytes.n - at), 1, &e, &n) == 0 &&
	       e.seq == f->id.first + f->n_whole) {
		f->t_ms[f->n_whole] = e.t_ms;
		f->at[f->n_whole++] = at;
		at += n;
	}
	f->at[f->n_whole] = at;
}

/* --- footer --------------------------------------------------------------- */

/* A row for the first record at or behind each step, and the right one. */
static void
check_rows(const struct file *f, const struct chunk_footer *footer)
{
	uint64_t next = 0;
	uint32_t row = 0;

	for (uint32_t i = 0; i < f->n_whole; i++) {
		struct chunk_row r;

		if (f->at[i] < next)
			continue;
		ASSERT(row < footer->n_rows);
		r = chunk_footer_row(footer, row++);
		ASSERT(r.nth == i && r.offset == f->at[i]);
		next = (f->at[i] / CHUNK_INDEX_STEP + 1) * CHUNK_INDEX_STEP;
	}
	ASSERT(row == footer->n_rows);
}

/* The footer that the whole events should have. */
static void
check_own_footer(const struct file *f)
{
	uint32_t bytes = f->at[f->n_whole], n;
	struct chunk_info info = {.first = f->id.first,
	    .last = f->id.first + f->n_whole - 1,
	    .first_t = f->t_ms[0],
	    .last_t = f->t_ms[f->n_whole - 1],
	    .bytes = bytes};
	struct chunk_footer footer;
	struct buf b;

	buf_init(&b, 1u << 20);
	ASSERT(chunk_add_footer(
		   &b, SLICE(f->bytes.p, bytes), f->header_bytes, &info) == 0);
	ASSERT(chunk_footer_bytes(b.p + b.n - CHUNK_FOOTER_TAIL, &n) == 0);
	ASSERT(n == b.n && chunk_decode_footer(buf_slice(&b), &footer) == 0);
	ASSERT(footer.count == f->n_whole && footer.bytes == bytes);
	ASSERT(footer.first_t == info.first_t && footer.last_t == info.last_t);
	check_rows(f, &footer);
	buf_deinit(&b);
}

/* A row is right, or points behind what is whole: a footer is only written by
 * who has read all that it is about. */
static int
rows_are_right(const struct file *f, const struct chunk_footer *footer)
{
	uint32_t end = f->at[f->n_whole];

	for (uint32_t i = 0; i < footer->n_rows; i++) {
		struct chunk_row row = chunk_footer_row(footer, i);

		if (row.nth < f->n_whole ? row.offset != f->at[row.nth]
					 : row.offset < end)
			return 0;
	}
	return 1;
}

/* Whether a vnode may have left it there: a whole one is right, and of one that
 * is damaged nothing is believed. */
static int
check_found_footer(const struct file *f, struct slice in)
{
	struct chunk_footer footer;
	int r = chunk_decode_footer(in, &footer);

	if (r) {
		ASSERT(r == -ERR_CORRUPT);
		return 1;
	}
	ASSERT(footer.n_rows > 0 && footer.count > 0);
	for (uint32_t i = 0; i < footer.n_rows; i++) {
		struct chunk_row row = chunk_footer_row(&footer, i);

		ASSERT(row.nth < footer.count && row.offset < footer.bytes);
	}
	return rows_are_right(f, &footer);
}

/* --- reading -------------------------------------------------------------- */

struct reader {
	struct rig rig;
	struct files *files;
	struct vnode_read req;
	int answered;
};

static void
on_answer(struct msg *m)
{
	struct vnode_read *req = CONTAINER_OF(m, struct vnode_read, msg);

	CONTAINER_OF(req, struct reader, req)->answered++;
}

static void
reader_init(struct reader *rd, const struct file *f)
{
	char path[128], name[CHUNK_NAME_BYTES];
	const struct env_disk *d;

	rig_init(&rd->rig);
	d = &rd->rig.env->disk;
	ASSERT(d->mkdir(d->ctx, DIR) == 0);
	chunk_file_name(name, f->id.stream_id, f->id.first);
	snprintf(path, sizeof(path), "%s/%s", DIR, name);
	ASSERT(memdisk_put(rd->rig.md, path, f->bytes) == 0);
	rd->files = files_new(d, 4);
	ASSERT(rd->files);
}

static void
reader_deinit(struct reader *rd)
{
	files_free(rd->files);
	rig_deinit(&rd->rig);
}

static void
ask(struct reader *rd, const struct file *f, uint64_t from, uint64_t to,
    uint64_t stop_t)
{
	struct chunk_read r = {
	    .env = rd->rig.env,
	    .files = rd->files,
	    .dir = DIR,
	    .id = f->id,
	    .info = f->info,
	    .from = from,
	    .to = to,
	    .stop_t = stop_t,
	};

	rd->req.msg = (struct msg){.kind = MSG_READ, .fn = on_answer};
	rd->req.bucket = f->id.bucket;
	rd->req.stream = f->id.stream;
	rd->req.r = 1;
	rd->req.page = (struct vnode_page){0};
	rd->answered = 0;
	ASSERT(chunk_read_start(&r, &rd->req) == 0);
	rig_run(&rd->rig);
	ASSERT(rd->answered == 1 && rd->req.msg.answer == 1);
}

/* Whole records, one after the other, that stand in the file. */
static void
check_records(const struct file *f, const struct vnode_page *page)
{
	struct slice in = page->parts[0].records;
	uint64_t seq = page->first;

	ASSERT(memmem(f->bytes.p, f->bytes.n, in.p, in.n));
	for (; in.n; seq++) {
		struct event e;
		uint32_t n;

		ASSERT(event_decode(in, 1, &e, &n) == 0 && e.seq == seq);
		in = SLICE(in.p + n, in.n - n);
	}
	ASSERT(seq == page->last + 1);
}

/* The events of the page are those of the file, byte for byte. */
static void
check_page(
    const struct reader *rd, const struct file *f, uint64_t from, uint64_t to)
{
	const struct vnode_page *page = &rd->req.page;
	uint64_t a, b;

	ASSERT(page->first >= from && page->last <= to);
	ASSERT(page->first <= page->last && page->n_parts == 1);
	ASSERT(rd->req.desc ? page->last == to : page->first == from);
	check_records(f, page);
	a = page->first - f->info.first;
	b = page->last - f->info.first + 1;
	if (b > f->n_whole)
		return; /* behind something that is damaged */
	ASSERT(slice_equal(page->parts[0].records,
	    SLICE(f->bytes.p + f->at[a], f->at[b] - f->at[a])));
}

/* Who is told that something is damaged goes on behind it (or before), as a
 * client does, and all that is whole up to the first damage is read. */
static void
check_damaged(
    const struct reader *rd, const struct file *f, uint64_t from, uint64_t to)
{
	const struct vnode_read *req = &rd->req;
	uint64_t bad = f->info.first + f->n_whole; /* the first that is not */

	ASSERT(req->r == -ERR_CORRUPT);
	ASSERT(req->damaged_first >= from && req->damaged_last <= to);
	ASSERT(req->damaged_first <= req->damaged_last);
	ASSERT(req->damaged_first >= bad);
	ASSERT(req->desc || req->damaged_first == from);
}

/* All of the chunk in pages. */
static void
check_pages(struct reader *rd, const struct file *f)
{
	uint64_t from = f->info.first, to = f->info.last;

	while (from <= to) {
		ask(rd, f, from, to, 0);
		if (rd->req.r) {
			check_damaged(rd, f, from, to);
			if (rd->req.desc)
				to = rd->req.damaged_first - 1;
			else
				from = rd->req.damaged_last + 1;
			continue;
		}
		check_page(rd, f, from, to);
		if (rd->req.desc)
			to = rd->req.page.first - 1;
		else
			from = rd->req.page.last + 1;
		vnode_page_deinit(&rd->req.page);
	}
}

/* The first event that is not older than T, unless damage comes before it. */
static void
check_seek(struct reader *rd, const struct file *f, uint64_t t)
{
	uint64_t i = 0;

	if (t == 0)
		return; /* would ask for a page */
	while (i < f->n_whole && f->t_ms[i] < t)
		i++;
	rd->req.desc = 0;
	ask(rd, f, f->info.first, f->info.last, t);
	if (i == f->n_whole && f->info.first + i <= f->info.last) {
		ASSERT(rd->req.r == -ERR_CORRUPT);
		return;
	}
	ASSERT(rd->req.r == 0 && rd->req.seek == f->info.first + i);
}

static void
check_reading(const struct file *f)
{
	static const uint32_t sizes[] = {1, 4096, 1u << 20};

	for (size_t i = 0; i < 3; i++) {
		struct reader rd = {0};

		if (sizes[i] == 1 && f->n_whole > SINGLE_MAX)
			continue;
		reader_init(&rd, f);
		rd.req.max_bytes = sizes[i];
		for (rd.req.desc = 0; rd.req.desc < 2; rd.req.desc++)
			check_pages(&rd, f);
		if (f->n_whole) {
			check_seek(&rd, f, f->t_ms[f->n_whole - 1]);
			check_seek(&rd, f, f->t_ms[f->n_whole / 2] + 1);
		}
		reader_deinit(&rd);
	}
}

/* Nothing is read from a file that is not the one which was asked for. */
static void
check_other(const struct file *f)
{
	struct file other = *f;
	struct reader rd = {.req = {.max_bytes = 4096}};

	reader_init(&rd, f);
	other.id.previous.lo++;
	ask(&rd, &other, f->info.first, f->info.last, 0);
	ASSERT(rd.req.r == -ERR_CORRUPT);
	ASSERT(rd.req.damaged_first == f->info.first);
	ASSERT(rd.req.damaged_last == f->info.last);
	reader_deinit(&rd);
}

/* A vnode that sealed it would know this; 0: there is no footer. */
static int
is_sealed(struct file *f)
{
	struct chunk_footer footer;
	size_t end = f->bytes.n;
	uint32_t n;

	if (end < CHUNK_FOOTER_TAIL ||
	    chunk_footer_bytes(f->bytes.p + end - CHUNK_FOOTER_TAIL, &n) ||
	    n > end ||
	    chunk_decode_footer(SLICE(f->bytes.p + end - n, n), &footer) ||
	    footer.bytes != end - n || footer.bytes < f->at[f->n_whole] ||
	    !rows_are_right(f, &footer))
		return 0;
	f->info = (struct chunk_info){.first = f->id.first,
	    .last = f->id.first + footer.count - 1,
	    .bytes = footer.bytes,
	    .sealed = 1};
	return f->info.last >= f->id.first + f->n_whole &&
	       footer.count < EVENTS_MAX;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct file f;
	size_t left;

	if (open_file(&f, SLICE(p, n)) || f.id.first == 0 ||
	    f.id.first > UINT64_MAX / 2)
		return 0;
	find_events(&f);
	if (f.n_whole)
		check_own_footer(&f);
	left = n - f.at[f.n_whole];
	f.info = (struct chunk_info){.first = f.id.first,
	    .last = f.id.first + f.n_whole - 1,
	    .bytes = f.at[f.n_whole],
	    .sealed = (uint32_t)check_found_footer(
		&f, SLICE(p + f.at[f.n_whole], left))};
	if (f.n_whole) {
		check_reading(&f);
		check_other(&f);
	}
	/* More events were written, and the first that is there now is none. */
	if (left && f.n_whole < EVENTS_MAX) {
		f.info.last += 1 + p[n - 1] % 4;
		f.info.bytes = (uint32_t)n;
		f.info.sealed = 0;
		check_reading(&f);
	}
	if (is_sealed(&f))
		check_reading(&f);
	return 0;
}
