/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fill_write - chunks that came, in batches: verified, and written.
 *
 * Every chunk is verified in memory before it is written: header, CRC of each
 * event, seqnums, footer, chain.
 */
#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "vnode/fill_impl.h"

/* --- writing: LANE_FLUSH -------------------------------------------------- */

static int
write_chunk(struct fill *f, const struct stream *s, const struct chunk_info *c,
    struct slice bytes)
{
	const struct env_disk *d = &f->store->env->disk;
	char name[CHUNK_NAME_BYTES], path[FILES_PATH_BYTES];
	struct iovec iov = {(void *)(uintptr_t)bytes.p, bytes.n};
	struct disk_file *file;
	int r;

	chunk_file_name(name, s->id, c->first);
	snprintf(path, sizeof(path), "%s/%s", f->shadow->dir, name);
	r = d->open(d->ctx, path, DISK_WRITE | DISK_CREATE | DISK_TRUNC, &file);
	if (r)
		return r;
	r = d->pwritev(d->ctx, file, &iov, 1, 0);
	if (bytes.n >= FILL_BATCH_BYTES) /* else the last sync is a long one */
		d->write_behind(d->ctx, file);
	d->close(d->ctx, file);
	return r;
}

int
fill_verify(const struct fill *f, const struct stream *s,
    const struct chunk_info *c, struct slice bytes)
{
	struct chunk_id id = {
	    .group = f->group,
	    .stream_id = s->id,
	    .first = c->first,
	    .bucket = SLICE(s->bucket->name, s->bucket->name_n),
	    .stream = stream_name(s),
	};

	memcpy(id.cluster_id, f->store->config.cluster_id, 16);
	id.previous = stream_chain_before(s, c);
	return chunk_verify(bytes, &id, c, f->store->chain);
}

/* BYTES go behind the HAVE that are here. */
static int
finish_chunk(struct fill *f, struct fill_want *want, struct slice bytes)
{
	const struct stream *s = f->shadow->by_id[want->stream];
	const struct chunk_info *c = &s->chunks[want->chunk];
	int r;

	if (want->have) {
		buf_reset(&f->scratch);
		r = fill_read_staged(f, s, c, &f->scratch);
		if (r == 0 && f->scratch.n == want->have)
			buf_add_slice(&f->scratch, bytes);
		if (buf_error(&f->scratch))
			return buf_error(&f->scratch);
		bytes = buf_slice(&f->scratch);
	}
	r = fill_verify(f, s, c, bytes);
	want->again = r && want->have;
	if (want->again)
		return 0;
	if (r) {
		f->bad_stream = s->id;
		f->bad_first = c->first;
	}
	return r ? r : write_chunk(f, s, c, bytes);
}

static void
run_batch(struct env_job *job)
{
	struct fill *f = CONTAINER_OF(job, struct fill, job);
	const struct fill_batch *b = f->writing;
	struct slice in = buf_slice(&b->bytes);

	f->r = 0;
	for (uint32_t i = 0; f->r == 0 && i < b->n; i++) {
		uint32_t n = le_get32(in.p);

		f->r = finish_chunk(
		    f, &b->wants[i], SLICE(in.p + FILL_HEAD_BYTES, n));
		in = SLICE(
		    in.p + FILL_HEAD_BYTES + n, in.n - FILL_HEAD_BYTES - n);
	}
	store_call(f->store, fill_worker(f)->id, &f->msg, f->msg.fn);
}

/* --- batches -------------------------------------------------------------- */

static void
free_batch(struct fill_batch *b)
{
	if (!b)
		return;
	buf_deinit(&b->bytes);
	mem_free(b->wants);
	mem_free(b);
}

void
fill_chunks_free(struct fill *f)
{
	struct fill_batch *b;

	while ((b = f->ready)) {
		f->ready = b->next;
		free_batch(b);
	}
	free_batch(f->coming);
	free_batch(f->writing);
	buf_deinit(&f->found);
	buf_deinit(&f->redo);
	buf_deinit(&f->scratch);
}

struct fill_batch *
fill_batch_coming(struct fill *f)
{
	if (!f->coming && (f->coming = mem_zalloc(sizeof(*f->coming))))
		buf_init(&f->coming->bytes,
		    FILL_BATCH_BYTES + FILL_CHUNK_MAX + FILL_HEAD_BYTES);
	return f->coming;
}

void
fill_batch_close(struct fill *f)
{
	*f->last_ready = f->coming;
	f->last_ready = &f->coming->next;
	f->coming = NULL;
}

int
fill_batch_add(struct fill_batch *b, const struct fill_want *want)
{
	if (b->n == b->cap) {
		uint32_t cap = b->cap ? b->cap * 2 : 16;
		struct fill_want *p =
		    mem_realloc(b->wants, cap * sizeof(*b->wants));

		if (!p)
			return -ERR_NOMEM;
		b->wants = p;
		b->cap = cap;
	}
	b->wants[b->n++] = *want;
	return 0;
}

/* What was taken for the beginning of a chunk was none. */
static int
do_again(struct fill *f, const struct fill_batch *b)
{
	for (uint32_t i = 0; i < b->n; i++) {
		struct fill_want whole = b->wants[i];

		if (!whole.again)
			continue;
		whole.have = whole.again = 0;
		buf_add(&f->redo, &whole, sizeof(whole));
	}
	return buf_error(&f->redo);
}

static void
written(struct msg *m)
{
	struct fill *f = fill_came_back(m);

	if (!f)
		return;
	store_step(f->store, STEP_CHUNKS_WRITTEN);
	f->held -= f->writing->bytes.n;
	f->r = do_again(f, f->writing);
	free_batch(f->writing);
	f->writing = NULL;
	if (f->r)
		fill_abort(f, err_text(f->r));
	else
		fill_chunks_go_on(f);
}

void
fill_write_next(struct fill *f)
{
	if (!f->ready && f->coming && f->coming->n && f->all == 0)
		fill_batch_close(f);
	if (!f->ready)
		return;
	f->writing = f->ready;
	f->ready = f->writing->next;
	if (!f->ready)
		f->last_ready = &f->ready;
	fill_job(f, run_batch, written);
}
