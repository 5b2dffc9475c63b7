/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * store_open - the store from what the disk holds, and its end.
 *
 * Manifests are read first (store_load.c), then the journal is replayed over
 * them (store_replay.c).  Nothing walks the chunk files: those that may be
 * longer than the manifest says belong to streams that the replay touches
 * (chunk.c).
 */
#include <stdio.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/hash.h"
#include "src/base/mem.h"
#include "vnode/dropped.h"
#include "vnode/images.h"
#include "vnode/policy.h"
#include "vnode/removal.h"
#include "vnode/repair.h"
#include "vnode/replica.h"
#include "vnode/store_open.h"
#include "vnode/fill.h"

#define DIRTY_MAX_DEFAULT    (256ull << 20)
#define CLEAN_MAX_DEFAULT    (32ull << 20)
#define FILES_MAX_DEFAULT    512
#define CHECKPOINT_MIN_BYTES (1ull << 20)
#define KEY_WINDOW_DEFAULT   600000
#define KEYS_MAX_DEFAULT     1000000
#define FIRST_GENERATION     1
#define RETENTION_DEFAULT_US 60000000

static void
set_defaults(struct store_config *c)
{
	if (!c->dirty_max_bytes)
		c->dirty_max_bytes = DIRTY_MAX_DEFAULT;
	if (!c->clean_max_bytes)
		c->clean_max_bytes = CLEAN_MAX_DEFAULT;
	if (!c->files_max)
		c->files_max = FILES_MAX_DEFAULT;
	if (!c->key_window_ms)
		c->key_window_ms = KEY_WINDOW_DEFAULT;
	if (!c->keys_max)
		c->keys_max = KEYS_MAX_DEFAULT;
	if (!c->retention_interval_us)
		c->retention_interval_us = RETENTION_DEFAULT_US;
	if (!c->checkpoint_bytes) {
		c->checkpoint_bytes = c->journal_max_bytes / 8;
		if (c->checkpoint_bytes < CHECKPOINT_MIN_BYTES)
			c->checkpoint_bytes = CHECKPOINT_MIN_BYTES;
	}
}

/* A share for each group that the node could have, so that what one replica
 * keeps does not depend on what others of its node do. */
static struct dedup_limits
key_limits(const struct store_config *c)
{
	uint32_t share = c->keys_max / c->n_groups;

	return (struct dedup_limits){c->key_window_ms, share ? share : 1};
}

int
store_add_vnode(
    struct store *s, uint32_t group, uint64_t generation, uint32_t life)
{
	struct vnode *v = &s->vnodes[group];

	vnode_init(v, (uint16_t)group, generation, life, s->dir, s->config.seed,
	    &s->dedup);
	v->recovered = mem_zalloc(sizeof(*v->recovered));
	return v->recovered ? 0 : -ERR_NOMEM;
}

/* Its place stays, as one without a replica. */
void
store_drop_vnode(struct store *s, uint32_t group)
{
	struct vnode *v = &s->vnodes[group];
	uint64_t removed = v->group.removed;

	if (v->dir[0]) {
		recovered_free(v);
		vnode_deinit(v, &store_worker_of(s, group)->cache);
	}
	vnode_init(v, (uint16_t)group, 0, 0, s->dir, s->config.seed, &s->dedup);
	v->group.removed = removed;
}

static int
make(struct store **out, const struct store_config *config)
{
	struct store *s = mem_zalloc(sizeof(*s));

	if (!s)
		return -ERR_NOMEM;
	s->config = *config;
	set_defaults(&s->config);
	s->dedup = key_limits(&s->config);
	s->env = config->env;
	s->n_workers = s->env->post.n_workers;
	snprintf(s->dir, sizeof(s->dir), "%s", config->dir);
	s->files = files_new(&s->env->disk, s->config.files_max);
	s->vnodes = mem_calloc(config->n_groups, sizeof(*s->vnodes));
	s->workers = mem_calloc(s->n_workers, sizeof(*s->workers));
	s->unsynced.dirs =
	    mem_calloc(config->n_groups, sizeof(*s->unsynced.dirs));
	s->places = mem_calloc(config->n_groups, sizeof(*s->places));
	s->moves = mem_calloc(config->n_groups, sizeof(*s->moves));
	s->staged = mem_calloc(config->n_groups, sizeof(*s->staged));
	s->chain = hash128_stream_new();
	fill_table_init(&s->fills);
	*out = s;
	if (!s->files || !s->vnodes || !s->workers || !s->places || !s->moves ||
	    !s->unsynced.dirs || !s->chain || !s->staged)
		return -ERR_NOMEM;
	for (uint32_t i = 0; i < s->n_workers; i++) {
		struct store_worker *w = &s->workers[i];

		w->store = s;
		w->request_timeout_us = s->config.request_timeout_us;
		w->id = w->next_fill = i;
		w->metrics = metrics_shard(s->config.metrics, i);
		w->last_parked = &w->parked;
		tail_cache_init(
		    &w->cache, s->config.clean_max_bytes / s->n_workers);
		w->cache.channel_items = s->config.channel_items;
		w->cache.channel_bytes = s->config.channel_bytes;
		dirty_init(&w->dirty);
		list_init(&w->open);
		list_init(&w->watching.waiters);
		list_init(&w->removals);
		replica_worker_init(w);
	}
	s->n_vnodes = config->n_groups;
	for (uint32_t g = 0; g < config->n_groups; g++)
		store_drop_vnode(s, g);
	return 0;
}

/* Directories are made before sync_dirs: a file in one whose name is lost is
 * lost. */
static int
make_dirs(struct store *s)
{
	static const char *const names[] = {"vnodes", "journal"};
	const struct env_disk *d = &s->env->disk;
	char dir[FILES_PATH_BYTES];

	for (int i = 0; i < 2; i++) {
		int r;

		snprintf(dir, sizeof(dir), "%s/%s", s->dir, names[i]);
		r = d->mkdir(d->ctx, dir);
		if (r && r != -ERR_EXISTS)
			return r;
	}
	return 0;
}

static int
sync_dirs(struct store *s)
{
	const struct env_disk *d = &s->env->disk;
	char dir[FILES_PATH_BYTES];
	int r;

	snprintf(dir, sizeof(dir), "%s/vnodes", s->dir);
	r = d->sync_dir(d->ctx, dir);
	return r ? r : d->sync_dir(d->ctx, s->dir);
}

static int
found_group(struct store *s, uint32_t group)
{
	const struct env_disk *d = &s->env->disk;
	struct vnode *v = &s->vnodes[group];
	struct raft_member *self;
	int r = store_add_vnode(s, group, FIRST_GENERATION, 0);

	if (r)
		return r;
	r = d->mkdir(d->ctx, v->dir);
	if (r && r != -ERR_EXISTS)
		return r;
	v->recovered->members.n = 1;
	self = &v->recovered->members.at[0];
	self->id = FIRST_GENERATION;
	self->voter = 1;
	memcpy(self->node, s->config.node_id, 16);
	return 0;
}

/* --- the first start of a cluster --------------------------------------------
 *
 * It counts once the file `founded` is there, which comes after all replicas are
 * durable: a start that was cut short begins again, and nobody was told anything
 * before.
 */

static void
founded_path(const struct store *s, char out[FILES_PATH_BYTES])
{
	snprintf(out, FILES_PATH_BYTES, "%s/vnodes/founded", s->dir);
}

/* 0, -ERR_NOTFOUND: not yet, or an error. */
static int
check_founded(const struct store *s)
{
	const struct env_disk *d = &s->env->disk;
	char path[FILES_PATH_BYTES];
	struct disk_file *file;
	int r;

	founded_path(s, path);
	r = d->open(d->ctx, path, DISK_READ, &file);
	if (r == 0)
		d->close(d->ctx, file);
	return r;
}

static int
mark_founded(struct store *s)
{
	const struct env_disk *d = &s->env->disk;
	char path[FILES_PATH_BYTES];
	struct disk_file *file;
	int r = d->sync_all(d->ctx);

	founded_path(s, path);
	if (r == 0)
		r = d->open(d->ctx, path, DISK_WRITE | DISK_CREATE, &file);
	if (r)
		return r;
	r = d->sync(d->ctx, file);
	d->close(d->ctx, file);
	return r;
}

static void
note_file(void *arg, const char *name)
{
	(void)name;
	*(int *)arg = 1;
}

/* Nothing is written to the journal before: if something was, the mark has been
 * lost, and beginning again would remove all data. */
static int
check_unfounded(const struct store *s, char *why, size_t why_bytes)
{
	const struct env_disk *d = &s->env->disk;
	char dir[FILES_PATH_BYTES];
	int any = 0, r;

	snprintf(dir, sizeof(dir), "%s/journal", s->dir);
	r = d->list(d->ctx, dir, note_file, &any);
	if (r || !any)
		return r;
	snprintf(why, why_bytes,
	    "%s/vnodes/founded is missing, but there is a journal: restore "
	    "what is missing, or, if it is that file alone, make it again",
	    s->dir);
	return -ERR_CORRUPT;
}

/* Every group with this node as its only replica, unless they are there. */
static int
load_or_found(struct store *s, char *why, size_t why_bytes)
{
	int r = s->config.found ? check_founded(s) : 0;

	if (r == 0)
		return store_load(s, why, why_bytes);
	if (r == -ERR_NOTFOUND)
		r = check_unfounded(s, why, why_bytes);
	if (r == 0)
		r = store_load_nothing(s);
	for (uint32_t g = 0; r == 0 && g < s->n_vnodes; g++) {
		r = found_group(s, g);
		if (r == 0)
			r = flush_first_manifest(s, &s->vnodes[g]);
	}
	return r ? r : mark_founded(s);
}

int
store_open(struct store **out, const struct store_config *config, char *why,
    size_t why_bytes)
{
	struct store *s = NULL;
	uint32_t n_images = 0;
	int r = make(&s, config);

	why[0] = '\0';
	/* A process that was killed leaves writes behind that only the page
	 * cache has.  What is read below is built upon, so it must be durable
	 * first; and read from the disk (DISK_FRESH), since a sync that failed
	 * is not made up for by this one. */
	if (r == 0)
		r = s->env->disk.sync_all(s->env->disk.ctx);
	if (r == 0)
		r = make_dirs(s);
	if (r == 0)
		r = load_or_found(s, why, why_bytes);
	if (r == 0)
		r = sync_dirs(s);
	if (r == 0)
		r = images_restore(s, &n_images);
	if (n_images)
		store_report(s, 0, "restored %u blocks that the last stop tore",
		    n_images);
	if (r == 0)
		r = store_replay(s, why, why_bytes);
	if (r) {
		if (!why[0])
			snprintf(
			    why, why_bytes, "%s: %s", config->dir, err_text(r));
		store_close(s);
		return r;
	}
	*out = s;
	return 0;
}

struct store *
store_close(struct store *s)
{
	if (!s)
		return NULL;
	journal_close(s->journal);
	for (uint32_t g = 0; g < s->n_vnodes; g++) {
		struct vnode *v = &s->vnodes[g];

		recovered_free(v);
		replica_let_go(store_worker_of(s, g), v);
		vnode_deinit(v, &store_worker_of(s, g)->cache);
	}
	for (uint32_t i = 0; s->workers && i < s->n_workers; i++) {
		removal_forget_all(&s->workers[i]);
		dropped_forget_all(&s->workers[i]);
		repair_forget_all(&s->workers[i]);
		outbox_deinit(&s->workers[i].outbox);
		policies_unref(s->workers[i].policies);
		raft_effects_deinit(&s->workers[i].fx);
	}
	mem_free(s->checkpoint.marks);
	mem_free(s->checkpoint.payloads);
	mem_free(s->checkpoint.iov);
	for (uint32_t g = 0; s->places && g < s->config.n_groups; g++)
		mem_free(s->places[g].wanted);
	mem_free(s->places);
	mem_free(s->moves);
	mem_free(s->unsynced.dirs);
	hash128_stream_free(s->chain);
	mem_free(s->workers);
	mem_free(s->vnodes);
	mem_free(s->staged);
	files_free(s->files);
	return mem_free(s);
}
