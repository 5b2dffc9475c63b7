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
#define BATCH_HEADER  32
#define IMAGE_HEADER  32
#define BATCH_MAX     (1u << 30)

/* --- codec ---------------------------------------------------------------- */

void
images_begin(struct buf *b)
{
	ASSERT(b->n == 0);
	if (buf_reserve(b, BATCH_HEADER))
		b->n = BATCH_HEADER;
}

uint8_t *
images_add(struct buf *b, const struct image *im, uint32_t n)
{
	uint8_t *p = buf_reserve(b, IMAGE_HEADER + n);

	ASSERT(n <= IMAGES_BLOCK);
	if (!p)
		return NULL;
	p = le_put16(p, im->group);
	p = le_put16(p, (uint16_t)n);
	p = le_put32(p, im->offset);
	p = le_put64(p, im->generation);
	p = le_put64(p, im->stream_id);
	p = le_put64(p, im->first);
	b->n += IMAGE_HEADER + n;
	return p;
}

void
images_end(struct buf *b, const uint8_t cluster_id[16])
{
	uint8_t *p = b->p;

	ASSERT(b->n >= BATCH_HEADER);
	p = le_put32(p, IMAGES_MAGIC);
	p = le_put32(p, IMAGES_FORMAT);
	p = le_put32(p, (uint32_t)b->n);
	memcpy(p + 4, cluster_id, 16);
	le_put32(p, crc32c(0, b->p + 16, b->n - 16));
}

uint32_t
images_batch_bytes(const uint8_t head[IMAGES_HEAD])
{
	uint32_t n = le_get32(head + 8);

	if (le_get32(head) != IMAGES_MAGIC ||
	    le_get32(head + 4) != IMAGES_FORMAT || n < BATCH_HEADER ||
	    n > BATCH_MAX)
		return 0;
	return n;
}

int
images_open(struct slice batch, const uint8_t cluster_id[16], struct slice *out)
{
	if (batch.n < BATCH_HEADER || images_batch_bytes(batch.p) != batch.n ||
	    le_get32(batch.p + 12) != crc32c(0, batch.p + 16, batch.n - 16) ||
	    memcmp(batch.p + 16, cluster_id, 16) != 0)
		return IMAGES_E_NONE;
	*out = SLICE(batch.p + BATCH_HEADER, batch.n - BATCH_HEADER);
	return 0;
}

int
images_next(struct slice *in, struct image *out)
{
	const uint8_t *p = in->p;
	uint32_t n;

	if (in->n == 0)
		return 0;
	if (in->n < IMAGE_HEADER)
		return -ERR_CORRUPT;
	n = le_get16(p + 2);
	if (n > IMAGES_BLOCK || n > in->n - IMAGE_HEADER)
		return -ERR_CORRUPT;
	out->group = le_get16(p);
	out->offset = le_get32(p + 4);
	out->generation = le_get64(p + 8);
	out->stream_id = le_get64(p + 16);
	out->first = le_get64(p + 24);
	out->bytes = SLICE(p + IMAGE_HEADER, n);
	*in = SLICE(p + IMAGE_HEADER + n, in->n - IMAGE_HEADER - n);
	return 1;
}

/* --- saving: LANE_FLUSH --------------------------------------------------- */

static void
images_path(const struct store *s, char out[FILES_PATH_BYTES])
{
	snprintf(out, FILES_PATH_BYTES, "%s/vnodes/images", s->dir);
}

static uint64_t
round_up(uint64_t n)
{
	return (n + IMAGES_BLOCK - 1) / IMAGES_BLOCK * IMAGES_BLOCK;
}

static int
add_image(struct flush *f, struct flush_chunk *c, struct buf *b)
{
	const struct env_disk *d = &f->store->env->disk;
	uint32_t n = c->offset % IMAGES_BLOCK, before = (uint32_t)b->n;
	struct image im = {
	    .group = c->vnode->group.id,
	    .offset = c->offset - n,
	    .generation = c->vnode->group.generation,
	    .stream_id = c->stream->id,
	    .first = c->info.first,
	};
	char path[FILES_PATH_BYTES];
	struct disk_file *file;
	size_t got = 0;
	uint8_t *p;
	int r;

	if (c->create || n == 0)
		return 0;
	p = images_add(b, &im, n);
	if (!p)
		return buf_error(b);
	flush_chunk_path(c, path);
	r = d->open(d->ctx, path, DISK_READ, &file);
	if (r == 0) {
		r = d->pread(d->ctx, file, p, n, im.offset, &got);
		d->close(d->ctx, file);
	}
	if (got < n) {
		b->n = before; /* not what it should be: nothing to keep */
		c->lost = r == 0 || r == -ERR_NOTFOUND || r == -ERR_IO;
	}
	return c->lost ? 0 : r;
}

static int
write_batch(struct store *s, struct buf *b)
{
	const struct env_disk *d = &s->env->disk;
	char path[FILES_PATH_BYTES], dir[FILES_PATH_BYTES];
	struct iovec iov = {b->p, b->n};
	struct disk_file *file;
	int r;

	images_end(b, s->config.cluster_id);
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
	int r;

	buf_init(&b, BATCH_MAX);
	images_begin(&b);
	r = buf_error(&b);
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
restore_image(struct store *s, const struct image *im, uint32_t *n_restored)
{
	const struct env_disk *d = &s->env->disk;
	char path[FILES_PATH_BYTES], name[CHUNK_NAME_BYTES];
	struct iovec iov = {(void *)(uintptr_t)im->bytes.p, im->bytes.n};
	uint8_t now[IMAGES_BLOCK];
	struct disk_file *file;
	size_t got = 0;
	int r;

	if (im->group >= s->config.n_groups ||
	    im->generation != s->vnodes[im->group].group.generation)
		return 0; /* of another life */
	chunk_file_name(name, im->stream_id, im->first);
	snprintf(path, sizeof(path), "%s/%s", s->vnodes[im->group].dir, name);
	r = d->open(d->ctx, path, DISK_WRITE | DISK_FRESH, &file);
	if (r)
		return r == -ERR_NOTFOUND ? 0 : r;
	r = d->pread(d->ctx, file, now, im->bytes.n, im->offset, &got);
	if (r == 0 && !slice_equal(SLICE(now, got), im->bytes)) {
		r = d->pwritev(d->ctx, file, &iov, 1, im->offset);
		if (r == 0)
			r = d->sync(d->ctx, file);
		(*n_restored)++;
	}
	d->close(d->ctx, file);
	return r;
}

static int
restore_batch(struct store *s, struct slice batch, uint32_t *n_restored)
{
	struct slice in = {NULL, 0};
	struct image im;
	int r = images_open(batch, s->config.cluster_id, &in);

	if (r)
		return r;
	while ((r = images_next(&in, &im)) == 1) {
		r = restore_image(s, &im, n_restored);
		if (r)
			return r;
	}
	return r;
}

/* The bytes of the batch at AT, mem_alloc'd; IMAGES_E_NONE: there is none. */
static int
read_batch(const struct env_disk *d, struct disk_file *file, uint64_t at,
    struct slice *out)
{
	uint8_t head[IMAGES_HEAD], *p;
	size_t got = 0;
	uint32_t n;
	int r = d->pread(d->ctx, file, head, sizeof(head), at, &got);

	if (r)
		return r;
	n = got == sizeof(head) ? images_batch_bytes(head) : 0;
	if (n == 0)
		return IMAGES_E_NONE;
	p = mem_alloc(n);
	if (!p)
		return -ERR_NOMEM;
	r = d->pread(d->ctx, file, p, n, at, &got);
	if (r == 0 && got < n)
		r = IMAGES_E_NONE;
	if (r)
		mem_free(p);
	else
		*out = SLICE(p, n);
	return r;
}

int
images_restore(struct store *s, uint32_t *n_restored)
{
	const struct env_disk *d = &s->env->disk;
	char path[FILES_PATH_BYTES];
	struct disk_file *file;
	struct slice batch;
	uint64_t at = 0;
	int r;

	*n_restored = 0;
	images_path(s, path);
	r = d->open(d->ctx, path, DISK_READ | DISK_FRESH, &file);
	if (r)
		return r == -ERR_NOTFOUND ? 0 : r;
	/* Batch by batch: with many small streams a checkpoint's may come to
	 * gigabytes, which must not keep the node from starting. */
	while ((r = read_batch(d, file, at, &batch)) == 0) {
		r = restore_batch(s, batch, n_restored);
		mem_free((void *)(uintptr_t)batch.p);
		if (r)
			break;
		at = round_up(at + batch.n);
	}
	d->close(d->ctx, file);
	return r == IMAGES_E_NONE ? 0 : r;
}
