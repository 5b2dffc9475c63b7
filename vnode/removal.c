/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* removal - files that go, and the journal that waits for it. */
#include "vnode/removal.h"

#include "src/base/err.h"
#include "src/base/mem.h"
#include "vnode/store_open.h"

struct removal {
	struct list link; /* of the worker's removals */
	struct env_job job;
	struct msg msg;
	struct store_worker *worker;
	lsn_t keep;
	int busy, r;
	char dir[VNODE_DIR_BYTES];
};

static void
came_back(struct msg *m)
{
	struct removal *rm = CONTAINER_OF(m, struct removal, msg);

	rm->worker->n_reading--;
	rm->busy = 0;
	if (rm->r == -ERR_IO)
		store_fatal(rm->worker->store, "files that are removed", rm->r);
	if (rm->r && rm->keep) /* at the next tick */
		return;
	list_del(&rm->link);
	mem_free(rm);
}

static void
run(struct env_job *job)
{
	struct removal *rm = CONTAINER_OF(job, struct removal, job);
	struct store_worker *w = rm->worker;

	rm->r = rm->keep ? store_remove_replica(w->store, rm->dir)
			 : store_remove_files(w->store, rm->dir);
	store_call(w->store, w->id, &rm->msg, came_back);
}

static void
begin(struct removal *rm)
{
	struct store_worker *w = rm->worker;
	const struct env_post *post = &w->store->env->post;

	rm->busy = 1;
	w->n_reading++;
	post->to_lane(post->ctx, LANE_FLUSH, &rm->job);
}

int
removal_start(struct store_worker *w, const char *dir, lsn_t keep)
{
	struct removal *rm = mem_zalloc(sizeof(*rm));

	if (!rm)
		return -ERR_NOMEM;
	rm->worker = w;
	rm->keep = keep;
	rm->job.run = run;
	snprintf(rm->dir, sizeof(rm->dir), "%s", dir);
	list_add_tail(&w->removals, &rm->link);
	begin(rm);
	return 0;
}

void
removal_tick(struct store_worker *w)
{
	LIST_FOREACH (l, &w->removals) {
		struct removal *rm = LIST_ENTRY(l, struct removal, link);

		if (!rm->busy)
			begin(rm);
	}
}

lsn_t
removal_floor(const struct store_worker *w, lsn_t floor)
{
	LIST_FOREACH (l, &w->removals) {
		const struct removal *rm = LIST_ENTRY(l, struct removal, link);

		if (rm->keep && rm->keep <= floor)
			floor = rm->keep - 1;
	}
	return floor;
}

void
removal_forget_all(struct store_worker *w)
{
	struct list *l;

	if (!w->removals.next)
		return; /* it did not get that far */
	while ((l = list_take_first(&w->removals)))
		mem_free(LIST_ENTRY(l, struct removal, link));
}
