/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* rig - a disk in memory, its env, and files as an input holds them. */
#include "tests/fuzz/rig.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/le.h"
#include "src/base/mem.h"
#include "tests/fuzz/fuzz.h"

#define RUN_MAX    100000
#define KIND_FILE  1
#define KIND_BYTES 2
#define BYTES_HEAD 7
#define GAP        16 /* zeros that are worth an item of their own */

static void
dispatch(void *arg, uint32_t worker, struct msg *m)
{
	(void)arg;
	(void)worker;
	m->fn(m);
}

void
rig_init(struct rig *r)
{
	struct simenv_config c = {.seed = 1, .n_workers = 1};

	r->md = memdisk_new(NULL);
	c.disk = memdisk_disk(r->md);
	r->sim = simenv_new(&c);
	ASSERT(r->md && r->sim);
	r->env = simenv_env(r->sim);
	simenv_set_dispatch(r->sim, dispatch, r);
}

void
rig_deinit(struct rig *r)
{
	simenv_free(r->sim);
	memdisk_free(r->md);
}

void
rig_run(struct rig *r)
{
	ASSERT(simenv_run_idle(r->sim, RUN_MAX) < RUN_MAX);
}

/* --- files ---------------------------------------------------------------- */

/* One item of IN: its kind, its head of 3 numbers, its bytes. */
struct item {
	uint8_t kind;
	uint32_t size, offset;
	struct slice bytes; /* or the name */
};

/* 1, or 0 at the end. */
static int
next_item(struct slice *in, struct item *out)
{
	const uint8_t *p = in->p;
	size_t n, head;

	if (in->n < 2)
		return 0;
	out->kind = p[0];
	if (p[0] == KIND_FILE) {
		n = p[1];
		head = 2;
		if (n == 0 || n >= sizeof(((struct rig_file *)0)->name) ||
		    in->n < 2 + n + 4)
			return 0;
		out->size = le_get32(p + 2 + n);
		*in = SLICE(p + 2 + n + 4, in->n - 2 - n - 4);
	} else if (p[0] == KIND_BYTES && in->n >= BYTES_HEAD) {
		out->offset = le_get32(p + 1);
		n = le_get16(p + 5);
		head = BYTES_HEAD;
		if (n > in->n - head)
			n = in->n - head;
		*in = SLICE(p + head + n, in->n - head - n);
	} else {
		return 0;
	}
	out->bytes = SLICE(p + head, n);
	return 1;
}

static int
add_file(struct rig_files *files, const struct item *item)
{
	struct rig_file *f = &files->v[files->n];

	if (files->n == RIG_FILES_MAX)
		return 0;
	*f = (struct rig_file){
	    .n = item->size < RIG_FILE_MAX ? item->size : RIG_FILE_MAX};
	memcpy(f->name, item->bytes.p, item->bytes.n);
	for (size_t i = 0; i < item->bytes.n; i++)
		if (f->name[i] == '\0')
			f->name[i] = '_';
	f->p = mem_zalloc(f->n);
	ASSERT(f->p);
	files->n++;
	return 1;
}

static int
lies_inside(const struct rig_files *files, const struct item *item)
{
	const struct rig_file *f;

	if (files->n == 0)
		return 0;
	f = &files->v[files->n - 1];
	return item->offset <= f->n && item->bytes.n <= f->n - item->offset;
}

void
rig_unpack(struct rig_files *files, struct slice in)
{
	struct item item;

	files->n = 0;
	while (next_item(&in, &item)) {
		if (item.kind == KIND_FILE && !add_file(files, &item))
			return;
		if (item.kind == KIND_BYTES && item.bytes.n &&
		    lies_inside(files, &item))
			memcpy(files->v[files->n - 1].p + item.offset,
			    item.bytes.p, item.bytes.n);
	}
}

/* Makes the folders of PATH; 0: one cannot be made. */
static int
make_folders(struct rig *r, char *path)
{
	const struct env_disk *d = &r->env->disk;

	for (char *at = strchr(path, '/'); at; at = strchr(at + 1, '/')) {
		int e;

		*at = '\0';
		e = d->mkdir(d->ctx, path);
		*at = '/';
		if (e && e != -ERR_EXISTS)
			return 0;
	}
	return 1;
}

/* No empty part, and none of dots alone. */
static int
is_path(const char *name)
{
	for (;;) {
		size_t n = strcspn(name, "/");

		if (n == 0 || strspn(name, ".") == n)
			return 0;
		if (!name[n])
			return 1;
		name += n + 1;
	}
}

void
rig_put(struct rig *r, const char *dir, const struct rig_files *files)
{
	for (uint32_t i = 0; i < files->n; i++) {
		const struct rig_file *f = &files->v[i];
		char path[192];

		snprintf(path, sizeof(path), "%s/%s", dir, f->name);
		if (is_path(f->name) && make_folders(r, path))
			memdisk_put(r->md, path, SLICE(f->p, f->n));
	}
	ASSERT(r->env->disk.sync_all(r->env->disk.ctx) == 0);
}

void
rig_files_deinit(struct rig_files *files)
{
	for (uint32_t i = 0; i < files->n; i++)
		mem_free(files->v[i].p);
}

void
rig_repack(const struct rig_files *files, uint8_t *p, size_t n)
{
	struct rig_files so_far = *files;
	struct slice in = SLICE(p, n);
	struct item item;

	so_far.n = 0;
	while (next_item(&in, &item)) {
		if (item.kind == KIND_FILE) {
			if (so_far.n == files->n)
				return;
			so_far.n++;
		} else if (item.bytes.n && lies_inside(&so_far, &item)) {
			memcpy((uint8_t *)(uintptr_t)item.bytes.p,
			    so_far.v[so_far.n - 1].p + item.offset,
			    item.bytes.n);
		}
	}
}

static void
pack_bytes(struct buf *b, struct slice content, size_t from, size_t to)
{
	uint8_t head[BYTES_HEAD] = {KIND_BYTES};

	le_put32(head + 1, (uint32_t)from);
	le_put16(head + 5, (uint16_t)(to - from));
	buf_add(b, head, sizeof(head));
	buf_add(b, content.p + from, to - from);
}

void
rig_pack(struct buf *b, const char *name, struct slice content)
{
	uint8_t size[4];
	size_t from = 0, zeros = 0;

	buf_add_byte(b, KIND_FILE);
	buf_add_byte(b, (uint8_t)strlen(name));
	buf_add_str(b, name);
	le_put32(size, (uint32_t)content.n);
	buf_add(b, size, sizeof(size));
	for (size_t i = 0; i < content.n; i++) {
		zeros = content.p[i] ? 0 : zeros + 1;
		if (from + zeros == i + 1) { /* nothing but zeros so far */
			from = i + 1;
			zeros = 0;
		} else if (zeros == GAP || i - from == 1024) {
			pack_bytes(b, content, from, i + 1 - zeros);
			from = i + 1;
			zeros = 0;
		}
	}
	if (from < content.n)
		pack_bytes(b, content, from, content.n - zeros);
}
