/* SPDX-License-Identifier: AGPL-3.0-or-later */
/* roots - the documents of the root that this node goes by. */
#include "src/node/roots.h"

#include "src/base/mem.h"

struct roots {
	struct users *users;               /* NULL: nobody has to know */
	struct retention *retention;       /* the same */
	struct root_value *at[ROOT_COUNT]; /* of both */
};

static void
for_each(struct roots *r, void (*fn)(struct root_value *v))
{
	for (int i = 0; i < ROOT_COUNT; i++)
		if (r->at[i])
			fn(r->at[i]);
}

void
roots_looked(void *roots)
{
	for_each(roots, root_value_looked);
}

void
roots_heard(void *roots)
{
	for_each(roots, root_value_heard);
}

void
roots_stop(struct roots *r)
{
	for_each(r, root_value_stop);
}

void
roots_tick(struct roots *r)
{
	for_each(r, root_value_tick);
	if (r->users)
		users_tick(r->users);
}

void
roots_start(struct roots *r, struct cluster *cluster)
{
	for (int i = 0; i < ROOT_COUNT; i++)
		if (r->at[i])
			root_value_start(r->at[i], cluster);
}

void
roots_ask(struct roots *r, enum root_which which, struct root_request *q)
{
	root_value_ask(r->at[which], q);
}

struct users *
roots_users(const struct roots *r)
{
	return r->users;
}

struct roots *
roots_new(const struct roots_config *config,
    const struct root_value_config *root, struct store **store, void *arg)
{
	struct roots *r = mem_zalloc(sizeof(*r));
	struct users_config uc = {
	    .root = *root,
	    .store = store,
	    .rules = config->auth_rules,
	    .publish = config->auth_publish,
	    .first = config->auth_first,
	    .arg = arg,
	};
	struct retention_config rc = {
	    .root = *root,
	    .defaults = config->policy_defaults,
	    .publish = config->policies_publish,
	    .store = store,
	    .arg = arg,
	};

	if (!r)
		return NULL;
	r->users = uc.publish ? users_new(&uc) : NULL;
	r->retention = rc.publish ? retention_new(&rc) : NULL;
	if ((uc.publish && !r->users) || (rc.publish && !r->retention))
		return roots_free(r);
	if (r->users)
		r->at[ROOT_USERS] = users_value(r->users);
	if (r->retention)
		r->at[ROOT_POLICIES] = retention_value(r->retention);
	return r;
}

struct roots *
roots_free(struct roots *r)
{
	if (!r)
		return NULL;
	users_free(r->users);
	retention_free(r->retention);
	return mem_free(r);
}
