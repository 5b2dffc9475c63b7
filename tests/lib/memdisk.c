/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * memdisk - the calls of env_disk, and the faults they meet.
 *
 * A call goes: enter() counts it and finds its fault, the call does what the
 * fault leaves of it, and leave() cuts the power where the fault says so.
 */
#include "tests/lib/memdisk.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "tests/lib/memdisk_impl.h"

/* --- faults --------------------------------------------------------------- */

static enum memdisk_fault
fault_of(struct memdisk *md, enum memdisk_op op, const char *path)
{
	for (size_t i = 0; i < md->n_faults; i++)
		if (md->faults[i].op == md->n_calls)
			return md->faults[i].fault;
	return md->hook ? md->hook(md->hook_arg, op, path) : MEMDISK_OK;
}

static int
enter(struct memdisk *md, enum memdisk_op op, const char *path,
    enum memdisk_fault *fault)
{
	if (md->is_down)
		return -ERR_IO;
	md->n_calls++;
	*fault = fault_of(md, op, path);
	if (*fault == MEMDISK_CRASH_BEFORE) {
		md->is_down = 1;
		return -ERR_IO;
	}
	return 0;
}

/* For calls that fail without having done anything. */
static int
enter_whole(struct memdisk *md, enum memdisk_op op, const char *path,
    enum memdisk_fault *fault)
{
	int r = enter(md, op, path, fault);

	if (r < 0)
		return r;
	if (*fault == MEMDISK_EIO)
		return -ERR_IO;
	return *fault == MEMDISK_ENOSPC ? -ERR_NOSPC : 0;
}

static int
leave(struct memdisk *md, enum memdisk_fault fault)
{
	switch (fault) {
	case MEMDISK_OK:
		return 0;
	case MEMDISK_CRASH_BEFORE:
	case MEMDISK_CRASH_MIDDLE:
	case MEMDISK_CRASH_SHORT:
		md->is_down = 1;
		return -ERR_IO;
	case MEMDISK_EIO:
		return -ERR_IO;
	case MEMDISK_ENOSPC:
		return -ERR_NOSPC;
	}
	ASSERT_UNREACHED();
}

/* --- paths ---------------------------------------------------------------- */

int
walk(struct memdisk *md, const char *path, struct place *out)
{
	struct node *dir = md->root;
	const char *slash;

	if (!disk_path_is_safe(path))
		return -ERR_INVAL;
	while ((slash = strchr(path, '/'))) {
		struct node *next =
		    names_find(&dir->live_names, path, (size_t)(slash - path));

		if (!next)
			return -ERR_NOTFOUND;
		if (!next->is_dir)
			return -ERR_SYSTEM;
		dir = next;
		path = slash + 1;
	}
	if (path[0] == '\0')
		return -ERR_INVAL;
	*out = (struct place){
	    dir, path, names_find(&dir->live_names, path, strlen(path))};
	return 0;
}

static int
walk_dir(struct memdisk *md, const char *path, struct node **out)
{
	struct place at;
	int r;

	if (path[0] == '\0' || (path[0] == '.' && path[1] == '\0')) {
		*out = md->root;
		return 0;
	}
	r = walk(md, path, &at);
	if (r < 0)
		return r;
	if (!at.node)
		return -ERR_NOTFOUND;
	if (!at.node->is_dir)
		return -ERR_SYSTEM;
	*out = at.node;
	return 0;
}

struct node *
make(struct memdisk *md, const struct place *at, int is_dir)
{
	struct node *node = node_new(md, is_dir);

	nameop_do(md, (struct nameop){
			  .kind = NAME_MAKE,
			  .to = at->dir,
			  .to_name = (char *)at->name,
			  .node = node,
		      });
	return node;
}

/* --- files ---------------------------------------------------------------- */

static uint64_t
pages_free(const struct memdisk *md)
{
	uint64_t used = 0, all = md->config.capacity_bytes / PAGE_BYTES;

	if (md->config.capacity_bytes == 0)
		return UINT32_MAX;
	LIST_FOREACH (l, &md->nodes) {
		struct node *node = LIST_ENTRY(l, struct node, link);

		if (node->n_live_names || node->n_handles)
			used += node->live.n_used;
	}
	return all > used ? all - used : 0;
}

/* What open does once it is known to be allowed. */
static int
open_node(struct memdisk *md, const struct place *at, unsigned flags,
    struct node **out)
{
	struct node *node = at->node;

	if (node && flags & DISK_CREATE && flags & DISK_EXCL)
		return -ERR_EXISTS;
	if (node && node->is_dir)
		return -ERR_SYSTEM;
	if (!node && !(flags & DISK_CREATE))
		return -ERR_NOTFOUND;
	if (!node)
		node = make(md, at, 0);
	else if (flags & DISK_TRUNC && node->live.size > 0)
		node_truncate(node, 0);
	if (flags & DISK_FRESH && node->n_changes == 0)
		image_copy(&node->live, &node->durable);
	*out = node;
	return 0;
}

static int
md_open(void *ctx, const char *path, unsigned flags, struct disk_file **out)
{
	struct memdisk *md = ctx;
	enum memdisk_fault fault = MEMDISK_OK;
	struct node *node = NULL;
	struct disk_file *f;
	struct place at;
	int r;

	ASSERT(flags & DISK_WRITE || !(flags & (DISK_CREATE | DISK_TRUNC)));
	if (flags & (DISK_CREATE | DISK_TRUNC))
		r = enter_whole(md, MEMDISK_OPEN, path, &fault);
	else
		r = md->is_down ? -ERR_IO : 0;
	if (r == 0)
		r = walk(md, path, &at);
	if (r == 0)
		r = open_node(md, &at, flags, &node);
	if (r == 0)
		r = leave(md, fault);
	if (r < 0)
		return r;
	f = xrealloc(NULL, sizeof(*f));
	*f = (struct disk_file){
	    .node = node_ref(node),
	    .path = xstrdup(path),
	    .flags = flags,
	    .epoch = md->epoch,
	};
	node->n_handles++;
	list_add_tail(&md->handles, &f->link);
	*out = f;
	return 0;
}

static void
md_close(void *ctx, struct disk_file *f)
{
	(void)ctx;
	if (!f)
		return;
	list_del(&f->link);
	f->node->n_handles--;
	node_unref(f->node);
	free(f->path);
	free(f);
}

/* A handle from before the power cut is good for nothing but close. */
static int
usable(const struct memdisk *md, const struct disk_file *f)
{
	return !md->is_down && f->epoch == md->epoch ? 0 : -ERR_IO;
}

static int
write_slices(struct memdisk *md, struct disk_file *f, const struct iovec *iov,
    int n, uint64_t offset, enum memdisk_fault fault)
{
	size_t bytes = 0, at = 0, put;
	uint8_t *p;

	for (int i = 0; i < n; i++)
		bytes += iov[i].iov_len;
	p = xrealloc(NULL, bytes);
	for (int i = 0; i < n; at += iov[i++].iov_len)
		if (iov[i].iov_len)
			memcpy(p + at, iov[i].iov_base, iov[i].iov_len);
	if (fault != MEMDISK_OK && fault != MEMDISK_CRASH_MIDDLE) {
		struct chance c = {md->n_calls};

		bytes = chance_below(&c, bytes + 1);
	}
	put = node_write(f->node, p, bytes, offset, pages_free(md));
	free(p);
	return put < bytes ? -ERR_NOSPC : 0;
}

static int
md_pwritev(void *ctx, struct disk_file *f, const struct iovec *iov, int n,
    uint64_t offset)
{
	struct memdisk *md = ctx;
	enum memdisk_fault fault;
	int r, left;

	ASSERT(f->flags & DISK_WRITE);
	r = usable(md, f);
	if (r == 0)
		r = enter(md, MEMDISK_PWRITEV, f->path, &fault);
	if (r < 0)
		return r;
	r = write_slices(md, f, iov, n, offset, fault);
	left = leave(md, fault);
	return left < 0 ? left : r;
}

static int
md_pread(void *ctx, struct disk_file *f, void *out, size_t n, uint64_t offset,
    size_t *got)
{
	struct memdisk *md = ctx;
	const struct image *live = &f->node->live;
	int r = usable(md, f);

	if (r < 0)
		return r;
	if (offset >= live->size)
		n = 0;
	else if (n > live->size - offset)
		n = live->size - offset;
	image_read(live, out, n, offset);
	*got = n;
	return 0;
}

static int
md_size(void *ctx, struct disk_file *f, uint64_t *out)
{
	int r = usable(ctx, f);

	if (r == 0)
		*out = f->node->live.size;
	return r;
}

static int
md_truncate(void *ctx, struct disk_file *f, uint64_t size)
{
	struct memdisk *md = ctx;
	enum memdisk_fault fault;
	int r;

	ASSERT(f->flags & DISK_WRITE);
	r = usable(md, f);
	if (r == 0)
		r = enter_whole(md, MEMDISK_TRUNCATE, f->path, &fault);
	if (r < 0)
		return r;
	node_truncate(f->node, size);
	return leave(md, fault);
}

/* --- syncs ---------------------------------------------------------------- */

/* Pages are marked clean whether they were written or not. */
static void
lose_some(struct memdisk *md, struct node *node)
{
	node_decide(node, MEMDISK_RANDOM, md->config.sector_bytes, md->n_calls);
}

/* env.h: a sync fails with nothing but -ERR_IO. */
static int
leave_sync(struct memdisk *md, enum memdisk_fault fault)
{
	return leave(md, fault == MEMDISK_ENOSPC ? MEMDISK_EIO : fault);
}

static int
md_sync(void *ctx, struct disk_file *f)
{
	struct memdisk *md = ctx;
	enum memdisk_fault fault;
	int r = usable(md, f);

	if (r == 0)
		r = enter(md, MEMDISK_SYNC, f->path, &fault);
	if (r < 0)
		return r;
	if (fault == MEMDISK_OK)
		node_sync(f->node);
	else if (fault == MEMDISK_EIO || fault == MEMDISK_ENOSPC)
		lose_some(md, f->node);
	return leave_sync(md, fault);
}

static void
md_write_behind(void *ctx, struct disk_file *f)
{
	(void)ctx, (void)f;
}

static int
md_sync_all(void *ctx)
{
	struct memdisk *md = ctx;
	enum memdisk_fault fault;
	int r = enter(md, MEMDISK_SYNC_ALL, "", &fault);

	if (r < 0)
		return r;
	LIST_FOREACH (l, &md->nodes) {
		struct node *node = LIST_ENTRY(l, struct node, link);

		if (fault == MEMDISK_OK)
			node_sync(node);
		else if (fault == MEMDISK_EIO || fault == MEMDISK_ENOSPC)
			lose_some(md, node);
	}
	if (fault == MEMDISK_OK)
		names_sync(md, NULL);
	return leave_sync(md, fault);
}

static int
md_sync_dir(void *ctx, const char *path)
{
	struct memdisk *md = ctx;
	enum memdisk_fault fault;
	struct node *dir;
	int r = enter(md, MEMDISK_SYNC_DIR, path, &fault);

	if (r == 0)
		r = walk_dir(md, path, &dir);
	if (r < 0)
		return r;
	if (fault == MEMDISK_OK)
		names_sync(md, dir);
	return leave_sync(md, fault);
}

/* --- names ---------------------------------------------------------------- */

static int
md_rename(void *ctx, const char *from, const char *to)
{
	struct memdisk *md = ctx;
	enum memdisk_fault fault;
	struct place a, b;
	int r = enter_whole(md, MEMDISK_RENAME, from, &fault);

	if (r == 0)
		r = walk(md, from, &a);
	if (r == 0)
		r = walk(md, to, &b);
	if (r < 0)
		return r;
	if (!a.node)
		return -ERR_NOTFOUND;
	if (a.node == b.node)
		return leave(md, fault);
	if (a.node->is_dir && b.dir == a.node)
		return -ERR_INVAL;
	if (b.node && (b.node->is_dir || a.node->is_dir))
		return -ERR_EXISTS; /* more than the node asks for */
	nameop_do(md, (struct nameop){
			  .kind = NAME_RENAME,
			  .from = a.dir,
			  .from_name = (char *)a.name,
			  .to = b.dir,
			  .to_name = (char *)b.name,
			  .node = a.node,
		      });
	return leave(md, fault);
}

static int
md_unlink(void *ctx, const char *path)
{
	struct memdisk *md = ctx;
	enum memdisk_fault fault;
	struct place at;
	int r = enter_whole(md, MEMDISK_UNLINK, path, &fault);

	if (r == 0)
		r = walk(md, path, &at);
	if (r < 0)
		return r;
	if (!at.node)
		return -ERR_NOTFOUND;
	if (at.node->is_dir)
		return -ERR_SYSTEM;
	nameop_do(md, (struct nameop){
			  .kind = NAME_REMOVE,
			  .from = at.dir,
			  .from_name = (char *)at.name,
		      });
	return leave(md, fault);
}

static int
md_mkdir(void *ctx, const char *path)
{
	struct memdisk *md = ctx;
	enum memdisk_fault fault;
	struct place at;
	int r = enter_whole(md, MEMDISK_MKDIR, path, &fault);

	if (r == 0)
		r = walk(md, path, &at);
	if (r < 0)
		return r;
	if (at.node)
		return -ERR_EXISTS;
	make(md, &at, 1);
	return leave(md, fault);
}

static int
md_list(void *ctx, const char *path, disk_list_fn fn, void *arg)
{
	struct memdisk *md = ctx;
	struct node *dir;
	int r = md->is_down ? -ERR_IO : walk_dir(md, path, &dir);
	size_t n = r < 0 ? 0 : dir->live_names.n;
	char **names = calloc(n + 1, sizeof(*names));

	if (!names)
		abort();
	/* FN may remove what it is told of. */
	for (size_t i = 0; i < n; i++)
		if (!(names[i] = strdup(dir->live_names.v[i].text)))
			abort();
	for (size_t i = 0; i < n; i++) {
		fn(arg, names[i]);
		free(names[i]);
	}
	free(names);
	return r < 0 ? r : 0;
}

static int
md_free_bytes(void *ctx, uint64_t *out)
{
	struct memdisk *md = ctx;

	if (md->is_down)
		return -ERR_IO;
	*out = pages_free(md) * PAGE_BYTES;
	return 0;
}

/* --- the disk ------------------------------------------------------------- */

struct memdisk *
memdisk_new(const struct memdisk_config *config)
{
	struct memdisk *md = xrealloc(NULL, sizeof(*md));

	*md = (struct memdisk){
	    .disk =
		{
		    .open = md_open,
		    .close = md_close,
		    .pwritev = md_pwritev,
		    .pread = md_pread,
		    .size = md_size,
		    .truncate = md_truncate,
		    .sync = md_sync,
		    .sync_all = md_sync_all,
		    .write_behind = md_write_behind,
		    .sync_dir = md_sync_dir,
		    .rename = md_rename,
		    .unlink = md_unlink,
		    .mkdir = md_mkdir,
		    .list = md_list,
		    .free_bytes = md_free_bytes,
		    .ctx = md,
		},
	    .config = config ? *config : (struct memdisk_config){0},
	};
	if (md->config.sector_bytes == 0)
		md->config.sector_bytes = 512;
	ASSERT(PAGE_BYTES % md->config.sector_bytes == 0);
	list_init(&md->nodes);
	list_init(&md->handles);
	md->root = node_ref(node_new(md, 1));
	return md;
}

void
memdisk_close_all(struct memdisk *md)
{
	while (!list_empty(&md->handles))
		md_close(md, LIST_ENTRY(list_first(&md->handles),
				 struct disk_file, link));
}

struct memdisk *
memdisk_free(struct memdisk *md)
{
	if (!md)
		return NULL;
	memdisk_close_all(md);
	for (size_t i = 0; i < md->n_ops; i++)
		nameop_release(&md->ops[i]);
	free(md->ops);
	while (!list_empty(&md->nodes))
		node_destroy(
		    LIST_ENTRY(list_first(&md->nodes), struct node, link));
	free(md);
	return NULL;
}

const struct env_disk *
memdisk_disk(struct memdisk *md)
{
	return &md->disk;
}

void
memdisk_restart(struct memdisk *md)
{
	md->is_down = 0;
}

int
memdisk_is_down(const struct memdisk *md)
{
	return md->is_down;
}
