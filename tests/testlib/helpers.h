/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * helpers - calls of the fake disk in one line.
 */
#ifndef TESTS_TESTLIB_HELPERS_H
#define TESTS_TESTLIB_HELPERS_H

#include <criterion/criterion.h>

#include "src/base/err.h"
#include "tests/lib/memdisk.h"

static inline struct disk_file *
must_open(struct memdisk *md, const char *path, unsigned flags)
{
	const struct env_disk *d = memdisk_disk(md);
	struct disk_file *f = NULL;
	int r = d->open(d->ctx, path, flags, &f);

	cr_assert_eq(r, 0, "open %s: %s", path, err_text(r));
	return f;
}

static inline void
hang_up(struct memdisk *md, struct disk_file *f)
{
	const struct env_disk *d = memdisk_disk(md);

	d->close(d->ctx, f);
}

static inline int
write_at(struct memdisk *md, struct disk_file *f, const void *p, size_t n,
    uint64_t offset)
{
	const struct env_disk *d = memdisk_disk(md);
	struct iovec iov = {.iov_base = (void *)p, .iov_len = n};

	return d->pwritev(d->ctx, f, &iov, 1, offset);
}

static inline int
sync_file(struct memdisk *md, struct disk_file *f)
{
	const struct env_disk *d = memdisk_disk(md);

	return d->sync(d->ctx, f);
}

static inline int
sync_dir(struct memdisk *md, const char *path)
{
	const struct env_disk *d = memdisk_disk(md);

	return d->sync_dir(d->ctx, path);
}

static inline int
rename_to(struct memdisk *md, const char *from, const char *to)
{
	const struct env_disk *d = memdisk_disk(md);

	return d->rename(d->ctx, from, to);
}

static inline int
exists(struct memdisk *md, const char *path)
{
	const struct env_disk *d = memdisk_disk(md);
	struct disk_file *f;
	int r = d->open(d->ctx, path, DISK_READ, &f);

	if (r == 0)
		d->close(d->ctx, f);
	cr_assert(r == 0 || r == -ERR_NOTFOUND, "%s", err_text(r));
	return r == 0;
}

/* The content as a string, at most 64 KiB of it, valid until the next call. */
static inline const char *
content(struct memdisk *md, const char *path)
{
	static char text[65537];
	struct buf b;

	buf_init(&b, sizeof(text) - 1);
	cr_assert_eq(memdisk_read_all(md, path, &b), 0);
	memcpy(text, b.p ? (char *)b.p : "", b.n);
	text[b.n] = '\0';
	buf_deinit(&b);
	return text;
}

/* A synced file with a synced name. */
static inline void
put(struct memdisk *md, const char *path, const char *text)
{
	cr_assert_eq(memdisk_put(md, path, SLICE_STR(text)), 0);
}

static inline void
cut_and_restart(struct memdisk *md, enum memdisk_outcome outcome, uint64_t seed)
{
	memdisk_crash(md, outcome, seed);
	memdisk_restart(md);
}

#endif
