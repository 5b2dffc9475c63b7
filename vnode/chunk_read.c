/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * chunk_read - one page of events from one chunk file.
 *
 * Where to begin: the rows of the footer when the chunk is sealed, rows learnt
 * by earlier reads when it is open, else the first event.  A row points at most
 * CHUNK_INDEX_STEP and one event before what is wanted.
 */
#include "vnode/chunk_read.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define READ_FIRST_BYTES (16u << 10)
#define READ_SLACK_BYTES 4096

struct job {
	struct env_job job;
	struct chunk_read r;
	struct vnode_read *req;
	struct files_entry *file;
	uint32_t header_bytes;
	unsigned moves; /* when it began */
	int no_footer;  /* it should have one */
	char path[FILES_PATH_BYTES];
};

static unsigned
moves_of(const struct chunk_read *r)
{
	return r->moves ? atomic_load(r->moves) : 0;
}

static int
read_exactly(struct job *j, void *out, size_t n, uint64_t at)
{
	const struct env_disk *d = &j->r.env->disk;
	size_t got = 0;
	int r = d->pread(d->ctx, j->file->file, out, n, at, &got);

	if (r)
		return r;
	return got == n ? 0 : -ERR_CORRUPT; /* shorter than the vnode knows */
}

static int
check_header(struct job *j)
{
	uint8_t head[CHUNK_HEADER_BYTES_MAX];
	struct chunk_id id;
	uint32_t n;
	int r;

	j->header_bytes = chunk_header_bytes(&j->r.id);
	if (__atomic_load_n(&j->file->checked, __ATOMIC_ACQUIRE))
		return 0;
	r = read_exactly(j, head, j->header_bytes, 0);
	if (r == 0)
		r = chunk_decode_header(SLICE(head, j->header_bytes), &id, &n);
	if (r == 0)
		r = chunk_same(&id, &j->r.id);
	return r ? -ERR_CORRUPT : 0;
}

static int
load_footer(struct job *j)
{
	const struct env_disk *d = &j->r.env->disk;
	uint8_t tail[CHUNK_FOOTER_TAIL];
	struct chunk_footer f;
	uint64_t size;
	uint32_t n;
	uint8_t *p = NULL;
	int r = d->size(d->ctx, j->file->file, &size);

	if (r == 0 && size < j->r.info.bytes + sizeof(tail))
		r = -ERR_CORRUPT;
	if (r == 0)
		r = read_exactly(j, tail, sizeof(tail), size - sizeof(tail));
	if (r == 0)
		r = chunk_footer_bytes(tail, &n);
	if (r == 0 && size != (uint64_t)j->r.info.bytes + n)
		r = -ERR_CORRUPT;
	if (r == 0 && !(p = mem_alloc(n)))
		r = -ERR_NOMEM;
	if (r == 0)
		r = read_exactly(j, p, n, j->r.info.bytes);
	if (r == 0)
		r = chunk_decode_footer(SLICE(p, n), &f);
	if (r == 0 && (f.bytes != j->r.info.bytes ||
			  f.count != j->r.info.last - j->r.info.first + 1))
		r = -ERR_CORRUPT;
	for (uint32_t i = 0; r == 0 && i < f.n_rows; i++)
		files_add_row(j->r.files, j->file, chunk_footer_row(&f, i));
	mem_free(p);
	return r;
}

/* Opens the file and makes sure that it is the one; its rows, if sealed. */
static int
open_chunk(struct job *j)
{
	int r = files_get(j->r.files, j->path, &j->file);

	if (r)
		return r == -ERR_NOTFOUND ? -ERR_CORRUPT : r;
	r = check_header(j);
	if (r == 0 && !__atomic_load_n(&j->file->checked, __ATOMIC_ACQUIRE)) {
		int footer = j->r.info.sealed ? load_footer(j) : 0;

		/* A damaged one costs speed, not events. */
		if (footer == -ERR_NOMEM)
			r = -ERR_NOMEM;
		j->no_footer = footer && chunk_has_footer(&j->r.info);
		__atomic_store_n(&j->file->checked, 1, __ATOMIC_RELEASE);
	}
	return r;
}

static struct chunk_row
start_row(struct job *j, uint64_t seq)
{
	struct chunk_row row =
	    files_row(j->r.files, j->file, (uint32_t)(seq - j->r.info.first));

	if (row.offset == 0)
		row = (struct chunk_row){0, j->header_bytes};
	return row;
}

/* What a scan of records found: the run [from, to] as offsets in the block. */
struct scan {
	struct block *block;
	struct chunk_row row; /* of the block's first record */
	uint32_t begin, end;
	uint64_t first, last;   /* seqnums of the run; 0: none yet */
	uint64_t seq_hit;       /* seek: the event found */
	uint64_t bad;           /* seqnum that is damaged, 0: none */
	struct chunk_edge edge; /* as far as it was looked for */
	uint32_t want;          /* bytes that the block lacks for one event */
};

static void
learn_row(struct job *j, uint64_t seq, uint32_t at)
{
	if (!j->r.info.sealed)
		files_add_row(j->r.files, j->file,
		    (struct chunk_row){(uint32_t)(seq - j->r.info.first), at});
}

/* 1: E, at AT of the block, is the event that is looked for. */
static int
is_edge(struct scan *s, const struct event *e, uint32_t at)
{
	struct chunk_edge *x = &s->edge;

	if (e->seq >= x->hidden.seq && x->before >= x->hidden.before &&
	    e->t_ms > x->hidden.t) {
		s->seq_hit = x->from = e->seq;
		x->t_ms = e->t_ms;
		x->offset = s->row.offset + at;
		return 1;
	}
	x->from = e->seq + 1;
	x->before += e->data.n;
	return 0;
}

/* Walks the records of the block up to j->r.to, or what is whole in it. */
static void
scan_block(struct job *j, struct scan *s)
{
	uint64_t seq = j->r.info.first + s->row.nth;
	uint64_t next_row = s->row.offset + CHUNK_INDEX_STEP;
	uint32_t at = 0, n;
	struct event e;

	for (; seq <= j->r.to; seq++, at += n) {
		struct slice in = SLICE(s->block->p + at, s->block->n - at);
		int r = event_decode(in, seq >= j->r.from, &e, &n);

		if (r == EVENT_E_SHORT) {
			s->want = at + (n ? n : EVENT_HEADER_BYTES);
			return;
		}
		if (r || e.seq != seq) {
			s->bad = seq;
			return;
		}
		if (s->row.offset + at >= next_row) {
			learn_row(j, seq, s->row.offset + at);
			next_row += CHUNK_INDEX_STEP;
		}
		if (seq < j->r.from)
			continue;
		if (j->r.edge) {
			if (is_edge(s, &e, at))
				return;
			continue;
		}
		if (j->r.stop_t && e.t_ms >= j->r.stop_t) {
			s->seq_hit = seq;
			return;
		}
		if (!s->first) {
			s->first = seq;
			s->begin = at;
		}
		s->last = seq;
		s->end = at + n;
	}
}

/* Reads BYTES (or what is left of the chunk) from the row on, and scans. */
static int
fill(struct job *j, struct scan *s, uint32_t bytes)
{
	uint32_t left = j->r.info.bytes - s->row.offset;
	uint32_t n = bytes < left ? bytes : left;
	const struct env_disk *d = &j->r.env->disk;
	size_t got = 0;
	int r;

	block_unref(s->block);
	s->block = block_new(n);
	if (!s->block)
		return -ERR_NOMEM;
	r = d->pread(
	    d->ctx, j->file->file, s->block->p, n, s->row.offset, &got);
	if (r)
		return r;
	s->block->n = (uint32_t)got;
	s->first = s->last = s->bad = s->want = 0;
	if (j->r.edge)
		s->edge = *j->r.edge;
	scan_block(j, s);
	return 0;
}

/* How many bytes to read for COUNT events, judged by the chunk's average. */
static uint32_t
estimate(const struct job *j, uint64_t count)
{
	uint64_t n = j->r.info.last - j->r.info.first + 1;
	uint64_t per_event = j->r.info.bytes / n + 1;
	uint64_t want = count * per_event + READ_SLACK_BYTES;

	if (want < READ_FIRST_BYTES)
		want = READ_FIRST_BYTES;
	return want < j->req->max_bytes ? (uint32_t)want : j->req->max_bytes;
}

/* With desc: begin at the row from which the rest up to `to` fits in a page. */
static void
narrow_desc(struct job *j)
{
	struct chunk_row end = start_row(j, j->r.to);
	struct chunk_row row = start_row(j, j->r.from);
	uint64_t seq = j->r.from;

	while (end.offset > row.offset &&
	       end.offset - row.offset > j->req->max_bytes / 2) {
		struct chunk_row mid;

		seq += (j->r.info.first + end.nth - seq + 1) / 2;
		mid = start_row(j, seq);
		if (seq >= j->r.info.first + end.nth) {
			row = end;
			break;
		}
		row = mid;
	}
	if (j->r.info.first + row.nth > j->r.from)
		j->r.from = j->r.info.first + row.nth;
}

static int
read_run(struct job *j, struct scan *s)
{
	uint32_t bytes;
	int r;

	if (j->req->desc && !j->r.stop_t && !j->r.edge)
		narrow_desc(j);
	s->row =
	    j->r.edge && j->r.edge->offset
		? (struct chunk_row){(uint32_t)(j->r.from - j->r.info.first),
		      j->r.edge->offset}
		: start_row(j, j->r.from);
	bytes = estimate(j, j->r.to - j->r.info.first - s->row.nth + 1);
	for (;;) {
		r = fill(j, s, bytes);
		if (r || s->bad || s->seq_hit || !s->want)
			return r;
		if (s->row.offset + s->block->n >= j->r.info.bytes ||
		    s->block->n < bytes) {
			s->bad = s->last ? s->last + 1 : j->r.from;
			return 0; /* the file ends before its events do */
		}
		if (s->last && !j->req->desc && !j->r.stop_t)
			return 0; /* a page, if not all */
		/* Doubled also when one event more would do: the scan begins
		 * at the row each time. */
		bytes *= 2;
		if (bytes < s->want)
			bytes = s->want;
	}
}

/*
 * Event BAD cannot be read.  When the way to what was asked for leads over it,
 * because not even its length can be trusted, nothing can be found up to the
 * next row; looking for something that looks like a record would find what a
 * client has put into an event.
 */
static void
answer_damaged(struct job *j, uint64_t bad)
{
	struct vnode_read *req = j->req;
	uint64_t low = j->r.from, high = j->r.to + 1;
	uint32_t nth = start_row(j, low).nth;

	req->r = -ERR_CORRUPT;
	req->damaged_first = req->damaged_last = bad;
	if (bad >= j->r.from)
		return;
	while (high - low > 1) {
		uint64_t mid = low + (high - low) / 2;

		if (start_row(j, mid).nth > nth)
			high = mid;
		else
			low = mid;
	}
	req->damaged_first = j->r.from;
	req->damaged_last = high - 1;
}

static void
answer_page(struct job *j, struct scan *s)
{
	struct vnode_read *req = j->req;

	if (s->bad && (!s->last || req->desc)) {
		answer_damaged(j, s->bad);
		return;
	}
	req->page.parts = mem_calloc(1, sizeof(*req->page.parts));
	if (!req->page.parts) {
		req->r = -ERR_NOMEM;
		return;
	}
	req->page.n_parts = 1;
	req->page.first = s->first;
	req->page.last = s->last;
	req->page.parts[0].records =
	    SLICE(s->block->p + s->begin, s->end - s->begin);
	req->page.parts[0].block = s->block;
	s->block = NULL;
}

/* 1: somebody has taken the request over. */
static int
tell_damaged(const struct job *j)
{
	struct vnode_read *req = j->req;

	if (!j->r.damaged)
		return 0;
	if (req->r == -ERR_CORRUPT)
		return j->r.damaged(j->r.owner, &j->r, j->r.edge ? NULL : req);
	if (req->r == 0 && j->no_footer)
		j->r.damaged(j->r.owner, &j->r, NULL);
	return 0;
}

static void
run(struct env_job *job)
{
	struct job *j = CONTAINER_OF(job, struct job, job);
	const struct env_post *post = &j->r.env->post;
	struct vnode_read *req = j->req;
	struct scan s = {0};

	req->r = open_chunk(j);
	if (req->r == 0)
		req->r = read_run(j, &s);
	if (req->r && moves_of(&j->r) != j->moves) {
		req->r = -ERR_UNAVAILABLE;
	} else if (req->r == -ERR_CORRUPT || req->r == -ERR_IO) {
		/* All of the chunk: its header or the device is at fault. */
		req->r = -ERR_CORRUPT;
		req->damaged_first = j->r.from;
		req->damaged_last = j->r.to;
	} else if (req->r == 0 && j->r.edge) {
		*j->r.edge = s.edge;
		if (!s.seq_hit)
			j->r.edge->t_ms = j->r.edge->offset = 0;
		if (s.bad)
			answer_damaged(j, s.bad);
	} else if (req->r == 0 && j->r.stop_t) {
		req->seek = s.seq_hit ? s.seq_hit : j->r.to + 1;
		if (s.bad)
			answer_damaged(j, s.bad);
	} else if (req->r == 0) {
		answer_page(j, &s);
	}
	block_unref(s.block);
	if (j->file)
		files_put(j->r.files, j->file);
	if (j->r.reads)
		atomic_fetch_sub(j->r.reads, 1);
	if (!tell_damaged(j))
		post->to_worker(post->ctx, req->msg.from, &req->msg);
	mem_free(j);
}

int
chunk_read_start(const struct chunk_read *r, struct vnode_read *req)
{
	struct job *j = mem_zalloc(sizeof(*j));
	char name[CHUNK_NAME_BYTES];
	int n;

	if (!j)
		return -ERR_NOMEM;
	j->job.run = run;
	j->r = *r;
	j->moves = moves_of(r);
	j->r.id.bucket = req->bucket;
	j->r.id.stream = req->stream;
	j->req = req;
	chunk_file_name(name, r->id.stream_id, r->id.first);
	n = snprintf(j->path, sizeof(j->path), "%s/%s", r->dir, name);
	ASSERT(n > 0 && (size_t)n < sizeof(j->path));
	j->r.dir = NULL;
	if (r->reads)
		atomic_fetch_add(r->reads, 1);
	req->msg.answer = 1;
	r->env->post.to_lane(r->env->post.ctx, LANE_READ, &j->job);
	return 0;
}
