/* SPDX-License-Identifier: AGPL-3.0-or-later */
#include <criterion/criterion.h>

#include "ring/auth_view.h"
#include "src/base/err.h"
#include "tests/golden/golden.h"
#include "tests/lib/chance.h"

TestSuite(auth);

static const struct auth_rules rules = {
    .has_bucket = 1, .prefix = "_user_", .anonymous = "anonymous"};
static const struct slice none = {NULL, 0};

/* --- making documents ------------------------------------------------------- */

static void
apply(struct doc *d, struct doc *change)
{
	struct buf out;

	buf_init(&out, DOC_EVENT_MAX);
	cr_assert_eq(doc_encode(d, change, &out), 0);
	cr_assert_eq(doc_apply(d, doc_seq(d) + 1, buf_slice(&out)), 0);
	buf_deinit(&out);
	doc_free(change);
}

static struct doc *
first(int everywhere)
{
	struct auth_first f = {.admin = "admin",
	    .anonymous = "anonymous",
	    .admin_hash = SLICE_LIT("$argon2id$one"),
	    .everywhere = everywhere,
	    .secret = SLICE_LIT("a secret of nobody")};
	struct doc *d = doc_new(), *change;

	cr_assert_eq(auth_make_first(&f, &change), 0);
	apply(d, change);
	return d;
}

static enum auth_refusal
ask(struct doc *d, struct auth_change c)
{
	enum auth_refusal refusal;
	struct doc *change;

	cr_assert_eq(auth_make(d, &c, &refusal, &change), 0);
	cr_assert_eq(refusal == AUTH_OK, change != NULL);
	if (change)
		apply(d, change);
	return refusal;
}

static struct auth_change
with_groups(enum auth_op op, const char *name, const char *a, const char *b)
{
	struct auth_change c = {.op = op,
	    .name = SLICE_STR(name),
	    .has_hash = op == AUTH_ADD_USER,
	    .hash = SLICE_LIT("$argon2id$x"),
	    .has_groups = 1};

	if (a)
		c.groups.at[c.groups.n++] = SLICE_STR(a);
	if (b)
		c.groups.at[c.groups.n++] = SLICE_STR(b);
	return c;
}

#define ADD_USER(d, name, ...)                                                 \
	ask(d, with_groups(AUTH_ADD_USER, name, __VA_ARGS__))
#define ADD_GROUP(d, name, ...)                                                \
	ask(d, with_groups(AUTH_ADD_GROUP, name, __VA_ARGS__))

static enum auth_refusal
named(struct doc *d, enum auth_op op, const char *name)
{
	return ask(d, (struct auth_change){.op = op, .name = SLICE_STR(name)});
}

static enum auth_refusal
grant(struct doc *d, enum auth_op op, const char *role, unsigned permission,
    const char *bucket, const char *stream)
{
	return ask(d, (struct auth_change){.op = op,
			  .name = SLICE_STR(role),
			  .permission = permission,
			  .bucket = SLICE_STR(bucket),
			  .stream = SLICE_STR(stream)});
}

/* --- asking ----------------------------------------------------------------- */

static struct auth_view *
view_of(const struct doc *d)
{
	struct auth_view *v;

	cr_assert_eq(auth_view_new(&v, d, &rules), 0);
	return v;
}

static struct auth_identity
who(const struct doc *d, const char *name)
{
	struct auth_identity w = {.generation = 0};
	struct auth_user_row row;

	if (auth_find_user(d, SLICE_STR(name), &row))
		w.generation = row.generation;
	snprintf(w.name, sizeof(w.name), "%s", name);
	return w;
}

static int
may(const struct doc *d, const char *name, unsigned permission,
    const char *bucket, const char *stream)
{
	struct auth_view *v = view_of(d);
	struct auth_identity w =
	    strcmp(name, "-") == 0 ? auth_anonymous(v) : who(d, name);
	int r =
	    auth_check(v, &w, permission, SLICE_STR(bucket), SLICE_STR(stream));

	auth_view_unref(v);
	return r;
}

Test(auth, the_first_document_is_the_same_for_good)
{
	struct doc *d = first(1), *fresh = doc_new();
	struct buf out;

	buf_init(&out, DOC_EVENT_MAX);
	cr_assert_eq(doc_encode(fresh, d, &out), 0);
	golden("auth-first.bin", buf_slice(&out));
	buf_deinit(&out);
	doc_free(fresh);
	doc_free(d);
}

Test(auth, the_first_users_may_what_the_rules_say)
{
	for (int everywhere = 0; everywhere < 2; everywhere++) {
		struct doc *d = first(everywhere);

		ADD_USER(d, "ann", NULL, NULL);
		cr_assert(
		    may(d, "admin", AUTH_ADMINUSERS, AUTH_MAGIC_BUCKET, ""));
		cr_assert(may(d, "admin", AUTH_LIST, "*", ""));
		cr_assert(may(d, "admin", AUTH_LIST, "any", ""));
		cr_assert(may(d, "admin", AUTH_GET, "$sys", "metrics"));
		cr_assert(may(d, "admin", AUTH_PUT, "public", "s"));
		cr_assert(may(d, "admin", AUTH_PUT, "_user_admin", "s"));
		cr_assert_eq(may(d, "admin", AUTH_GET, "any", "s"), everywhere);
		cr_assert_eq(may(d, "admin", AUTH_GRANT, "*", ""), everywhere);
		cr_assert(may(d, "ann", AUTH_GET, "public", "s"));
		cr_assert(!may(d, "ann", AUTH_PUT, "public", "s"));
		cr_assert(!may(d, "-", AUTH_GET, "public", "s"));
		cr_assert(!may(d, "ann", AUTH_GET, "$sys", "metrics"));
		for (unsigned p = AUTH_GET; p <= AUTH_LIST; p <<= 1) {
			cr_assert(may(d, "ann", p, "_user_ann", ""));
			cr_assert(!may(d, "ann", p, "_user_ann2", ""));
			cr_assert(!may(d, "ann", p, "_user_admin", "s"));
			cr_assert(!may(d, "-", p, "_user_anonymous", "s"));
			cr_assert(!may(d, "ann", p, "*", ""));
		}
		doc_free(d);
	}
}

/* Every permission, granted on every level to every kind of role, opens what the
 * rules say and nothing else. */
Test(auth, matrix)
{
	static const struct {
		const char *role;
		int ann, anon; /* whether it covers them */
	} roles[] = {{"ann", 1, 0}, {"inner", 1, 0}, {"outer", 1, 0},
	    {"*", 1, 1}, {"bob", 0, 0}, {"other", 0, 0}, {"nobody", 0, 0},
	    {"anonymous", 0, 1}};
	static const char *const levels[][2] = {
	    {"*", ""}, {"b", ""}, {"b", "s"}};
	static const struct {
		const char *bucket, *stream;
		int covered[3]; /* by a grant on each of the levels */
	} asked[] = {{"b", "s", {1, 1, 1}}, {"b", "t", {1, 1, 0}},
	    {"b", "", {1, 1, 0}}, {"c", "s", {1, 0, 0}}, {"c", "", {1, 0, 0}},
	    {"*", "", {1, 0, 0}}, {"b\x01", "s", {1, 0, 0}},
	    {"bs", "", {1, 0, 0}}};
	struct doc *d = first(1);
	int cells = 0;

	ADD_GROUP(d, "outer", NULL, NULL);
	ADD_GROUP(d, "inner", "outer", NULL);
	ADD_GROUP(d, "other", "outer", NULL);
	cr_assert_eq(ADD_USER(d, "ann", "inner", NULL), AUTH_OK);
	cr_assert_eq(ADD_USER(d, "bob", NULL, NULL), AUTH_OK);
	for (unsigned given = 1; given <= AUTH_ADMINUSERS; given <<= 1) {
		for (size_t r = 0; r < sizeof(roles) / sizeof(*roles); r++) {
			for (int l = 0; l < 3; l++) {
				struct doc *e = doc_clone(d);

				cr_assert_eq(
				    grant(e, AUTH_GIVE, roles[r].role, given,
					levels[l][0], levels[l][1]),
				    AUTH_OK);
				for (size_t a = 0;
				     a < sizeof(asked) / sizeof(*asked); a++) {
					unsigned p = 1u << cells % 6;
					int open = asked[a].covered[l];

					cr_assert_eq(may(e, "ann", given,
							 asked[a].bucket,
							 asked[a].stream),
					    open && roles[r].ann);
					cr_assert_eq(
					    may(e, "-", given, asked[a].bucket,
						asked[a].stream),
					    open && roles[r].anon);
					if (p != given)
						cr_assert(!may(e, "ann", p,
						    asked[a].bucket,
						    asked[a].stream));
					cells += 2;
				}
				cr_assert_eq(
				    grant(e, AUTH_TAKE, roles[r].role, given,
					levels[l][0], levels[l][1]),
				    AUTH_OK);
				cr_assert(!may(e, "ann", given, "b", "s"));
				doc_free(e);
			}
		}
	}
	cr_assert_geq(cells, 300);
	doc_free(d);
}

Test(auth, everyone_is_seen_by_caches)
{
	struct doc *d = first(1);
	struct auth_view *v = view_of(d);

	cr_assert(!auth_is_public(v, AUTH_GET, SLICE_LIT("b"), none));
	auth_view_unref(v);
	grant(d, AUTH_GIVE, "*", AUTH_GET, "b", "");
	v = view_of(d);
	cr_assert(auth_is_public(v, AUTH_GET, SLICE_LIT("b"), SLICE_LIT("s")));
	cr_assert(!auth_is_public(v, AUTH_GET, SLICE_LIT("c"), SLICE_LIT("s")));
	cr_assert(!auth_is_public(v, AUTH_PUT, SLICE_LIT("b"), SLICE_LIT("s")));
	auth_view_unref(v);
	doc_free(d);
}

/* --- generations ------------------------------------------------------------ */

static int
valid(const struct doc *d, const struct auth_identity *w, uint64_t now)
{
	struct auth_view *v = view_of(d);
	int r = auth_is_valid(v, w, now);

	auth_view_unref(v);
	return r;
}

Test(auth, a_token_dies_with_what_it_rests_on)
{
	struct doc *d = first(1);
	struct auth_identity w;

	ADD_USER(d, "ann", NULL, NULL);
	w = who(d, "ann");
	w.expires_ms = 1000;
	cr_assert(valid(d, &w, 999));
	cr_assert(!valid(d, &w, 1000));
	w.expires_ms = 0;
	grant(d, AUTH_GIVE, "ann", AUTH_GET, "b", "");
	ask(d, with_groups(AUTH_SET_USER, "ann", "g-authenticated", NULL));
	cr_assert(valid(d, &w, 0)); /* nothing that ends sessions */
	named(d, AUTH_END_SESSIONS, "ann");
	cr_assert(!valid(d, &w, 0));
	w = who(d, "ann");
	ask(d, (struct auth_change){.op = AUTH_SET_USER,
		   .name = SLICE_LIT("ann"),
		   .has_hash = 1,
		   .hash = SLICE_LIT("$argon2id$y")});
	cr_assert(!valid(d, &w, 0));
	w = who(d, "ann");
	named(d, AUTH_DROP_USER, "ann");
	cr_assert(!valid(d, &w, 0));
	ADD_USER(d, "ann", NULL, NULL); /* another one of that name */
	cr_assert(!valid(d, &w, 0));
	cr_assert(!may(d, "ann", AUTH_GET, "b", "s")); /* nor its grants */
	doc_free(d);
}

/* --- refusals --------------------------------------------------------------- */

Test(auth, what_cannot_be_is_refused)
{
	struct doc *d = first(1);
	char name[16];

	cr_assert_eq(ADD_USER(d, "admin", NULL, NULL), AUTH_EXISTS);
	cr_assert_eq(ADD_USER(d, "g-admin", NULL, NULL), AUTH_EXISTS);
	cr_assert_eq(ADD_GROUP(d, "admin", NULL, NULL), AUTH_EXISTS);
	cr_assert_eq(ADD_USER(d, "ann", "nope", NULL), AUTH_NO_GROUP);
	cr_assert_eq(named(d, AUTH_DROP_USER, "ann"), AUTH_UNKNOWN);
	cr_assert_eq(named(d, AUTH_END_SESSIONS, "ann"), AUTH_UNKNOWN);
	cr_assert_eq(named(d, AUTH_DROP_GROUP, "nope"), AUTH_UNKNOWN);
	cr_assert_eq(named(d, AUTH_DROP_GROUP, "g-admin"), AUTH_NEEDED);
	cr_assert_eq(named(d, AUTH_DROP_USER, "admin"), AUTH_LAST_ADMIN);
	cr_assert_eq(ask(d, with_groups(AUTH_SET_USER, "admin", NULL, NULL)),
	    AUTH_LAST_ADMIN);
	cr_assert_eq(ADD_GROUP(d, "a", NULL, NULL), AUTH_OK);
	cr_assert_eq(ADD_GROUP(d, "b", "a", NULL), AUTH_OK);
	cr_assert_eq(ADD_GROUP(d, "c", "b", "a"), AUTH_OK);
	cr_assert_eq(
	    ask(d, with_groups(AUTH_SET_GROUP, "a", "c", NULL)), AUTH_CYCLE);
	cr_assert_eq(
	    ask(d, with_groups(AUTH_SET_GROUP, "a", "a", NULL)), AUTH_CYCLE);
	cr_assert_eq(
	    ask(d, with_groups(AUTH_SET_GROUP, "x", "a", NULL)), AUTH_UNKNOWN);
	cr_assert_eq(grant(d, AUTH_TAKE, "ann", AUTH_GET, "b", ""), AUTH_SAME);
	for (int i = 0; i < 70; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		cr_assert_eq(ADD_GROUP(d, name, NULL, NULL), AUTH_OK);
	}
	doc_free(d);
}

/* The last administrator may be one by way of groups in groups. */
Test(auth, the_last_administrator_stays_however_nested)
{
	struct doc *d = first(1);

	ADD_GROUP(d, "ops", "g-admin", NULL);
	ADD_USER(d, "ann", "ops", NULL);
	cr_assert_eq(named(d, AUTH_DROP_USER, "admin"), AUTH_OK);
	cr_assert_eq(named(d, AUTH_DROP_USER, "ann"), AUTH_LAST_ADMIN);
	cr_assert_eq(named(d, AUTH_DROP_GROUP, "ops"), AUTH_LAST_ADMIN);
	cr_assert_eq(ask(d, with_groups(AUTH_SET_GROUP, "ops", NULL, NULL)),
	    AUTH_LAST_ADMIN);
	cr_assert(may(d, "ann", AUTH_PUT, "any", "s"));
	ADD_USER(d, "bob", "g-admin", NULL);
	cr_assert_eq(named(d, AUTH_DROP_GROUP, "ops"), AUTH_OK);
	cr_assert(!may(d, "ann", AUTH_PUT, "any", "s"));
	doc_free(d);
}

Test(auth, names)
{
	static const char *const good[] = {"a", "-", "ann@x.org", "A.b_c-9"};
	static const char *const bad[] = {"", "all", "on", "to", "from", "any",
	    "*", "a b", "a:b", "\xc3\xa4", "a/b",
	    "1234567890123456789012345678901234567890123456789012345678901234"
	    "5"};

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		cr_assert(auth_name_is_legal(SLICE_STR(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		cr_assert(!auth_name_is_legal(SLICE_STR(bad[i])), "%s", bad[i]);
}

/* --- histories -------------------------------------------------------------- */

/* Random changes keep what must hold, and every document can be read. */
Test(auth, whatever_is_asked_there_is_an_administrator_and_no_cycle)
{
	static const char *const names[] = {"admin", "ann", "bob", "g-admin",
	    "g-authenticated", "a", "b", "c", "anonymous"};
	struct chance c = {11};
	struct doc *d = first(1);
	int done = 0;

	for (int i = 0; i < 4000; i++) {
		const char *name = names[chance_below(&c, 9)];
		struct auth_change q = {
		    .op = (enum auth_op)(1 + chance_below(&c, AUTH_TAKE)),
		    .name = SLICE_STR(name),
		    .permission = 1u << chance_below(&c, 6),
		    .bucket = SLICE_LIT("b"),
		    .stream = chance_below(&c, 2) ? SLICE_LIT("s") : none,
		    .has_groups = (int)chance_below(&c, 2),
		    .has_hash = (int)chance_below(&c, 2),
		    .hash = SLICE_LIT("$argon2id$x")};
		struct auth_view *v;

		for (uint64_t k = chance_below(&c, 4); k; k--) {
			name = names[3 + chance_below(&c, 5)];
			q.groups.at[q.groups.n++] = SLICE_STR(name);
		}
		done += ask(d, q) == AUTH_OK;
		v = view_of(d);
		cr_assert_gt(auth_view_admins(v), 0);
		cr_assert(!auth_view_has_cycle(v));
		auth_view_unref(v);
	}
	cr_assert_gt(done, 500);
	doc_free(d);
}
