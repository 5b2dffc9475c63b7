/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * attic - files are renamed one by one, since the directory's name must stay with
 * the mark that the replica has retired (store_load.c).  A crash on the way leaves
 * some here and some there; those that are still there go at the next start.
 */
#include "vnode/attic.h"

#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/store_open.h"

#define LOOK_US 10000000 /* between two looks, or half the grace */
#define LEFT    ".left-"

static uint64_t
wall_ms(const struct store *s)
{
	return s->env->clock.wall(s->env->clock.ctx).ms;
}

/* --- in ------------------------------------------------------------------- */

struct taking {
	struct store *store;
	const char *from, *but;
	char to[FILES_PATH_BYTES];
	int r;
};

static void
take_one(void *arg, const char *name)
{
	struct taking *t = arg;
	const struct env_disk *d = &t->store->env->disk;
	char from[FILES_PATH_BYTES * 2], to[FILES_PATH_BYTES * 2];
	int r;

	if (strcmp(name, t->but) == 0)
		return;
	snprintf(from, sizeof(from), "%s/%s", t->from, name);
	snprintf(to, sizeof(to), "%s/%s", t->to, name);
	r = d->rename(d->ctx, from, to);
	if (r)
		t->r = r;
}

int
attic_take(struct store *s, const char *dir, const char *but)
{
	const struct env_disk *d = &s->env->disk;
	struct taking t = {s, dir, but, "", 0};
	int r;

	if (s->config.grace_us == 0 || atomic_load(&s->disk_full))
		return 0;
	snprintf(t.to, sizeof(t.to), "%s" LEFT "%llu", dir,
	    (unsigned long long)wall_ms(s));
	r = d->mkdir(d->ctx, t.to);
	if (r && r != -ERR_EXISTS)
		return r;
	flush_forget_dir(s, dir);
	r = d->list(d->ctx, dir, take_one, &t);
	if (r == 0)
		r = t.r;
	if (r == 0)
		r = d->sync_dir(d->ctx, t.to);
	return r ? r : d->sync_dir(d->ctx, dir);
}

/* --- out ------------------------------------------------------------------ */

struct sweep {
	struct env_job job;
	struct msg msg;
	struct store *store;
	char dir[FILES_PATH_BYTES];
};

static void
look_at(void *arg, const char *name)
{
	struct sweep *sw = arg;
	struct store *s = sw->store;
	const struct env_disk *d = &s->env->disk;
	const char *left = strstr(name, LEFT);
	char path[FILES_PATH_BYTES * 2];
	unsigned long long at;

	if (!left || sscanf(left, LEFT "%llu", &at) != 1 ||
	    (at + s->config.grace_us / 1000 > wall_ms(s) &&
		!atomic_load(&s->disk_full)))
		return;
	snprintf(path, sizeof(path), "%s/%s", sw->dir, name);
	if (store_remove_files(s, path) == 0)
		d->unlink(d->ctx, path);
}

static void
came_back(struct msg *m)
{
	struct sweep *sw = CONTAINER_OF(m, struct sweep, msg);

	sw->store->workers[0].n_reading--;
	mem_free(sw);
}

static void
run(struct env_job *job)
{
	struct sweep *sw = CONTAINER_OF(job, struct sweep, job);
	const struct env_disk *d = &sw->store->env->disk;

	d->list(d->ctx, sw->dir, look_at, sw); /* else the next time */
	store_call(sw->store, 0, &sw->msg, came_back);
}

void
attic_tick(struct store *s)
{
	const struct env_post *post = &s->env->post;
	struct mono now = s->env->clock.mono(s->env->clock.ctx);
	uint64_t every = s->config.grace_us / 2;
	struct sweep *sw;

	if (every > LOOK_US || every == 0)
		every = LOOK_US;
	if (s->swept_at.us && mono_diff_us(s->swept_at, now) < every)
		return;
	s->swept_at = now;
	sw = mem_zalloc(sizeof(*sw));
	if (!sw)
		return;
	sw->store = s;
	sw->job.run = run;
	snprintf(sw->dir, sizeof(sw->dir), "%s/vnodes", s->dir);
	s->workers[0].n_reading++;
	post->to_lane(post->ctx, LANE_FLUSH, &sw->job);
}
