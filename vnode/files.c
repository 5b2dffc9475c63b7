/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * files - open chunk files, at most so many.
 *
 * Entries hang in a small hash of lists by path and, when nobody uses them, in
 * a list by last use.  The lock is a spin lock of a few instructions' length;
 * opening happens outside of it, so two readers may open the same file at once:
 * the second one throws its descriptor away.
 */
#include "vnode/files.h"

#include <stdatomic.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/list.h"
#include "src/base/mem.h"

#define N_BUCKETS 1024

struct entry {
	struct files_entry pub; /* first: the public part is the entry */
	struct list by_path, unused;
	uint32_t pins;
	int stale;
	uint32_t n_rows, cap_rows;
	struct chunk_row *rows;
	char path[FILES_PATH_BYTES];
};

struct files {
	const struct env_disk *disk;
	atomic_flag lock;
	uint32_t n_open, n_max;
	struct list unused; /* oldest first */
	struct list paths[N_BUCKETS];
};

static void
lock(struct files *f)
{
	while (
	    atomic_flag_test_and_set_explicit(&f->lock, memory_order_acquire))
		__builtin_ia32_pause();
}

static void
unlock(struct files *f)
{
	atomic_flag_clear_explicit(&f->lock, memory_order_release);
}

static struct list *
path_list(struct files *f, const char *path)
{
	uint32_t h = 2166136261u; /* FNV-1a: file names, not user input */

	for (; *path; path++)
		h = (h ^ (uint8_t)*path) * 16777619u;
	return &f->paths[h % N_BUCKETS];
}

struct files *
files_new(const struct env_disk *disk, uint32_t files_max)
{
	struct files *f = mem_zalloc(sizeof(*f));

	if (!f)
		return NULL;
	f->disk = disk;
	f->n_max = files_max;
	atomic_flag_clear(&f->lock);
	list_init(&f->unused);
	for (uint32_t i = 0; i < N_BUCKETS; i++)
		list_init(&f->paths[i]);
	return f;
}

static void
close_entry(struct files *f, struct entry *e)
{
	f->disk->close(f->disk->ctx, e->pub.file);
	mem_free(e->rows);
	mem_free(e);
}

/* Takes E out of all lists; the caller closes it outside the lock. */
static void
detach(struct files *f, struct entry *e)
{
	list_del(&e->by_path);
	list_del(&e->unused);
	f->n_open--;
}

struct files *
files_free(struct files *f)
{
	struct list *node;

	if (!f)
		return NULL;
	while ((node = list_first(&f->unused))) {
		struct entry *e = LIST_ENTRY(node, struct entry, unused);

		detach(f, e);
		close_entry(f, e);
	}
	ASSERT(f->n_open == 0);
	return mem_free(f);
}

static struct entry *
find(struct files *f, const char *path)
{
	LIST_FOREACH (node, path_list(f, path)) {
		struct entry *e = LIST_ENTRY(node, struct entry, by_path);

		if (!e->stale && strcmp(e->path, path) == 0)
			return e;
	}
	return NULL;
}

static void
pin(struct entry *e)
{
	e->pins++;
	list_del(&e->unused);
}

static int
open_entry(struct files *f, const char *path, struct entry **out)
{
	struct entry *e = mem_zalloc(sizeof(*e));
	int r;

	if (!e)
		return -ERR_NOMEM;
	ASSERT(strlen(path) < sizeof(e->path));
	memcpy(e->path, path, strlen(path) + 1);
	list_init(&e->by_path);
	list_init(&e->unused);
	r = f->disk->open(f->disk->ctx, path, DISK_READ, &e->pub.file);
	if (r) {
		mem_free(e);
		return r;
	}
	*out = e;
	return 0;
}

/* The oldest unused entry when there are too many, detached. */
static struct entry *
take_surplus(struct files *f)
{
	struct list *node = list_first(&f->unused);
	struct entry *e;

	if (f->n_open <= f->n_max || !node)
		return NULL;
	e = LIST_ENTRY(node, struct entry, unused);
	detach(f, e);
	return e;
}

int
files_get(struct files *f, const char *path, struct files_entry **out)
{
	struct entry *e, *mine = NULL, *surplus = NULL;
	int r;

	lock(f);
	e = find(f, path);
	if (e)
		pin(e);
	unlock(f);
	if (e) {
		*out = &e->pub;
		return 0;
	}
	r = open_entry(f, path, &mine);
	if (r)
		return r;
	lock(f);
	e = find(f, path);
	if (!e) {
		e = mine;
		mine = NULL;
		list_add_tail(path_list(f, path), &e->by_path);
		f->n_open++;
		surplus = take_surplus(f);
	}
	pin(e);
	unlock(f);
	if (mine)
		close_entry(f, mine);
	if (surplus)
		close_entry(f, surplus);
	*out = &e->pub;
	return 0;
}

void
files_put(struct files *f, struct files_entry *pub)
{
	struct entry *e = CONTAINER_OF(pub, struct entry, pub);
	struct entry *gone = NULL;

	lock(f);
	ASSERT(e->pins > 0);
	if (--e->pins == 0) {
		if (e->stale) {
			detach(f, e);
			gone = e;
		} else {
			list_add_tail(&f->unused, &e->unused);
			gone = take_surplus(f);
		}
	}
	unlock(f);
	if (gone)
		close_entry(f, gone);
}

void
files_forget(struct files *f, const char *path)
{
	struct entry *e;

	lock(f);
	e = find(f, path);
	if (e && e->pins) {
		e->stale = 1;
		e = NULL;
	} else if (e) {
		detach(f, e);
	}
	unlock(f);
	if (e)
		close_entry(f, e);
}

struct chunk_row
files_row(struct files *f, struct files_entry *pub, uint32_t nth)
{
	struct entry *e = CONTAINER_OF(pub, struct entry, pub);
	struct chunk_row row = {0, 0};
	uint32_t lo = 0, hi;

	lock(f);
	hi = e->n_rows;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (e->rows[mid].nth <= nth)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo)
		row = e->rows[lo - 1];
	unlock(f);
	return row;
}

void
files_add_row(struct files *f, struct files_entry *pub, struct chunk_row row)
{
	struct entry *e = CONTAINER_OF(pub, struct entry, pub);
	struct chunk_row *p;

	lock(f);
	if (e->n_rows && e->rows[e->n_rows - 1].nth >= row.nth)
		goto out;
	if (e->n_rows == e->cap_rows) {
		uint32_t cap = e->cap_rows ? e->cap_rows * 2 : 4;

		p = mem_realloc(e->rows, cap * sizeof(*p));
		if (!p)
			goto out; /* only slower next time */
		e->rows = p;
		e->cap_rows = cap;
	}
	e->rows[e->n_rows++] = row;
out:
	unlock(f);
}

uint32_t
files_open(struct files *f)
{
	uint32_t n;

	lock(f);
	n = f->n_open;
	unlock(f);
	return n;
}
