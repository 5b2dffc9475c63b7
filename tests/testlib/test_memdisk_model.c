/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * The disk against a dumb one that keeps a whole copy of every file and every
 * directory after each change, and so knows each content that a sector or a
 * directory may come back with.
 */
#include "tests/lib/memdisk.h"

#include "tests/lib/chance.h"
#include "tests/testlib/helpers.h"

TestSuite(memdisk_model, .timeout = 100);

#define SECTOR     512
#define FILE_BYTES (12 * SECTOR + 300)
#define N_SECTORS  13
#define N_NAMES    4
#define N_DIRS     2
#define HISTORY    24
#define N_FILES    (N_DIRS * N_NAMES * HISTORY)
#define NONE       (-1)

struct version {
	size_t size;
	uint8_t bytes[N_SECTORS * SECTOR]; /* zeros behind the size */
};

/* [0] is durable, the last one live. */
struct file {
	struct version v[HISTORY];
	size_t n;
	uint8_t written[N_SECTORS];
};

struct dir {
	int file[HISTORY][N_NAMES];
	size_t n;
};

struct model {
	struct memdisk *md;
	const struct env_disk *d;
	struct chance c;
	struct file *files[N_FILES]; /* a file is large: they never move */
	int n_files;                 /* in use; those behind are spare */
	struct dir dirs[N_DIRS];
	unsigned n_torn, n_old, n_new;
};

static const char *const dir_name[N_DIRS] = {"", "d"};

static const char *
path_of(int dir, int name, char out[8])
{
	snprintf(out, 8, "%s%sf%d", dir_name[dir], dir ? "/" : "", name);
	return out;
}

static struct version *
live(struct file *f)
{
	return &f->v[f->n - 1];
}

static int *
names(struct dir *dir)
{
	return dir->file[dir->n - 1];
}

static void
file_synced(struct file *f)
{
	f->v[0] = *live(f);
	f->n = 1;
	memset(f->written, 0, sizeof(f->written));
}

static void
dir_synced(struct dir *dir)
{
	memcpy(dir->file[0], names(dir), sizeof(dir->file[0]));
	dir->n = 1;
}

static int *
dir_changes(struct dir *dir)
{
	memcpy(dir->file[dir->n], names(dir), sizeof(dir->file[0]));
	dir->n++;
	return names(dir);
}

/* Nothing is left to do when the histories are full. */
static int
is_full(const struct model *m)
{
	for (int i = 0; i < m->n_files; i++)
		if (m->files[i]->n == HISTORY)
			return 1;
	for (int i = 0; i < N_DIRS; i++)
		if (m->dirs[i].n == HISTORY)
			return 1;
	return m->n_files == N_FILES;
}

static void
touch(struct file *f, size_t from, size_t to)
{
	for (size_t s = from / SECTOR; s < N_SECTORS && s * SECTOR < to; s++)
		f->written[s] = 1;
}

static void
do_write(struct model *m, struct file *f, struct disk_file *h)
{
	size_t offset = chance_below(&m->c, FILE_BYTES);
	size_t n = 1 + chance_below(&m->c, FILE_BYTES - offset);
	struct version *v;
	struct iovec iov[2];
	uint8_t *at;

	if (n > 2000 && !chance_one_in(&m->c, 4))
		n = 1 + n % 700;
	f->v[f->n] = *live(f);
	f->n++;
	v = live(f);
	at = v->bytes + offset;
	for (size_t i = 0; i < n; i++)
		at[i] = (uint8_t)chance_next(&m->c);
	if (offset + n > v->size)
		v->size = offset + n;
	touch(f, offset, offset + n);
	iov[0] = (struct iovec){at, n / 3};
	iov[1] = (struct iovec){at + n / 3, n - n / 3};
	cr_assert_eq(m->d->pwritev(m->d->ctx, h, iov, 2, offset), 0);
}

static void
do_truncate(struct model *m, struct file *f, struct disk_file *h)
{
	size_t size = chance_below(&m->c, FILE_BYTES);
	struct version *v;

	f->v[f->n] = *live(f);
	f->n++;
	v = live(f);
	touch(f, size, v->size);
	if (size < v->size)
		memset(v->bytes + size, 0, v->size - size);
	v->size = size;
	cr_assert_eq(m->d->truncate(m->d->ctx, h, size), 0);
}

static void
do_content(struct model *m, int dir, int name)
{
	int id = names(&m->dirs[dir])[name];
	struct file *f;
	struct disk_file *h;
	char path[8];

	if (id == NONE)
		return;
	f = m->files[id];
	h = must_open(m->md, path_of(dir, name, path), DISK_WRITE);
	switch (chance_below(&m->c, 6)) {
	case 0:
		cr_assert_eq(sync_file(m->md, h), 0);
		file_synced(f);
		break;
	case 1:
		do_truncate(m, f, h);
		break;
	default:
		do_write(m, f, h);
	}
	hang_up(m->md, h);
}

static void
do_create(struct model *m, int dir, int name)
{
	struct file *f;
	char path[8];

	if (names(&m->dirs[dir])[name] != NONE)
		return;
	f = m->files[m->n_files];
	memset(&f->v[0], 0, sizeof(f->v[0]));
	memset(f->written, 0, sizeof(f->written));
	f->n = 1;
	dir_changes(&m->dirs[dir])[name] = m->n_files++;
	hang_up(m->md, must_open(m->md, path_of(dir, name, path),
			   DISK_WRITE | DISK_CREATE | DISK_EXCL));
}

static void
do_unlink(struct model *m, int dir, int name)
{
	char path[8];
	int is_there = names(&m->dirs[dir])[name] != NONE;

	cr_assert_eq(m->d->unlink(m->d->ctx, path_of(dir, name, path)),
	    is_there ? 0 : -ERR_NOTFOUND);
	if (is_there)
		dir_changes(&m->dirs[dir])[name] = NONE;
}

static void
do_rename(struct model *m, int dir, int name)
{
	int to = (int)chance_below(&m->c, N_NAMES), *now;
	int id = names(&m->dirs[dir])[name];
	char a[8], b[8];

	cr_assert_eq(
	    rename_to(m->md, path_of(dir, name, a), path_of(dir, to, b)),
	    id == NONE ? -ERR_NOTFOUND : 0);
	if (id == NONE || to == name)
		return;
	now = dir_changes(&m->dirs[dir]);
	now[name] = NONE;
	now[to] = id;
}

static void
do_sync_all(struct model *m)
{
	cr_assert_eq(m->d->sync_all(m->d->ctx), 0);
	for (int i = 0; i < m->n_files; i++)
		file_synced(m->files[i]);
	for (int i = 0; i < N_DIRS; i++)
		dir_synced(&m->dirs[i]);
}

/* --- what may be left ----------------------------------------------------- */

static int
has(struct memdisk *md, const char *path, struct version *out)
{
	struct buf b;
	int r;

	buf_init(&b, sizeof(out->bytes));
	memset(out, 0, sizeof(*out));
	r = memdisk_read_all(md, path, &b);
	if (r == 0) {
		out->size = b.n;
		if (b.n)
			memcpy(out->bytes, b.p, b.n);
	}
	buf_deinit(&b);
	cr_assert(r == 0 || r == -ERR_NOTFOUND);
	return r == 0;
}

/* Whether sector S of GOT, up to its size, is that of one of the versions. */
static int
sector_is_known(const struct file *f, const struct version *got, size_t s)
{
	size_t n = got->size - s * SECTOR;

	for (size_t i = 0; i < f->n; i++)
		if (memcmp(got->bytes + s * SECTOR, f->v[i].bytes + s * SECTOR,
			n < SECTOR ? n : SECTOR) == 0)
			return 1;
	return 0;
}

static int
file_may_be(struct model *m, const struct file *f, const struct version *got)
{
	size_t low = SIZE_MAX, high = 0;

	for (size_t i = 0; i < f->n; i++) {
		low = f->v[i].size < low ? f->v[i].size : low;
		high = f->v[i].size > high ? f->v[i].size : high;
	}
	if (got->size < low || got->size > high)
		return 0;
	for (size_t s = 0; s * SECTOR < got->size; s++) {
		if (sector_is_known(f, got, s))
			continue;
		if (!f->written[s])
			return 0;
		m->n_torn++;
	}
	return 1;
}

/* Whether the names and contents found are those of version I of DIR. */
static int
dir_may_be(struct model *m, const struct dir *dir, size_t i,
    const struct version *got, const int *is_there)
{
	for (int name = 0; name < N_NAMES; name++) {
		int id = dir->file[i][name];

		if ((id != NONE) != is_there[name])
			return 0;
		if (id != NONE && !file_may_be(m, m->files[id], &got[name]))
			return 0;
	}
	return 1;
}

/* Finds what DIR has come back as, and makes it the only version. */
static void
adopt(struct model *m, int d)
{
	static struct version got[N_NAMES];
	struct dir *dir = &m->dirs[d];
	int is_there[N_NAMES];
	size_t i;
	char path[8];

	for (int name = 0; name < N_NAMES; name++)
		is_there[name] = has(m->md, path_of(d, name, path), &got[name]);
	for (i = 0; i < dir->n; i++)
		if (dir_may_be(m, dir, i, got, is_there))
			break;
	cr_assert_lt(i, dir->n, "directory %d is none that it was", d);
	m->n_old += i == 0 && dir->n > 1;
	m->n_new += i == dir->n - 1 && dir->n > 1;
	memmove(dir->file[0], dir->file[i], sizeof(dir->file[0]));
	dir->n = 1;
	for (int name = 0; name < N_NAMES; name++) {
		int id = dir->file[0][name];

		if (id == NONE)
			continue;
		m->files[id]->v[0] = got[name];
		m->files[id]->n = 1;
		file_synced(m->files[id]);
	}
}

/* Files that no directory names any more make room for new ones. */
static void
renumber(struct model *m)
{
	struct file *old[N_FILES];
	int n = 0, n_spare;

	memcpy(old, m->files, sizeof(old));
	for (int d = 0; d < N_DIRS; d++)
		for (int name = 0; name < N_NAMES; name++) {
			int *id = &m->dirs[d].file[0][name];

			if (*id == NONE)
				continue;
			m->files[n] = old[*id];
			old[*id] = NULL;
			*id = n++;
		}
	m->n_files = n_spare = n;
	for (int i = 0; i < N_FILES; i++)
		if (old[i])
			m->files[n_spare++] = old[i];
}

static void
do_crash(struct model *m)
{
	uint64_t seed = chance_next(&m->c);
	struct memdisk *other = memdisk_clone(m->md);

	memdisk_crash(other, MEMDISK_RANDOM, seed);
	cut_and_restart(m->md, MEMDISK_RANDOM, seed);
	cr_assert_eq(memdisk_hash(m->md), memdisk_hash(other));
	memdisk_free(other);
	for (int d = 0; d < N_DIRS; d++)
		adopt(m, d);
	renumber(m);
}

static void
check_live(struct model *m)
{
	static struct version got;
	char path[8];

	for (int d = 0; d < N_DIRS; d++)
		for (int name = 0; name < N_NAMES; name++) {
			int id = names(&m->dirs[d])[name];
			struct version *want;

			cr_assert_eq(has(m->md, path_of(d, name, path), &got),
			    id != NONE);
			if (id == NONE)
				continue;
			want = live(m->files[id]);
			cr_assert_eq(got.size, want->size);
			cr_assert_eq(
			    memcmp(got.bytes, want->bytes, want->size), 0);
		}
}

static void
step(struct model *m)
{
	int dir = (int)chance_below(&m->c, N_DIRS);
	int name = (int)chance_below(&m->c, N_NAMES);

	if (is_full(m)) {
		do_crash(m);
		return;
	}
	switch (chance_below(&m->c, 20)) {
	case 0:
	case 1:
	case 2:
		do_create(m, dir, name);
		break;
	case 3:
		do_unlink(m, dir, name);
		break;
	case 4:
	case 5:
		do_rename(m, dir, name);
		break;
	case 6:
		cr_assert_eq(sync_dir(m->md, dir_name[dir]), 0);
		dir_synced(&m->dirs[dir]);
		break;
	case 7:
		if (chance_one_in(&m->c, 4))
			do_sync_all(m);
		break;
	case 8:
		if (chance_one_in(&m->c, 3))
			do_crash(m);
		break;
	default:
		do_content(m, dir, name);
	}
}

static void
run(struct model *m, uint64_t seed)
{
	m->md = memdisk_new(NULL);
	m->d = memdisk_disk(m->md);
	m->c.state = seed;
	m->n_files = 0;
	memset(m->dirs, 0xff, sizeof(m->dirs)); /* NONE everywhere */
	for (int d = 0; d < N_DIRS; d++)
		m->dirs[d].n = 1;
	cr_assert_eq(m->d->mkdir(m->d->ctx, "d"), 0);
	cr_assert_eq(sync_dir(m->md, ""), 0);
	for (int i = 0; i < 400; i++) {
		step(m);
		check_live(m);
	}
	memdisk_free(m->md);
}

Test(memdisk_model, whatever_happens_the_disk_holds_what_it_may_hold)
{
	struct model *m = calloc(1, sizeof(*m));

	for (int i = 0; i < N_FILES; i++)
		m->files[i] = calloc(1, sizeof(*m->files[i]));
	for (uint64_t seed = 1; seed <= 400; seed++)
		run(m, seed);
	cr_expect_gt(m->n_torn, 100, "%u %u %u", m->n_torn, m->n_old, m->n_new);
	cr_expect_gt(m->n_old, 100);
	cr_expect_gt(m->n_new, 100);
	for (int i = 0; i < N_FILES; i++)
		free(m->files[i]);
	free(m);
}
