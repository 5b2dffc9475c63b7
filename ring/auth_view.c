/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * auth_view - who may do what.
 *
 * A view keeps a copy of the document, and arrays over it in the document's
 * order: users by name, resources by (bucket, stream), and for each resource its
 * grants by role.  What a user may do everywhere is put together beforehand.
 */
#include "ring/auth_view.h"

#include <string.h>

#include "src/base/err.h"
#include "src/base/mem.h"

struct user {
	struct slice name;
	uint64_t generation;
	struct slice *groups; /* all that it is in, however nested */
	uint32_t n_groups;
	unsigned everything; /* permissions on everything, of any role */
	int can_log_in;
};

struct group {
	struct slice name;
	uint32_t *in; /* places of groups */
	uint32_t n_in;
	uint32_t seen; /* by the walk of this number */
	uint8_t state; /* of the search for cycles */
};

struct grant {
	struct slice role;
	unsigned permissions;
};

struct resource {
	struct slice bucket, stream;
	uint32_t first, n; /* grants */
};

struct auth_view {
	atomic_uint refs;
	struct doc *doc;
	struct auth_rules rules;
	char *prefix;
	struct slice secret;
	struct user *users, anonymous;
	struct group *groups;
	struct resource *resources;
	struct grant *grants;
	uint32_t n_users, n_groups, n_resources, n_grants;
	uint32_t n_admins, walks;
	int has_cycle;
};

#define OWNER (AUTH_GET | AUTH_PUT | AUTH_DELETE | AUTH_GRANT | AUTH_LIST)

/* --- finding -------------------------------------------------------------- */

static const struct user *
find_user(const struct auth_view *v, struct slice name)
{
	uint32_t low = 0, high = v->n_users;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		int r = slice_compare(v->users[mid].name, name);

		if (r == 0)
			return &v->users[mid];
		if (r < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static uint32_t
find_group(const struct auth_view *v, struct slice name)
{
	uint32_t low = 0, high = v->n_groups;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		int r = slice_compare(v->groups[mid].name, name);

		if (r == 0)
			return mid;
		if (r < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return v->n_groups;
}

static const struct resource *
find_resource(
    const struct auth_view *v, struct slice bucket, struct slice stream)
{
	uint32_t low = 0, high = v->n_resources;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		const struct resource *at = &v->resources[mid];
		int r = slice_compare(at->bucket, bucket);

		if (r == 0)
			r = slice_compare(at->stream, stream);
		if (r == 0)
			return at;
		if (r < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static unsigned
granted(const struct auth_view *v, const struct resource *on, struct slice role)
{
	uint32_t low = on->first, high = on->first + on->n;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		int r = slice_compare(v->grants[mid].role, role);

		if (r == 0)
			return v->grants[mid].permissions;
		if (r < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return 0;
}

/* What U has on exactly this. */
static unsigned
has_on(const struct auth_view *v, const struct user *u, struct slice bucket,
    struct slice stream)
{
	const struct resource *on = find_resource(v, bucket, stream);
	unsigned has;

	if (!on)
		return 0;
	has =
	    granted(v, on, u->name) | granted(v, on, SLICE_LIT(AUTH_EVERYONE));
	for (uint32_t i = 0; i < u->n_groups; i++)
		has |= granted(v, on, u->groups[i]);
	return has;
}

/* --- making --------------------------------------------------------------- */

static int
make_arrays(struct auth_view *v)
{
	uint32_t n = doc_n(v->doc);

	v->users = mem_calloc(n + 1, sizeof(*v->users));
	v->groups = mem_calloc(n + 1, sizeof(*v->groups));
	v->resources = mem_calloc(n + 1, sizeof(*v->resources));
	v->grants = mem_calloc(n + 1, sizeof(*v->grants));
	return v->users && v->groups && v->resources && v->grants ? 0
								  : -ERR_NOMEM;
}

static void
add_grant(struct auth_view *v, const struct auth_grant_row *row)
{
	struct resource *last =
	    v->n_resources ? &v->resources[v->n_resources - 1] : NULL;

	if (!last || !slice_equal(last->bucket, row->bucket) ||
	    !slice_equal(last->stream, row->stream)) {
		last = &v->resources[v->n_resources++];
		*last = (struct resource){.bucket = row->bucket,
		    .stream = row->stream,
		    .first = v->n_grants};
	}
	last->n++;
	v->grants[v->n_grants++] =
	    (struct grant){.role = row->role, .permissions = row->permissions};
}

/* Groups come before users in the document. */
static int
take_rows(struct auth_view *v)
{
	for (uint32_t i = 0; i < doc_n(v->doc); i++) {
		struct auth_row row;
		int r = auth_row(doc_at(v->doc, i), &row);

		if (r)
			return r;
		if (row.kind == AUTH_ROW_USER)
			v->users[v->n_users++] =
			    (struct user){.name = row.user.name,
				.generation = row.user.generation,
				.can_log_in = row.user.hash.n > 0};
		else if (row.kind == AUTH_ROW_GROUP)
			v->groups[v->n_groups++] =
			    (struct group){.name = row.group.name};
		else if (row.kind == AUTH_ROW_GRANT)
			add_grant(v, &row.grant);
		else if (row.kind == AUTH_ROW_SECRET)
			v->secret = row.secret;
	}
	return 0;
}

static int
link_groups(struct auth_view *v)
{
	struct auth_group_row row;

	for (uint32_t i = 0; i < v->n_groups; i++) {
		struct group *g = &v->groups[i];

		auth_find_group(v->doc, g->name, &row);
		g->in = mem_calloc(row.groups.n + 1, sizeof(*g->in));
		if (!g->in)
			return -ERR_NOMEM;
		for (uint32_t k = 0; k < row.groups.n; k++) {
			uint32_t at = find_group(v, row.groups.at[k]);

			if (at < v->n_groups)
				g->in[g->n_in++] = at;
		}
	}
	return 0;
}

/* Nodes and edges that lead to no cycle are taken away until none is left
 * (Kahn 1962); what is left then is in a cycle or leads to one. */
static int
find_cycle(struct auth_view *v)
{
	uint32_t *into = mem_calloc(v->n_groups + 1, sizeof(*into));
	uint32_t *todo = mem_calloc(v->n_groups + 1, sizeof(*todo));
	uint32_t n = 0, done = 0;

	for (uint32_t i = 0; into && todo && i < v->n_groups; i++)
		for (uint32_t k = 0; k < v->groups[i].n_in; k++)
			into[v->groups[i].in[k]]++;
	for (uint32_t i = 0; into && todo && i < v->n_groups; i++)
		if (into[i] == 0)
			todo[n++] = i;
	for (; done < n; done++) {
		struct group *g = &v->groups[todo[done]];

		for (uint32_t k = 0; k < g->n_in; k++)
			if (--into[g->in[k]] == 0)
				todo[n++] = g->in[k];
	}
	v->has_cycle = done < v->n_groups;
	n = into && todo;
	mem_free(into);
	mem_free(todo);
	return n ? 0 : -ERR_NOMEM;
}

/* All groups that U is in: breadth first, each once. */
static int
close_groups(struct auth_view *v, struct user *u, uint32_t *todo)
{
	struct auth_user_row row;
	uint32_t n = 0;

	v->walks++;
	auth_find_user(v->doc, u->name, &row);
	for (uint32_t i = 0; i < row.groups.n; i++) {
		uint32_t at = find_group(v, row.groups.at[i]);

		if (at < v->n_groups && v->groups[at].seen != v->walks) {
			v->groups[at].seen = v->walks;
			todo[n++] = at;
		}
	}
	for (uint32_t done = 0; done < n; done++) {
		const struct group *g = &v->groups[todo[done]];

		for (uint32_t k = 0; k < g->n_in; k++) {
			struct group *in = &v->groups[g->in[k]];

			if (in->seen != v->walks) {
				in->seen = v->walks;
				todo[n++] = g->in[k];
			}
		}
	}
	u->groups = mem_calloc(n + 1, sizeof(*u->groups));
	if (!u->groups)
		return -ERR_NOMEM;
	u->n_groups = n;
	for (uint32_t i = 0; i < n; i++)
		u->groups[i] = v->groups[todo[i]].name;
	return 0;
}

static void
sum_up(struct auth_view *v, struct user *u)
{
	u->everything =
	    has_on(v, u, SLICE_LIT(AUTH_EVERYTHING), SLICE(NULL, 0));
	for (uint32_t i = 0; i < u->n_groups; i++)
		v->n_admins += u->can_log_in && slice_equal(u->groups[i],
						    SLICE_LIT(AUTH_ADMINS));
}

/* Its name is the configuration's, whether it has a row or not. */
static int
make_anonymous(struct auth_view *v, uint32_t *todo)
{
	const struct user *row = find_user(v, SLICE_STR(v->rules.anonymous));

	v->anonymous.name = SLICE_STR(v->rules.anonymous);
	if (row && close_groups(v, &v->anonymous, todo))
		return -ERR_NOMEM;
	sum_up(v, &v->anonymous);
	return 0;
}

static int
make(struct auth_view *v)
{
	uint32_t *todo;
	int r = make_arrays(v);

	if (r == 0)
		r = take_rows(v);
	if (r == 0)
		r = link_groups(v);
	if (r == 0)
		r = find_cycle(v);
	if (r)
		return r;
	todo = mem_calloc(v->n_groups + 1, sizeof(*todo));
	r = todo ? make_anonymous(v, todo) : -ERR_NOMEM;
	for (uint32_t i = 0; i < v->n_users && r == 0; i++) {
		r = close_groups(v, &v->users[i], todo);
		if (r == 0)
			sum_up(v, &v->users[i]);
	}
	mem_free(todo);
	return r;
}

int
auth_view_new(
    struct auth_view **out, const struct doc *d, const struct auth_rules *r)
{
	struct auth_view *v = mem_zalloc(sizeof(*v));
	size_t n = strlen(r->prefix) + 1, m = strlen(r->anonymous) + 1;
	int e = -ERR_NOMEM;

	if (!v)
		return e;
	atomic_store(&v->refs, 1);
	v->doc = doc_clone(d);
	v->prefix = mem_alloc(n + m);
	if (v->doc && v->prefix) {
		memcpy(v->prefix, r->prefix, n);
		memcpy(v->prefix + n, r->anonymous, m);
		v->rules = (struct auth_rules){.has_bucket = r->has_bucket,
		    .prefix = v->prefix,
		    .anonymous = v->prefix + n};
		e = make(v);
	}
	if (e) {
		auth_view_unref(v);
		return e;
	}
	*out = v;
	return 0;
}

struct auth_view *
auth_view_ref(struct auth_view *v)
{
	atomic_fetch_add(&v->refs, 1);
	return v;
}

struct auth_view *
auth_view_unref(struct auth_view *v)
{
	if (!v || atomic_fetch_sub(&v->refs, 1) != 1)
		return NULL;
	for (uint32_t i = 0; v->users && i < v->n_users; i++)
		mem_free(v->users[i].groups);
	for (uint32_t i = 0; v->groups && i < v->n_groups; i++)
		mem_free(v->groups[i].in);
	mem_free(v->anonymous.groups);
	mem_free(v->users);
	mem_free(v->groups);
	mem_free(v->resources);
	mem_free(v->grants);
	mem_free(v->prefix);
	doc_free(v->doc);
	return mem_free(v);
}

/* --- looking -------------------------------------------------------------- */

uint64_t
auth_view_seq(const struct auth_view *v)
{
	return doc_seq(v->doc);
}

const struct doc *
auth_view_doc(const struct auth_view *v)
{
	return v->doc;
}

struct slice
auth_view_secret(const struct auth_view *v)
{
	return v->secret;
}

uint32_t
auth_view_admins(const struct auth_view *v)
{
	return v->n_admins;
}

int
auth_view_has_cycle(const struct auth_view *v)
{
	return v->has_cycle;
}

struct auth_identity
auth_anonymous(const struct auth_view *v)
{
	struct auth_identity who = {.anonymous = 1};

	snprintf(who.name, sizeof(who.name), "%s", v->rules.anonymous);
	return who;
}

/* NULL: it is nobody any more. */
static const struct user *
user_of(const struct auth_view *v, const struct auth_identity *who)
{
	const struct user *u;

	if (who->anonymous)
		return &v->anonymous;
	u = find_user(v, SLICE_STR(who->name));
	return u && u->generation == who->generation ? u : NULL;
}

int
auth_is_valid(
    const struct auth_view *v, const struct auth_identity *who, uint64_t now_ms)
{
	return user_of(v, who) &&
	       (who->expires_ms == 0 || now_ms < who->expires_ms);
}

static int
is_own(const struct auth_view *v, const struct user *u, struct slice bucket)
{
	size_t n = strlen(v->rules.prefix);

	return v->rules.has_bucket &&
	       !slice_equal(u->name, SLICE_STR(v->rules.anonymous)) &&
	       bucket.n == n + u->name.n &&
	       memcmp(bucket.p, v->rules.prefix, n) == 0 &&
	       memcmp(bucket.p + n, u->name.p, u->name.n) == 0;
}

static unsigned
permissions(const struct auth_view *v, const struct user *u,
    unsigned permission, struct slice bucket, struct slice stream)
{
	unsigned has = u->everything;

	if (has & permission)
		return has;
	if (is_own(v, u, bucket))
		has |= OWNER;
	has |= has_on(v, u, bucket, SLICE(NULL, 0));
	if (stream.n && !(has & permission))
		has |= has_on(v, u, bucket, stream);
	return has;
}

int
auth_check(const struct auth_view *v, const struct auth_identity *who,
    unsigned permission, struct slice bucket, struct slice stream)
{
	const struct user *u = user_of(v, who);

	return u && (permissions(v, u, permission, bucket, stream) &
			permission) == permission;
}

int
auth_is_public(const struct auth_view *v, unsigned permission,
    struct slice bucket, struct slice stream)
{
	static const struct user everyone = {.name = SLICE_LIT(AUTH_EVERYONE)};
	struct user u = everyone;

	u.everything =
	    has_on(v, &u, SLICE_LIT(AUTH_EVERYTHING), SLICE(NULL, 0));
	return (permissions(v, &u, permission, bucket, stream) & permission) ==
	       permission;
}
