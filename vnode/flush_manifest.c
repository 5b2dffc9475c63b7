/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* flush_manifest - manifests to their files: a snapshot under a name of its own,
 * what comes behind it at the end of the same file. */
#include "src/base/err.h"
#include "vnode/flush_impl.h"
#include "vnode/mutants.h"
#include "vnode/store_open.h"

static int
write_bytes(const struct env_disk *d, const char *path, unsigned flags,
    uint64_t at, struct slice bytes, int sync)
{
	struct iovec iov = {(void *)(uintptr_t)bytes.p, bytes.n};
	struct disk_file *file;
	int r = d->open(d->ctx, path, flags, &file);

	if (r)
		return r;
	r = d->pwritev(d->ctx, file, &iov, 1, at);
	if (r == 0 && sync && !VNODE_MUTANT(MANIFEST_NOT_SYNCED))
		r = d->sync(d->ctx, file);
	d->close(d->ctx, file);
	return r;
}

int
flush_write_snapshot(
    struct store *s, const struct vnode *v, uint32_t number, struct slice rows)
{
	const struct env_disk *d = &s->env->disk;
	char tmp[FILES_PATH_BYTES], path[FILES_PATH_BYTES];
	char name[MANIFEST_NAME_BYTES];
	int r;

	manifest_file_name(name, number);
	snprintf(path, sizeof(path), "%s/%s", v->dir, name);
	snprintf(tmp, sizeof(tmp), "%s/manifest.tmp", v->dir);
	r = write_bytes(
	    d, tmp, DISK_WRITE | DISK_CREATE | DISK_TRUNC, 0, rows, 1);
	if (r == 0)
		r = d->rename(d->ctx, tmp, path);
	if (r)
		return r;
	/* It is there now, but perhaps not for good: that is final, even for
	 * want of room. */
	r = d->sync_dir(d->ctx, v->dir);
	return r == -ERR_NOSPC ? -ERR_IO : r;
}

/* The file before the one that the journal's mark names is needed no more. */
static void
remove_old(const struct env_disk *d, const struct vnode *v, uint32_t number)
{
	char path[FILES_PATH_BYTES], name[MANIFEST_NAME_BYTES];

	manifest_file_name(name, number);
	snprintf(path, sizeof(path), "%s/%s", v->dir, name);
	d->unlink(d->ctx, path); /* not there: as well */
}

int
flush_write_manifest(struct flush *f, struct flush_manifest *m)
{
	const struct env_disk *d = &f->store->env->disk;
	struct manifest_writer w = {&m->rows, m->crc};
	char path[FILES_PATH_BYTES], name[MANIFEST_NAME_BYTES];

	for (uint32_t i = 0; i < f->n_chunks; i++) {
		const struct flush_chunk *c = &f->chunks[i];

		if (c->vnode == m->vnode && c->seal && c->info.sealed)
			manifest_add_chunk(&w, c->stream->id, &c->info);
	}
	manifest_add_commit(&w, &m->state);
	m->crc = w.crc;
	if (buf_error(&m->rows))
		return buf_error(&m->rows);
	if (m->snapshot) {
		if (m->number > 2)
			remove_old(d, m->vnode, m->number - 2);
		return flush_write_snapshot(
		    f->store, m->vnode, m->number, buf_slice(&m->rows));
	}
	manifest_file_name(name, m->number);
	snprintf(path, sizeof(path), "%s/%s", m->vnode->dir, name);
	return write_bytes(d, path, DISK_WRITE, m->at, buf_slice(&m->rows), 1);
}

int
flush_first_manifest(struct store *s, struct vnode *v)
{
	struct buf rows;
	struct manifest_writer mw = {&rows, 0};
	char path[FILES_PATH_BYTES], name[MANIFEST_NAME_BYTES];
	struct manifest_id id = {.group = v->group.id,
	    .generation = v->group.generation,
	    .number = 1};
	struct manifest_state st = {.checkpoint = 1,
	    .next_stream_id = 1,
	    .members = v->recovered->members};
	int r;

	buf_init(&rows, 64u << 10);
	memcpy(id.cluster_id, s->config.cluster_id, 16);
	manifest_add_head(&mw, &id);
	manifest_add_commit(&mw, &st);
	manifest_file_name(name, 1);
	snprintf(path, sizeof(path), "%s/%s", v->dir, name);
	r = buf_error(&rows);
	if (r == 0)
		r = write_bytes(&s->env->disk, path,
		    DISK_WRITE | DISK_CREATE | DISK_TRUNC, 0, buf_slice(&rows),
		    0);
	if (r == 0) {
		v->manifest.number = 1;
		v->manifest.crc = mw.crc;
		v->manifest.bytes = v->manifest.snapshot_bytes = rows.n;
		v->manifest.checkpoint = 1;
	}
	buf_deinit(&rows);
	return r;
}
