/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * dropped - chunk files on their way out: those of deleted streams, and of the
 * chunks that retention has cut off.
 *
 *	IDLE -> WAITING (for reads) -> UNLINKING ... -> IDLE
 *	IDLE -> LISTING -> UNLINKING ... -> IDLE
 *
 * Reads.  Each read of a chunk file counts in one of two counters of its worker,
 * w->reads[w->read_turn].  Before files go the turn changes; they go when the
 * other counter is 0: then all reads that were begun before have ended, however
 * many begin meanwhile, and those cannot find the stream.
 *
 * Listing.  What a crash or a power cut has left behind is found by a look at
 * each directory once after the start: the file of a stream that this replica
 * does not have, of an id below the counter that gives the ids, is of a stream
 * that was deleted, since ids never come again; one that begins below the first
 * chunk of its stream was cut off, since chunks are added at the other end.
 */
#include "vnode/dropped.h"

#include <stdlib.h>

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/fill.h"
#include "vnode/flush_impl.h"
#include "vnode/mutants.h"
#include "vnode/repair.h"

#define BATCH 256
/* Of the lane, at a time: where each file takes ms (ext4 that discards what it
 * frees) flushes need not wait for a whole batch. */
#define BATCH_US 20000

enum stage { IDLE, WAITING, LISTING, UNLINKING };

struct file {
	uint64_t id, first;
	int known; /* of a stream whose files are on their way out */
};

struct dropped {
	struct env_job job;
	struct msg msg;
	struct store_worker *worker;
	enum stage stage;
	unsigned turn;       /* WAITING: whose reads must end */
	struct list streams; /* whose files go; or */
	struct file *found;  /* those that a directory has: mem_alloc'd */
	uint32_t n_found, cap_found;
	uint32_t listed; /* the next group to be listed */
	uint64_t below;  /* ids that count for that */
	int r;
	char dir[VNODE_DIR_BYTES];
	uint32_t n;
	struct file files[BATCH];
};

void
dropped_booked(struct vnode *v, struct list *streams, uint64_t index, int saved)
{
	struct list *l;

	while ((l = list_take_first(streams))) {
		struct stream *s = LIST_ENTRY(l, struct stream, unsaved);

		if (!saved) {
			list_add_tail(&v->dead, l);
			continue;
		}
		if (s->bucket)
			vnode_leave_bucket(v, s);
		s->gone_at = index;
		list_add_tail(&v->gone, l);
	}
}

static struct dropped *
get(struct store_worker *w)
{
	struct dropped *d = w->dropped;

	if (d)
		return d;
	d = mem_zalloc(sizeof(*d));
	if (!d)
		return NULL; /* at the next tick */
	d->worker = w;
	d->listed = w->id;
	list_init(&d->streams);
	w->dropped = d;
	return d;
}

static void
begin(struct dropped *d, enum stage stage, void (*run)(struct env_job *job))
{
	struct store_worker *w = d->worker;
	const struct env_post *post = &w->store->env->post;

	d->stage = stage;
	d->job.run = run;
	w->n_reading++;
	post->to_lane(post->ctx, LANE_FLUSH, &d->job);
}

/* --- unlinking ------------------------------------------------------------ */

static void go_on(struct dropped *d);

static void
unlinked(struct msg *m)
{
	struct dropped *d = CONTAINER_OF(m, struct dropped, msg);

	d->worker->n_reading--;
	if (d->r)
		store_report(d->worker->store, 1,
		    "%s: files of deleted events cannot be removed: %s", d->dir,
		    err_text(d->r));
	go_on(d);
}

static void
run_unlink(struct env_job *job)
{
	struct dropped *d = CONTAINER_OF(job, struct dropped, job);
	struct store *s = d->worker->store;
	const struct env_disk *disk = &s->env->disk;
	const struct env_clock *clock = &s->env->clock;
	struct mono since = clock->mono(clock->ctx);
	char name[CHUNK_NAME_BYTES], path[FILES_PATH_BYTES];

	d->r = 0;
	while (
	    d->n && mono_diff_us(since, clock->mono(clock->ctx)) < BATCH_US) {
		const struct file *f = &d->files[--d->n];
		int r;

		chunk_file_name(name, f->id, f->first);
		snprintf(path, sizeof(path), "%s/%s", d->dir, name);
		files_forget(s->files, path);
		r = disk->unlink(disk->ctx, path);
		if (r && r != -ERR_NOTFOUND)
			d->r = r;
	}
	store_call(s, d->worker->id, &d->msg, unlinked);
}

/* The next files of D's streams, behind those that are left; a stream without
 * any is freed. */
static void
take_files(struct dropped *d)
{
	struct list *l;

	while (d->n < BATCH && (l = list_first(&d->streams))) {
		struct stream *s = LIST_ENTRY(l, struct stream, unsaved);

		while (d->n < BATCH && s->n_chunks) {
			const struct chunk_info *c = &s->chunks[--s->n_chunks];

			d->files[d->n++] = (struct file){s->id, c->first, 0};
		}
		if (s->n_chunks == 0)
			stream_free(s, &d->worker->cache);
	}
	while (d->n < BATCH && d->n_found)
		d->files[d->n++] = d->found[--d->n_found];
}

static void
go_on(struct dropped *d)
{
	take_files(d);
	if (d->n) {
		begin(d, UNLINKING, run_unlink);
		return;
	}
	d->found = mem_free(d->found);
	d->cap_found = 0;
	d->stage = IDLE;
	dropped_tick(d->worker);
}

/* --- of deleted streams --------------------------------------------------- */

static void
note_file(void *arg, const char *name)
{
	struct dropped *d = arg;
	unsigned long long id, first;
	char again[CHUNK_NAME_BYTES];

	if (d->r || sscanf(name, "%16llx.%16llx.chunk", &id, &first) != 2)
		return;
	chunk_file_name(again, id, first);
	if (strcmp(again, name) != 0 || id >= d->below)
		return;
	if (d->n_found == d->cap_found) {
		uint32_t cap = d->cap_found ? d->cap_found * 2 : 64;
		void *p = mem_realloc(d->found, cap * sizeof(*d->found));

		if (!p) {
			d->r = -ERR_NOMEM;
			return;
		}
		d->found = p;
		d->cap_found = cap;
	}
	d->found[d->n_found++] = (struct file){id, first, 0};
}

/* A bug to have: files of streams that a manifest still names. */
static void
take_dead(struct dropped *d, const struct vnode *v)
{
	LIST_FOREACH (l, &v->dead) {
		const struct stream *s = LIST_ENTRY(l, struct stream, unsaved);

		d->below = s->id + 1;
		for (uint32_t i = 0; i < s->n_chunks; i++) {
			char name[CHUNK_NAME_BYTES];

			chunk_file_name(name, s->id, s->chunks[i].first);
			note_file(d, name);
		}
	}
}

/* Those of V whose files nobody can want but reads that were begun before; 0:
 * none. */
static int
take_gone(struct dropped *d, struct vnode *v)
{
	uint64_t keep = fill_keeps(v);
	struct list *l;

	while ((l = list_first(&v->gone)) &&
	       LIST_ENTRY(l, struct stream, unsaved)->gone_at <= keep) {
		list_del(l);
		list_add_tail(&d->streams, l);
	}
	if (VNODE_MUTANT(FILES_GO_BEFORE_CHECKPOINT))
		take_dead(d, v);
	memcpy(d->dir, v->dir, sizeof(d->dir));
	return d->n_found || !list_empty(&d->streams);
}

static void
wait_for_reads(struct dropped *d)
{
	struct store_worker *w = d->worker;

	d->stage = WAITING;
	d->turn = w->read_turn;
	w->read_turn = !w->read_turn;
	if (atomic_load(&w->reads[d->turn]) == 0)
		go_on(d);
}

/* --- left behind ---------------------------------------------------------- */

static int
by_id(const void *a, const void *b)
{
	const struct file *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x->first < y->first ? -1 : x->first > y->first;
}

/* The files of STREAMS are known; those that D has found are sorted. */
static void
mark_known(struct dropped *d, const struct list *streams)
{
	LIST_FOREACH (l, streams) {
		const struct stream *s = LIST_ENTRY(l, struct stream, unsaved);

		for (uint32_t i = 0; i < s->n_chunks; i++) {
			struct file key = {s->id, s->chunks[i].first, 0}, *f;

			f = bsearch(
			    &key, d->found, d->n_found, sizeof(key), by_id);
			if (f)
				f->known = 1;
		}
	}
}

/* Whether F is of a stream that is there, and was not cut off it: what is not
 * written yet comes behind what is. */
static int
is_live(const struct vnode *v, const struct file *f)
{
	const struct stream *s = vnode_by_id(v, f->id);

	return s &&
	       f->first >= (s->n_chunks ? s->chunks[0].first : s->last + 1);
}

/* Those that nothing knows stay in D. */
static void
choose(struct dropped *d, const struct vnode *v)
{
	uint32_t n = 0;

	if (d->n_found == 0)
		return;
	qsort(d->found, d->n_found, sizeof(*d->found), by_id);
	mark_known(d, &v->dead);
	mark_known(d, &v->gone);
	for (uint32_t i = 0; i < d->n_found; i++)
		if (!d->found[i].known && !is_live(v, &d->found[i]))
			d->found[n++] = d->found[i];
	d->n_found = n;
}

/* A checkpoint that is under way has streams that are dead. */
static int
has_dead(const struct store_worker *w)
{
	return w->flush && w->flush->checkpoint;
}

static void
listed(struct msg *m)
{
	struct dropped *d = CONTAINER_OF(m, struct dropped, msg);
	struct store_worker *w = d->worker;
	const struct vnode *v = &w->store->vnodes[d->listed];

	w->n_reading--;
	if (d->r == -ERR_NOMEM || has_dead(w)) { /* once more */
		d->n_found = 0;
		d->stage = IDLE;
		return;
	}
	if (d->r || v->group.failed || strcmp(v->dir, d->dir) != 0)
		d->n_found = 0;
	choose(d, v);
	d->listed += w->store->n_workers;
	go_on(d);
}

static void
run_list(struct env_job *job)
{
	struct dropped *d = CONTAINER_OF(job, struct dropped, job);
	struct store *s = d->worker->store;
	const struct env_disk *disk = &s->env->disk;
	int r;

	d->r = 0;
	repair_remove_rest(disk, d->dir);
	r = disk->list(disk->ctx, d->dir, note_file, d);
	if (d->r == 0)
		d->r = r;
	store_call(s, d->worker->id, &d->msg, listed);
}

/* 1: a directory is being listed. */
static int
list_next(struct dropped *d)
{
	struct store *s = d->worker->store;

	for (; d->listed < s->n_vnodes; d->listed += s->n_workers) {
		const struct vnode *v = &s->vnodes[d->listed];

		if (!v->group.raft || v->group.failed)
			continue;
		memcpy(d->dir, v->dir, sizeof(d->dir));
		d->below = v->group.next_stream_id;
		begin(d, LISTING, run_list);
		return 1;
	}
	return 0;
}

/* --- time ----------------------------------------------------------------- */

void
dropped_tick(struct store_worker *w)
{
	struct dropped *d = get(w);
	struct store *s = w->store;

	if (!d || w->stop || atomic_load(&s->dead))
		return;
	if (d->stage == WAITING && atomic_load(&w->reads[d->turn]) == 0)
		go_on(d);
	if (d->stage != IDLE)
		return;
	for (uint32_t g = w->id; g < s->n_vnodes; g += s->n_workers)
		if (take_gone(d, &s->vnodes[g])) {
			wait_for_reads(d);
			return;
		}
	if (!has_dead(w))
		list_next(d);
}

void
dropped_forget_all(struct store_worker *w)
{
	struct dropped *d = w->dropped;
	struct list *l;

	if (!d)
		return;
	while ((l = list_take_first(&d->streams)))
		stream_free(LIST_ENTRY(l, struct stream, unsaved), &w->cache);
	mem_free(d->found);
	w->dropped = mem_free(d);
}
