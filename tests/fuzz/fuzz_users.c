/* SPDX-License-Identifier: AGPL-3.0-or-later */
/*
 * fuzz_users - the document of users as it is read from the root: what makes a
 * view can be asked and changed, and what a change makes of it can be read.
 */
#include "ring/auth_view.h"
#include "src/base/assert.h"
#include "tests/fuzz/doc_rig.h"
#include "tests/fuzz/fuzz.h"

static const struct auth_rules rules = {
    .has_bucket = 1, .prefix = "_user_", .anonymous = "anonymous"};

static void
ask(const struct auth_view *v, const struct doc *d)
{
	struct auth_identity nobody = auth_anonymous(v);

	for (uint32_t i = 0; i < doc_n(d); i++) {
		struct auth_identity who = {.generation = 1};
		struct auth_row row;
		struct slice name;

		ASSERT(auth_row(doc_at(d, i), &row) == 0);
		name = row.kind == AUTH_ROW_USER    ? row.user.name
		       : row.kind == AUTH_ROW_GROUP ? row.group.name
						    : SLICE_LIT("x");
		ASSERT(name.n && name.n <= AUTH_NAME_MAX);
		memcpy(who.name, name.p, name.n);
		auth_check(v, &who, AUTH_PUT, SLICE_LIT("b"), SLICE_LIT("s"));
		auth_is_valid(v, &who, 5);
		if (row.kind == AUTH_ROW_GRANT)
			auth_check(v, &nobody, AUTH_GET, row.grant.bucket,
			    row.grant.stream);
	}
	auth_view_has_cycle(v);
	auth_is_public(v, AUTH_GET, SLICE_LIT("b"), SLICE_LIT("s"));
}

static void
change(struct doc *d, struct auth_change c)
{
	struct doc *next = doc_clone(d), *made;
	enum auth_refusal refusal;
	struct auth_view *v;

	ASSERT(next);
	if (auth_make(d, &c, &refusal, &made) == 0 && made &&
	    doc_rig_apply(next, made)) {
		ASSERT(auth_view_new(&v, next, &rules) == 0);
		auth_view_unref(v);
	}
	doc_free(next);
}

static void
look(struct doc *d)
{
	struct slice name = SLICE_LIT("ann");
	struct auth_change group = {.op = AUTH_ADD_GROUP,
	    .name = SLICE_LIT("g"),
	    .groups = {1, {SLICE_LIT(AUTH_ADMINS)}}};
	struct auth_view *v;

	if (auth_view_new(&v, d, &rules))
		return;
	ask(v, d);
	auth_view_unref(v);
	change(
	    d, (struct auth_change){
		   .op = AUTH_ADD_USER, .name = name, .hash = SLICE_LIT("h")});
	change(d, (struct auth_change){.op = AUTH_DROP_USER, .name = name});
	change(d, (struct auth_change){.op = AUTH_END_SESSIONS, .name = name});
	change(d, group);
	group.op = AUTH_DROP_GROUP;
	change(d, group);
	change(d, (struct auth_change){.op = AUTH_GIVE,
		      .name = name,
		      .bucket = SLICE_LIT("b"),
		      .permission = AUTH_GET});
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	doc_rig(p, n, look);
	return 0;
}
