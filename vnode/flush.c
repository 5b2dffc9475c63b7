/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * flush - tails to chunk files, and checkpoints of vnodes, behind the journal.
 *
 * A flush is captured on the worker (which events, in which chunk, at which
 * offset; which rows the manifests get), carried out on LANE_FLUSH, and booked
 * on the worker again.  It holds references to the blocks it writes; streams
 * are not freed while one is under way: those that are deleted meanwhile are
 * dead, and stay until a later checkpoint has dropped them.  All it writes
 * comes from applied entries.
 *
 * Order within a checkpoint, which the crash arguments of manifest.c and
 * images.c rest on: images, sync, chunk data, sync, manifest rows and COMMIT,
 * sync.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/hash.h"
#include "src/base/mem.h"
#include "vnode/dropped.h"
#include "vnode/flush_impl.h"
#include "vnode/images.h"
#include "vnode/mutants.h"
#include "vnode/repair.h"
#include "vnode/store_open.h"

#define IOV_BATCH  256
#define FOOTER_MAX (64u << 10)

/* --- writing: LANE_FLUSH -------------------------------------------------- */

void
flush_chunk_path(const struct flush_chunk *c, char out[FILES_PATH_BYTES])
{
	char name[CHUNK_NAME_BYTES];

	chunk_file_name(name, c->stream->id, c->info.first);
	snprintf(out, FILES_PATH_BYTES, "%s/%s", c->vnode->dir, name);
}

static void
remember_unsynced(
    struct store *s, const struct flush_chunk *c, const char *path)
{
	struct unsynced *u = &s->unsynced;

	if (c->create)
		memcpy(u->dirs[c->vnode->group.id], c->vnode->dir,
		    VNODE_DIR_BYTES);
	if (u->n < UNSYNCED_MAX)
		memcpy(u->paths[u->n], path, FILES_PATH_BYTES);
	if (u->n <= UNSYNCED_MAX)
		u->n++;
}

void
flush_forget_dir(struct store *s, const char *dir)
{
	struct unsynced *u = &s->unsynced;
	size_t n = strlen(dir);

	for (uint32_t g = 0; g < s->config.n_groups; g++)
		if (strcmp(u->dirs[g], dir) == 0)
			u->dirs[g][0] = '\0';
	if (u->n > UNSYNCED_MAX)
		return;
	for (uint32_t i = 0; i < u->n;) {
		if (strncmp(u->paths[i], dir, n) != 0 || u->paths[i][n] != '/')
			i++;
		else if (i < --u->n)
			memcpy(u->paths[i], u->paths[u->n], FILES_PATH_BYTES);
	}
}

static void
fill_id(const struct store *s, const struct flush_chunk *c,
    struct hash128 previous, struct chunk_id *id)
{
	*id = (struct chunk_id){
	    .group = c->vnode->group.id,
	    .stream_id = c->stream->id,
	    .first = c->info.first,
	    .previous = previous,
	    .bucket = SLICE(c->stream->bucket->name, c->stream->bucket->name_n),
	    .stream = stream_name(c->stream),
	};
	memcpy(id->cluster_id, s->config.cluster_id, 16);
}

static int
write_parts(struct flush *f, const struct flush_chunk *c,
    struct disk_file *file, struct hash128 previous)
{
	const struct env_disk *d = &f->store->env->disk;
	uint8_t header[CHUNK_HEADER_BYTES_MAX];
	struct iovec iov[IOV_BATCH];
	uint64_t at = c->offset;
	uint32_t part = c->first_part;
	int n = 0, r = 0;

	if (c->create) {
		struct chunk_id id;

		fill_id(f->store, c, previous, &id);
		chunk_encode_header(&id, header);
		iov[n++] = (struct iovec){header, chunk_header_bytes(&id)};
		at = 0;
	}
	while (r == 0 && (n || part < c->first_part + c->n_parts)) {
		uint64_t bytes = 0;

		for (; n < IOV_BATCH && part < c->first_part + c->n_parts;
		     part++)
			iov[n++] = (struct iovec){
			    f->parts[part].block->p + f->parts[part].at,
			    f->parts[part].n};
		for (int i = 0; i < n; i++)
			bytes += iov[i].iov_len;
		r = d->pwritev(d->ctx, file, iov, n, at);
		at += bytes;
		n = 0;
	}
	return r;
}

/* Adds the footer, and tells the chain.  Reads the chunk back: what is sealed
 * has been verified. */
static int
seal_chunk(struct flush *f, struct flush_chunk *c, struct disk_file *file,
    struct hash128 previous)
{
	const struct env_disk *d = &f->store->env->disk;
	uint32_t header_bytes;
	struct chunk_id id;
	struct buf whole;
	struct iovec iov;
	size_t got = 0;
	int r;

	buf_init(&whole, (size_t)c->info.bytes + FOOTER_MAX);
	if (!buf_reserve(&whole, c->info.bytes + FOOTER_MAX))
		return -ERR_NOMEM;
	r = d->pread(d->ctx, file, whole.p, c->info.bytes, 0, &got);
	whole.n = got;
	if (r == 0 && got != c->info.bytes)
		r = -ERR_CORRUPT;
	if (r == 0)
		r = chunk_decode_header(buf_slice(&whole), &id, &header_bytes);
	if (r == 0)
		r = chunk_add_footer(&whole, SLICE(whole.p, c->info.bytes),
		    header_bytes, &c->info);
	if (r == 0) {
		iov = (struct iovec){
		    whole.p + c->info.bytes, whole.n - c->info.bytes};
		r = d->pwritev(d->ctx, file, &iov, 1, c->info.bytes);
	}
	if (r == 0) {
		c->info.chain =
		    hash128_chain(f->store->chain, previous, whole.p, whole.n);
		c->info.sealed = 1;
	}
	buf_deinit(&whole);
	return r;
}

/* Whether FILE, which is to go on, holds what was written before: what is added
 * to a damaged file could not be read either. */
static int
check_chunk(struct flush *f, const struct flush_chunk *c,
    struct disk_file *file, struct hash128 previous)
{
	const struct env_disk *d = &f->store->env->disk;
	uint8_t header[CHUNK_HEADER_BYTES_MAX];
	struct chunk_id want, id;
	uint64_t size;
	size_t got = 0;
	uint32_t n;
	int r;

	fill_id(f->store, c, previous, &want);
	n = chunk_header_bytes(&want);
	r = d->size(d->ctx, file, &size);
	if (r == 0)
		r = d->pread(d->ctx, file, header, n, 0, &got);
	if (r == 0 && (size < c->offset || got < n))
		r = -ERR_CORRUPT;
	if (r == 0)
		r = chunk_decode_header(SLICE(header, n), &id, &n);
	if (r == 0)
		r = chunk_same(&id, &want);
	return r == 0 || r == -ERR_NOMEM ? r : -ERR_CORRUPT;
}

/* Opens what is there already.  Not there any more: damaged, too. */
static int
open_chunk(struct flush *f, const struct flush_chunk *c, const char *path,
    struct hash128 previous, struct disk_file **file)
{
	const struct env_disk *d = &f->store->env->disk;
	int r = d->open(d->ctx, path, DISK_WRITE, file);

	if (r)
		return r == -ERR_NOTFOUND ? -ERR_CORRUPT : r;
	r = check_chunk(f, c, *file, previous);
	if (r)
		d->close(d->ctx, *file);
	return r;
}

static void
lose_chunk(struct flush *f, struct flush_chunk *c, const char *path)
{
	c->lost = 1;
	f->postponed |= c->n_parts > 0 || c->waits;
	if (c->waits)
		return;
	store_report(f->store, 1,
	    "%s is damaged and gets no more events; those that can be read "
	    "are served",
	    path);
}

static int
write_chunk(struct flush *f, struct flush_chunk *c, struct hash128 previous)
{
	const struct env_disk *d = &f->store->env->disk;
	struct disk_file *file = NULL;
	char path[FILES_PATH_BYTES];
	int r;

	flush_chunk_path(c, path);
	if (c->lost)
		r = -ERR_CORRUPT;
	else if (c->create)
		r = d->open(
		    d->ctx, path, DISK_WRITE | DISK_CREATE | DISK_TRUNC, &file);
	else
		r = open_chunk(f, c, path, previous, &file);
	if (r == -ERR_CORRUPT) {
		lose_chunk(f, c, path);
		return 0;
	}
	if (r)
		return r;
	if (c->cut && !c->create)
		r = d->truncate(d->ctx, file, c->offset);
	if (r == 0)
		r = write_parts(f, c, file, previous);
	if (r == 0 && c->seal) {
		r = seal_chunk(f, c, file, previous);
		if (r == -ERR_CORRUPT) {
			c->n_parts = 0; /* they are written */
			lose_chunk(f, c, path);
			r = 0;
		}
	}
	remember_unsynced(f->store, c, path);
	d->close(d->ctx, file);
	if (c->create || c->cut || c->seal)
		files_forget(f->store->files, path);
	return r;
}

static int
sync_chunks(struct store *s)
{
	const struct env_disk *d = &s->env->disk;
	struct unsynced *u = &s->unsynced;
	int r = 0;

	if (u->n > UNSYNCED_MAX) {
		r = d->sync_all(d->ctx);
	} else {
		for (uint32_t i = 0; r == 0 && i < u->n; i++) {
			struct disk_file *file;

			r = d->open(d->ctx, u->paths[i], DISK_WRITE, &file);
			if (r)
				break;
			r = d->sync(d->ctx, file);
			d->close(d->ctx, file);
		}
		for (uint32_t g = 0; r == 0 && g < s->config.n_groups; g++)
			if (u->dirs[g][0])
				r = d->sync_dir(d->ctx, u->dirs[g]);
	}
	/* A sync that failed for want of room has lost what it was to sync,
	 * like any other. */
	if (r)
		return r == -ERR_NOSPC ? -ERR_IO : r;
	images_reset(s);
	u->n = 0;
	memset(u->dirs, 0, s->config.n_groups * sizeof(*u->dirs));
	return 0;
}

/* --- all of it: LANE_FLUSH ------------------------------------------------ */

static int
write_chunks(struct flush *f)
{
	struct hash128 previous = {0, 0};
	int r = images_save(f);

	for (uint32_t i = 0; r == 0 && i < f->n_chunks; i++) {
		struct flush_chunk *c = &f->chunks[i];
		int follows = i && f->chunks[i - 1].stream == c->stream;

		if (!follows || c->info.apart)
			previous = c->previous;
		if (follows &&
		    (f->chunks[i - 1].later ||
			(f->chunks[i - 1].lost && (f->chunks[i - 1].n_parts ||
						      f->chunks[i - 1].waits))))
			c->later = 1;
		if (c->later)
			continue;
		r = write_chunk(f, c, previous);
		previous =
		    c->info.sealed ? c->info.chain : (struct hash128){0, 0};
	}
	return r;
}

/*
 * The steps are told apart because what a manifest names must not be written
 * again: when some manifests of a checkpoint could be written and others could
 * not, the chunks count as written all the same.
 */
static int
carry_out(struct flush *f)
{
	int r = f->chunks_r = write_chunks(f);

	/* The manifests would name events that are in no file yet. */
	if (r == 0 && f->checkpoint && f->postponed)
		r = -ERR_BUSY;
	if (r == 0 && f->checkpoint && !VNODE_MUTANT(MANIFEST_BEFORE_CHUNKS))
		r = sync_chunks(f->store);
	for (uint32_t i = 0; i < f->n_manifests; i++) {
		if (r == 0)
			r = flush_write_manifest(f, &f->manifests[i]);
		f->manifests[i].r = r;
	}
	return r;
}

/* --- booking: the worker -------------------------------------------------- */

/* A damaged chunk is repaired before anything else goes to it, or behind it; or
 * the rest of it goes to another one with the next flush. */
static void
book_lost(
    struct store_worker *w, const struct flush *f, const struct flush_chunk *c)
{
	struct stream *s = c->stream;
	struct chunk_id id;

	if (c->waits) {
		repair_note(w, c->vnode, s->id, c->info.first);
		s->cut = 1;
		dirty_add(&w->dirty, s);
		return;
	}
	fill_id(f->store, c, c->previous, &id);
	if (stream_give_up_chunk(
		s, c->info.first, c->offset, chunk_header_bytes(&id)) == 0 &&
	    list_empty(&s->unsaved))
		list_add_tail(&c->vnode->unsaved, &s->unsaved);
	if (s->flushed < s->last)
		dirty_add(&w->dirty, s);
}

static void
book_chunk(
    struct store_worker *w, const struct flush *f, const struct flush_chunk *c)
{
	struct stream *s = c->stream;

	if (s->dead)
		return;
	if (f->chunks_r || c->later) {
		/* Written or not, the file may be longer than we know. */
		s->cut = 1;
		dirty_add(&w->dirty, s);
		return;
	}
	if (c->seal && c->info.sealed) {
		struct chunk_info *row = stream_chunk(s, c->info.first);

		row->sealed = 1;
		row->chain = c->info.chain;
	}
	s->cut = 0;
	if (c->n_parts && c->lost) {
		book_lost(w, f, c);
		return;
	}
	if (c->info.last > s->flushed) {
		tail_flushed(&s->tail, &w->cache, s->flushed, c->info.last);
		s->flushed = c->info.last;
	}
	if (c->lost)
		book_lost(w, f, c);
}

static void
book_manifest(struct flush_manifest *m)
{
	struct vnode_manifest *now = &m->vnode->manifest;

	dropped_booked(
	    m->vnode, &m->dropped, m->state.applied_index, m->r == 0);
	if (m->r) {
		now->fresh = 1; /* a delta has been lost: say it all again */
		return;
	}
	now->number = m->number;
	now->crc = m->crc;
	now->bytes = m->at + m->rows.n;
	now->checkpoint = m->state.checkpoint;
	now->saved_index = m->state.applied_index;
	now->saved_term = m->state.term;
	now->saved_vote = m->state.vote;
	now->fresh = 0;
	if (m->snapshot)
		now->snapshot_bytes = m->rows.n;
}

static void
flush_free(struct flush *f)
{
	for (uint32_t i = 0; i < f->n_parts; i++)
		block_unref(f->parts[i].block);
	for (uint32_t i = 0; i < f->n_manifests; i++)
		buf_deinit(&f->manifests[i].rows);
	mem_free(f->parts);
	mem_free(f->chunks);
	mem_free(f->manifests);
	mem_free(f);
}

static int
book(struct flush *f)
{
	struct store_worker *w = f->worker;
	int r = f->r;

	for (uint32_t i = 0; i < f->n_chunks; i++)
		book_chunk(w, f, &f->chunks[i]);
	for (uint32_t i = 0; i < f->n_manifests; i++)
		book_manifest(&f->manifests[i]);
	tail_cache_trim(&w->cache);
	w->flush = NULL;
	flush_free(f);
	repair_after_flush(w);
	return r;
}

static void
came_back(struct msg *m)
{
	struct flush *f = CONTAINER_OF(m, struct flush, msg);
	struct store_worker *w = f->worker;
	int checkpoint = f->checkpoint;
	int r = book(f);

	flush_done(w, checkpoint, r);
}

static void
run(struct env_job *job)
{
	struct flush *f = CONTAINER_OF(job, struct flush, job);

	f->r = carry_out(f);
	store_call(f->store, f->worker->id, &f->msg, came_back);
}

int
flush_start(struct store_worker *w, int checkpoint)
{
	const struct env_post *post = &w->store->env->post;
	struct flush *f;
	int r;

	ASSERT(!w->flush);
	r = flush_capture(w, checkpoint, &f);
	if (r)
		return r;
	f->job.run = run;
	w->flush = f;
	post->to_lane(post->ctx, LANE_FLUSH, &f->job);
	return 0;
}

int
flush_now(struct store_worker *w)
{
	struct flush *f;
	int r = flush_capture(w, 0, &f);

	if (r)
		return r;
	f->r = carry_out(f);
	return book(f);
}

void
flush_abandon(struct flush *f)
{
	flush_free(f);
}
