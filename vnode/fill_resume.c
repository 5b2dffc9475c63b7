/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fill_resume - a fill that was interrupted goes on where it was.
 *
 * The files of a fill that ended early stay, also over a restart, for the next
 * fill of the same replica, if it comes within FILL_STAGED_US.  Nothing is
 * remembered of them: each file is read and verified against the new manifest
 * like one that came over the net, so what a crash has torn or a failed sync has
 * lost is fetched again.  A file that is shorter than wanted, of a chunk that has
 * grown since, is taken for a beginning: the rest is asked for, and the whole
 * verified; if it was none, all of it is asked for.
 * Before the sync what the new manifest does not name is removed: nothing may
 * lie in the way of a chunk that is made here later.
 */
#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/fill_impl.h"
#include "vnode/removal.h"

#define FILL_STAGED_US 600000000
#define LOOK_BYTES     (8u << 20) /* in one job: others wait for the lane */
#define LOOK_CHUNKS    4096

/* --- what is kept --------------------------------------------------------- */

static struct mono
now(const struct store *s)
{
	return s->env->clock.mono(s->env->clock.ctx);
}

void
fill_staged_set(
    struct store *s, uint32_t group, uint64_t generation, uint32_t life)
{
	s->staged[group] = (struct fill_staged){
	    .generation = generation, .life = life, .since = now(s)};
}

void
fill_staged_drop(struct store_worker *w, uint32_t group)
{
	struct fill_staged *st = &w->store->staged[group];
	char dir[VNODE_DIR_BYTES];

	if (st->generation == 0)
		return;
	vnode_dir_name(
	    dir, w->store->dir, (uint16_t)group, st->generation, st->life);
	if (removal_start(w, dir, 0) == 0)
		st->generation = 0;
}

void
fill_staged_tick(struct store_worker *w, uint32_t group)
{
	const struct fill_staged *st = &w->store->staged[group];

	if (st->generation &&
	    mono_diff_us(st->since, now(w->store)) > FILL_STAGED_US)
		fill_staged_drop(w, group);
}

void
fill_staged_take(struct fill *f)
{
	struct fill_staged *st = &f->store->staged[f->group];

	f->resumes =
	    st->generation == f->generation && st->life == f->shadow->life;
	if (f->resumes)
		st->generation = 0;
	else
		fill_staged_drop(fill_worker(f), f->group);
}

/* --- what is there: LANE_FLUSH -------------------------------------------- */

int
fill_read_staged(struct fill *f, const struct stream *s,
    const struct chunk_info *c, struct buf *out)
{
	char name[CHUNK_NAME_BYTES], path[FILES_PATH_BYTES];
	uint8_t *p;
	size_t n = 0;
	int r;

	chunk_file_name(name, s->id, c->first);
	snprintf(path, sizeof(path), "%s/%s", f->shadow->dir, name);
	r = store_read_file(&f->store->env->disk, path, FILL_CHUNK_MAX, &p, &n);
	if (r)
		return r;
	buf_add(out, p, n);
	mem_free(p);
	return buf_error(out);
}

/* 1: chunk C of S is here, whole.  Else *HAVE is what may be its beginning. */
static int
is_here(struct fill *f, const struct stream *s, const struct chunk_info *c,
    uint32_t *have)
{
	buf_reset(&f->scratch);
	*have = 0;
	if (fill_read_staged(f, s, c, &f->scratch))
		return 0;
	if (fill_verify(f, s, c, buf_slice(&f->scratch)) == 0)
		return 1;
	if (f->scratch.n < c->bytes)
		*have = (uint32_t)f->scratch.n;
	return 0;
}

static void
run_look(struct env_job *job)
{
	struct fill *f = CONTAINER_OF(job, struct fill, job);
	uint64_t n = 0;

	buf_reset(&f->found);
	f->found_at = 0;
	for (uint32_t looked = 0; n < LOOK_BYTES && looked < LOOK_CHUNKS;
	     looked++) {
		struct fill_want want = {.have = 0};
		const struct stream *s;
		const struct chunk_info *c;

		if (!fill_next_chunk(f, &want.stream, &want.chunk))
			break;
		f->at_stream = want.stream;
		f->at_chunk = want.chunk + 1;
		s = f->shadow->by_id[want.stream];
		c = &s->chunks[want.chunk];
		if (!is_here(f, s, c, &want.have)) {
			buf_add(&f->found, &want, sizeof(want));
			continue;
		}
		n += f->scratch.n + 4096;
		f->kept_bytes += f->scratch.n;
		f->n_kept++;
	}
	f->r = buf_error(&f->found);
	store_call(f->store, fill_worker(f)->id, &f->msg, f->msg.fn);
}

static void
looked(struct msg *m)
{
	struct fill *f = fill_came_back(m);

	if (f)
		fill_chunks_go_on(f);
}

void
fill_look(struct fill *f)
{
	fill_job(f, run_look, looked);
}

/* --- what is there and not wanted: LANE_FLUSH ------------------------------ */

static int
is_wanted(const struct vnode *v, const char *name)
{
	unsigned long long id, first;
	const struct stream *s;
	char again[CHUNK_NAME_BYTES];

	if (sscanf(name, "%16llx.%16llx.chunk", &id, &first) != 2)
		return 0;
	chunk_file_name(again, id, first);
	s = strcmp(again, name) == 0 ? vnode_by_id(v, id) : NULL;
	return s && stream_find_chunk(s, first);
}

static void
remove_unwanted(void *arg, const char *name)
{
	struct fill *f = arg;
	const struct env_disk *d = &f->store->env->disk;
	char path[FILES_PATH_BYTES * 2];
	int r;

	if (is_wanted(f->shadow, name))
		return;
	snprintf(path, sizeof(path), "%s/%s", f->shadow->dir, name);
	r = d->unlink(d->ctx, path);
	if (r && r != -ERR_NOTFOUND)
		f->r = r;
}

int
fill_remove_unwanted(struct fill *f)
{
	const struct env_disk *d = &f->store->env->disk;
	int r;

	f->r = 0;
	if (!f->resumes)
		return 0;
	r = d->list(d->ctx, f->shadow->dir, remove_unwanted, f);
	return r ? r : f->r;
}
