/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * users - the document `auth` of the root, as a view on each worker.
 *
 * The first of all documents is made by the founder of the cluster, once its
 * replica of the root was read and had none.
 */
#include "src/node/users.h"

#include "src/base/assert.h"
#include "src/base/err.h"
#include "src/base/mem.h"

struct users {
	struct users_config config;
	struct root_value *value;
	int making_first;
	struct root_edit first;
	struct doc *first_doc;
};

/* --- the view ------------------------------------------------------------- */

static int
make_view(void *arg, const struct doc *d, void **out)
{
	const struct users *u = arg;
	struct auth_view *view;
	int r = auth_view_new(&view, d, &u->config.rules);

	if (r == 0)
		*out = view;
	return r;
}

static void *
ref_view(void *view)
{
	return auth_view_ref(view);
}

static void
unref_view(void *view)
{
	auth_view_unref(view);
}

static int
publish_view(void *arg, uint32_t worker, void *view)
{
	const struct users *u = arg;

	u->config.publish(u->config.arg, worker, view);
	return 0;
}

static const struct root_kind users_kind = {
    .stream = "auth",
    .what = "the users of the cluster",
    .which = ROOT_USERS,
    .make = make_view,
    .ref = ref_view,
    .unref = unref_view,
    .publish = publish_view,
};

/* --- the first ------------------------------------------------------------ */

static int
make_first(struct root_edit *e, const struct doc *now, struct doc **change)
{
	struct users *u = CONTAINER_OF(e, struct users, first);

	(void)now;
	*change = u->first_doc;
	u->first_doc = NULL;
	return *change ? 0 : -ERR_NOMEM;
}

static void
first_made(struct root_edit *e, int r)
{
	struct users *u = CONTAINER_OF(e, struct users, first);

	if (r == 0)
		log_write(u->config.root.log, LOG_INFO,
		    "the users of a new cluster were made");
	u->first_doc = doc_free(u->first_doc);
	u->making_first = 0; /* once more, if there still is nothing */
}

void
users_first(struct users *u, const struct auth_first *f)
{
	if (!f || root_value_is_stopping(u->value) ||
	    auth_make_first(f, &u->first_doc)) {
		u->making_first = 0;
		return;
	}
	u->first = (struct root_edit){
	    .make = make_first, .done = first_made, .when = ROOT_EDIT_FIRST};
	root_doc_edit(root_value_doc(u->value), &u->first);
}

static void
tick_first(struct users *u)
{
	const struct root_value_config *root = &u->config.root;

	if (!u->config.first || root->identity->joined || u->making_first ||
	    root_value_is_stopping(u->value) ||
	    !root_doc_is_empty(root_value_doc(u->value)) ||
	    !store_leads(*u->config.store, root->group))
		return;
	u->making_first = 1;
	u->config.first(u->config.arg, u);
}

/* --- life ----------------------------------------------------------------- */

struct users *
users_new(const struct users_config *config)
{
	struct users *u = mem_zalloc(sizeof(*u));

	if (!u)
		return NULL;
	u->config = *config;
	u->config.root.kind = &users_kind;
	u->config.root.arg = u;
	u->value = root_value_new(&u->config.root);
	return u->value ? u : users_free(u);
}

struct users *
users_free(struct users *u)
{
	if (!u)
		return NULL;
	root_value_free(u->value);
	doc_free(u->first_doc);
	return mem_free(u);
}

void
users_tick(struct users *u)
{
	tick_first(u);
}

struct root_value *
users_value(const struct users *u)
{
	return u->value;
}

const struct doc *
users_doc(const struct users *u)
{
	const struct auth_view *view = root_value_now(u->value);

	return view ? auth_view_doc(view) : NULL;
}
