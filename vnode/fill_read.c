/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fill_read - the files of what goes out, read on LANE_READ: the manifest, or
 * the next piece of the stream of chunks.
 */
#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "vnode/fill_out.h"
#include "vnode/store_open.h"

/* What goes out for C, its head included. */
static int
measure(
    struct fill_reading *rd, struct disk_file *file, const struct fill_chunk *c)
{
	const struct env_disk *d = &rd->store->env->disk;
	uint64_t n;
	int r = d->size(d->ctx, file, &n);

	if (r)
		return r;
	if (c->bytes && c->bytes < n)
		n = c->bytes;
	if (c->offset > n || n > UINT32_MAX)
		return -ERR_INVAL;
	rd->all = FILL_HEAD_BYTES + n - c->offset;
	return 0;
}

/* As much of C as there is room for. */
static int
read_some(struct fill_reading *rd, struct disk_file *file,
    const struct fill_chunk *c, uint64_t room)
{
	const struct env_disk *d = &rd->store->env->disk;
	uint64_t n = rd->all - rd->begun < room ? rd->all - rd->begun : room;
	uint8_t head[FILL_HEAD_BYTES];
	uint64_t from_head = 0;
	size_t got = 0;
	uint8_t *p;
	int r;

	le_put32(head, (uint32_t)(rd->all - FILL_HEAD_BYTES));
	if (rd->begun < FILL_HEAD_BYTES)
		from_head = FILL_HEAD_BYTES - rd->begun;
	from_head = from_head < n ? from_head : n;
	buf_add(&rd->out, head + rd->begun % FILL_HEAD_BYTES, from_head);
	rd->begun += from_head;
	n -= from_head;
	if (n == 0)
		return buf_error(&rd->out);
	p = buf_reserve(&rd->out, n);
	if (!p)
		return -ERR_NOMEM;
	r = d->pread(
	    d->ctx, file, p, n, c->offset + rd->begun - FILL_HEAD_BYTES, &got);
	if (r == 0 && got < n)
		r = -ERR_CORRUPT;
	rd->out.n += n;
	rd->begun += n;
	return r;
}

static int
read_chunk(struct fill_reading *rd, const struct fill_chunk *c)
{
	const struct env_disk *d = &rd->store->env->disk;
	char name[CHUNK_NAME_BYTES], path[FILES_PATH_BYTES];
	struct disk_file *file;
	int r;

	chunk_file_name(name, c->stream, c->first);
	snprintf(path, sizeof(path), "%s/%s", rd->dir, name);
	r = d->open(d->ctx, path, DISK_READ, &file);
	if (r)
		return r;
	if (rd->all == 0)
		r = measure(rd, file, c);
	if (r == 0)
		r = read_some(rd, file, c, rd->limit - rd->out.n);
	d->close(d->ctx, file);
	return r;
}

static int
read_stream(struct fill_reading *rd)
{
	int r = 0;

	if (!buf_reserve(&rd->out, rd->limit))
		return -ERR_NOMEM;
	while (r == 0 && rd->n_done < rd->n_wants && rd->out.n < rd->limit) {
		r = read_chunk(rd, &rd->wants[rd->n_done]);
		if (r == 0 && rd->begun == rd->all) {
			rd->n_done++;
			rd->begun = rd->all = 0;
		}
	}
	return r;
}

static int
read_manifest(struct fill_reading *rd)
{
	char name[MANIFEST_NAME_BYTES], path[FILES_PATH_BYTES];
	int r;

	manifest_file_name(name, rd->number);
	snprintf(path, sizeof(path), "%s/%s", rd->dir, name);
	r = store_read_file(
	    &rd->store->env->disk, path, FILL_MANIFEST_MAX, &rd->bytes, &rd->n);
	/* Behind the committed end lies what the next delta has begun with. */
	if (r == 0 && rd->n > rd->limit)
		rd->n = rd->limit;
	return r;
}

static void
run(struct env_job *job)
{
	struct fill_reading *rd = CONTAINER_OF(job, struct fill_reading, job);
	struct store *s = rd->store;

	rd->r = rd->whole ? read_manifest(rd) : read_stream(rd);
	store_call(s, store_worker_of(s, rd->group)->id, &rd->msg, rd->msg.fn);
}

struct fill_reading *
fill_reading_new(struct store_worker *w, const struct vnode *v,
    const struct fill_out *f, void (*back)(struct msg *m))
{
	struct fill_reading *rd = mem_zalloc(sizeof(*rd));

	if (!rd)
		return NULL; /* it is asked for again, or at the beat */
	rd->store = w->store;
	rd->group = v->group.id;
	rd->generation = v->group.generation;
	rd->transfer = f->transfer;
	snprintf(rd->dir, sizeof(rd->dir), "%s", v->dir);
	rd->job.run = run;
	rd->msg.fn = back;
	return rd;
}

void
fill_reading_start(
    struct store_worker *w, struct fill_out *f, struct fill_reading *rd)
{
	const struct env_post *post = &w->store->env->post;

	f->reading = 1;
	w->n_reading++;
	post->to_lane(post->ctx, LANE_READ, &rd->job);
}

void
fill_reading_free(struct fill_reading *rd)
{
	mem_free(rd->bytes);
	buf_deinit(&rd->out);
	mem_free(rd);
}
