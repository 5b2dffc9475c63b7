/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* env - paths and new files on a disk, and frames from other nodes, however they
 * came. */
#include "src/base/env.h"

#include <string.h>

#include "src/base/assert.h"
#include "src/base/mem.h"

int
disk_path_is_safe(const char *path)
{
	if (path[0] == '/' || path[0] == '\0')
		return 0;
	for (const char *p = path; p; p = strchr(p, '/')) {
		p += *p == '/';
		if (p[0] == '.' && p[1] == '.' && (p[2] == '/' || p[2] == '\0'))
			return 0;
	}
	return 1;
}

int
disk_write_new(const struct env_disk *d, const char *path, struct slice bytes)
{
	struct iovec iov = {(void *)(uintptr_t)bytes.p, bytes.n};
	struct disk_file *file;
	int r =
	    d->open(d->ctx, path, DISK_WRITE | DISK_CREATE | DISK_TRUNC, &file);

	if (r)
		return r;
	r = d->pwritev(d->ctx, file, &iov, 1, 0);
	if (r == 0)
		r = d->sync(d->ctx, file);
	d->close(d->ctx, file);
	return r;
}

struct net_frame *
net_frame_new(const uint8_t from[16], const struct iovec *iov, int n)
{
	struct net_frame *f = mem_zalloc(sizeof(*f));
	size_t bytes = 0;

	for (int i = 0; i < n; i++)
		bytes += iov[i].iov_len;
	ASSERT(bytes <= NET_FRAME_MAX);
	if (f)
		f->block = block_new((uint32_t)bytes);
	if (!f || !f->block)
		return net_frame_free(f);
	for (int i = 0; i < n; i++) {
		if (iov[i].iov_len == 0)
			continue;
		memcpy(
		    f->block->p + f->block->n, iov[i].iov_base, iov[i].iov_len);
		f->block->n += (uint32_t)iov[i].iov_len;
	}
	f->msg.kind = MSG_FRAME;
	memcpy(f->from, from, 16);
	f->bytes = SLICE(f->block->p, f->block->n);
	return f;
}

struct net_frame *
net_frame_free(struct net_frame *f)
{
	if (!f)
		return NULL;
	block_unref(f->block);
	return mem_free(f);
}
