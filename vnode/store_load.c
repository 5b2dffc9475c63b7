/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * store_load - which replicas are here, and what their manifests say.
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

struct load {
	struct store *store;
	struct vnode *vnode;
	struct tail_cache *cache;
	struct buf policies; /* as far as they came */
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
		    vnode_newest(v, row->bucket, row->stream))
			return -ERR_CORRUPT;
		s = vnode_create(v, row->id, row->bucket, row->stream);
		if (!s)
			return -ERR_NOMEM;
	}
	if (row->last < s->last || row->first < s->first || row->last == 0 ||
	    row->total < s->total || row->last_bytes > row->total)
		return -ERR_CORRUPT;
	s->first = row->first;
	s->last = s->proposed = s->flushed = row->last;
	s->last_t = row->last_t;
	s->total = row->total;
	s->last_bytes = row->last_bytes;
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
load_kept(void *arg, const struct manifest_kept *row)
{
	struct load *l = arg;
	struct stream *s = vnode_by_id(l->vnode, row->id);
	struct kept *k = s ? kept_of(s) : NULL;
	uint32_t n = 0;

	if (!s)
		return -ERR_CORRUPT;
	if (!k)
		return -ERR_NOMEM;
	k->hidden = row->hidden;
	k->before = row->before;
	k->chain = row->chain;
	while (n < s->n_chunks && s->chunks[n].first < row->from)
		n++;
	s->n_chunks -= n;
	if (n)
		memmove(
		    s->chunks, s->chunks + n, s->n_chunks * sizeof(*s->chunks));
	s->saved_chunks = s->n_chunks ? s->n_chunks - 1 : 0;
	return 0;
}

static int
load_policies(void *arg, struct slice piece, uint32_t at, uint32_t bytes)
{
	struct load *l = arg;

	(void)bytes;
	if (at == 0)
		buf_reset(&l->policies);
	if (at != l->policies.n)
		return -ERR_CORRUPT;
	buf_add_slice(&l->policies, piece);
	return buf_error(&l->policies);
}

/* Its files, if a crash has left any, are found later: dropped.c. */
static int
load_dropped(void *arg, uint64_t stream_id)
{
	struct load *l = arg;
	struct stream *s = vnode_by_id(l->vnode, stream_id);

	if (!s)
		return -ERR_CORRUPT;
	dedup_drop_stream(&l->vnode->dedup, s);
	vnode_unlink(l->vnode, s);
	vnode_free_stream(l->vnode, s, l->cache);
	return 0;
}

static int
load_key(void *arg, const struct manifest_key *k)
{
	struct vnode *v = ((struct load *)arg)->vnode;
	struct stream *s = vnode_by_id(v, k->stream_id);
	int r;

	if (!s || k->first == 0 || k->first > s->last ||
	    k->id.n_events - 1 > s->last - k->first)
		return -ERR_CORRUPT;
	r = dedup_add(&v->dedup, s, k->first, k->t_ms, &k->id);
	if (r == 0)
		s->keys->saved = 1;
	return r;
}

static int
load_ended(void *arg, const struct manifest_ended *row)
{
	return ended_add(&((struct load *)arg)->vnode->ended, row, 1);
}

static int
load_commit(void *arg, const struct manifest_state *st)
{
	struct load *l = arg;
	struct group *g = &l->vnode->group;

	if (st->applied_index < g->applied_index ||
	    st->next_stream_id < g->next_stream_id)
		return -ERR_CORRUPT;
	g->applied_index = st->applied_index;
	g->applied_term = st->applied_term;
	g->next_stream_id = st->next_stream_id;
	g->clock_ms = st->clock_ms;
	g->journal_floor = st->journal_floor;
	dedup_expire(&l->vnode->dedup, st->clock_ms);
	l->vnode->recovered->term = st->term;
	l->vnode->recovered->vote = st->vote;
	l->vnode->recovered->damaged = st->damaged;
	l->vnode->recovered->members = st->members;
	l->vnode->manifest.checkpoint = st->checkpoint;
	l->vnode->manifest.saved_index = st->applied_index;
	l->vnode->manifest.previous_index = st->applied_index;
	l->vnode->manifest.saved_term = st->term;
	l->vnode->manifest.saved_vote = st->vote;
	return 0;
}

/* What is hidden of S is some of what there is. */
static int
check_kept(const struct stream *s)
{
	const struct kept *k = s->kept;
	const struct chunk_info *c;

	if (!k)
		return s->first == 1 ? 0 : -ERR_CORRUPT;
	if (k->hidden.seq > s->last ||
	    k->hidden.before > s->total - s->last_bytes)
		return -ERR_CORRUPT;
	if (s->first > s->last)
		return k->before == s->total ? 0 : -ERR_CORRUPT;
	c = stream_chunk(s, s->first);
	if (k->before < c->before || k->before > kept_end(s, c))
		return -ERR_CORRUPT;
	return 0;
}

/* C, chunk I of S, can hold the events that it says it has. */
static int
check_chunk(const struct stream *s, uint32_t i, uint64_t header)
{
	const struct chunk_info *c = &s->chunks[i];
	uint64_t n = c->last - c->first + 1, end = kept_end(s, c);

	if (n > CHUNK_EVENTS_MAX || c->bytes < header + n * EVENT_HEADER_BYTES)
		return -ERR_CORRUPT;
	if (c->before > end || end > s->total ||
	    c->last_bytes > end - c->before)
		return -ERR_CORRUPT;
	return 0;
}

/* Its chunks hold the events that it says it has. */
static int
check_stream(const struct stream *s)
{
	struct chunk_id id = {
	    .bucket = {NULL, s->bucket->name_n}, .stream = {NULL, s->name_n}};
	uint64_t header = chunk_header_bytes(&id);

	if (s->n_chunks == 0)
		return s->first > s->last ? check_kept(s) : -ERR_CORRUPT;
	if (s->first > s->last + 1 || s->chunks[0].first > s->first ||
	    s->chunks[s->n_chunks - 1].last != s->last)
		return -ERR_CORRUPT;
	for (uint32_t i = 0; i < s->n_chunks; i++)
		if (check_chunk(s, i, header))
			return -ERR_CORRUPT;
	return check_kept(s);
}

static const struct manifest_reader_ops load_ops = {
    .stream = load_stream,
    .chunk = load_chunk,
    .key = load_key,
    .dropped = load_dropped,
    .ended = load_ended,
    .commit = load_commit,
    .kept = load_kept,
    .policies = load_policies,
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

/* TABLE, if there is one, is in force. */
static int
take_policies(struct vnode *v, struct slice table)
{
	struct policies *t = NULL;
	int r = table.n ? policies_decode(&t, table) : 0;

	return r ? r : retain_loaded(v, t);
}

int
store_load_manifest(struct store *s, struct vnode *v, uint32_t number,
    uint64_t generation, struct slice file)
{
	struct load l = {.store = s, .vnode = v};
	struct manifest_id id = {
	    .group = v->group.id,
	    .generation = generation,
	    .number = number,
	};
	struct manifest_end end;
	int r;

	memcpy(id.cluster_id, s->config.cluster_id, 16);
	buf_init(&l.policies, POLICIES_BYTES_MAX);
	r = manifest_read(file, &id, &load_ops, &l, &end);
	for (uint32_t i = 0; r == 0 && i < v->n_by_id; i++)
		r = check_stream(v->by_id[i]);
	if (r == 0)
		r = take_policies(v, buf_slice(&l.policies));
	buf_deinit(&l.policies);
	if (r)
		return r;
	v->manifest.number = number;
	v->manifest.bytes = end.bytes;
	v->manifest.crc = end.crc;
	v->manifest.snapshot_bytes = end.bytes;
	return 0;
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
