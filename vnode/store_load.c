/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * store_load - which replicas are here, and which manifest of each counts.
 *
 * A replica is a directory <group>-<generation>.<life> with a manifest in it;
 * each fill begins a new life.  Of several of a group the newest counts, the
 * others were replaced.  A directory without a manifest is of a creation or fill
 * that was cut short: the newest of them stays, for a fill that goes on there
 * (fill_resume.c).  What else does not count is removed.  In the directory of a
 * replica that has retired a file `removed` stays: it never comes back, whoever
 * offers it.
 */
#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/attic.h"
#include "vnode/fill.h"
#include "vnode/store_open.h"

#define MANIFEST_FILE_MAX (1ull << 31)
#define MANIFESTS_PER_DIR 16

struct numbers {
	uint32_t n;
	uint32_t v[MANIFESTS_PER_DIR];
};

static void
note_name(void *arg, const char *name)
{
	struct numbers *nums = arg;
	uint32_t n;

	if (nums->n < MANIFESTS_PER_DIR && manifest_parse_name(name, &n) == 0)
		nums->v[nums->n++] = n;
}

int
store_read_file(const struct env_disk *d, const char *path, uint64_t max,
    uint8_t **out, size_t *n)
{
	struct disk_file *file;
	uint64_t size = 0;
	uint8_t *p = NULL;
	int r = d->open(d->ctx, path, DISK_READ | DISK_FRESH, &file);

	if (r)
		return r;
	r = d->size(d->ctx, file, &size);
	if (r == 0 && size > max)
		r = -ERR_CORRUPT;
	if (r == 0 && !(p = mem_alloc(size)))
		r = -ERR_NOMEM;
	if (r == 0)
		r = d->pread(d->ctx, file, p, size, 0, n);
	d->close(d->ctx, file);
	if (r == 0)
		*out = p;
	else
		mem_free(p);
	return r;
}

static int
load_file(struct store *s, struct vnode *v, uint32_t number)
{
	char name[MANIFEST_NAME_BYTES], path[FILES_PATH_BYTES];
	uint8_t *p;
	size_t n = 0;
	int r;

	manifest_file_name(name, number);
	snprintf(path, sizeof(path), "%s/%s", v->dir, name);
	r = store_read_file(&s->env->disk, path, MANIFEST_FILE_MAX, &p, &n);
	if (r)
		return r;
	r = store_load_manifest(s, v, number, v->group.generation, SLICE(p, n));
	mem_free(p);
	return r;
}

/* The newest manifest that can be read; -ERR_NOTFOUND: there is none. */
static int
load_vnode(struct store *s, struct vnode *v, char *why, size_t why_bytes)
{
	const struct env_disk *d = &s->env->disk;
	struct numbers nums = {0};
	int r = d->list(d->ctx, v->dir, note_name, &nums);

	if (r == 0 && nums.n == 0)
		return -ERR_NOTFOUND;
	while (r == 0) {
		uint32_t best = 0;

		for (uint32_t i = 1; i < nums.n; i++)
			if (nums.v[i] > nums.v[best])
				best = i;
		r = load_file(s, v, nums.v[best]);
		if (r == 0)
			return 0;
		store_report(s, 1, "%s/manifest.%08x: %s; trying an older one",
		    v->dir, nums.v[best], err_text(r));
		nums.v[best] = nums.v[--nums.n];
		if (r == -ERR_CORRUPT && nums.n && v->n_by_id == 0)
			r = 0;
	}
	snprintf(why, why_bytes,
	    "%s: %s: restore it from a backup, or remove the data "
	    "directory to start empty",
	    v->dir, err_text(r));
	return r;
}

/* --- directories ---------------------------------------------------------- */

struct found {
	uint32_t n, cap;
	int r;
	struct found_dir {
		uint32_t group;
		uint64_t generation;
		uint32_t life;
		char name[64];
	} * at;
};

static void
note_dir(void *arg, const char *name)
{
	struct found *f = arg;
	struct found_dir *d;
	unsigned long long generation;
	unsigned group, life;
	char again[64];

	if (sscanf(name, "%u-%llu.%u", &group, &generation, &life) != 3)
		return;
	snprintf(again, sizeof(again), "%u-%llu.%u", group, generation, life);
	if (strcmp(again, name) != 0 || generation == 0)
		return;
	if (f->n == f->cap) {
		uint32_t cap = f->cap ? f->cap * 2 : 64;

		d = mem_realloc(f->at, cap * sizeof(*d));
		if (!d) {
			f->r = -ERR_NOMEM;
			return;
		}
		f->at = d;
		f->cap = cap;
	}
	d = &f->at[f->n++];
	d->group = group;
	d->generation = generation;
	d->life = life;
	snprintf(d->name, sizeof(d->name), "%s", name);
}

struct removing {
	struct store *store;
	const char *dir;
	const char *but; /* this name stays, or NULL */
	int r;
};

static void
remove_one(void *arg, const char *name)
{
	struct removing *rm = arg;
	const struct env_disk *d = &rm->store->env->disk;
	char path[FILES_PATH_BYTES * 2];
	int r;

	if (rm->but && strcmp(name, rm->but) == 0)
		return;
	snprintf(path, sizeof(path), "%s/%s", rm->dir, name);
	r = d->unlink(d->ctx, path);
	if (r && r != -ERR_NOTFOUND)
		rm->r = r;
}

static int
remove_files(struct store *s, const char *dir, const char *but)
{
	const struct env_disk *d = &s->env->disk;
	struct removing rm = {s, dir, but, 0};
	int r;

	flush_forget_dir(s, dir);
	r = d->list(d->ctx, dir, remove_one, &rm);
	if (r == 0)
		r = rm.r;
	if (r == 0)
		r = d->sync_dir(d->ctx, dir);
	return r == -ERR_NOTFOUND ? 0 : r;
}

int
store_remove_files(struct store *s, const char *dir)
{
	return remove_files(s, dir, NULL);
}

#define REMOVED "removed"

static void
removed_path(const char *dir, char out[FILES_PATH_BYTES])
{
	snprintf(out, FILES_PATH_BYTES, "%s/" REMOVED, dir);
}

static int
is_removed(const struct store *s, const char *dir)
{
	const struct env_disk *d = &s->env->disk;
	char path[FILES_PATH_BYTES];
	struct disk_file *file;

	removed_path(dir, path);
	if (d->open(d->ctx, path, DISK_READ, &file))
		return 0;
	d->close(d->ctx, file);
	return 1;
}

static int
mark_removed(struct store *s, const char *dir)
{
	const struct env_disk *d = &s->env->disk;
	char path[FILES_PATH_BYTES];
	struct disk_file *file;
	int r;

	removed_path(dir, path);
	r = d->open(d->ctx, path, DISK_WRITE | DISK_CREATE, &file);
	if (r)
		return r;
	r = d->sync(d->ctx, file);
	d->close(d->ctx, file);
	return r ? r : d->sync_dir(d->ctx, dir);
}

/* The mark comes first: what a crash leaves behind is of a replica that has
 * retired. */
int
store_remove_replica(struct store *s, const char *dir)
{
	int r = mark_removed(s, dir), taken;

	if (r)
		return r;
	taken = attic_take(s, dir, REMOVED);
	store_step(s, STEP_FILES_LEFT);
	r = remove_files(s, dir, REMOVED);
	return taken == -ERR_IO ? taken : r;
}

static int
open_replica(
    struct store *s, const struct found_dir *d, char *why, size_t why_bytes)
{
	struct vnode *v = &s->vnodes[d->group];
	int r = store_add_vnode(s, d->group, d->generation, d->life);

	if (r == 0 && is_removed(s, v->dir)) {
		r = remove_files(s, v->dir, REMOVED);
		if (v->group.removed < d->generation)
			v->group.removed = d->generation;
		store_drop_vnode(s, d->group);
		return r;
	}
	if (r == 0)
		r = load_vnode(s, v, why, why_bytes);
	if (r == -ERR_NOTFOUND) {
		r = 0;
		if (s->staged[d->group].generation)
			r = store_remove_files(s, v->dir);
		else
			fill_staged_set(s, d->group, d->generation, d->life);
		store_drop_vnode(s, d->group);
	}
	return r;
}

/* The newest first, so that an older one finds its place taken. */
static int
by_age(const void *a, const void *b)
{
	const struct found_dir *x = a, *y = b;

	if (x->group != y->group)
		return x->group < y->group ? -1 : 1;
	if (x->generation != y->generation)
		return x->generation > y->generation ? -1 : 1;
	return x->life > y->life ? -1 : 1;
}

static int
find_all(struct store *s, char dir[FILES_PATH_BYTES], struct found *f)
{
	const struct env_disk *d = &s->env->disk;
	int r;

	snprintf(dir, FILES_PATH_BYTES, "%s/vnodes", s->dir);
	r = d->list(d->ctx, dir, note_dir, f);
	if (r == 0)
		r = f->r;
	if (f->n)
		qsort(f->at, f->n, sizeof(*f->at), by_age);
	return r;
}

static int
remove_found(struct store *s, const char *dir, const struct found_dir *d)
{
	char path[FILES_PATH_BYTES * 2];

	snprintf(path, sizeof(path), "%s/%s", dir, d->name);
	return store_remove_files(s, path);
}

int
store_load_nothing(struct store *s)
{
	char dir[FILES_PATH_BYTES];
	struct found f = {0};
	int r = find_all(s, dir, &f);

	for (uint32_t i = 0; r == 0 && i < f.n; i++)
		r = remove_found(s, dir, &f.at[i]);
	mem_free(f.at);
	return r;
}

int
store_load(struct store *s, char *why, size_t why_bytes)
{
	char dir[FILES_PATH_BYTES];
	struct found f = {0};
	int r = find_all(s, dir, &f);

	for (uint32_t i = 0; r == 0 && i < f.n; i++) {
		const struct group *g;

		if (f.at[i].group >= s->config.n_groups)
			continue;
		g = &s->vnodes[f.at[i].group].group;
		/* Replaced by a newer one, or of a former life of one that has
		 * retired: a power cut may have brought it back. */
		if (g->generation || f.at[i].generation <= g->removed)
			r = remove_found(s, dir, &f.at[i]);
		else
			r = open_replica(s, &f.at[i], why, why_bytes);
	}
	mem_free(f.at);
	return r;
}
