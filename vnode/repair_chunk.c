/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * repair_chunk - a damaged chunk file, read, mended, verified and put in place.
 *
 * Chunks of replicas have equal records, in the same order, at the same places
 * (chunk.c), wherever they begin with the same event.  So a file is mended record
 * by record: what is intact here stays, byte for byte; what is not is taken from
 * what another replica has at that place.  Header and footer are made anew.  Of a
 * sealed chunk the chain, as this replica's own manifest has it, must be that of
 * the result: nobody can make it anything but what it was.  One that is open, or
 * was given up (stream_give_up_chunk), has no chain; there a record from elsewhere
 * counts with its CRC and seqnum, where the one here has neither.
 *
 * Crash argument.  The whole is written to `repair.tmp` in the same directory,
 * which no start looks at, and synced; then it is renamed over the damaged file,
 * and the directory synced before anything else is done to the file.
 *  - A crash before the rename leaves the damaged file, and a rest that is
 *    removed or written over; one after it the whole one.  There is always one of
 *    them under the name, so what is intact is never lost.
 *  - The bytes below the manifest's length are those that were there, or should
 *    have been: whatever relies on them (replay, images.c) can go on.
 *  - An open chunk is mended only while no flush is under way, as far as flushes
 *    have come.  LANE_FLUSH does one thing after the other: a later flush appends
 *    to the new file, whose name is durable by then, and removals that were
 *    posted later find the new one.
 * A sync that fails is final, as everywhere.
 */
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/event.h"
#include "vnode/mutants.h"
#include "vnode/repair_impl.h"

#define PIECE_BYTES (64u << 10) /* what one bad sector takes along */
#define FOOTER_MAX  (64u << 10)
#define TMP         "repair.tmp"

static void
tmp_path(const char *dir, char out[FILES_PATH_BYTES])
{
	snprintf(out, FILES_PATH_BYTES, "%s/" TMP, dir);
}

static void
chunk_path(const struct repair *p, char out[FILES_PATH_BYTES])
{
	char name[CHUNK_NAME_BYTES];

	chunk_file_name(name, p->id.stream_id, p->id.first);
	snprintf(out, FILES_PATH_BYTES, "%s/%s", p->dir, name);
}

void
repair_remove_rest(const struct env_disk *d, const char *dir)
{
	char path[FILES_PATH_BYTES];

	tmp_path(dir, path);
	d->unlink(d->ctx, path); /* not there: as well */
}

/* --- reading -------------------------------------------------------------- */

/* What can be read of FILE, up to its end or MAX; zeros for the rest. */
static void
read_pieces(
    const struct env_disk *d, struct disk_file *file, struct buf *out, size_t n)
{
	for (size_t at = 0; at < n; at += PIECE_BYTES) {
		size_t want = n - at < PIECE_BYTES ? n - at : PIECE_BYTES;
		size_t got = 0;

		if (d->pread(d->ctx, file, out->p + at, want, at, &got))
			memset(out->p + at, 0, want);
	}
}

/* The file to p->own, at least as long as it should be; *SIZE as it is. */
static int
read_own(struct repair *p, uint64_t *size)
{
	const struct env_disk *d = &p->worker->store->env->disk;
	size_t room = p->info.bytes + FOOTER_MAX;
	struct disk_file *file;
	char path[FILES_PATH_BYTES];
	int r;

	buf_reset(&p->own);
	if (!buf_reserve(&p->own, room))
		return -ERR_NOMEM;
	memset(p->own.p, 0, room);
	*size = 0;
	chunk_path(p, path);
	r = d->open(d->ctx, path, DISK_READ | DISK_FRESH, &file);
	if (r == -ERR_NOTFOUND)
		return 0;
	if (r)
		return r;
	r = d->size(d->ctx, file, size);
	if (r)
		*size = 0;
	read_pieces(d, file, &p->own, *size < room ? (size_t)*size : room);
	d->close(d->ctx, file);
	return 0;
}

/* --- mending -------------------------------------------------------------- */

/* The bytes of record SEQ, if IN begins with it, intact; else 0. */
static uint32_t
record_bytes(struct slice in, uint64_t seq)
{
	struct event e;
	uint32_t n;

	return event_decode(in, 1, &e, &n) == 0 && e.seq == seq ? n : 0;
}

static void
mend_header(struct repair *p, uint32_t n)
{
	uint8_t header[CHUNK_HEADER_BYTES_MAX];

	chunk_encode_header(&p->id, header);
	if (memcmp(p->own.p, header, n) == 0)
		return;
	memcpy(p->own.p, header, n);
	p->n_mended++;
}

/* How much of P->got there can be at AT. */
static struct slice
got_at(const struct repair *p, uint32_t at)
{
	uint32_t end = p->cap_got < p->info.bytes ? p->cap_got : p->info.bytes;

	return at < end ? SLICE(p->got + at, end - at) : SLICE(NULL, 0);
}

/* Event SEQ at AT is what it should be from now on; its bytes, or 0. */
static uint32_t
mend_record(struct repair *p, uint64_t seq, uint32_t at)
{
	struct slice own = SLICE(p->own.p + at, p->info.bytes - at);
	int trust = !p->distrust && !VNODE_MUTANT(REPAIR_TRUSTS_OTHERS);
	uint32_t n = trust ? record_bytes(own, seq) : 0;

	if (n)
		return n;
	n = record_bytes(got_at(p, at), seq);
	if (n && memcmp(own.p, p->got + at, n) != 0) {
		memcpy(p->own.p + at, p->got + at, n);
		p->n_mended++;
	}
	return n;
}

static int
mend_records(struct repair *p, uint32_t at)
{
	uint64_t seq = p->info.first;

	for (uint32_t n; seq <= p->info.last; seq++, at += n) {
		n = at < p->info.bytes ? mend_record(p, seq, at) : 0;
		if (n == 0) {
			p->bad_seq = seq;
			p->bad_at = at;
			return REPAIR_E_LACKS;
		}
	}
	return at == p->info.bytes ? 0 : -ERR_CORRUPT;
}

/* SIZE: of the file as it is. */
static int
mend_footer(struct repair *p, uint32_t header_bytes, uint64_t size)
{
	uint32_t at = p->info.bytes;
	struct buf footer;
	int r;

	buf_init(&footer, FOOTER_MAX);
	r = chunk_add_footer(
	    &footer, SLICE(p->own.p, at), header_bytes, &p->info);
	if (r == 0 && (size != at + footer.n ||
			  memcmp(p->own.p + at, footer.p, footer.n) != 0)) {
		memcpy(p->own.p + at, footer.p, footer.n);
		p->n_mended++;
	}
	p->own.n = at + footer.n;
	buf_deinit(&footer);
	return r;
}

/* All of it is there: is it what it was? */
static int
verify(struct repair *p, uint32_t header_bytes)
{
	int r;

	if (VNODE_MUTANT(REPAIR_NOT_VERIFIED))
		return 0;
	r = chunk_verify(
	    buf_slice(&p->own), &p->id, &p->info, p->worker->store->chain);
	if (r == 0)
		return 0;
	if (!p->distrust) { /* all that was asked for counts anew */
		p->distrust = 1;
		p->peer = 0;
		p->n_tried = 0;
		p->most = 0;
	}
	p->bad_seq = p->info.first;
	p->bad_at = header_bytes;
	return REPAIR_E_LACKS;
}

static int
mend(struct repair *p, uint64_t size)
{
	uint32_t n = chunk_header_bytes(&p->id);
	int r;

	if (p->info.bytes < n)
		return -ERR_CORRUPT;
	mend_header(p, n);
	p->n_mended += size < p->info.bytes;
	r = mend_records(p, n);
	if (r)
		return r;
	p->own.n = p->info.bytes;
	if (chunk_has_footer(&p->info))
		r = mend_footer(p, n, size);
	return r ? r : verify(p, n);
}

/* --- writing -------------------------------------------------------------- */

/* A sync has failed: what it was to keep may be lost. */
static int
is_final(struct repair *p, int r)
{
	p->fatal = r != 0;
	return r == -ERR_NOSPC ? -ERR_IO : r;
}

static int
write_tmp(struct repair *p, const char *path)
{
	const struct env_disk *d = &p->worker->store->env->disk;
	struct iovec iov = {p->own.p, p->own.n};
	struct disk_file *file;
	int r =
	    d->open(d->ctx, path, DISK_WRITE | DISK_CREATE | DISK_TRUNC, &file);

	if (r)
		return r;
	r = d->pwritev(d->ctx, file, &iov, 1, 0);
	if (r == 0 && !VNODE_MUTANT(REPAIR_NOT_SYNCED))
		r = is_final(p, d->sync(d->ctx, file));
	d->close(d->ctx, file);
	return r;
}

static int
put_in_place(struct repair *p)
{
	struct store *s = p->worker->store;
	const struct env_disk *d = &s->env->disk;
	char tmp[FILES_PATH_BYTES], path[FILES_PATH_BYTES];
	int r;

	tmp_path(p->dir, tmp);
	chunk_path(p, path);
	r = write_tmp(p, tmp);
	if (r == 0)
		r = d->rename(d->ctx, tmp, path);
	if (r) {
		d->unlink(d->ctx, tmp);
		return r;
	}
	files_forget(s->files, path);
	return is_final(p, d->sync_dir(d->ctx, p->dir));
}

void
repair_run(struct repair *p)
{
	uint64_t size;

	p->fatal = 0;
	p->n_mended = 0;
	p->r = read_own(p, &size);
	if (p->r == 0)
		p->r = mend(p, size);
	if (p->r == 0 && p->n_mended)
		p->r = put_in_place(p);
}
