/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * reload - the configuration is read again while the node runs.
 *
 *	idle -> reading (LANE_READ) -> telling (each worker, and back) -> idle
 */
#include "src/node/reload.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"

#define NAMES_BYTES 4096

struct told {
	struct msg msg;
	struct reload *reload;
	uint32_t worker;
};

struct reload {
	struct reload_config config; /* conf: what all workers have */
	struct env_job job;
	struct msg back; /* to worker 0, from the lane */
	struct conf *fresh, *next;
	char why[CONF_WHY_BYTES];
	int r;
	int running, again;
	struct buf changed; /* what is to be said of it */
	uint32_t n_left;    /* workers that have not told yet */
	struct told told[];
};

struct reload *
reload_new(const struct reload_config *config)
{
	uint32_t n = config->env->post.n_workers;
	struct reload *r = mem_zalloc(sizeof(*r) + n * sizeof(r->told[0]));

	if (!r)
		return NULL;
	r->config = *config;
	r->config.conf = conf_ref(config->conf);
	buf_init(&r->changed, NAMES_BYTES);
	for (uint32_t i = 0; i < n; i++) {
		r->told[i].reload = r;
		r->told[i].worker = i;
	}
	return r;
}

struct reload *
reload_free(struct reload *r)
{
	if (!r)
		return NULL;
	conf_free(r->config.conf);
	conf_free(r->fresh);
	conf_free(r->next);
	buf_deinit(&r->changed);
	return mem_free(r);
}

static void
post(struct reload *r, uint32_t worker, struct msg *m, void (*fn)(struct msg *))
{
	const struct env_post *p = &r->config.env->post;

	*m = (struct msg){.kind = MSG_CALL, .fn = fn};
	p->to_worker(p->ctx, worker, m);
}

static void
finish(struct reload *r)
{
	int again = r->again;

	r->running = r->again = 0;
	if (again)
		reload_start(r);
}

/* Before a new level may hide it, or else after the new one shows it. */
static void
log_changed(struct reload *r)
{
	if (!r->changed.n || !log_wants(r->config.log, LOG_INFO))
		return;
	log_write(r->config.log, LOG_INFO, "SIGHUP: %.*s", (int)r->changed.n,
	    (const char *)r->changed.p);
	buf_reset(&r->changed);
}

static void
hear_worker(struct msg *m)
{
	struct reload *r = CONTAINER_OF(m, struct told, msg)->reload;

	if (--r->n_left)
		return;
	conf_free(r->config.conf);
	r->config.conf = r->next;
	r->next = NULL;
	log_changed(r);
	finish(r);
}

static void
tell_worker(struct msg *m)
{
	struct told *t = CONTAINER_OF(m, struct told, msg);
	struct reload *r = t->reload;

	r->config.apply(r->config.arg, t->worker, r->next);
	post(r, 0, m, hear_worker);
}

/* 1: there is something to tell the workers of. */
static int
compare(struct reload *r)
{
	struct log *log = r->config.log;
	struct buf kept;
	int differs, other = r->config.loaded(r->config.arg);

	buf_init(&kept, NAMES_BYTES);
	buf_reset(&r->changed);
	r->next = conf_reload(r->config.conf, r->fresh, &r->changed, &kept);
	r->fresh = conf_free(r->fresh);
	differs = r->next && r->changed.n;
	if (!r->next)
		log_write(log, LOG_ERROR,
		    "SIGHUP: out of memory; nothing was changed");
	else if (!differs && !kept.n && !other)
		log_write(log, LOG_INFO, "SIGHUP: nothing has changed");
	if (r->next && kept.n)
		log_write(log, LOG_INFO, "SIGHUP: from the next start on: %.*s",
		    (int)kept.n, (const char *)kept.p);
	if (differs)
		log_changed(r);
	buf_deinit(&kept);
	return differs;
}

static void
hear_lane(struct msg *m)
{
	struct reload *r = CONTAINER_OF(m, struct reload, back);

	if (r->r)
		log_write(r->config.log, LOG_ERROR,
		    "SIGHUP: %s; nothing was changed", r->why);
	if (r->r || !compare(r)) {
		r->next = conf_free(r->next);
		finish(r);
		return;
	}
	r->n_left = r->config.env->post.n_workers;
	for (uint32_t i = 0; i < r->config.env->post.n_workers; i++)
		post(r, i, &r->told[i].msg, tell_worker);
}

static void
read_again(struct env_job *job)
{
	struct reload *r = CONTAINER_OF(job, struct reload, job);

	r->r = r->config.load(r->config.load_arg, &r->fresh, r->why);
	post(r, 0, &r->back, hear_lane);
}

void
reload_start(struct reload *r)
{
	const struct env_post *p = &r->config.env->post;

	if (r->running) {
		r->again = 1;
		return;
	}
	r->running = 1;
	r->job = (struct env_job){.run = read_again};
	p->to_lane(p->ctx, LANE_READ, &r->job);
}
