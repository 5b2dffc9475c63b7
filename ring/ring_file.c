/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * ring_file - the ring on disk.
 *
 * File, little endian:
 *
 *	 0  u32   magic "IORG"
 *	 4  u16   format = 1, u16 zero
 *	 8  u32   bytes of the ring
 *	12        the ring, as in ring.c
 *	 .  [32]  SHA-256 of everything before
 *
 * Crash argument: the new value goes to ring.tmp and is synced; then ring.cur
 * is renamed to ring.prev, ring.tmp to ring.cur, and the directory is synced.
 * A crash leaves (cur, prev) as before, or prev alone, which is what cur was,
 * or both new: in each case cur, else prev, is the old value or the new one,
 * whole.  The new value is used only after the save, so nothing rests on one
 * that was lost.  A cur that is there and damaged is no crash but decay: prev
 * is taken with a warning; a ring may lag, the consensus groups say who holds
 * what (cluster.md 1.4).  Such a cur is not renamed to prev, which is the good
 * one then: the new value just takes its place.
 */
#include "ring/ring_file.h"

#include "ring/hash.h"
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"

#define FILE_MAGIC  0x47524f49u /* "IORG" */
#define FILE_FORMAT 1
#define HEAD_BYTES  12
#define FILE_MAX    (HEAD_BYTES + RING_ENCODED_MAX + RING_HASH_BYTES)
#define PATH_BYTES  96

int
ring_hash_of(const struct ring *r, uint8_t out[RING_HASH_BYTES])
{
	struct buf b;
	int e;

	buf_init(&b, RING_ENCODED_MAX);
	ring_encode(r, &b);
	e = buf_error(&b) ? buf_error(&b) : ring_digest(buf_slice(&b), out);
	buf_deinit(&b);
	return e;
}

int
ring_file_encode(const struct ring *r, struct buf *b)
{
	uint8_t head[HEAD_BYTES] = {0}, sum[RING_HASH_BYTES];

	ASSERT(b->n == 0);
	buf_add(b, head, sizeof(head));
	ring_encode(r, b);
	if (buf_error(b))
		return buf_error(b);
	le_put32(b->p, FILE_MAGIC);
	le_put16(b->p + 4, FILE_FORMAT);
	le_put32(b->p + 8, (uint32_t)(b->n - HEAD_BYTES));
	if (ring_digest(buf_slice(b), sum))
		return -ERR_NOMEM;
	buf_add(b, sum, sizeof(sum));
	return buf_error(b);
}

int
ring_file_decode(struct slice in, struct ring **out)
{
	uint8_t sum[RING_HASH_BYTES];
	struct slice body;
	int r;

	if (in.n < HEAD_BYTES + RING_HASH_BYTES || in.n > FILE_MAX ||
	    le_get32(in.p) != FILE_MAGIC || le_get16(in.p + 4) != FILE_FORMAT ||
	    le_get32(in.p + 8) != in.n - HEAD_BYTES - RING_HASH_BYTES)
		return -ERR_CORRUPT;
	body = SLICE(in.p, in.n - RING_HASH_BYTES);
	if (ring_digest(body, sum))
		return -ERR_NOMEM;
	if (memcmp(sum, in.p + body.n, sizeof(sum)) != 0)
		return -ERR_CORRUPT;
	r = ring_decode(SLICE(body.p + HEAD_BYTES, body.n - HEAD_BYTES), out);
	return r && r != -ERR_NOMEM ? -ERR_CORRUPT : r;
}

/* --- the files ------------------------------------------------------------ */

static void
path_in(char out[PATH_BYTES], const char *dir, const char *name)
{
	int n = snprintf(out, PATH_BYTES, "%s/%s", dir, name);

	ASSERT(n > 0 && n < PATH_BYTES);
}

/* 0, -ERR_NOTFOUND, -ERR_CORRUPT, -ERR_IO, -ERR_NOMEM. */
static int
load(
    const struct env *env, const char *dir, const char *name, struct ring **out)
{
	const struct env_disk *d = &env->disk;
	struct disk_file *file;
	char path[PATH_BYTES];
	uint64_t size = 0;
	size_t got = 0;
	uint8_t *p = NULL;
	int r;

	*out = NULL;
	path_in(path, dir, name);
	r = d->open(d->ctx, path, DISK_READ, &file);
	if (r)
		return r;
	r = d->size(d->ctx, file, &size);
	if (r == 0 && size > FILE_MAX)
		r = -ERR_CORRUPT;
	if (r == 0 && !(p = mem_alloc(size + 1)))
		r = -ERR_NOMEM;
	if (r == 0)
		r = d->pread(d->ctx, file, p, size, 0, &got);
	if (r == 0)
		r = ring_file_decode(SLICE(p, got), out);
	mem_free(p);
	d->close(d->ctx, file);
	return r;
}

int
ring_file_save(const struct env *env, const char *dir, const struct ring *r)
{
	const struct env_disk *d = &env->disk;
	char tmp[PATH_BYTES], cur[PATH_BYTES], prev[PATH_BYTES];
	struct ring *old;
	struct buf b;
	int e;

	path_in(tmp, dir, "ring.tmp");
	path_in(cur, dir, "ring.cur");
	path_in(prev, dir, "ring.prev");
	buf_init(&b, FILE_MAX);
	e = ring_file_encode(r, &b);
	if (e == 0)
		e = disk_write_new(d, tmp, buf_slice(&b));
	buf_deinit(&b);
	if (e == 0 && load(env, dir, "ring.cur", &old) == 0) {
		ring_unref(old);
		e = d->rename(d->ctx, cur, prev);
	}
	if (e == 0)
		e = d->rename(d->ctx, tmp, cur);
	return e ? e : d->sync_dir(d->ctx, dir);
}

/* --- at start ------------------------------------------------------------- */

static void
ignore(void *arg, const char *name)
{
	(void)arg;
	(void)name;
}

static int
has_data(const struct env *env, const char *dir)
{
	const struct env_disk *d = &env->disk;
	char path[PATH_BYTES];

	path_in(path, dir, "vnodes");
	return d->list(d->ctx, path, ignore, NULL) != -ERR_NOTFOUND;
}

static int
make_first(const struct env *env, const struct identity *id,
    const char *nodename, uint16_t n_copies, struct ring **out)
{
	struct ring *r = ring_new(id->cluster_id, id->node_id, nodename,
	    (uint16_t)id->ring_size, n_copies);
	int e = r ? ring_file_save(env, id->dir, r) : -ERR_NOMEM;

	if (e)
		ring_unref(r);
	else
		*out = r;
	return e;
}

static int
check(const struct ring *r, const struct identity *id, const char *nodename,
    char why[RING_WHY_BYTES])
{
	uint16_t me = ring_find(r, id->node_id);

	if (memcmp(r->cluster_id, id->cluster_id, RING_ID_BYTES) != 0) {
		snprintf(why, RING_WHY_BYTES,
		    "data/%s/ring.cur is of another cluster: put the right "
		    "file back",
		    id->dir);
		return -ERR_IDENTITY;
	}
	if (me == RING_NOBODY) {
		snprintf(why, RING_WHY_BYTES,
		    "data/%s/ring.cur does not know '%s': it is of '%s'; put "
		    "the right file back",
		    id->dir, nodename, r->members[0].name);
		return -ERR_IDENTITY;
	}
	if (r->q != id->ring_size) {
		snprintf(why, RING_WHY_BYTES,
		    "data/%s/ring.cur has %u partitions, node.id %u", id->dir,
		    r->q, id->ring_size);
		return -ERR_IDENTITY;
	}
	return 0;
}

int
ring_file_open(const struct env *env, const struct identity *id,
    const char *nodename, uint16_t n_copies, struct ring **out,
    char why[RING_WHY_BYTES])
{
	int cur, prev, e;

	why[0] = '\0';
	*out = NULL;
	cur = load(env, id->dir, "ring.cur", out);
	prev = cur ? load(env, id->dir, "ring.prev", out) : 0;
	if (cur == -ERR_NOTFOUND && prev == -ERR_NOTFOUND &&
	    !has_data(env, id->dir))
		return make_first(env, id, nodename, n_copies, out);
	if (cur && prev) {
		snprintf(why, RING_WHY_BYTES,
		    "data/%s/ring.cur: %s, ring.prev: %s: restore one of them "
		    "from a backup, or from the same directory of a node that "
		    "was in the cluster",
		    id->dir, err_text(cur), err_text(prev));
		return cur == -ERR_NOMEM ? cur : -ERR_CORRUPT;
	}
	e = check(*out, id, nodename, why);
	if (e) {
		*out = ring_unref(*out);
		return e;
	}
	if (cur && cur != -ERR_NOTFOUND)
		snprintf(why, RING_WHY_BYTES,
		    "data/%s/ring.cur: %s: going on with ring.prev, epoch %llu",
		    id->dir, err_text(cur), (unsigned long long)(*out)->epoch);
	return 0;
}
