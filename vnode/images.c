/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * images - double write of half-filled blocks.
 *
 * Chunks are appended to at any byte, so the first block of an append holds
 * events that were synced before, whose journal may be gone.  If the power
 * fails while that block is written, it may be torn.  So the flush first copies
 * the bytes of the block that are there into this file, and syncs it (as
 * InnoDB's doublewrite buffer does).
 *
 * Format 1, little endian: batches, each at a multiple of 4096:
 *
 *	batch	 0  u32  magic "IOIM"
 *		 4  u32  format = 1
 *		 8  u32  bytes of the batch, this header included
 *		12  u32  CRC32C of the batch from byte 16 on
 *		16  [16] cluster id
 *		32       images
 *
 *	image	 0  u16  group, u16 bytes n
 *		 4  u32  offset in the chunk file
 *		 8  u64  generation of the replica
 *		16  u64  stream id
 *		24  u64  first seqnum of the chunk
 *		32       n bytes
 *
 * Crash argument.  Bytes of a chunk below its end never change while it lives,
 * so an image may be put back at any time: it is either what stands there or
 * what should.  Copies are needed until their chunks are synced; a checkpoint
 * syncs them all and lets the file begin anew.  Batches left over behind the
 * new ones are harmless.
 */
#include "vnode/images.h"

#include "src/base/assert.h"
#include "src/base/crc32c.h"
#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"

#define IMAGES_MAGIC  0x4d494f49u /* "IOIM" */
#define IMAGES_FORMAT 1
#define BLOCK         4096u
#define BATCH_HEADER  32
#define IMAGE_HEADER  32
#define FILE_MAX      (1ull << 31)

static void
images_path(const struct store *s, char out[FILES_PATH_BYTES])
{
	snprintf(out, FILES_PATH_BYTES, "%s/vnodes/images", s->dir);
}

static uint64_t
round_up(uint64_t n)
{
	return (n + BLOCK - 1) / BLOCK * BLOCK;
}

/* --- saving: LANE_FLUSH --------------------------------------------------- */

static int
add_image(struct flush *f, const struct flush_chunk *c, struct buf *b)
{
	const struct env_disk *d = &f->store->env->disk;
	uint32_t n = c->offset % BLOCK, at = c->offset - n;
	char path[FILES_PATH_BYTES];
	struct disk_file *file;
	size_t got = 0;
	uint8_t *p;
	int r;

	if (c->create || n == 0)
		return 0;
	p = buf_reserve(b, IMAGE_HEADER + n);
	if (!p)
		return buf_error(b);
	flush_chunk_path(c, path);
	r = d->open(d->ctx, path, DISK_READ, &file);
	if (r)
		return r;
	r = d->pread(d->ctx, file, p + IMAGE_HEADER, n, at, &got);
	d->close(d->ctx, file);
	if (r || got < n)
		return r; /* shorter than it should be: nothing to keep */
	p = le_put16(p, c->vnode->group.id);
	p = le_put16(p, (uint16_t)n);
	p = le_put32(p, at);
	p = le_put64(p, c->vnode->group.generation);
	p = le_put64(p, c->stream->id);
	le_put64(p, c->info.first);
	b->n += IMAGE_HEADER + n;
	return 0;
}

static int
write_batch(struct store *s, struct buf *b)
{
	const struct env_disk *d = &s->env->disk;
	char path[FILES_PATH_BYTES], dir[FILES_PATH_BYTES];
	struct iovec iov = {b->p, b->n};
	struct disk_file *file;
	int r;

	le_put32(b->p, IMAGES_MAGIC);
	le_put32(b->p + 4, IMAGES_FORMAT);
	le_put32(b->p + 8, (uint32_t)b->n);
	memcpy(b->p + 16, s->config.cluster_id, 16);
	le_put32(b->p + 12, crc32c(0, b->p + 16, b->n - 16));
	images_path(s, path);
	r = d->open(d->ctx, path, DISK_WRITE | DISK_CREATE, &file);
	if (r)
		return r;
	r = d->pwritev(d->ctx, file, &iov, 1, s->images_end);
	if (r == 0)
		r = d->sync(d->ctx, file);
	d->close(d->ctx, file);
	if (r == 0 && !s->images_named) {
		snprintf(dir, sizeof(dir), "%s/vnodes", s->dir);
		r = d->sync_dir(d->ctx, dir);
	}
	if (r)
		return r;
	s->images_named = 1;
	s->images_end = round_up(s->images_end + b->n);
	return 0;
}

int
images_save(struct flush *f)
{
	struct buf b;
	int r = 0;

	buf_init(&b, 1u << 30);
	if (!buf_reserve(&b, BATCH_HEADER))
		return -ERR_NOMEM;
	b.n = BATCH_HEADER;
	for (uint32_t i = 0; r == 0 && i < f->n_chunks; i++)
		r = add_image(f, &f->chunks[i], &b);
	if (r == 0 && b.n > BATCH_HEADER)
		r = write_batch(f->store, &b);
	buf_deinit(&b);
	return r;
}

void
images_reset(struct store *s)
{
	s->images_end = 0;
}

/* --- restoring: before the workers run ------------------------------------ */

static int
restore_image(struct store *s, const uint8_t *p, uint32_t *n_restored)
{
	const struct env_disk *d = &s->env->disk;
	uint32_t group = le_get16(p), n = le_get16(p + 2);
	char path[FILES_PATH_BYTES], name[CHUNK_NAME_BYTES];
	struct iovec iov = {(void *)(uintptr_t)(p + IMAGE_HEADER), n};
	uint8_t now[BLOCK];
	struct disk_file *file;
	uint64_t at = le_get32(p + 4);
	size_t got = 0;
	int r;

	if (group >= s->config.n_groups ||
	    le_get64(p + 8) != s->vnodes[group].group.generation)
		return 0; /* of another life */
	chunk_file_name(name, le_get64(p + 16), le_get64(p + 24));
	snprintf(path, sizeof(path), "%s/%s", s->vnodes[group].dir, name);
	r = d->open(d->ctx, path, DISK_WRITE | DISK_FRESH, &file);
	if (r)
		return r == -ERR_NOTFOUND ? 0 : r;
	r = d->pread(d->ctx, file, now, n, at, &got);
	if (r == 0 && (got < n || memcmp(now, p + IMAGE_HEADER, n) != 0)) {
		r = d->pwritev(d->ctx, file, &iov, 1, at);
		if (r == 0)
			r = d->sync(d->ctx, file);
		(*n_restored)++;
	}
	d->close(d->ctx, file);
	return r;
}

/* Bytes of the batch at P, 0 when there is none. */
static uint32_t
check_batch(const struct store *s, const uint8_t *p, uint64_t left)
{
	uint32_t n;

	if (left < BATCH_HEADER || le_get32(p) != IMAGES_MAGIC ||
	    le_get32(p + 4) != IMAGES_FORMAT)
		return 0;
	n = le_get32(p + 8);
	if (n < BATCH_HEADER || n > left ||
	    le_get32(p + 12) != crc32c(0, p + 16, n - 16) ||
	    memcmp(p + 16, s->config.cluster_id, 16) != 0)
		return 0;
	return n;
}

static int
restore_batch(
    struct store *s, const uint8_t *p, uint32_t n, uint32_t *n_restored)
{
	uint32_t at = BATCH_HEADER;
	int r = 0;

	while (r == 0 && n - at >= IMAGE_HEADER) {
		uint32_t k = le_get16(p + at + 2);

		if (k > BLOCK || k > n - at - IMAGE_HEADER)
			return -ERR_CORRUPT;
		r = restore_image(s, p + at, n_restored);
		at += IMAGE_HEADER + k;
	}
	return r;
}

int
images_restore(struct store *s, uint32_t *n_restored)
{
	char path[FILES_PATH_BYTES];
	uint8_t *bytes = NULL;
	uint64_t at = 0;
	size_t size = 0;
	uint32_t n;
	int r;

	*n_restored = 0;
	images_path(s, path);
	r = store_read_file(&s->env->disk, path, FILE_MAX, &bytes, &size);
	if (r)
		return r == -ERR_NOTFOUND ? 0 : r;
	while (r == 0 && at < size &&
	       (n = check_batch(s, bytes + at, size - at))) {
		r = restore_batch(s, bytes + at, n, n_restored);
		at = round_up(at + n);
	}
	mem_free(bytes);
	return r;
}
