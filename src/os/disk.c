/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * disk - files below one root directory.
 *
 * Every path is resolved from the root's descriptor; absolute paths, `..` and
 * symbolic links at the end are refused, so no name from a file or a socket
 * leads out of the data directory.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "src/os/os_impl.h"

#define IOV_AT_ONCE 512

struct disk_file {
	int fd;
};

static int
failed(void)
{
	return err_from_errno(errno);
}

static int
disk_open(void *ctx, const char *path, unsigned flags, struct disk_file **out)
{
	struct os *os = ctx;
	struct disk_file *f;
	int how = O_CLOEXEC | O_NOFOLLOW;

	if (!disk_path_is_safe(path))
		return -ERR_INVAL;
	how |= flags & DISK_WRITE ? O_RDWR : O_RDONLY;
	how |= flags & DISK_CREATE ? O_CREAT : 0;
	how |= flags & DISK_EXCL ? O_EXCL : 0;
	how |= flags & DISK_TRUNC ? O_TRUNC : 0;
	f = mem_alloc(sizeof(*f));
	if (!f)
		return -ERR_NOMEM;
	f->fd = openat(os->root_fd, path, how, 0600);
	if (f->fd < 0) {
		int r = failed();

		mem_free(f);
		return r;
	}
	/* Clean pages go, also those whose writing failed. */
	if (flags & DISK_FRESH)
		posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED);
	*out = f;
	return 0;
}

static void
disk_close(void *ctx, struct disk_file *f)
{
	(void)ctx;
	if (!f)
		return;
	close(f->fd);
	mem_free(f);
}

/* Skips DONE bytes of the slices; how many of them are left. */
static int
advance(struct iovec *iov, int n, size_t done)
{
	int i = 0;

	while (i < n && done >= iov[i].iov_len)
		done -= iov[i++].iov_len;
	memmove(iov, iov + i, (size_t)(n - i) * sizeof(*iov));
	if (i < n) {
		iov[0].iov_base = (char *)iov[0].iov_base + done;
		iov[0].iov_len -= done;
	}
	return n - i;
}

static int
write_some(int fd, struct iovec *iov, int n, uint64_t *offset)
{
	while (n > 0) {
		ssize_t put = pwritev(fd, iov, n, (off_t)*offset);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return failed();
		*offset += (uint64_t)put;
		n = advance(iov, n, (size_t)put);
	}
	return 0;
}

static int
disk_pwritev(void *ctx, struct disk_file *f, const struct iovec *iov, int n,
    uint64_t offset)
{
	struct iovec some[IOV_AT_ONCE];
	int r = 0;

	(void)ctx;
	for (int at = 0; r == 0 && at < n; at += IOV_AT_ONCE) {
		int k = n - at < IOV_AT_ONCE ? n - at : IOV_AT_ONCE;

		memcpy(some, iov + at, (size_t)k * sizeof(*iov));
		r = write_some(f->fd, some, k, &offset);
	}
	return r;
}

static int
disk_pread(void *ctx, struct disk_file *f, void *out, size_t n, uint64_t offset,
    size_t *got)
{
	size_t at = 0;

	(void)ctx;
	while (at < n) {
		ssize_t k = pread(
		    f->fd, (char *)out + at, n - at, (off_t)(offset + at));

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return failed();
		if (k == 0)
			break;
		at += (size_t)k;
	}
	*got = at;
	return 0;
}

static int
disk_size(void *ctx, struct disk_file *f, uint64_t *out)
{
	struct stat st;

	(void)ctx;
	if (fstat(f->fd, &st))
		return failed();
	*out = (uint64_t)st.st_size;
	return 0;
}

static int
disk_truncate(void *ctx, struct disk_file *f, uint64_t size)
{
	(void)ctx;
	return ftruncate(f->fd, (off_t)size) ? failed() : 0;
}

static void
disk_write_behind(void *ctx, struct disk_file *f)
{
	(void)ctx;
	sync_file_range(f->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

/* Also for want of room: what was written before is as lost as after EIO. */
static int
sync_result(int r)
{
	return r ? -ERR_IO : 0;
}

static int
disk_sync(void *ctx, struct disk_file *f)
{
	(void)ctx;
	return sync_result(fdatasync(f->fd));
}

static int
disk_sync_all(void *ctx)
{
	struct os *os = ctx;

	return sync_result(syncfs(os->root_fd));
}

static int
open_dir(const struct os *os, const char *path)
{
	return openat(os->root_fd, path[0] ? path : ".",
	    O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

static int
disk_sync_dir(void *ctx, const char *path)
{
	int r, fd;

	if (path[0] && !disk_path_is_safe(path))
		return -ERR_INVAL;
	fd = open_dir(ctx, path);
	if (fd < 0)
		return failed();
	r = sync_result(fsync(fd));
	close(fd);
	return r;
}

static int
disk_rename(void *ctx, const char *from, const char *to)
{
	struct os *os = ctx;

	if (!disk_path_is_safe(from) || !disk_path_is_safe(to))
		return -ERR_INVAL;
	return renameat(os->root_fd, from, os->root_fd, to) ? failed() : 0;
}

static int
disk_unlink(void *ctx, const char *path)
{
	struct os *os = ctx;

	if (!disk_path_is_safe(path))
		return -ERR_INVAL;
	if (unlinkat(os->root_fd, path, 0) == 0)
		return 0;
	if (errno == EISDIR && unlinkat(os->root_fd, path, AT_REMOVEDIR) == 0)
		return 0;
	return failed();
}

static int
disk_mkdir(void *ctx, const char *path)
{
	struct os *os = ctx;

	if (!disk_path_is_safe(path))
		return -ERR_INVAL;
	return mkdirat(os->root_fd, path, 0700) ? failed() : 0;
}

static int
disk_list(void *ctx, const char *path, disk_list_fn fn, void *arg)
{
	struct dirent *e;
	DIR *dir;
	int fd;

	if (path[0] && !disk_path_is_safe(path))
		return -ERR_INVAL;
	fd = open_dir(ctx, path);
	if (fd < 0)
		return failed();
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ERR_NOMEM;
	}
	while ((e = readdir(dir)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			fn(arg, e->d_name);
	closedir(dir);
	return 0;
}

static int
disk_free_bytes(void *ctx, uint64_t *out)
{
	struct os *os = ctx;
	struct statvfs st;

	if (fstatvfs(os->root_fd, &st))
		return failed();
	*out = (uint64_t)st.f_bavail * st.f_frsize;
	return 0;
}

int
disk_open_root(struct os *os, const char *path)
{
	if (mkdir(path, 0700) && errno != EEXIST)
		return failed();
	os->root_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return os->root_fd < 0 ? failed() : 0;
}

void
disk_close_root(struct os *os)
{
	if (os->lock_fd >= 0)
		close(os->lock_fd);
	if (os->root_fd >= 0)
		close(os->root_fd);
}

void
disk_fill(struct os *os)
{
	os->env.disk = (struct env_disk){
	    .open = disk_open,
	    .close = disk_close,
	    .pwritev = disk_pwritev,
	    .pread = disk_pread,
	    .size = disk_size,
	    .truncate = disk_truncate,
	    .sync = disk_sync,
	    .sync_all = disk_sync_all,
	    .write_behind = disk_write_behind,
	    .sync_dir = disk_sync_dir,
	    .rename = disk_rename,
	    .unlink = disk_unlink,
	    .mkdir = disk_mkdir,
	    .list = disk_list,
	    .free_bytes = disk_free_bytes,
	    .ctx = os,
	};
}

int
os_lock(struct os *os)
{
	char text[24];
	int n, r;

	os->lock_fd = openat(os->root_fd, "LOCK",
	    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (os->lock_fd < 0)
		return failed();
	if (flock(os->lock_fd, LOCK_EX | LOCK_NB)) {
		r = errno == EWOULDBLOCK ? -ERR_LOCKED : failed();
		close(os->lock_fd);
		os->lock_fd = -1;
		return r;
	}
	n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(os->lock_fd, 0) ||
	    pwrite(os->lock_fd, text, (size_t)n, 0) != n)
		return failed(); /* whose it is could not be said */
	return 0;
}
