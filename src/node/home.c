/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* home - moving from one cluster's directory to another. */
#include "src/node/home.h"

#include <stdio.h>
#include <string.h>

#include "ring/ring_file.h"
#include "src/base/err.h"
#include "vnode/mutants.h"

int
home_join(const struct env *env, const char *nodename, struct identity *id,
    const struct ring *ring)
{
	struct identity next = *id;
	int r = identity_join(env, ring->cluster_id, &next);

	if (r == 0 && VNODE_MUTANT(IDENTITY_BEFORE_RING))
		r = identity_save(env, nodename, &next);
	if (r == 0)
		r = ring_file_save(env, next.dir, ring);
	if (r == 0)
		r = identity_save(env, nodename, &next);
	if (r == 0)
		*id = next;
	return r;
}

int
home_go_back(const struct env *env, const char *nodename, struct identity *id)
{
	struct identity next = *id;
	int r;

	identity_go_back(&next);
	r = identity_save(env, nodename, &next);
	if (r == 0)
		*id = next;
	return r;
}

int
home_leave(const struct env *env, const char *nodename, struct identity *id)
{
	const struct env_disk *d = &env->disk;
	struct identity next = *id;
	char kept[96];
	int r = identity_renew(env, &next);

	if (r == 0)
		r = identity_save(env, nodename, &next);
	if (r)
		return r;
	/* The name is for people: without it the old one does as well. */
	snprintf(kept, sizeof(kept), "%s.left-%llu", id->dir,
	    (unsigned long long)(env->clock.wall(env->clock.ctx).ms / 1000));
	d->rename(d->ctx, id->dir, kept);
	d->sync_dir(d->ctx, "");
	*id = next;
	return 0;
}
