/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * store_open - recovery, start, stop and end of the store.
 *
 * Manifests are read first, then the journal is replayed over them: entries
 * that a checkpoint has are skipped, the next one is applied, a gap is damage.
 * Nothing walks the chunk files: those that may be longer than the manifest
 * says belong to streams that the replay touches (chunk.c).
 */
#include <stdio.h>

#include "src/base/assert.h"
#include "src/base/crc32c.h"
#include "src/base/err.h"
#include "src/base/hash.h"
#include "src/base/mem.h"
#include "vnode/images.h"
#include "vnode/store_impl.h"

#define DIRTY_MAX_DEFAULT    (256ull << 20)
#define CLEAN_MAX_DEFAULT    (32ull << 20)
#define FILES_MAX_DEFAULT    512
#define CHECKPOINT_MIN_BYTES (1ull << 20)
#define REPLAY_FLUSH_BYTES   (64ull << 20)
#define FIRST_GENERATION     1
#define TICK_US              200000
#define MANIFEST_FILE_MAX    (1ull << 31)
#define MANIFESTS_PER_DIR    16

/* --- manifests ------------------------------------------------------------ */

struct load {
	struct store *store;
	struct vnode *vnode;
	struct tail_cache *cache;
};

static int
load_stream(void *arg, const struct manifest_stream *row)
{
	struct load *l = arg;
	struct vnode *v = l->vnode;
	struct stream *s = vnode_by_id(v, row->id);

	if (!s) {
		uint64_t newest = v->n_by_id ? v->by_id[v->n_by_id - 1]->id : 0;

		if (row->bucket.n == 0 || row->id <= newest ||
		    vnode_find(v, row->bucket, row->stream))
			return -ERR_CORRUPT;
		s = vnode_create(v, row->id, row->bucket, row->stream);
		if (!s)
			return -ERR_NOMEM;
	}
	if (row->last < s->last || row->first < s->first || row->last == 0)
		return -ERR_CORRUPT;
	v->n_events += row->last - row->first - (s->last - s->first);
	v->bytes += row->bytes - s->bytes;
	if (!s->listed)
		v->n_events += 1; /* last - first + 1, once */
	s->first = row->first;
	s->last = s->proposed = s->flushed = row->last;
	s->last_t = row->last_t;
	s->bytes = row->bytes;
	s->named = 1;
	return vnode_made_visible(v, s);
}

static int
load_chunk(void *arg, uint64_t stream_id, const struct chunk_info *c)
{
	struct load *l = arg;
	struct stream *s = vnode_by_id(l->vnode, stream_id);
	int r;

	if (!s || c->first == 0 || c->last < c->first || c->last > s->last)
		return -ERR_CORRUPT;
	r = stream_set_chunk(s, c);
	s->saved_chunks = s->n_chunks - 1;
	return r;
}

static int
load_commit(void *arg, const struct manifest_state *st)
{
	struct load *l = arg;
	struct group *g = &l->vnode->group;

	if (st->applied_index < g->applied_index ||
	    st->next_stream_id < g->next_stream_id)
		return -ERR_CORRUPT;
	g->term = st->term;
	memcpy(g->vote, st->vote, 16);
	g->applied_index = g->proposed_index = st->applied_index;
	g->applied_term = st->applied_term;
	g->next_stream_id = g->proposed_stream_id = st->next_stream_id;
	g->clock_ms = g->proposed_clock_ms = st->clock_ms;
	l->vnode->manifest.checkpoint = st->checkpoint;
	l->vnode->manifest.saved_index = st->applied_index;
	l->vnode->manifest.saved_term = st->term;
	return 0;
}

static const struct manifest_reader_ops load_ops = {
    .stream = load_stream,
    .chunk = load_chunk,
    .commit = load_commit,
};

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
load_manifest(struct store *s, struct vnode *v, uint32_t number)
{
	const struct env_disk *d = &s->env->disk;
	struct load l = {s, v, NULL};
	char name[MANIFEST_NAME_BYTES], path[FILES_PATH_BYTES];
	struct manifest_id id = {
	    .group = v->group.id,
	    .generation = v->group.generation,
	    .number = number,
	};
	struct manifest_end end;
	uint8_t *p;
	size_t n = 0;
	int r;

	memcpy(id.cluster_id, s->config.cluster_id, 16);
	manifest_file_name(name, number);
	snprintf(path, sizeof(path), "%s/%s", v->dir, name);
	r = store_read_file(d, path, MANIFEST_FILE_MAX, &p, &n);
	if (r)
		return r;
	r = manifest_read(SLICE(p, n), &id, &load_ops, &l, &end);
	mem_free(p);
	if (r)
		return r;
	v->manifest.number = number;
	v->manifest.bytes = end.bytes;
	v->manifest.crc = end.crc;
	v->manifest.snapshot_bytes = end.bytes;
	return 0;
}

/* The newest manifest that can be read.  None is fine: the journal knows. */
static int
load_vnode(struct store *s, struct vnode *v, char *why, size_t why_bytes)
{
	const struct env_disk *d = &s->env->disk;
	struct numbers nums = {0};
	int r = d->mkdir(d->ctx, v->dir);

	if (r == 0)
		return 0; /* new */
	if (r == -ERR_EXISTS)
		r = d->list(d->ctx, v->dir, note_name, &nums);
	while (r == 0 && nums.n) {
		uint32_t best = 0;

		for (uint32_t i = 1; i < nums.n; i++)
			if (nums.v[i] > nums.v[best])
				best = i;
		r = load_manifest(s, v, nums.v[best]);
		if (r == 0)
			return 0;
		store_report(s, 1, "%s/manifest.%08x: %s; trying an older one",
		    v->dir, nums.v[best], err_text(r));
		nums.v[best] = nums.v[--nums.n];
		if (r == -ERR_CORRUPT && nums.n && v->n_by_id == 0)
			r = 0;
	}
	if (r)
		snprintf(why, why_bytes,
		    "%s: %s: restore it from a backup, or remove the data "
		    "directory to start empty",
		    v->dir, err_text(r));
	return r;
}

/* --- the journal ---------------------------------------------------------- */

struct replay {
	struct store *store;
	char *why;
	size_t why_bytes;
};

static int
check_mark(struct replay *rp, const struct vnode *v, struct slice payload)
{
	struct manifest_mark mark;
	int r = manifest_decode_mark(payload, &mark);

	if (r)
		return r;
	if (mark.number < v->manifest.number ||
	    (mark.number == v->manifest.number &&
		mark.bytes <= v->manifest.bytes))
		return 0;
	snprintf(rp->why, rp->why_bytes,
	    "%s: manifest.%08x of %llu bytes is missing or damaged (found "
	    "manifest.%08x of %llu): restore it from a backup",
	    v->dir, mark.number, (unsigned long long)mark.bytes,
	    v->manifest.number, (unsigned long long)v->manifest.bytes);
	return -ERR_CORRUPT;
}

static int
replay_entry(struct replay *rp, struct vnode *v,
    const struct journal_head *head, struct slice payload)
{
	struct store *s = rp->store;
	struct store_worker *w = store_worker_of(s, v->group.id);
	uint64_t applied = v->group.applied_index;
	int r = group_replay(
	    v, &w->cache, &w->dirty, head->term, head->index, payload);

	if (r)
		snprintf(rp->why, rp->why_bytes,
		    "journal: entry %llu of group %u does not follow %llu: %s",
		    (unsigned long long)head->index, v->group.id,
		    (unsigned long long)applied, err_text(r));
	else if (w->cache.dirty_bytes > REPLAY_FLUSH_BYTES ||
		 w->dirty.n > DIRTY_STREAMS_MAX)
		r = flush_now(w);
	return r;
}

static int
replay(
    void *arg, const struct journal_head *head, lsn_t lsn, struct slice payload)
{
	struct replay *rp = arg;
	struct store *s = rp->store;
	struct vnode *v;

	(void)lsn;
	if (head->group >= s->config.n_groups)
		return -ERR_CORRUPT;
	v = &s->vnodes[head->group];
	if (head->generation != v->group.generation)
		return 0; /* of another life of this replica */
	switch (head->type) {
	case JOURNAL_ENTRY:
		return replay_entry(rp, v, head, payload);
	case JOURNAL_HARDSTATE:
		if (payload.n != sizeof(v->group.vote))
			return -ERR_CORRUPT;
		if (head->term > v->group.term) {
			v->group.term = head->term;
			memcpy(v->group.vote, payload.p, payload.n);
		}
		return 0;
	case JOURNAL_CHECKPOINT:
		return check_mark(rp, v, payload);
	}
	return -ERR_FORMAT;
}

static int
open_journal(struct store *s, char *why, size_t why_bytes)
{
	struct journal_config jc = {
	    .env = s->env,
	    .segment_bytes = s->config.segment_bytes,
	    .max_bytes = s->config.journal_max_bytes,
	    .sync = s->config.sync,
	};
	struct replay rp = {s, why, why_bytes};
	struct journal_damage damage = {0};
	char dir[FILES_PATH_BYTES];
	uint64_t cut = 0;
	int r;

	memcpy(jc.cluster_id, s->config.cluster_id, 16);
	snprintf(dir, sizeof(dir), "%s/journal", s->dir);
	jc.dir = dir;
	why[0] = '\0';
	r = journal_open(&s->journal, &jc, replay, &rp, &damage, &cut);
	if (r && !why[0] && damage.what[0])
		snprintf(why, why_bytes,
		    "%s/%s: %s at offset %llu: restore the file from a backup",
		    dir, damage.file, damage.what,
		    (unsigned long long)damage.offset);
	else if (r && !why[0])
		snprintf(why, why_bytes, "%s: %s", dir, err_text(r));
	if (cut)
		store_report(s, 0, "journal: cut %llu unfinished bytes",
		    (unsigned long long)cut);
	return r;
}

/* --- open and close ------------------------------------------------------- */

static void
set_defaults(struct store_config *c)
{
	if (!c->dirty_max_bytes)
		c->dirty_max_bytes = DIRTY_MAX_DEFAULT;
	if (!c->clean_max_bytes)
		c->clean_max_bytes = CLEAN_MAX_DEFAULT;
	if (!c->files_max)
		c->files_max = FILES_MAX_DEFAULT;
	if (!c->checkpoint_bytes) {
		c->checkpoint_bytes = c->journal_max_bytes / 8;
		if (c->checkpoint_bytes < CHECKPOINT_MIN_BYTES)
			c->checkpoint_bytes = CHECKPOINT_MIN_BYTES;
	}
}

static int
make(struct store **out, const struct store_config *config)
{
	struct store *s = mem_zalloc(sizeof(*s));

	if (!s)
		return -ERR_NOMEM;
	s->config = *config;
	set_defaults(&s->config);
	s->env = config->env;
	s->n_workers = s->env->post.n_workers;
	snprintf(s->dir, sizeof(s->dir), "%s", config->dir);
	s->files = files_new(&s->env->disk, s->config.files_max);
	s->vnodes = mem_calloc(config->n_groups, sizeof(*s->vnodes));
	s->workers = mem_calloc(s->n_workers, sizeof(*s->workers));
	s->unsynced.dirs = mem_zalloc(config->n_groups);
	s->chain = hash128_stream_new();
	*out = s;
	if (!s->files || !s->vnodes || !s->workers || !s->unsynced.dirs ||
	    !s->chain)
		return -ERR_NOMEM;
	for (uint32_t i = 0; i < s->n_workers; i++) {
		struct store_worker *w = &s->workers[i];

		w->store = s;
		w->id = i;
		w->last_parked = &w->parked;
		tail_cache_init(
		    &w->cache, s->config.clean_max_bytes / s->n_workers);
		dirty_init(&w->dirty);
		list_init(&w->open);
	}
	for (uint32_t g = 0; g < config->n_groups; g++) {
		char dir[FILES_PATH_BYTES];

		snprintf(dir, sizeof(dir), "%s/vnodes", s->dir);
		vnode_init(&s->vnodes[g], (uint16_t)g, FIRST_GENERATION, dir,
		    config->seed);
	}
	s->n_vnodes = config->n_groups;
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
	for (uint32_t g = 0; r == 0 && g < config->n_groups; g++)
		r = load_vnode(s, &s->vnodes[g], why, why_bytes);
	if (r == 0)
		r = sync_dirs(s);
	if (r == 0)
		r = images_restore(s, &n_images);
	if (n_images)
		store_report(s, 0, "restored %u blocks that the last stop tore",
		    n_images);
	if (r == 0)
		r = open_journal(s, why, why_bytes);
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
	for (uint32_t g = 0; g < s->n_vnodes; g++)
		vnode_deinit(&s->vnodes[g], &store_worker_of(s, g)->cache);
	mem_free(s->checkpoint.marks);
	mem_free(s->checkpoint.payloads);
	mem_free(s->checkpoint.iov);
	mem_free(s->unsynced.dirs);
	hash128_stream_free(s->chain);
	mem_free(s->workers);
	mem_free(s->vnodes);
	files_free(s->files);
	return mem_free(s);
}

/* --- start and stop ------------------------------------------------------- */

struct hardstate {
	struct journal_append append; /* first: the store frees it by this */
	struct iovec iov;
	uint8_t vote[16];
};

/* A new term for each group, with a vote for this node: Raft, figure 2, a
 * candidate that is its own majority. */
static int
submit_term(struct store *s, struct vnode *v)
{
	struct hardstate *h = mem_zalloc(sizeof(*h));

	if (!h)
		return -ERR_NOMEM;
	v->group.term++;
	memcpy(v->group.vote, s->config.node_id, 16);
	memcpy(h->vote, s->config.node_id, 16);
	h->iov = (struct iovec){h->vote, sizeof(h->vote)};
	h->append = (struct journal_append){
	    .head = {.type = JOURNAL_HARDSTATE,
		.group = v->group.id,
		.generation = v->group.generation,
		.term = v->group.term},
	    .worker = store_worker_of(s, v->group.id)->id,
	    .n_iov = 1,
	    .iov = &h->iov,
	    .payload_bytes = sizeof(h->vote),
	    .payload_crc = crc32c(0, h->vote, sizeof(h->vote)),
	};
	store_worker_of(s, v->group.id)->n_in_flight++;
	journal_submit(s->journal, &h->append);
	return 0;
}

static void
check_space(struct store *s)
{
	const struct env_disk *d = &s->env->disk;
	uint64_t free_bytes = 0;
	int full;

	if (d->free_bytes(d->ctx, &free_bytes))
		return;
	atomic_store(&s->free_bytes, free_bytes);
	full = free_bytes < s->config.disk_reserve_bytes;
	if (full == atomic_load(&s->disk_full))
		return;
	atomic_store(&s->disk_full, full);
	store_report(s, full,
	    full ? "the disk is nearly full (%llu bytes free): writes are "
		   "refused until there is room"
		 : "the disk has room again (%llu bytes free)",
	    (unsigned long long)free_bytes);
}

static void
count_worker(struct store_worker *w)
{
	struct store *s = w->store;
	uint64_t streams = 0, events = 0, bytes = 0;

	for (uint32_t g = w->id; g < s->n_vnodes; g += s->n_workers) {
		streams += s->vnodes[g].n_by_id;
		events += s->vnodes[g].n_events;
		bytes += s->vnodes[g].bytes;
	}
	atomic_store(&w->n_streams, streams);
	atomic_store(&w->n_events, events);
	atomic_store(&w->bytes, bytes);
}

static void
on_tick(void *arg)
{
	struct store_worker *w = arg;
	struct store *s = w->store;

	count_worker(w);
	store_unpark(w);
	if (w->id != 0)
		return;
	check_space(s);
	journal_retry(s->journal);
	if (!atomic_load(&s->dead))
		checkpoint_tick(s, 0);
}

int
store_start(struct store *s)
{
	const struct env_timers *t = &s->env->timers;
	struct journal_stats js;
	int r = 0;

	journal_stats(s->journal, &js);
	s->checkpoint.last_at = s->env->clock.mono(s->env->clock.ctx);
	/* What was replayed counts as written since the last one.  Each start
	 * takes a segment: without this a few in a row would fill the journal. */
	s->checkpoint.last_bytes = 0 - js.used_bytes;
	check_space(s);
	for (uint32_t g = 0; r == 0 && g < s->n_vnodes; g++)
		r = submit_term(s, &s->vnodes[g]);
	for (uint32_t i = 0; r == 0 && i < s->n_workers; i++) {
		struct store_worker *w = &s->workers[i];

		w->durable = js.durable; /* and replayed */
		w->tick = t->start(t->ctx, i, TICK_US, on_tick, w);
		if (!w->tick)
			r = -ERR_NOMEM;
	}
	if (r == 0)
		checkpoint_tick(s, 0);
	return r;
}

struct stop {
	struct msg msg;
	struct store *store;
	uint32_t worker;
	void (*done)(void *arg);
	void *arg;
};

/* Worker by worker: no more writes, then worker 0 begins the last checkpoint.
 */
static void
stop_worker(struct msg *m)
{
	struct stop *st = CONTAINER_OF(m, struct stop, msg);
	struct store *s = st->store;
	struct store_worker *w = &s->workers[st->worker];

	store_unpark(w);
	store_turn(s, w->id);
	/* Also while the journal is dead: its failures come back. */
	if (w->n_in_flight > 0 || (w->id == 0 && s->checkpoint.running)) {
		store_call(s, w->id, m, stop_worker);
		return;
	}
	s->env->timers.stop(s->env->timers.ctx, w->tick);
	w->tick = NULL;
	if (++st->worker < s->n_workers) {
		store_call(s, st->worker, m, stop_worker);
		return;
	}
	st->worker = 0;
	store_call(s, 0, m, store_last_checkpoint);
}

void
store_last_checkpoint(struct msg *m)
{
	struct stop *st = CONTAINER_OF(m, struct stop, msg);
	struct store *s = st->store;

	s->checkpoint.stopped = st->done;
	s->checkpoint.stopped_arg = st->arg;
	mem_free(st);
	if (atomic_load(&s->dead))
		s->checkpoint.stopped(s->checkpoint.stopped_arg);
	else
		checkpoint_tick(s, 1);
}

void
store_stop(struct store *s, void (*done)(void *arg), void *arg)
{
	struct stop *st;

	if (atomic_exchange(&s->stopping, 1))
		return;
	st = mem_zalloc(sizeof(*st));
	if (!st) { /* the journal has it all: only the next start is slower */
		done(arg);
		return;
	}
	st->store = s;
	st->done = done;
	st->arg = arg;
	store_call(s, 0, &st->msg, stop_worker);
}
