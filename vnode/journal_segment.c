/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * journal_segment - the files: made ahead of use, recycled when released.
 *
 * A file is in one of three places: `segments` (holds needed records),
 * `prepared` (ready, under the next generation's name), `free_files` (may be
 * renamed).  The next one is prepared on LANE_FLUSH while the current one
 * fills, so the journal lane seldom has to.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/journal_impl.h"

#define ZERO_BYTES (1u << 20)

static int
write_zeros(struct journal *j, struct disk_file *file)
{
	const struct env_disk *d = &j->env->disk;
	uint64_t n = j->config.segment_bytes, at = 0;
	uint64_t k = n < ZERO_BYTES ? n : ZERO_BYTES;
	uint8_t *zeros = mem_zalloc(k);
	int r = 0;

	if (!zeros)
		return -ERR_NOMEM;
	while (r == 0 && at < n) {
		struct iovec iov = {zeros, n - at < k ? n - at : k};

		r = d->pwritev(d->ctx, file, &iov, 1, at);
		at += iov.iov_len;
	}
	mem_free(zeros);
	return r ? r : d->sync(d->ctx, file);
}

int
segment_prepare(struct journal *j, uint32_t generation, uint32_t recycle)
{
	const struct env_disk *d = &j->env->disk;
	char path[JOURNAL_PATH], old[JOURNAL_PATH];
	struct disk_file *file;
	uint64_t room;
	int r;

	segment_path(j, generation, path);
	if (recycle) {
		segment_path(j, recycle, old);
		r = d->rename(d->ctx, old, path);
		if (r)
			return r;
		/* Renamed, but perhaps not for good: that is final, even for
		 * want of room. */
		r = d->sync_dir(d->ctx, j->dir);
		return r == -ERR_NOSPC ? -ERR_IO : r;
	}
	/* Not to try, time and again, what takes the last byte from others. */
	if (d->free_bytes(d->ctx, &room) == 0 && room < j->config.segment_bytes)
		return -ERR_NOSPC;
	r = d->open(d->ctx, path, DISK_WRITE | DISK_CREATE | DISK_TRUNC, &file);
	if (r)
		return r;
	r = write_zeros(j, file);
	d->close(d->ctx, file);
	if (r == 0)
		r = d->sync_dir(d->ctx, j->dir);
	if (r == -ERR_NOSPC)
		d->unlink(d->ctx, path);
	return r;
}

/* Under the lock: takes the oldest free file; 0: there is none. */
static uint32_t
take_free(struct journal *j)
{
	uint32_t name;

	if (j->n_free == 0)
		return 0;
	name = j->free_files[0];
	j->n_free--;
	memmove(j->free_files, j->free_files + 1,
	    j->n_free * sizeof(*j->free_files));
	return name;
}

/* Under the lock: how many files more than max_bytes allows there are. */
static int64_t
surplus(const struct journal *j)
{
	uint64_t most = j->config.max_bytes / j->config.segment_bytes;
	uint64_t n = (uint64_t)j->n_segments + j->n_free + (j->prepared != 0);

	return (int64_t)n - (int64_t)most;
}

/*
 * Under the lock: the next generation, and the file it is made of, 0 for a new
 * one.  Only who MUST have one makes more than max_bytes allows: records that
 * wait were admitted before, and perhaps are the marks that release the rest.
 */
static int
claim(struct journal *j, int must, uint32_t *generation, uint32_t *recycle)
{
	*recycle = take_free(j);
	if (!*recycle && !must && surplus(j) >= 0)
		return 1;
	*generation = j->next_generation++;
	j->preparing = 1;
	return 0;
}

/* A file that the newest header names can be renamed, but must be there. */
static void
drop_surplus(struct journal *j)
{
	const struct env_disk *d = &j->env->disk;
	char path[JOURNAL_PATH];
	uint32_t name = 0;

	journal_lock(j);
	if (surplus(j) > 0 && j->n_free && j->free_files[0] < j->oldest_named)
		name = take_free(j);
	journal_unlock(j);
	if (!name)
		return;
	segment_path(j, name, path);
	d->unlink(d->ctx, path); /* if not, the next start finds it */
}

static void
claimed(struct journal *j, uint32_t generation, uint32_t recycle, int r)
{
	journal_lock(j);
	j->preparing = 0;
	if (r == 0)
		j->prepared = generation;
	else if (recycle)
		j->free_files[j->n_free++] = recycle;
	journal_unlock(j);
}

static void
prepare(struct journal *j)
{
	uint32_t generation = 0, recycle = 0;
	int r;

	journal_lock(j);
	j->preparing = 0;
	r = j->prepared ? 1 : claim(j, 0, &generation, &recycle);
	journal_unlock(j);
	if (r)
		return;
	r = segment_prepare(j, generation, recycle);
	claimed(j, generation, recycle, r);
	if (r && r != -ERR_NOSPC)
		atomic_store(&j->error, r);
}

static void
run_prepare(struct env_job *job)
{
	struct journal *j = CONTAINER_OF(job, struct journal, prepare);

	prepare(j);
	drop_surplus(j);
	journal_schedule(j); /* somebody may wait for it */
}

void
segment_prepare_ahead(struct journal *j)
{
	int start;

	journal_lock(j);
	start = !j->prepared && !j->preparing;
	if (start)
		j->preparing = 1;
	journal_unlock(j);
	j->prepare.run = run_prepare;
	if (start)
		j->env->post.to_lane(j->env->post.ctx, LANE_FLUSH, &j->prepare);
}

/* The prepared generation, or one made here; 1: it is being prepared. */
static int
take_prepared(struct journal *j, uint32_t *generation)
{
	uint32_t recycle = 0;
	int r = 0;

	journal_lock(j);
	if (j->prepared) {
		*generation = j->prepared;
		j->prepared = 0;
		journal_unlock(j);
		return 0;
	}
	r = j->preparing ? 1 : claim(j, 1, generation, &recycle);
	journal_unlock(j);
	if (r)
		return r;
	r = segment_prepare(j, *generation, recycle);
	claimed(j, *generation, recycle, r);
	journal_lock(j);
	if (r == 0)
		j->prepared = 0;
	journal_unlock(j);
	return r;
}

int
segment_advance(struct journal *j)
{
	const struct env_disk *d = &j->env->disk;
	char path[JOURNAL_PATH];
	uint32_t generation = 0;
	int r = take_prepared(j, &generation);

	if (r)
		return r;
	/* The next header will say that everything up to here is intact. */
	if (j->file && atomic_load(&j->durable) < j->written)
		r = d->sync(d->ctx, j->file);
	if (j->file)
		d->close(d->ctx, j->file);
	j->file = NULL;
	segment_path(j, generation, path);
	if (r == 0)
		r = d->open(d->ctx, path, DISK_WRITE, &j->file);
	if (r)
		return r;
	atomic_store(&j->durable, j->written);
	j->generation = generation;
	j->offset = JOURNAL_BLOCK;
	journal_lock(j);
	ASSERT(j->n_segments < JOURNAL_SEGMENTS_MAX);
	j->previous_end =
	    j->n_segments ? j->segments[j->n_segments - 1].end : 0;
	j->segments[j->n_segments++] =
	    (struct segment){generation, lsn_make(generation, JOURNAL_BLOCK)};
	journal_unlock(j);
	segment_publish(j);
	return 0;
}

void
segment_publish(struct journal *j)
{
	uint32_t oldest;

	journal_lock(j);
	oldest = j->n_segments ? j->segments[0].generation : 0;
	if (j->lost && j->lost < oldest)
		oldest = j->lost;
	atomic_store(&j->used, j->n_segments * j->config.segment_bytes);
	atomic_store(&j->oldest, lsn_make(oldest, 0));
	journal_unlock(j);
}

void
segment_header_durable(struct journal *j, uint32_t oldest)
{
	journal_lock(j);
	j->oldest_named = oldest;
	journal_unlock(j);
}

void
journal_release(struct journal *j, lsn_t floor)
{
	uint32_t n = 0;

	journal_lock(j);
	while (n + 1 < j->n_segments &&
	       j->segments[n].generation < lsn_generation(floor)) {
		j->free_files[j->n_free++] = j->segments[n].generation;
		n++;
	}
	j->n_segments -= n;
	if (lsn_generation(floor) >= j->lost_end)
		j->lost = 0;
	memmove(
	    j->segments, j->segments + n, j->n_segments * sizeof(*j->segments));
	journal_unlock(j);
	segment_publish(j);
	if (n)
		journal_schedule(j); /* somebody may wait for one */
}
